package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestOrder: entries hold commands in order of proposal; of a step the callbacks come first, in order, then the observer.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		synctest.Wait()
		set(&r.told.mu, &r.told.events, nil)
		before := len(r.log.copied())
		r.log.hold()
		for i := range 50 {
			r.e.Propose(submitCmd(spec(t, "p")), func(res Result, err error) {
				r.told.note(fmt.Sprint(i, ": ", res.First, err))
			})
			if i%20 == 0 {
				synctest.Wait()
			}
		}
		r.log.release()
		synctest.Wait()
		var want []string
		for i, entries := 0, r.log.copied()[before:]; i < 50; entries = entries[1:] {
			var b scheduler.Batch
			if err := decodeEntry(entries[0], &b); err != nil {
				t.Fatal(err)
			}
			for range b.Commands {
				want = append(want, fmt.Sprint(i, ": ", i+1, nil))
				i++
			}
			want = append(want, "applied")
		}
		if got := fmt.Sprint(get(&r.told.mu, &r.told.events)); got != fmt.Sprint(want) {
			t.Errorf("got\n%v, want\n%v", got, want)
		}
	})
}

// TestFlightsMax: no more than FlightsMax entries are in flight, and they form without waiting.
func TestFlightsMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.log.hold()
		var done []chan error
		for range 5 {
			done = append(done, r.propose(tick()))
			synctest.Wait()
		}
		if n := r.log.queued(); n != FlightsMax {
			t.Errorf("%d entries are in flight, want %d", n, FlightsMax)
		}
		before := len(r.log.copied())
		r.log.release()
		for _, d := range done {
			if err := <-d; err != nil {
				t.Error(err)
			}
		}
		if n := len(r.log.copied()) - before; n != 3 {
			t.Errorf("5 commands took %d entries, want 3: two alone, what had gathered together", n)
		}
	})
}

// TestDelaysFire: a tick comes when a delay is over, not before; many that are due at once go on tick by tick at once.
func TestDelaysFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		var specs []scheduler.TaskSpec
		for range 1000 {
			s := spec(t, "p")
			s.Delay = scheduler.Duration(10 * time.Second)
			specs = append(specs, s)
		}
		for range 12 {
			r.submit(specs...)
		}
		pass(10*time.Second - 1)
		if c := r.e.Status().Counts; c.Pending != 0 || c.Scheduled != 12_000 {
			t.Errorf("a nanosecond early %d are pending", c.Pending)
		}
		before := len(r.log.copied())
		pass(1)
		if c := r.e.Status().Counts; c.Pending != 12_000 {
			t.Errorf("%d are pending, %d still wait", c.Pending, c.Scheduled)
		}
		if n := len(r.log.copied()) - before; n < 2 || n > 10 {
			t.Errorf("it took %d steps, of at most %d rows each", n, scheduler.StepRowsMax)
		}
	})
}

// TestWorkLeftOver: what a step's bound left over is gone on with at once.
func TestWorkLeftOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		for range 12 {
			r.do(many(t, 1000))
		}
		r.worker("a", 6000)
		r.worker("b", 6000)
		synctest.Wait()
		if c := r.e.Status().Counts; c.Leased != 12_000 {
			t.Errorf("%d tasks are leased, want 12,000", c.Leased)
		}
	})
}

// TestDelaysFireWhileTheClockIsSlewed: log time that runs faster or slower than the machine's is waited for exactly.
func TestDelaysFireWhileTheClockIsSlewed(t *testing.T) {
	const delay = 20 * time.Second
	for shift, takes := range map[time.Duration]time.Duration{
		time.Hour: delay + delay/9, -delay: delay - delay/11, // ahead of the wall clock, behind it
	} {
		synctest.Test(t, func(t *testing.T) {
			r := startRig(t)
			pass(2*IdleTick - 1) // no tick has carried the log's time so far
			r.e.qmu.Lock()
			r.e.clock.at += int64(shift)
			r.e.qmu.Unlock()
			s := spec(t, "p")
			s.Delay = scheduler.Duration(delay)
			id := r.submit(s)
			pass(takes - time.Microsecond)
			r.wantTask("before", id, "SCHEDULED gen 1 payload p")
			pass(2 * time.Microsecond)
			r.wantTask(fmt.Sprint("shifted by ", shift, ", after"), id, "PENDING gen 1 payload p")
		})
	}
}

