package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestCheckpointsAreDue: by changed rows and by staged bytes at once, by time otherwise, and not if nothing has changed.
func TestCheckpointsAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		synctest.Wait()
		if r.saves() != 0 {
			t.Error("a checkpoint without cause")
		}
		pass(CheckpointInterval)
		if r.saves() != 1 {
			t.Errorf("%d checkpoints of BeginTerm, want 1", r.saves())
		}
		pass(IdleTick / 2)
		if r.saves() != 1 {
			t.Errorf("%d checkpoints of nothing", r.saves()-1)
		}
		for range CheckpointRows/1000 + 1 {
			r.do(many(t, 1000))
		}
		synctest.Wait()
		if r.saves() != 2 {
			t.Errorf("%d checkpoints by rows, want 1", r.saves()-1)
		}
		pass(CheckpointInterval)
		before := r.saves()
		large := spec(t, string(make([]byte, 1<<20)))
		for range CheckpointBytes >> 20 {
			r.submit(large)
		}
		synctest.Wait()
		if n := r.saves() - before; n != 1 {
			t.Errorf("%d checkpoints by bytes, want 1", n)
		}
		// What comes and goes between two checkpoints is not kept, and its bytes don't count.
		large.Policy.Retention = 0
		before = r.saves()
		for range 2 * CheckpointBytes >> 20 {
			r.cancel(r.submit(large))
		}
		synctest.Wait()
		r.e.mu.RLock()
		bytes := r.e.live.bytes
		r.e.mu.RUnlock()
		if r.saves() != before || bytes > 1<<20 {
			t.Errorf("%d checkpoints of what is gone; %d bytes are staged", r.saves()-before, bytes)
		}
	})
}

// TestCheckpointIsTheSealedState: while a checkpoint is being copied steps go on; what it holds is the state at the seal.
func TestCheckpointIsTheSealedState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := livedRig(t, true)
		for range 3 {
			r.do(many(t, 200))
		}
		synctest.Wait()
		var want, index uint64
		r.pull(3)
		r.inSave(func() { want, index = r.e.Hash(), r.e.Status().AppliedIndex })
		steps := 0
		r.inRows(func() { // every row is changed or dropped while it is being copied
			if steps++; steps > 60 {
				return
			}
			id := scheduler.TaskID(8 + 10*steps)
			r.cancel(id, id+1, id+2)
			r.submit(spec(t, "more"))
			switch steps {
			case 5:
				r.retry(3)
			case 7:
				r.worker("another", 3)
			case 9:
				for _, g := range w.grants() {
					w.report(succeeded(g, "meanwhile"))
				}
			}
		})
		r.save()
		r.inSave(nil)
		r.inRows(nil)
		if steps < 60 || r.e.Status().AppliedIndex < index+100 {
			t.Fatal("the test doesn't test much")
		}
		if get(&r.storage.mu, &r.storage.index) != index {
			t.Errorf("the checkpoint is of index %d, sealed at %d", get(&r.storage.mu, &r.storage.index), index)
		}
		image := openRig(t, r.storage.copied(), newTestLog(r.log.copied()[:index]...))
		synctest.Wait()
		if got := image.e.Hash(); got != want {
			t.Errorf("the checkpoint's state is %x, that at the seal was %x", got, want)
		}
		image.wantFates("from the image")
		if got := r.restarted(true); got.e.Hash() != r.e.Hash() {
			t.Error("checkpoint and the rest of the log give another state")
		}
	})
}

// TestCheckpointWaits: Checkpoint returns once storage holds the index, and not before; or when its context ends, or the
// engine stops.
func TestCheckpointWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.do(tick())
		index := r.e.Status().AppliedIndex
		if err := r.e.Checkpoint(context.Background(), index); err != nil || get(&r.storage.mu, &r.storage.index) < index {
			t.Errorf("checkpoint of %d: %v, storage holds %d", index, err, get(&r.storage.mu, &r.storage.index))
		}
		later := make(chan error, 1)
		go func() { later <- r.e.Checkpoint(context.Background(), index+1) }()
		pass(10 * CheckpointInterval)
		if len(later) > 0 {
			t.Error("it returned without anything to hold")
		}
		r.do(tick())
		pass(CheckpointInterval)
		if err := <-later; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if err := r.e.Checkpoint(ctx, index+10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("checkpoint: %v", err)
		}
		go func() { later <- r.e.Checkpoint(context.Background(), index+10) }()
		synctest.Wait()
		if err := r.e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-later; !errors.Is(err, ErrStopping) {
			t.Errorf("a checkpoint of a stopped engine: %v", err)
		}
	})
}

// TestLogIsCut: by entries and by bytes, once at a time, beside everything else; a cut that fails is tried again.
func TestLogIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		broken := errors.New("not now")
		set(&r.log.mu, &r.log.cut, func(context.Context) error { return broken })
		e := r.e
		e.sinceCut.entries.Store(CutEntries - 2)
		pass(CheckpointInterval)
		if r.cuts() != 0 {
			t.Fatal("it was cut too early")
		}
		r.do(tick())
		r.do(tick())
		pass(CheckpointInterval)
		if r.cuts() != 1 {
			t.Errorf("%d cuts by entries, want 1", r.cuts())
		}
		pass(CheckpointInterval)
		if r.cuts() != 2 {
			t.Errorf("%d cuts, want another after the one that failed", r.cuts())
		}
		set(&r.log.mu, &r.log.cut, func(ctx context.Context) error { // as the log does: all that was applied
			return r.e.Checkpoint(ctx, r.e.Status().AppliedIndex)
		})
		pass(CheckpointInterval)
		pass(CheckpointInterval)
		if r.cuts() != 3 {
			t.Errorf("%d cuts, want 3", r.cuts())
		}
		e.sinceCut.bytes.Store(CutBytes)
		slow := make(chan struct{})
		set(&r.log.mu, &r.log.cut, func(context.Context) error { <-slow; return nil })
		pass(CheckpointInterval)
		r.do(tick())
		pass(3 * CheckpointInterval)
		if r.cuts() != 4 {
			t.Errorf("%d cuts by bytes, want one at a time", r.cuts()-3)
		}
		if get(&r.storage.mu, &r.storage.index) != e.Status().AppliedIndex {
			t.Error("a slow cut holds checkpoints up")
		}
		close(slow)
		pass(2 * CheckpointInterval)
		if r.cuts() != 4 {
			t.Errorf("%d cuts by bytes, want 1", r.cuts()-3)
		}
	})
}
