package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestAdmissionInOrder: who waits for the line, or for a checkpoint, is let in in the order of coming. So a flood, however
// many its callers and however often they come back, delays another producer only by what stood before it.
func TestAdmissionInOrder(t *testing.T) {
	const callers = 120
	marked := func(mark, rows int) scheduler.Command {
		ids := make([]scheduler.TaskID, rows/2)
		ids[0] = scheduler.TaskID(mark)
		return scheduler.Command{Op: scheduler.OpCancel, Cancel: &scheduler.Cancel{IDs: ids}}
	}
	for _, byGate := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := startRig(t)
			goOn := make(chan struct{})
			if byGate {
				r.inSave(func() { <-goOn })
				for range 2*CheckpointRows/1000 + 2 {
					r.propose(many(t, 1000))
					synctest.Wait()
				}
			} else {
				r.log.hold()
				for range LineRowsMax/2000 + 3 {
					r.propose(marked(1, 2000))
				}
			}
			done := make(chan error, callers)
			for i := range callers {
				rows := 2000
				if i%10 == 7 {
					rows = 2 // it would fit, but others came first
				}
				go func() {
					_, err := r.e.Do(context.Background(), marked(1000+i, rows))
					done <- err
				}()
				synctest.Wait()
			}
			if len(done) > 0 {
				t.Fatal("they don't wait")
			}
			before := len(r.log.copied())
			close(goOn)
			r.log.release()
			for range callers {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			next := 1000
			for _, en := range r.log.copied()[before:] {
				var b scheduler.Batch
				if err := decodeEntry(en, &b); err != nil {
					t.Fatal(err)
				}
				for _, c := range b.Commands {
					if c.Cancel == nil || c.Cancel.IDs[0] < 1000 {
						continue
					}
					if int(c.Cancel.IDs[0]) != next {
						t.Fatalf("by gate: %v: caller %d comes where %d should", byGate, c.Cancel.IDs[0], next)
					}
					next++
				}
			}
			if next != 1000+callers {
				t.Errorf("%d of %d came", next-1000, callers)
			}
		})
	}
}

// TestWaiterLeaves: one who gives up while waiting for the line leaves no command behind, and those behind it go on.
func TestWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.log.hold()
		cmd := many(t, 1000)
		for range LineRowsMax/1000 + 10 {
			r.propose(cmd)
		}
		ctx, cancel := context.WithCancel(context.Background())
		left, stays := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := r.e.Do(ctx, many(t, 900))
			left <- err
		}()
		synctest.Wait()
		go func() {
			_, err := r.e.Do(context.Background(), tick())
			stays <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("it came back with %v", err)
		}
		r.log.release()
		if err := <-stays; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := r.e.Status().Counts.Pending; n%1000 != 0 {
			t.Errorf("%d tasks: what was given up was carried out", n)
		}
		if len(r.e.queue) != 0 {
			t.Errorf("%d still wait", len(r.e.queue))
		}
	})
}
