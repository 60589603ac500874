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
