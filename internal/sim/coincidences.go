package sim

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// What loves to go wrong together. Each of these happens now and then, as the plan has it, while a session changes: the
// entry that says so is slow to become durable, and meanwhile the world goes on.

// freeze has a worker's machine stand still: in some cases its network dies away first.
func (k *worker) freeze(d int64) {
	w := k.w
	first := int64(0)
	if k.conn != nil && w.chance(500_000) { // and for longer than its session lives
		d = max(d, w.plan.TTL+w.between(0, w.plan.TTL/2))
		first = w.between(0, w.plan.TTL*2/3)
		k.conn.stall(true, false, d)
	}
	k.after(first, func() {
		if w.calm {
			return
		}
		k.pause()
		w.after(d-first, k.resume)
	})
}

// meanwhileExpired: a session's end is proposed, and its worker is there again: what it had sent arrives, it goes on.
func (e *entry) meanwhileExpired() {
	w := e.r.c.w
	if e.st == nil || !w.fault(6*w.plan.Meanwhile) {
		return
	}
	w.disk.drags = true
	x, k := e.st.conn, e.st.conn.worker
	w.after(w.between(0, millisecond), x.heal)
	w.after(millisecond+w.between(0, 4*w.plan.Latency.Most), func() {
		k.blocked = 0
		k.resume()
	})
}

// meanwhileResumed: a Hello is proposed, and it takes long until it is answered: what the old stream had sent is due.
func (r *registry) meanwhileResumed() {
	w := r.c.w
	if w.fault(w.plan.Meanwhile) {
		w.disk.drags = true
	}
}

// meanwhileGranted: a task is cancelled, or its queue paused, when its grant has hardly left the core: it waits for the
// sender, or is in its hand.
func (r *registry) meanwhileGranted(eff *scheduler.Effects) {
	c, w := r.c, r.c.w
	for i := range eff.Grants {
		g := &eff.Grants[i]
		if !w.fault(w.plan.Meanwhile / 2) {
			continue
		}
		cmd := scheduler.Command{Op: scheduler.OpCancel, Cancel: &scheduler.Cancel{IDs: []scheduler.TaskID{g.Task}, Force: w.chance(500_000)}}
		if w.chance(50_000) {
			cmd = scheduler.Command{Op: scheduler.OpPauseQueue, Queue: &scheduler.QueueCommand{Name: g.Queue}}
		}
		c.after(w.between(0, w.plan.Read.Most+10*millisecond), func() {
			c.do(cmd, func(func()) {}, func(*result, error) {})
		})
	}
}

// meanwhileReported: outcomes are proposed, and their stream breaks before the answer has come: they are sent again.
func (e *entry) meanwhileReported() {
	w, st := e.r.c.w, e.st
	if st == nil || !w.fault(w.plan.Meanwhile/4) {
		return
	}
	w.disk.drags = true
	w.after(w.between(0, second), func() {
		if !st.over && !w.calm {
			st.conn.cut()
		}
	})
}

// beStopped has somebody cancel a task whose handler doesn't end by itself, once: after that it is the cluster's to see
// that it ends.
func (h *handler) beStopped() {
	k, w, id := h.k, h.k.w, h.grant.Task
	w.after(w.between(0, 10*second), func() {
		if k.handlers[workercore.Token(h.grant.Token)] == h && k.conn != nil && w.fault(3*w.plan.Meanwhile) {
			k.conn.cut()
		}
		w.clients[0].until(scheduler.Command{Op: scheduler.OpCancel, Cancel: &scheduler.Cancel{IDs: []scheduler.TaskID{id}}})
	})
}
