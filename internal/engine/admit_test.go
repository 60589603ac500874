package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func many(t tb, n int) scheduler.Command {
	specs := make([]scheduler.TaskSpec, n)
	for i := range specs {
		specs[i] = spec(t, "p")
	}
	return submitCmd(specs...)
}

// admitting is an Admit under way.
func (r *rig) admitting(rows int) chan error {
	done := make(chan error, 1)
	go func() { done <- r.e.Admit(context.Background(), rows) }()
	synctest.Wait()
	return done
}

// TestGate: admission waits from when a second checkpoint is due before the first has ended, until that has ended.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		begun, goOn := make(chan struct{}, 10), make(chan struct{})
		r.inSave(func() { begun <- struct{}{}; <-goOn })
		fill := func() {
			for range CheckpointRows/1000 + 1 {
				r.propose(many(t, 1000))
			}
			synctest.Wait()
		}
		fill()
		<-begun // by the rows: no time has passed
		if err := <-r.admitting(1); err != nil {
			t.Errorf("while the first is saved: %v", err)
		}
		fill()
		waiting, twin := r.admitting(1), r.admitting(5000)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.e.Admit(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an Admit that was given up: %v", err)
		}
		do := make(chan error, 1)
		go func() {
			_, err := r.e.Do(context.Background(), tick())
			do <- err
		}()
		synctest.Wait()
		if len(waiting)+len(twin)+len(do) > 0 {
			t.Error("admission doesn't wait")
		}
		goOn <- struct{}{}
		for _, w := range []chan error{waiting, twin, do} {
			if err := <-w; err != nil {
				t.Error(err)
			}
		}
		<-begun // the second follows at once
		close(goOn)
		synctest.Wait()
		if err := <-r.admitting(1); err != nil {
			t.Error(err)
		}
	})
}

// TestGateThatClosesLate: a step may close the gate when the checkpoint that it waits for has just ended, and with it all
// that there was to save. It opens all the same.
func TestGateThatClosesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.save()
		r.e.qmu.Lock()
		r.e.closeGate()
		r.e.qmu.Unlock()
		waiting := r.admitting(1)
		if len(waiting) > 0 {
			t.Error("admission doesn't wait")
		}
		r.e.pokeCheckpoint() // as that step does
		synctest.Wait()
		if len(waiting) != 1 || <-waiting != nil {
			t.Error("admission waits for ever")
		}
	})
}

// TestGateOpensOnFailure: who waits for a checkpoint that fails is not left waiting; neither is the log.
func TestGateOpensOnFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.mayFail = true
		goOn := make(chan struct{})
		r.inSave(func() { <-goOn })
		for range 2*CheckpointRows/1000 + 2 {
			r.propose(many(t, 1000))
			synctest.Wait()
		}
		waiting := r.admitting(1)
		broken := errors.New("broken")
		r.failSaves(broken)
		close(goOn)
		if err := <-waiting; !errors.Is(err, ErrStopping) {
			t.Errorf("it came back with %v", err)
		}
	})
}

// TestReplayIsPaced: a replay doesn't outrun the checkpoints: what waits to be saved stays bounded.
func TestReplayIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startRig(t)
		for range 6 * CheckpointRows / 1000 {
			a.do(many(t, 1000))
		}
		storage := newTestStorage()
		begun, goOn := make(chan struct{}, 100), make(chan struct{})
		storage.inSave = func() { begun <- struct{}{}; <-goOn }
		b := openRig(t, storage, newTestLog())
		b.log.term = 1
		started := make(chan error, 1)
		go func() { started <- b.e.Start(context.Background(), b.log) }()
		synctest.Wait()
		go func() {
			for i, en := range a.log.copied() {
				b.e.Apply(uint64(i+1), 0, en)
			}
			b.log.mu.Lock()
			b.log.entries = a.log.copied()
			b.log.mu.Unlock()
			b.log.lead()
		}()
		for range 4 {
			<-begun
			synctest.Wait()
			b.e.mu.RLock()
			rows := b.e.state.DirtyRows()
			b.e.mu.RUnlock()
			if rows > CheckpointRows+2*scheduler.StepRowsMax {
				t.Errorf("%d rows wait to be saved", rows)
			}
			goOn <- struct{}{}
		}
		close(goOn)
		if err := <-started; err != nil {
			t.Error(err)
		}
	})
}

