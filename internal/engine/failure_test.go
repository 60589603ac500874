package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// wantEnded: a failed engine has said so once, and nothing comes out of it any more.
func (r *rig) wantEnded(why error) {
	r.t.Helper()
	synctest.Wait()
	if len(r.fatals()) != 1 || !errors.Is(r.fatals()[0], why) {
		r.t.Fatalf("Fatal was called with %v, want once with %v", r.fatals(), why)
	}
	if r.e.Leading() {
		r.t.Error("it says that it leads")
	}
	set(&r.told.mu, &r.told.events, nil)
	saves := r.saves()
	if err := <-r.propose(tick()); err == nil {
		r.t.Error("a command was acknowledged")
	}
	if _, err := r.e.Do(context.Background(), tick()); err == nil {
		r.t.Error("a command was acknowledged")
	}
	if err := r.e.Admit(context.Background(), 1); err != nil && !errors.Is(err, ErrStopping) { // or it waits for ever
		r.t.Errorf("admission: %v", err)
	}
	if err := r.e.Checkpoint(context.Background(), 1<<60); !errors.Is(err, ErrStopping) || !errors.Is(err, why) {
		r.t.Errorf("a checkpoint that never comes: %v", err)
	}
	pass(2 * CheckpointInterval)
	if err := r.e.Stop(context.Background()); !errors.Is(err, why) {
		r.t.Errorf("stop: %v", err)
	}
	if len(get(&r.told.mu, &r.told.events)) > 0 || r.saves() != saves || len(r.fatals()) != 1 {
		r.t.Errorf("afterwards: observed %v, saved %d times, fatal %d times", get(&r.told.mu, &r.told.events), r.saves()-saves, len(r.fatals()))
	}
}

// TestSaveFails: the first error of storage ends everything, what is in flight included.
func TestSaveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.mayFail = true
		broken := errors.New("the disk is gone")
		r.submit(spec(t, "p"))
		a := r.await(context.Background(), 1)
		r.log.hold()
		flying := r.propose(submitCmd(spec(t, "q")))
		synctest.Wait()
		flying2 := r.propose(tick())
		synctest.Wait()
		inLine := r.propose(tick())
		r.failSaves(broken)
		pass(CheckpointInterval)
		if err := <-inLine; !errors.Is(err, ErrStopping) || !errors.Is(err, broken) {
			t.Errorf("a command in line came back with %v", err)
		}
		if err := <-a.done; !errors.Is(err, ErrStopping) {
			t.Errorf("an Await came back with %v", err)
		}
		applied := r.e.Status().AppliedIndex
		r.log.release() // it is durable, yet nobody hears of it: the process is to end
		for _, f := range []chan error{flying, flying2} {
			if err := <-f; !errors.Is(err, ErrUnknown) || !errors.Is(err, broken) {
				t.Errorf("a command in flight came back with %v", err)
			}
		}
		r.wantEnded(broken)
		if r.e.Status().AppliedIndex != applied {
			t.Error("a step was applied after the failure")
		}
	})
}

// TestExpireFails: likewise.
func TestExpireFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.mayFail = true
		broken := errors.New("the disk is gone")
		set(&r.storage.mu, &r.storage.failExpire, broken)
		pass(CheckpointInterval)
		r.wantEnded(broken)
	})
}

// TestUndecodableEntryHalts: an entry that this build can't read is not skipped: nothing after it is applied or saved.
func TestUndecodableEntryHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startRig(t)
		a.submit(spec(t, "p"))
		entries := a.log.copied()
		last := append([]byte(nil), entries[len(entries)-1]...)
		b := openRig(t, newTestStorage(), newTestLog(append(entries[:1:1], []byte("\x08\x63"), last)...))
		b.mayFail = true
		synctest.Wait()
		if len(b.fatals()) != 1 || !strings.Contains(b.fatals()[0].Error(), "log entry 2: it was written under logic version 99") {
			t.Errorf("fatal: %v", b.fatals())
		}
		if s := b.e.Status(); s.AppliedIndex != 1 {
			t.Errorf("applied up to %d, want 1", s.AppliedIndex)
		}
		if err := b.e.Start(context.Background(), b.log); !errors.Is(err, ErrStopping) {
			t.Errorf("start: %v", err)
		}
		if get(&b.storage.mu, &b.storage.saves) > 0 {
			t.Error("a checkpoint was written")
		}
	})
}

// TestEntryOutOfOrderHalts: an index that was applied already means that the log is broken.
func TestEntryOutOfOrderHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.mayFail = true
		r.do(tick())
		r.log.close()
		r.e.Apply(1, 0, r.log.entries[0])
		if len(r.fatals()) != 1 {
			t.Errorf("fatal: %v", r.fatals())
		}
		r.log = newTestLog()
		r.log.serve(r.e)
	})
}

// TestBadTextIsRefused: what could be written but not read again is refused before it reaches the log.
func TestBadTextIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		before := len(r.log.copied())
		s := spec(t, "p")
		s.Require = []scheduler.Label{{Key: "k", Value: "\xff"}}
		if _, err := r.e.Do(context.Background(), submitCmd(s)); !errors.Is(err, ErrText) {
			t.Errorf("do: %v", err)
		}
		if err := <-r.propose(submitCmd(s)); !errors.Is(err, ErrText) {
			t.Errorf("propose: %v", err)
		}
		if n := len(r.log.copied()); n != before {
			t.Errorf("%d entries were written", n-before)
		}
	})
}

// TestEachIsAnsweredOnce throws everything at once at a crowd of proposers: changes of leadership, lost entries, a stop.
func TestEachIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		answers := make([]chan error, 0, 3000)
		for round := range 60 {
			switch round % 10 {
			case 0, 5:
				r.log.hold()
			case 1, 6:
				r.log.lose()
			case 2:
				r.log.forsake()
			case 7:
				r.log.drop()
			case 4:
				set(&r.log.mu, &r.log.doubt, errTestLost)
			case 9:
				set(&r.log.mu, &r.log.doubt, nil)
			case 3, 8:
				r.log.release()
				r.log.lead()
			}
			for i := range 50 {
				if i%7 == round%7 {
					synctest.Wait()
				}
				answers = append(answers, r.propose(tick()))
			}
		}
		r.log.release()
		if err := r.e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		kinds := map[string]int{}
		for i, a := range answers {
			if len(a) != 1 {
				t.Fatalf("command %d was answered %d times", i, len(a))
			}
			switch err := <-a; {
			case err == nil:
				kinds["done"]++
			case errors.Is(err, ErrUnknown):
				kinds["unknown"]++
			case errors.Is(err, ErrNotLeader), errors.Is(err, ErrStopping):
				kinds["refused"]++
			default:
				t.Fatalf("command %d came back with %v", i, err)
			}
		}
		if len(kinds) != 3 {
			t.Errorf("the test doesn't test much: %v", fmt.Sprint(kinds))
		}
	})
}
