package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// render says in a line all that a reader sees of a task.
func render(t *Task, err error) string {
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	labels, last := t.Body.GetLabels(), t.LastFailure
	if f := t.Finished; f != nil {
		fmt.Fprintf(&b, "%v gen %d", scheduler.TaskState(f.GetState()), f.GetGen())
		labels, last = f.GetLabels(), f.GetLastFailure()
		if d := f.GetDetail(); d != nil {
			fmt.Fprintf(&b, " said %s%s", d.GetResult(), d.GetMessage())
		}
	} else {
		fmt.Fprintf(&b, "%v gen %d", t.Live.State, t.Live.Gen)
	}
	if t.Body != nil {
		fmt.Fprintf(&b, " payload %s", t.Body.GetPayload())
	}
	for _, l := range labels {
		fmt.Fprintf(&b, " %s=%s", l.GetKey(), l.GetValue())
	}
	if last != nil {
		fmt.Fprintf(&b, " attempt %d failed: %s", last.GetAttempt(), last.GetDetail().GetMessage())
	}
	return b.String()
}

func (r *rig) wantTask(where any, id scheduler.TaskID, want string) {
	r.t.Helper()
	if got := render(r.e.Task(context.Background(), id)); got != want {
		r.t.Errorf("%v: task %d is\n\t%s, want\n\t%s", where, id, got, want)
	}
}

// livedRig holds one task of every fate: see fates. With saved, bodies and first failures are in storage before the ends.
func livedRig(t tb, saved bool) (*rig, *worker) {
	r := startRig(t)
	never := spec(t, "not kept", "a", "b")
	never.Policy.Retention = 0
	twice := spec(t, "dies", "env", "test")
	twice.Policy.MaxAttempts = 2
	other := spec(t, "waits", "x", "y")
	other.Kind = "other"
	r.submit(spec(t, "ends well", "a", "1", "b", "2"), spec(t, "fails", "a", "1"), twice, spec(t, "later ends well"), never, other, other,
		spec(t, ""))
	w := r.worker("w", 10)
	g := w.grants()
	w.report(failed(g[1], "once"), failed(g[2], "once"), failed(g[3], "once"))
	if saved {
		r.save()
	}
	again := w.grants()
	w.report(succeeded(g[0], "well"), failed(again[1], "twice"), succeeded(again[2], "well after all"), succeeded(g[4], "gone"))
	r.cancel(6)
	return r, w
}

var fates = []string{
	1: "SUCCEEDED gen 1 said well a=1 b=2",
	2: "LEASED gen 1 payload fails a=1 attempt 1 failed: once",
	3: "DEAD gen 1 said twice payload dies env=test attempt 1 failed: once",
	4: "SUCCEEDED gen 1 said well after all attempt 1 failed: once",
	5: ErrNotRetained.Error(),
	6: "CANCELLED gen 1 x=y",
	7: "PENDING gen 1 payload waits x=y",
	8: "LEASED gen 1 payload ",
}

func (r *rig) wantFates(where any) {
	r.t.Helper()
	for id, want := range fates {
		if id > 0 {
			r.wantTask(where, scheduler.TaskID(id), want)
		}
	}
}

// TestTaskWhereverItIs: a task looks the same while its end is staged, sealed or stored, and after a restart, whether its
// body was staged or stored when it ended.
func TestTaskWhereverItIs(t *testing.T) {
	for _, saved := range []bool{false, true} {
		t.Run(fmt.Sprint("bodies stored: ", saved), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := livedRig(t, saved)
				r.through(func(s stage) {
					r.wantFates(s)
					r.wantTask(s, scheduler.TaskID(len(fates)), ErrNoTask.Error())
					r.wantTask(s, 0, ErrNoTask.Error())
				})
				r.restarted(true).wantFates("restarted from the checkpoint")
				r.restarted(false).wantFates("replayed")
				if b, f, n := r.storage.counts(); b != 4 || f != 3 || n != 4 {
					t.Errorf("storage keeps attempts of %d tasks, %d bodies, %d finished tasks; want 3 (1 live, 1 dead, 1 succeeded), 4 (3 live, 1 dead), 4", f, b, n)
				}
			})
		})
	}
}