// TestIdleTick: the log's time is carried on while nothing happens, and no more often than that.
func TestIdleTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		synctest.Wait()
		before := len(r.log.copied())
		pass(10*IdleTick - 1)
		if n := len(r.log.copied()) - before; n != 9 {
			t.Errorf("%d ticks, want 9", n)
		}
		r.log.lose()
		synctest.Wait()
		before = len(r.log.copied())
		pass(10 * IdleTick)
		if n := len(r.log.copied()) - before; n != 0 {
			t.Errorf("%d ticks without leading", n)
		}
	})
}

// TestStopDrainsTheLine: what was proposed before Stop is carried out, what comes after is refused, the last checkpoint
// holds it all.
func TestStopDrainsTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.log.hold()
		var done []chan error
		for range 10 {
			done = append(done, r.propose(submitCmd(spec(t, "p"))))
			synctest.Wait()
		}
		r.inSave(func() {
			for range 1000 { // the other Stop has time to get here, too
				runtime.Gosched()
			}
		})
		stopped := make(chan error, 2)
		for range 2 { // twice, at the same time
			go func() { stopped <- r.e.Stop(context.Background()) }()
		}
		synctest.Wait()
		if err := <-r.propose(tick()); !errors.Is(err, ErrStopping) {
			t.Errorf("while it stops a command came back with %v", err)
		}
		if _, err := r.e.Do(context.Background(), tick()); !errors.Is(err, ErrStopping) {
			t.Errorf("while it stops Do returned %v", err)
		}
		if len(stopped) > 0 {
			t.Error("Stop didn't wait")
		}
		r.log.release()
		for _, d := range done {
			if err := <-d; err != nil {
				t.Errorf("a command in line came back with %v", err)
			}
		}
		for range 2 {
			if err := <-stopped; err != nil {
				t.Errorf("stop: %v", err)
			}
		}
		if get(&r.storage.mu, &r.storage.index) != uint64(len(r.log.copied())) {
			t.Errorf("the last checkpoint is of index %d, the log ends at %d", get(&r.storage.mu, &r.storage.index), len(r.log.copied()))
		}
		b := r.restarted(true)
		if b.e.Hash() != r.e.Hash() {
			t.Error("a restart finds another state")
		}
	})
}

// TestStopGivesUp: when its context ends, Stop refuses what is in line, once, and leaves the rest to the log.
func TestStopGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.log.hold()
		var done []chan error
		for range 4 {
			done = append(done, r.propose(tick()))
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.e.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		for i, d := range done {
			if i < FlightsMax {
				if len(d) > 0 {
					t.Errorf("command %d in flight was answered", i)
				}
			} else if err := <-d; !errors.Is(err, ErrStopping) {
				t.Errorf("command %d in line came back with %v", i, err)
			}
		}
		r.log.release()
		synctest.Wait()
		for i, d := range done[:FlightsMax] {
			if err := <-d; err != nil {
				t.Errorf("command %d was committed and came back with %v", i, err)
			}
		}
	})
}

// TestDoIsGivenUp: a caller who goes is answered at once; the command is carried out.
func TestDoIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.log.hold()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := r.e.Do(ctx, submitCmd(spec(t, "p"))); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("do: %v", err)
		}
		r.log.release()
		synctest.Wait()
		r.wantTask("after all", 1, "PENDING gen 1 payload p")
	})
}

// TestDeadlineWhileInFlight: a deadline that falls while entries are in flight, and for long, fires when one has landed.
func TestDeadlineWhileInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		s := spec(t, "p")
		s.Delay = scheduler.Duration(time.Second)
		id := r.submit(s)
		r.log.hold()
		done := r.propose(tick())
		pass(time.Minute)
		if n := r.log.queued(); n != 1 {
			t.Errorf("%d entries are in flight, want 1: a tick would tell nothing that the next one can't", n)
		}
		r.log.release()
		<-done //nolint:errcheck // its end is waited for, not its answer
		synctest.Wait()
		r.wantTask("then", id, "PENDING gen 1 payload p")
	})
}
