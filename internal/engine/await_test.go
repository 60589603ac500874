package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// awaiting is an Await under way.
type awaiting struct {
	seen []string
	done chan error
}

func (r *rig) await(ctx context.Context, ids ...scheduler.TaskID) *awaiting {
	a := &awaiting{done: make(chan error, 1)}
	go func() {
		a.done <- r.e.Await(ctx, ids, func(id scheduler.TaskID, f *storagev1.Finished, err error) error {
			a.seen = append(a.seen, fmt.Sprint(id, ": ", render(&Task{ID: id, Finished: f}, err)))
			return nil
		})
	}()
	synctest.Wait()
	return a
}

// want ends when the Await has; it compares without regard to order.
func (a *awaiting) want(t tb, seen ...string) {
	t.Helper()
	if err := <-a.done; err != nil {
		t.Errorf("await: %v", err)
	}
	slices.Sort(a.seen)
	if !slices.Equal(a.seen, seen) {
		t.Errorf("awaited\n\t%q, want\n\t%q", a.seen, seen)
	}
}

func (r *rig) wantNoWaiters() {
	r.t.Helper()
	r.e.mu.RLock()
	defer r.e.mu.RUnlock()
	if n := len(r.e.waiters); n > 0 {
		r.t.Errorf("%d tasks are still awaited", n)
	}
}

// TestAwait: ends are delivered to all who wait, once a task, wherever the task was when they began to wait.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		volatile := spec(t, "v", "l", "1")
		volatile.Policy.Retention = 0
		r.submit(spec(t, "a", "l", "1"), volatile, volatile, spec(t, "b"), spec(t, "stays"))
		r.save()
		ctx := context.Background()
		before := r.await(ctx, 1, 2, 1, 2, 4)
		twin := r.await(ctx, 2)
		r.cancel(1, 2, 3)
		staged := r.await(ctx, 1, 1, 2, 3)
		r.cancel(4)
		before.want(t, "1: CANCELLED gen 1 l=1", "2: CANCELLED gen 1 l=1", "4: CANCELLED gen 1")
		twin.want(t, "2: CANCELLED gen 1 l=1")
		staged.want(t, "1: CANCELLED gen 1 l=1", "2: "+ErrNotRetained.Error(), "3: "+ErrNotRetained.Error())
		r.save()
		r.await(ctx, 4, 1, 7, 0).want(t, "0: "+ErrNoTask.Error(), "1: CANCELLED gen 1 l=1", "4: CANCELLED gen 1", "7: "+ErrNoTask.Error())
		r.await(ctx).want(t)
		r.wantNoWaiters()
	})
}

// TestAwaitEnds: an Await that is given up, whose each fails, or whose engine stops, leaves nothing behind.
func TestAwaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.submit(spec(t, "a"), spec(t, "b"))
		why := errors.New("the client went away")
		ctx, cancel := context.WithCancelCause(context.Background())
		a, b := r.await(ctx, 1, 2), r.await(context.Background(), 2, 1)
		cancel(why)
		if err := <-a.done; !errors.Is(err, why) {
			t.Errorf("a cancelled Await returned %v", err)
		}
		r.cancel(2)
		synctest.Wait()
		if len(a.seen) != 0 || len(b.seen) != 1 {
			t.Errorf("delivered %v to the one who left, %v to the one who stayed", a.seen, b.seen)
		}
		enough := errors.New("enough")
		err := r.e.Await(context.Background(), []scheduler.TaskID{2}, func(scheduler.TaskID, *storagev1.Finished, error) error { return enough })
		if !errors.Is(err, enough) {
			t.Errorf("the error of each was lost: %v", err)
		}
		if err := r.e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-b.done; !errors.Is(err, ErrStopping) {
			t.Errorf("Await of a stopped engine returned %v", err)
		}
		r.wantNoWaiters()
	})
}

// TestAwaitRetried: a task that ends, lives again and ends again is delivered once to each: its next end after the Await
// began.
func TestAwaitRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		dies := spec(t, "d")
		dies.Policy.MaxAttempts = 1
		r.submit(dies)
		w := r.worker("w", 1)
		first := r.await(context.Background(), 1)
		w.report(failed(w.grants()[0], "first"))
		r.retry(1)
		second := r.await(context.Background(), 1)
		again := r.await(context.Background(), 1)
		w.report(failed(w.grants()[0], "second"))
		first.want(t, "1: DEAD gen 1 said first")
		second.want(t, "1: DEAD gen 2 said second")
		again.want(t, "1: DEAD gen 2 said second")
		r.wantNoWaiters()
	})
}

// TestAwaitWhileRetried: an Await of a dead letter that is retried before its end could be read waits for the next end.
func TestAwaitWhileRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		dies := spec(t, "d")
		dies.Policy.MaxAttempts = 1
		r.submit(dies, dies)
		w := r.worker("w", 2)
		g := w.grants()
		w.report(failed(g[0], "first"), failed(g[1], "first"))
		r.save()
		slow := make(chan struct{})
		a := &awaiting{done: make(chan error, 1)}
		go func() {
			a.done <- r.e.Await(context.Background(), []scheduler.TaskID{1, 2}, func(id scheduler.TaskID, f *storagev1.Finished, err error) error {
				<-slow // while 1 is delivered, 2 is retried
				a.seen = append(a.seen, fmt.Sprint(id, ": ", render(&Task{ID: id, Finished: f}, err)))
				return nil
			})
		}()
		synctest.Wait()
		r.retry(2)
		r.save()
		close(slow)
		synctest.Wait()
		w.report(succeeded(w.grants()[0], "well"))
		a.want(t, "1: DEAD gen 1 said first", "2: SUCCEEDED gen 2 said well")
		r.wantNoWaiters()
	})
}