// TestLineIsBounded: callers of Do wait while the line is long, and what they add at once stays bounded.
func TestLineIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.log.hold()
		const callers = 300
		cmd := many(t, 1000)
		done := make(chan error, callers)
		for range callers {
			go func() {
				_, err := r.e.Do(context.Background(), cmd)
				done <- err
			}()
		}
		synctest.Wait()
		rows := func() int {
			r.e.qmu.Lock()
			defer r.e.qmu.Unlock()
			return r.e.line.Rows()
		}
		if n := rows(); n > LineRowsMax || n < LineRowsMax-(FlightsMax+1)*batch.RowsMax {
			t.Errorf("%d rows wait in line, the limit is %d", n, LineRowsMax)
		}
		waiting := r.admitting((FlightsMax + 1) * batch.RowsMax)
		if len(waiting) > 0 {
			t.Error("Admit doesn't wait")
		}
		r.log.release()
		for range callers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		if rows() != 0 || r.e.Status().Counts.Pending != callers*1000 {
			t.Errorf("%d rows are left in line", rows())
		}
	})
}

// TestLineIsLeft: who waits for room when leadership is lost or the engine stops is told.
func TestLineIsLeft(t *testing.T) {
	for _, stop := range []bool{false, true} {
		t.Run(fmt.Sprint("stop: ", stop), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startRig(t)
				r.log.hold()
				for range LineRowsMax/1000 + 10 {
					r.propose(many(t, 1000))
				}
				done := make(chan error, 1)
				go func() {
					_, err := r.e.Do(context.Background(), tick())
					done <- err
				}()
				synctest.Wait()
				if len(done) > 0 {
					t.Error("Do doesn't wait")
				}
				want := ErrNotLeader
				if stop {
					want = ErrStopping
					stopped := make(chan error, 1)
					go func() { stopped <- r.e.Stop(context.Background()) }()
					synctest.Wait()
					r.log.release()
					defer func() { <-stopped }() //nolint:errcheck // its end is waited for, not its answer
				} else {
					r.log.lose()
				}
				if err := <-done; !errors.Is(err, want) {
					t.Errorf("it came back with %v", err)
				}
			})
		})
	}
}

// TestDiskReserve: below the reserve submits and retries are refused, outcomes are not; above it they are taken again.
func TestDiskReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Uint64
		free.Store(DiskReserveDefault)
		var broken atomic.Bool
		r := startRig(t, func(o *Options) {
			o.DiskFree = func() (uint64, error) {
				if broken.Load() {
					return 0, errors.New("no answer")
				}
				return free.Load(), nil
			}
		})
		dies := spec(t, "p")
		dies.Policy.MaxAttempts = 1
		r.submit(dies, dies)
		w := r.worker("w", 5)
		g := w.grants()
		w.report(failed(g[0], "dies"))
		free.Store(DiskReserveDefault - 1)
		pass(CheckpointInterval)
		if _, err := r.e.Do(context.Background(), submitCmd(dies)); !errors.Is(err, ErrDiskReserve) {
			t.Errorf("submit: %v", err)
		}
		if err := <-r.propose(r.retryCmd(1)); !errors.Is(err, ErrDiskReserve) {
			t.Errorf("retry: %v", err)
		}
		w.report(succeeded(g[1], "well"))
		broken.Store(true)
		pass(CheckpointInterval)
		if got := r.e.Status().DiskFree; got != DiskReserveDefault-1 {
			t.Errorf("%d bytes are said to be free", got)
		}
		broken.Store(false)
		free.Store(DiskReserveDefault)
		pass(CheckpointInterval)
		r.submit(dies)
		r.retry(1)
	})
}

// TestDueTasksArePaced: what comes due by itself doesn't outrun the checkpoints either: else the next one is larger, and
// whoever waits for it waits longer, the more is due at once.
func TestDueTasksArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		const due = 5 * CheckpointRows
		c := many(t, 1000)
		for i := range c.Submit.Tasks {
			c.Submit.Tasks[i].Delay = scheduler.Hour
		}
		for range due / 1000 {
			r.do(c)
		}
		r.save()
		var mu sync.Mutex
		most := 0
		r.inSave(func() {
			<-time.After(100 * time.Millisecond) // long after all steps, if nothing holds them back
			r.e.mu.RLock()
			rows := r.e.state.DirtyRows()
			r.e.mu.RUnlock()
			mu.Lock()
			most = max(most, rows)
			mu.Unlock()
		})
		pass(time.Hour + 10*time.Second)
		q, _ := r.e.Queue(scheduler.DefaultQueue)
		if q.Scheduled != 0 || q.Pending < due/1000*1000 {
			t.Fatalf("%d tasks are scheduled, %d pending", q.Scheduled, q.Pending)
		}
		if n := get(&mu, &most); n < CheckpointRows || n > CheckpointRows+3*scheduler.StepRowsMax {
			t.Errorf("%d rows waited to be saved, want no more than what a checkpoint and a few steps hold", n)
		}
	})
}
