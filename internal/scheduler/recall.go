package scheduler

import (
	"cmp"
	"slices"
)

// Recallable appends leases beyond their pool's slots that should be given up: their queue is paused, or a fitting slot is
// free at another attached session (as many as there are such slots). Newest leases first, at most so many in all. That
// they aren't started is for the worker to say: the newest leases of weight 1, as many as the pool has too many, are the
// last that its semaphore admits. Cheap if no pool has more leases than slots, or nothing is paused or free.
func (s *State) Recallable(most int, items []RecallItem) []RecallItem {
	m := &s.matcher
	if len(m.over) == 0 || most <= 0 {
		return items
	}
	r := recall{s: s, free: m.freeSlots(), next: map[*shape]int{}}
	paused := slices.ContainsFunc(s.queues, func(q *queue) bool { return q.Paused && q.counts[Leased] > 0 })
	if len(r.free) == 0 && !paused {
		return items
	}
	for _, p := range m.over {
		if x := p.session; x.AttachTerm == s.globals.Term && x.AttachTerm != 0 && !x.Superseded && !x.Ending {
			r.look(p)
		}
	}
	slices.SortFunc(r.ahead, func(a, b aheadLease) int { return cmp.Compare(b.token, a.token) })
	for _, a := range r.ahead {
		if most == 0 {
			break
		}
		if a.shape.queue.Paused || r.take(a.shape) {
			items = append(items, RecallItem{Session: a.session.ID, Attach: a.session.Attach, Token: a.token})
			most--
		}
	}
	return items
}

// recall is what one call of Recallable gathers.
type recall struct {
	s     *State
	free  []freeSlots
	next  map[*shape]int // none of free before this one has a slot for its tasks
	ahead []aheadLease
}

// aheadLease is a lease beyond its pool's slots.
type aheadLease struct {
	token   Token
	session *session
	shape   *shape
}

// freeSlots are the slots that are free in a pool of a class.
type freeSlots struct {
	pool *classPool
	best *pool // of those with free slots
	n    int
}

// look gathers the newest live leases of weight 1 of a pool, as many as it has more than slots, but for those that have to
// stay. A revoked one may be anywhere in the worker's line: the others are counted as if it held a slot.
func (r *recall) look(p *pool) {
	s := r.s
	n := p.used - p.slots
	for at := p.session.tail; at != 0 && n > 0; at = s.leases.at(at - 1).prev {
		l := s.leases.at(at - 1)
		if int(l.Pool) != p.index || l.Weight != 1 || l.Revoked {
			continue
		}
		n--
		if sh := s.shapeOf(s.findTask(l.Task)); sh.queue.Paused || r.find(sh) >= 0 {
			r.ahead = append(r.ahead, aheadLease{l.Token, p.session, sh})
		}
	}
}

// freeSlots returns the pools with free slots, those with the best sessions first.
func (m *matcher) freeSlots() []freeSlots {
	var all []freeSlots
	for _, gp := range m.free {
		for i := range gp.classes.len() {
			f := freeSlots{pool: *gp.classes.items.at(i)}
			f.best = f.pool.sessions.min()
			if f.best.free() <= 0 {
				continue
			}
			for j := range f.pool.sessions.len() {
				f.n += max(0, (*f.pool.sessions.items.at(j)).free())
			}
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b freeSlots) int {
		switch {
		case poolLess(a.best, b.best):
			return -1
		case poolLess(b.best, a.best):
			return 1
		}
		return cmp.Compare(a.best.index, b.best.index) // of one session
	})
	return all
}

// find returns which of free has a slot for a shape's task, or -1. It isn't the pool that has it now: that one's slots are
// taken. Suspects are never sent ahead.
func (r *recall) find(sh *shape) int {
	if sh.Suspect {
		return -1
	}
	i := r.next[sh]
	for i < len(r.free) && (r.free[i].n == 0 || r.free[i].pool.class.fit(sh) != r.free[i].pool.home.index) {
		i++
	}
	r.next[sh] = i
	if i == len(r.free) {
		return -1
	}
	return i
}

// take takes a free slot for a shape's task.
func (r *recall) take(sh *shape) bool {
	i := r.find(sh)
	if i >= 0 {
		r.free[i].n--
	}
	return i >= 0
}
