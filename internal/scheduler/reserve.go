package scheduler

import (
	"cmp"
	"fmt"
	"slices"
)

// reservations see to it that a heavy shape (weight above 1) isn't starved by light ones that take each slot as it comes
// free. When its first task, next in line, finds too few free slots, its wait begins (ShapeRow.HeadSince). After HeavyWait
// one attached session's pool that is big enough is kept for it (ShapeRow.Reserved): the pool takes nothing else until it
// has room for the task. The one with most free slots is chosen. At most one pool of each name is kept at a time, for the
// shape that has waited longest; a grant begins the wait anew, so that shapes and queues take turns. What fits elsewhere
// in the meantime goes there. A reservation counts as a lease of its queue, so that other tasks don't take the last of
// MaxLeases from it.
//
// A wait ends by a grant, with the last ready task, or when the queue pauses; a reservation also when its session is no
// longer matched: then another is sought.
//
// Waits and reservations are rows. What else is here only saves looking where nothing can have changed.
type reservations struct {
	heads    heap[*shape]      // waiting, not yet for HeavyWait
	overdue  []*shape          // waiting for longer, without a reservation; by headLess
	reserved []*shape          // by id
	names    map[string]*shape // names of pools that are kept, and for whom
	retry    bool              // one of overdue has try set
	look     bool              // one of reserved may fit, or be over, by now
}

func headLess(a, b *shape) bool { return compareHeads(a, b) < 0 }

func compareHeads(a, b *shape) int {
	return cmp.Or(cmp.Compare(a.HeadSince, b.HeadSince), cmp.Compare(a.ID, b.ID))
}

func compareShapes(a, b *shape) int { return cmp.Compare(a.ID, b.ID) }

func (r *reservations) init() {
	r.names = map[string]*shape{}
	r.heads = heap[*shape]{less: headLess, moved: func(sh *shape, pos int32) { sh.headPos = pos }}
}

// await begins a heavy shape's wait.
func (m *matcher) await(s *State, sh *shape) {
	s.touchShape(sh)
	sh.HeadSince = max(s.globals.Now, 1)
	m.heads.push(sh)
}

// served ends a heavy shape's wait, and its reservation.
func (m *matcher) served(s *State, sh *shape) {
	s.touchShape(sh)
	switch {
	case sh.Reserved != 0:
		m.letGo(s, sh)
	case sh.headPos >= 0:
		m.heads.remove(sh.headPos)
	default:
		m.dropOverdue(sh)
	}
	sh.HeadSince = 0
}

// lineUp makes a shape a candidate again.
func (m *matcher) lineUp(sh *shape) {
	if sh.ready.len() > 0 && sh.candPos < 0 {
		m.unblock(sh)
		sh.queue.cand.push(sh)
		m.placeQueue(sh.queue)
	}
}

// forgetHeads ends the waits of a queue that pauses. Those shapes are candidates again: what is blocked waits.
func (m *matcher) forgetHeads(s *State, q *queue) {
	var all []*shape
	for i := range m.heads.len() {
		all = append(all, *m.heads.items.at(i))
	}
	all = append(append(all, m.overdue...), m.reserved...)
	for _, sh := range all {
		if sh.queue == q {
			m.served(s, sh)
			m.lineUp(sh)
		}
	}
}

// unblockAll makes candidates of all blocked shapes.
func (m *matcher) unblockAll() {
	for len(m.blocked) > 0 {
		m.lineUp(m.blocked[len(m.blocked)-1])
	}
}

// serveHeavy grants what reservations were made for, ends those that are over and makes those that are due, one at a time.
// False: the step has met its bound.
func (m *matcher) serveHeavy(s *State, maxRows int, eff *Effects) bool {
	for m.heads.len() > 0 && m.heads.min().HeadSince.Add(HeavyWait) <= s.globals.Now {
		sh := m.heads.min()
		m.heads.remove(sh.headPos)
		m.addOverdue(sh)
	}
	for len(m.reserved)+len(m.overdue) > 0 {
		if s.rows >= maxRows {
			return false
		}
		if m.look && (m.dropStale(s) || m.grantKept(s, eff)) {
			continue
		}
		m.look = false
		if !m.reserveNext(s, eff) {
			break
		}
	}
	return true
}

// dropStale ends one reservation whose session is matched no more, or whose queue may have no more leases.
func (m *matcher) dropStale(s *State) bool {
	for _, sh := range m.reserved {
		if p := sh.kept; p == nil || !p.session.attachedIn(s.globals.Term) || sh.queue.full(0) {
			s.touchShape(sh)
			m.letGo(s, sh)
			m.addOverdue(sh)
			m.lineUp(sh)
			return true
		}
	}
	return false
}

// grantKept grants the first task of one reserved shape: where slots were kept for it, or else where it fits.
func (m *matcher) grantKept(s *State, eff *Effects) bool {
	for _, sh := range m.reserved {
		p := sh.kept
		if !p.holds(sh) {
			p = m.pick(sh)
		}
		if p != nil {
			m.grant(s, sh.queue, sh, p, eff)
			return true
		}
	}
	return false
}

