package sim

import (
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestCallsInCalm: a caller waits for its answer however slow the disk is, and is told when nobody has its request any more.
func TestCallsInCalm(t *testing.T) {
	for _, crash := range []bool{false, true} {
		w := brokenWorld(t)
		w.becalm()
		w.plan.CallTimeout, w.plan.Fsync = 500*millisecond, Span{Least: 2 * second, Most: 2 * second}
		done, answered := false, false
		w.call(func(c *coordinator, reply func(func())) {
			cmd := scheduler.Command{Op: scheduler.OpResumeQueue, Queue: &scheduler.QueueCommand{Name: "default"}}
			c.do(cmd, reply, func(*result, error) {})
		}, func(ok bool) { done, answered = true, ok })
		if crash {
			w.after(second, w.coord.crash)
		}
		w.runUntil(func() bool { return done || w.now-w.since > minute })
		if w.failure != nil || !done || answered == crash {
			t.Errorf("crash %v: done %v, answered %v, %v", crash, done, answered, w.failure)
		}
	}
}

// TestCalmTime: what a handler takes isn't counted against calmTime, and all else is.
func TestCalmTime(t *testing.T) {
	w := brokenWorld(t)
	w.becalm()
	w.plan.Work = Span{Least: 2 * calmTime, Most: 2 * calmTime}
	c := w.clients[0]
	spec := scheduler.TaskSpec{Kind: w.plan.Kinds[0], Queue: "default", Weight: 1, Body: bodyOf(c.id, c.serial+1, 0), PayloadBytes: 17}
	spec.Policy = scheduler.DefaultPolicy()
	r := &request{tasks: []scheduler.TaskSpec{spec}}
	c.submit(r)
	w.runUntil(func() bool { return r.settled })
	if w.live(StepsDefault); w.failure != nil || w.now-w.since < 2*calmTime {
		t.Errorf("%d s of work: %v after %d s", 2*calmTime/second, w.failure, (w.now-w.since)/second)
	}

	w = brokenWorld(t)
	w.oracle.live++
	w.becalm()
	w.live(10 * StepsDefault)
	if took := w.now - w.since; w.failure == nil || w.failure.Invariant != InvLiveness || took < calmTime || took > calmTime+5*minute {
		t.Errorf("a task that nobody runs: %v after %d s", w.failure, took/second)
	}
}