// TestDeadLetterLivesAgain: wherever its end and body are, a retried dead letter has its body, no end and no failure, and
// what it ends as then counts. Forgetting drops all of it.
func TestDeadLetterLivesAgain(t *testing.T) {
	for _, at := range []stage{staged, sealed, stored} {
		t.Run(string(at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, w := livedRig(t, true)
				w.grants()
				const lives = "LEASED gen 2 payload dies env=test"
				r.through(func(s stage) {
					if s == at {
						r.retry(3)
						r.wantTask(s, 3, lives)
					}
				})
				g := w.grants()
				r.through(func(s stage) { r.wantTask(s, 3, lives) })
				r.restarted(true).wantTask("restarted", 3, lives)
				dies := failed(g[0], "for good")
				dies.Permanent = true
				w.report(dies)
				r.through(func(s stage) { r.wantTask(s, 3, "DEAD gen 2 said for good payload dies env=test") })
				r.do(scheduler.Command{Op: scheduler.OpForget, Forget: &scheduler.Forget{Items: []scheduler.DeadRef{{ID: 3, Gen: 2}}}})
				r.through(func(s stage) { r.wantTask(s, 3, ErrNotRetained.Error()) })
				if _, ok := r.storage.bodies[3]; ok {
					t.Error("its body is still stored")
				}
				if _, ok := r.storage.failures[3]; ok {
					t.Error("its attempts are still stored")
				}
			})
		})
	}
}

// TestOneStepManyFates: several things that happen to a task within one step leave what the last of them left.
func TestOneStepManyFates(t *testing.T) {
	for _, saved := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := livedRig(t, saved)
			if saved {
				r.save()
			}
			cancel := func(id scheduler.TaskID) scheduler.Command {
				return scheduler.Command{Op: scheduler.OpCancel, Cancel: &scheduler.Cancel{IDs: []scheduler.TaskID{id}, Force: true}}
			}
			r.log.hold()
			var done []chan error
			done = append(done, r.propose(tick())) // in flight
			synctest.Wait()
			done = append(done, r.propose(tick())) // in flight, too
			synctest.Wait()
			// One entry: a dead letter lives again and is cancelled; a new task comes and is cancelled.
			done = append(done, r.propose(r.retryCmd(3)), r.propose(cancel(3)), r.propose(submitCmd(spec(t, "short", "l", "v"))), r.propose(cancel(9)))
			r.log.release()
			for _, d := range done {
				if err := <-d; err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if n := len(r.log.copied()); r.e.Status().AppliedIndex != uint64(n) {
				t.Fatal("not all was applied")
			}
			r.through(func(s stage) {
				r.wantTask(s, 3, "CANCELLED gen 2 env=test")
				r.wantTask(s, 9, "CANCELLED gen 1 l=v")
			})
			r.restarted(true).wantTask("restarted", 3, "CANCELLED gen 2 env=test")
			if b, _, _ := r.storage.counts(); b != 3 {
				t.Errorf("%d bodies are stored, want 3", b)
			}
		})
	}
}

// TestEmptyBody: a task without payload and labels has a body, before and after a restart.
func TestEmptyBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		s := spec(t, "")
		s.Body = nil
		id := r.submit(s)
		check := func(where any, e *Engine) {
			t.Helper()
			err := e.Bodies([]scheduler.TaskID{id}, func(_ int, data []byte) error {
				if data == nil {
					return errors.New("it is missing")
				}
				return nil
			})
			if err != nil {
				t.Errorf("%v: %v", where, err)
			}
		}
		check("replayed", r.restarted(false).e)
		r.through(func(s stage) { check(s, r.e) })
	})
}