// reserveNext makes one reservation; a task that fits already is granted at once.
func (m *matcher) reserveNext(s *State, eff *Effects) bool {
	if !m.retry {
		return false
	}
	for _, sh := range m.overdue {
		if !sh.try {
			continue
		}
		sh.try = false
		if !sh.queue.open() {
			sh.queue.shut = true
			continue
		}
		if p := m.choose(s, sh); p != nil {
			s.touchShape(sh)
			m.dropOverdue(sh)
			sh.Reserved = p.session.ID
			m.hold(s, sh, p)
			if p.holds(sh) {
				m.grant(s, sh.queue, sh, p, eff)
			}
			return true
		}
	}
	m.retry = false
	return false
}

// choose returns the pool to be kept for a shape, or nil. The order is total, whatever that of classes and members.
func (m *matcher) choose(s *State, sh *shape) *pool {
	var best *pool
	sh.fits = false
	for _, c := range m.classes {
		i := c.fit(sh)
		if i < 0 {
			continue
		}
		for _, x := range c.members {
			p := &x.pools[i]
			if p.slots < int(sh.Weight) || !x.attachedIn(s.globals.Term) {
				continue
			}
			sh.fits = true
			if m.names[p.name()] == nil && !(sh.Suspect && x.suspects > 0) && (best == nil || poolLess(p, best)) {
				best = p
			}
		}
	}
	return best
}

func (p *pool) name() string { return p.session.Worker.Pools[p.index].Name }

// hold keeps a pool for a shape.
func (m *matcher) hold(s *State, sh *shape, p *pool) {
	i, _ := slices.BinarySearchFunc(m.reserved, sh, compareShapes)
	m.reserved = slices.Insert(m.reserved, i, sh)
	sh.queue.kept++
	if p != nil {
		sh.kept, p.keep = p, sh
		m.names[p.name()] = sh
		if sh.Suspect {
			p.session.suspects++
		}
		m.placePool(s, p, false)
	}
	m.unblock(sh)
	if sh.candPos >= 0 {
		sh.queue.cand.remove(sh.candPos)
	}
	m.placeQueue(sh.queue)
}

// letGo ends a reservation: the pool is everybody's again, another of its name may be kept.
func (m *matcher) letGo(s *State, sh *shape) {
	i, _ := slices.BinarySearchFunc(m.reserved, sh, compareShapes)
	m.reserved = slices.Delete(m.reserved, i, i+1)
	m.look = true
	sh.Reserved = 0
	sh.queue.kept--
	if p := sh.kept; p != nil {
		sh.kept, p.keep = nil, nil
		delete(m.names, p.name())
		if sh.Suspect {
			s.suspectGone(p.session)
		}
		m.placePool(s, p, true)
	}
	for _, other := range m.overdue {
		if other.fits {
			other.try, m.retry = true, true
		}
	}
	m.placeQueue(sh.queue)
}

// addOverdue notes that a shape is to have a pool kept for it.
func (m *matcher) addOverdue(sh *shape) {
	i, _ := slices.BinarySearchFunc(m.overdue, sh, compareHeads)
	m.overdue = slices.Insert(m.overdue, i, sh)
	sh.try, m.retry = true, true
}

func (m *matcher) dropOverdue(sh *shape) {
	i, _ := slices.BinarySearchFunc(m.overdue, sh, compareHeads)
	m.overdue = slices.Delete(m.overdue, i, i+1)
	sh.try = false
}

// arrived notes that a session may have come to be what an overdue shape waits for.
func (m *matcher) arrived(x *session) {
	for _, sh := range m.overdue {
		i := x.class.fit(sh)
		if i < 0 || x.pools[i].slots < int(sh.Weight) {
			continue
		}
		sh.fits = true
		if m.names[x.pools[i].name()] == nil {
			sh.try, m.retry = true, true
		}
	}
}

// retryQueue notes that a queue may be granted from again.
func (m *matcher) retryQueue(q *queue) {
	for _, sh := range m.overdue {
		if sh.queue == q {
			sh.try, m.retry = true, true
		}
	}
}

// findHeads finds the waits and reservations of a loaded state.
func (s *State) findHeads() error {
	m := &s.matcher
	for _, sh := range s.shapes {
		switch {
		case sh.HeadSince == 0 && sh.Reserved == 0:
			continue
		case sh.HeadSince == 0 || sh.Weight < 2 || sh.ready.len() == 0 || sh.queue.Paused:
			return fmt.Errorf("shape %d of weight %d, %d tasks ready, waits for slots since %d, session %d", sh.ID, sh.Weight,
				sh.ready.len(), sh.HeadSince, sh.Reserved)
		case sh.Reserved == 0:
			m.heads.push(sh)
			continue
		}
		var p *pool
		if x := s.sessions[sh.Reserved]; x != nil {
			i := x.class.fit(sh)
			if i < 0 || x.pools[i].keep != nil {
				return fmt.Errorf("shape %d can't have a reservation at session %d", sh.ID, x.ID)
			}
			p = &x.pools[i]
		}
		m.hold(s, sh, p)
	}
	m.look = true
	return nil
}
