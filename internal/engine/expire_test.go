package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestRetention: finished tasks go when their retention is over, by served time: what passes without a leader doesn't
// count, a clock that is set forward at a start deletes nothing.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		s := spec(t, "p")
		s.Policy.Retention = scheduler.Duration(time.Hour)
		r.cancel(r.submit(s))
		pass(30 * time.Minute)
		r.log.lose()
		pass(10 * time.Hour)
		r.log.lead()
		pass(29 * time.Minute)
		r.wantTask("after an hour of which 59 minutes were served", 1, "CANCELLED gen 1")
		pass(2 * time.Minute)
		r.wantTask("after 61 minutes", 1, ErrNotRetained.Error())
		if _, _, n := r.storage.counts(); n != 0 {
			t.Errorf("%d finished tasks are stored", n)
		}
	})
}

// finishMany ends n tasks with a retention of an hour.
func (r *rig) finishMany(n int) {
	s := spec(r.t, "p")
	s.Policy.Retention = scheduler.Duration(time.Hour)
	specs := make([]scheduler.TaskSpec, 1000)
	for i := range specs {
		specs[i] = s
	}
	ids := make([]scheduler.TaskID, 1000)
	for range n / 1000 {
		first := r.submit(specs...)
		for i := range ids {
			ids[i] = first + scheduler.TaskID(i)
		}
		r.cancel(ids...)
	}
}

// TestStalePlacesDontHoldUpRetention: storage that has only the places of long gone tasks to clear away for a while, as
// after a queue's bound has deleted the tasks before their time, comes to those that are due within the same checkpoint.
func TestStalePlacesDontHoldUpRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.finishMany(1000)
		pass(time.Hour - CheckpointInterval)
		set(&r.storage.mu, &r.storage.stale, 20*ExpireStepMax)
		pass(3 * CheckpointInterval)
		if _, _, n := r.storage.counts(); n != 0 {
			t.Errorf("%d finished tasks are left", n)
		}
	})
}

// TestExpiryKeepsUp: a purge gives way to a checkpoint that is due, but not before it has looked at as much as checkpoints
// have added, twice over.
func TestExpiryKeepsUp(t *testing.T) {
	storage := newTestStorage()
	e, err := New(Options{Proposer: 1, Storage: storage, Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	storage.stale = 100 * ExpireStepMax
	e.pokeCheckpoint() // nobody takes note of it: the engine isn't started
	for _, test := range []struct{ added, steps int }{{0, 1}, {1, 1}, {ExpireStepMax, 2}, {2*ExpireStepMax + 1, 5}, {0, 1}} {
		before := storage.expires
		e.added = test.added
		if err := e.expire(); err != nil {
			t.Fatal(err)
		}
		if n := storage.expires - before; n != test.steps {
			t.Errorf("%d steps after %d tasks were added, want %d", n, test.added, test.steps)
		}
	}
}

// TestDeadLettersAreForgotten: dead letters that are due are ended by a command, once, though storage names them until a
// checkpoint has dropped them.
func TestDeadLettersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		dies := spec(t, "p")
		dies.Policy.MaxAttempts, dies.Policy.DeadRetention = 1, scheduler.Duration(time.Hour)
		const letters = 2500
		var ids []scheduler.TaskID
		w := r.worker("w", letters)
		for range letters / 500 {
			res := r.do(submitCmd(func() (specs []scheduler.TaskSpec) {
				for range 500 {
					specs = append(specs, dies)
				}
				return specs
			}()...))
			for i := range 500 {
				ids = append(ids, res.First+scheduler.TaskID(i))
			}
		}
		var ends []scheduler.Outcome
		for _, g := range w.grants() {
			ends = append(ends, failed(g, "x"))
		}
		w.report(ends...)
		r.retry(ids[0])
		w.grants()
		set(&r.log.mu, &r.log.holdAt, scheduler.OpForget)
		pass(time.Hour + 3*IdleTick) // from when they are due their end is not committed
		if n := r.log.queued(); n > FlightsMax {
			t.Errorf("%d entries are in flight", n)
		}
		r.e.qmu.Lock()
		line := r.e.line.Len()
		r.e.qmu.Unlock()
		if line > 3 {
			t.Errorf("%d commands stand in line: each dead letter is to be forgotten once", line)
		}
		forgotten := 0
		r.hook(func(eff *scheduler.Effects) { forgotten += len(eff.Forgotten) })
		set(&r.log.mu, &r.log.holdAt, 0)
		r.log.release()
		pass(3 * CheckpointInterval)
		if forgotten != letters-1 {
			t.Errorf("%d dead letters are forgotten, want %d", forgotten, letters-1)
		}
		if _, _, n := r.storage.counts(); n != 0 || r.e.Status().Counts.Dead != 0 {
			t.Errorf("%d dead letters are stored, the core has %d", n, r.e.Status().Counts.Dead)
		}
		r.wantTask("retried in time", ids[0], "LEASED gen 2 payload p")
		r.wantTask("the others", ids[1], ErrNotRetained.Error())
		before := len(r.log.copied())
		pass(IdleTick - time.Second)
		if n := len(r.log.copied()) - before; n > 1 {
			t.Errorf("%d entries while nothing happens", n)
		}
	})
}

// TestForgetNeedsALeader: a node that doesn't lead proposes nothing, and does it when it leads again.
func TestForgetNeedsALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		dies := spec(t, "p")
		dies.Policy.MaxAttempts, dies.Policy.DeadRetention = 1, scheduler.Duration(time.Hour)
		r.submit(dies)
		w := r.worker("w", 1)
		w.report(failed(w.grants()[0], "x"))
		pass(time.Hour - time.Second)
		r.log.lose()
		pass(time.Hour)
		r.log.lead()
		pass(time.Minute)
		r.wantTask("in the next term", 1, ErrNotRetained.Error())
	})
}

// TestExpiryGivesWay: a long purge goes on in steps, and a checkpoint that is due comes between them.
func TestExpiryGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.finishMany(4 * ExpireStepMax)
		pass(time.Hour - CheckpointInterval)
		steps, saves := 0, r.saves()
		set(&r.storage.mu, &r.storage.inExpire, func() { // a checkpoint is due whenever a step of the purge has ended
			if steps++; steps < 4 {
				r.do(tick())
				r.e.pokeCheckpoint()
			}
		})
		pass(2 * CheckpointInterval)
		set(&r.storage.mu, &r.storage.inExpire, nil)
		if n := r.saves() - saves; steps < 4 || n < 3 {
			t.Errorf("%d checkpoints in %d steps while %d tasks expired", n, steps, 4*ExpireStepMax)
		}
		if _, _, n := r.storage.counts(); n != 0 {
			t.Errorf("%d finished tasks are left", n)
		}
		if err := r.e.Checkpoint(context.Background(), 1); err != nil {
			t.Error(err)
		}
	})
}