// TestBodies: many at once, from wherever they are, in the order asked for.
func TestBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.submit(spec(t, "one"), spec(t, "two"))
		r.save()
		r.submit(spec(t, "three"))
		r.cancel(1)
		for _, c := range []struct {
			ids  []scheduler.TaskID
			want string
		}{
			{[]scheduler.TaskID{3, 1, 2, 99}, "[0 three 1 one 2 two 3 none]"},
			{[]scheduler.TaskID{1, 2, 99}, "[0 one 1 two 2 none]"},
			{[]scheduler.TaskID{2, 99, 1}, "[0 two 1 none 2 one]"},
		} {
			var got []string
			err := r.e.Bodies(c.ids, func(i int, data []byte) error {
				text := "none"
				if data != nil {
					text = string(data[2:])
				}
				got = append(got, fmt.Sprint(i, " ", text))
				return nil
			})
			if err != nil || fmt.Sprint(got) != c.want {
				t.Errorf("%v: got %v, %v, want %s", c.ids, got, err, c.want)
			}
		}
		stop := errors.New("enough")
		if err := r.e.Bodies([]scheduler.TaskID{3, 2}, func(int, []byte) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("the error of each was lost: %v", err)
		}
	})
}

// TestReadWhileDropped: who finds a task alive, or its end staged, and storage emptied when he gets there, looks again.
func TestReadWhileDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.submit(spec(t, "a", "l", "1"), spec(t, "b", "l", "2"))
		r.save()
		meanwhile := func(f func()) {
			set(&r.storage.mu, &r.storage.inBodies, func() {
				set(&r.storage.mu, &r.storage.inBodies, nil)
				f()
			})
		}
		meanwhile(func() { r.cancel(1); r.save() })
		r.wantTask("ended on the way to its body", 1, "CANCELLED gen 1 l=1")
		r.cancel(2)
		meanwhile(r.save)
		r.wantTask("saved on the way to its labels", 2, "CANCELLED gen 1 l=2")
	})
}

// TestReadAfterDrop: a reader who holds an end while the checkpoint drops the body that its labels are in still gets them.
func TestReadAfterDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		kept, gone := spec(t, "a", "l", "1"), spec(t, "b", "l", "2")
		gone.Policy.Retention = 0
		r.submit(kept, gone)
		r.save()
		var seen []string
		reading, goOn := make(chan struct{}), make(chan struct{})
		done := make(chan error, 1)
		go func() {
			first := true
			done <- r.e.Await(context.Background(), []scheduler.TaskID{1, 2}, func(id scheduler.TaskID, f *storagev1.Finished, err error) error {
				if first {
					first = false
					close(reading)
					<-goOn
				}
				seen = append(seen, render(&Task{ID: id, Finished: f}, err))
				return nil
			})
		}()
		synctest.Wait()
		r.cancel(1)
		<-reading
		r.cancel(2)
		r.save()
		close(goOn)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if want := "[CANCELLED gen 1 l=1 CANCELLED gen 1 l=2]"; fmt.Sprint(seen) != want {
			t.Errorf("got %v, want %s", seen, want)
		}
	})
}

// TestQuiesceWaitsForTheLastWord: once it returns, the last step is applied, and its events and answers are out.
func TestQuiesceWaitsForTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		begun, goOn := make(chan struct{}), make(chan struct{})
		r.hook(func(*scheduler.Effects) {
			close(begun)
			<-goOn
		})
		answer := r.propose(submitCmd(spec(t, "a")))
		<-begun
		quiet := make(chan error, 1)
		go func() { quiet <- r.e.Quiesce(t.Context()) }()
		synctest.Wait()
		if len(quiet) > 0 {
			t.Error("it returned while a step was being told")
		}
		if err := <-r.propose(tick()); !errors.Is(err, ErrStopping) {
			t.Errorf("a proposal was answered with %v", err)
		}
		close(goOn)
		if err := <-quiet; err != nil {
			t.Error(err)
		}
		if err := <-answer; err != nil {
			t.Error(err)
		}
		last := r.e.Events().Last()
		pass(2 * IdleTick)
		if now := r.e.Events().Last(); now != last || last == 0 {
			t.Errorf("events went from %d to %d", last, now)
		}
	})
}
