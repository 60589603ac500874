package sim

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// configured follows a queue's settings.
func (o *oracle) configured(c *scheduler.QueueCommand) {
	q := o.queue(c.Name)
	if c.Fields&scheduler.QueueMaxLeasesSet != 0 {
		q.maxLeases = int(c.MaxLeases)
	}
	if c.Fields&scheduler.QueueDepthSet != 0 {
		if q.depthAt != o.index {
			q.depthMost, q.depthAt = o.mostOf(q.depth), o.index
		}
		q.depth = c.Depth
		q.depthMost = max(q.depthMost, o.mostOf(q.depth))
	}
}

// mostOf is how many tasks a queue of a configured depth may hold.
func (o *oracle) mostOf(depth uint64) uint64 {
	if depth == 0 {
		return o.limits.Depth
	}
	return depth
}

// fits (10): no queue is given more tasks than it may hold, nor the cluster.
func (o *oracle) fits(t *taskRecord) {
	q := o.queue(t.spec.Queue)
	bound := o.mostOf(q.depth)
	if q.depthAt == o.index {
		bound = q.depthMost
	}
	if uint64(q.live) > bound || uint64(o.live) > o.limits.MaxTasks {
		o.fail(InvSlots, "task %d is the %d. of queue %s, whose most is %d, and the %d. of %d", t.id, q.live, t.spec.Queue, bound, o.live,
			o.limits.MaxTasks)
	}
}

// queueOpen (10): nothing is granted from a queue that is paused, or has as many leases as it may.
func (o *oracle) queueOpen(t *taskRecord) {
	q := o.queue(t.spec.Queue)
	q.leased++
	switch {
	case q.paused:
		o.fail(InvSlots, "task %d is leased from queue %s, which is paused", t.id, t.spec.Queue)
	case q.maxLeases != 0 && q.leased > q.maxLeases:
		o.fail(InvSlots, "queue %s has %d leases, its most is %d", t.spec.Queue, q.leased, q.maxLeases)
	}
}

// slotsFree (10): a lease goes to a session with a live stream that doesn't drain, whose worker runs the task, and has room
// in the pool: free slots for all of its weight, or for a task of weight 1 a place ahead of them. (9) Suspects are kept apart
// and wait for free slots.
func (o *oracle) slotsFree(t *taskRecord, ev *scheduler.Event, e *scheduler.Effects) {
	s := o.sessions[ev.Session]
	if s == nil || !s.matched() {
		o.fail(InvSlots, "token %d is leased to session %d, which isn't to be given work", ev.Token, ev.Session)
		return
	}
	at := s.poolFor(t)
	if g := &e.Grants[o.leased-1]; at < 0 || s.pool(g.Pool) != at {
		o.fail(InvSlots, "token %d of task %d is leased to session %d pool %s, which doesn't run it", ev.Token, t.id, s.id, g.Pool)
		return
	}
	if t.suspect() {
		for _, token := range s.tokens() {
			if l := o.leases[token]; l.ended == 0 && l.session == s.id && l.task.suspect() {
				o.fail(InvAttempts, "suspect %d is leased to session %d beside suspect %d", t.id, s.id, l.task.id)
			}
		}
	}
	if !s.holds(at, t) {
		o.fail(InvSlots, "token %d of weight %d is leased to session %d pool %d, where %d of %d slots are taken", ev.Token, t.spec.Weight, s.id,
			at, s.used[at], s.info.Pools[at].Slots)
	}
	o.take(s, ev.Token, slotsTaken{at, int(t.spec.Weight)})
}

// poolFor returns which pool of a session runs a task, or -1.
func (s *sessionRecord) poolFor(t *taskRecord) int {
	if len(s.info.Queues) > 0 && !slices.Contains(s.info.Queues, t.spec.Queue) {
		return -1
	}
	for _, l := range t.spec.Require {
		if !slices.Contains(s.info.Labels, l) {
			return -1
		}
	}
	return s.poolOf(t.spec.Kind)
}

// holds reports whether a pool has room for a task.
func (s *sessionRecord) holds(pool int, t *taskRecord) bool {
	p := &s.info.Pools[pool]
	if t.spec.Weight > 1 || t.suspect() {
		return s.used[pool]+int(t.spec.Weight) <= int(p.Slots)
	}
	return s.used[pool] < int(p.Slots)+int(p.Prefetch)
}

// alike reports whether two tasks are of one shape: whoever may be given the one may be given the other.
func alike(a, b *taskRecord) bool {
	x, y := a.spec, b.spec
	return x.Queue == y.Queue && x.Kind == y.Kind && x.Weight == y.Weight && slices.Equal(x.Require, y.Require) && a.suspect() == b.suspect()
}

// before reports whether a task is to be granted before another one that is alike.
func (t *taskRecord) before(u *taskRecord) bool {
	return t.spec.Priority > u.spec.Priority || t.spec.Priority == u.spec.Priority && t.id < u.id
}

// inTurn (9): of tasks that are alike those of higher priority go first, then those that were submitted first.
func (o *oracle) inTurn() {
	for i, t := range o.granted {
		for _, u := range o.alive {
			if u.state == lifePending && alike(t, u) && u.before(t) {
				o.fail(InvAttempts, "task %d is leased, and task %d of its shape goes before it", t.id, u.id)
			}
		}
		for _, u := range o.granted[i+1:] {
			if alike(t, u) && u.before(t) {
				o.fail(InvAttempts, "task %d is leased before task %d of its shape", t.id, u.id)
			}
		}
	}
}

// nothingIdle (16): once a step has left nothing over no task waits while a session has room for it. Heavy tasks and suspects
// may have slots kept for them, so while one waits nothing is said of the others.
func (o *oracle) nothingIdle() {
	for _, t := range o.alive {
		if t.state == lifePending && (t.spec.Weight > 1 || t.suspect()) {
			return
		}
	}
	var last *taskRecord
	for _, t := range o.alive {
		if t.state != lifePending || last != nil && alike(last, t) {
			continue
		}
		last = t
		if q := o.queue(t.spec.Queue); q.paused || q.maxLeases != 0 && q.leased >= q.maxLeases {
			continue
		}
		for _, s := range o.here {
			if !s.matched() {
				continue
			}
			if at := s.poolFor(t); at >= 0 && s.holds(at, t) {
				o.fail(InvLiveness, "task %d waits, and pool %d of session %d has room for it", t.id, at, s.id)
				return
			}
		}
	}
}
