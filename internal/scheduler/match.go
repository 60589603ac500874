package scheduler

// matcher pairs ready tasks with free slots.
//
// Queues take turns by virtual time (start-time fair queueing, Goyal, Vin, Cheng 1996, in integers): each slot granted
// moves its queue on by weightStride / weight, and the queue that is least far on goes first. Within a queue the order is
// priority, then id. A task goes to the session with most free slots in the pool that runs it; among equals to the one
// that waited longest since its last grant.
//
// Where no slot is free, tasks of weight 1 are sent ahead, up to the pools' prefetch. A heavy shape (weight above 1) that
// keeps finding too few free slots has a pool kept for it, see reserve.go.
//
// What is cached here (candidate heaps, blocked shapes) only saves time: a state loaded from a checkpoint, with all caches
// cold, makes the same grants. From logic 2 on a heavy shape that is blocked has its HeadSince: so to find it blocked once
// more changes no row.
type matcher struct {
	groups  map[string]*group
	classes map[string]*class
	free    []*groupPool // with at least one matchable session that has room; order never reaches output
	fair    heap[*queue] // queues that may be granted from, with candidates, by pass
	blocked []*shape     // shapes with ready tasks for which no pool had room; order never reaches output
	gained  []*classPool // that have gained room since blocked was looked at
	over    []*pool      // with more used than there are slots; order never reaches output
	stack   []int32      // memory of search
	left    bool         // the last step met its bound before all free slots were filled

	reservations
}

func (m *matcher) init() {
	m.groups, m.classes = map[string]*group{}, map[string]*class{}
	m.fair = heap[*queue]{
		less:  func(a, b *queue) bool { return a.Pass < b.Pass || a.Pass == b.Pass && a.ID < b.ID },
		moved: func(q *queue, pos int32) { q.fairPos = pos },
	}
	m.reservations.init()
}

// addReady puts a task among its shape's ready ones. A queue that had no ready task doesn't claim the past.
func (m *matcher) addReady(s *State, sh *shape, t *task) {
	q := sh.queue
	if q.counts[Pending] == 1 && q.Pass < s.globals.VirtualTime {
		s.touchQueue(q)
		q.Pass = s.globals.VirtualTime
		if q.fairPos >= 0 {
			m.fair.fix(q.fairPos)
		}
	}
	key := readyKey(t)
	sh.ready.add(key)
	if sh.candPos >= 0 {
		if sh.ready.min() == key {
			q.cand.fix(sh.candPos)
		}
	} else if sh.blocked == 0 && sh.Reserved == 0 {
		q.cand.push(sh)
		m.placeQueue(q)
	}
}

// removeReady takes a task out of its shape's ready ones.
func (m *matcher) removeReady(s *State, sh *shape, t *task) {
	q, key := sh.queue, readyKey(t)
	if sh.ready.len() == 1 {
		if sh.candPos >= 0 {
			q.cand.remove(sh.candPos)
			m.placeQueue(q)
		}
		m.unblock(sh)
		sh.ready.remove(key)
		if sh.HeadSince != 0 {
			m.served(s, sh)
		}
		return
	}
	first := sh.ready.min() == key
	sh.ready.remove(key)
	if first && sh.candPos >= 0 {
		q.cand.fix(sh.candPos)
	}
}

// run grants until no candidate fits a free slot, or the step has changed max rows.
func (m *matcher) run(s *State, maxRows int, eff *Effects) {
	m.left = !m.serveHeavy(s, maxRows, eff)
	m.reconsider()
	if m.left {
		eff.More = true
		return
	}
	for len(m.free) > 0 && m.fair.len() > 0 {
		q := m.fair.min()
		sh := q.cand.min()
		p := m.pick(sh)
		waits := p == nil && sh.Weight > 1 && sh.HeadSince == 0 && s.globals.Logic >= 2
		if (p != nil || waits) && s.rows >= maxRows {
			m.left, eff.More = true, true
			return
		}
		if p == nil {
			if waits {
				m.await(s, sh)
			}
			m.block(sh)
			continue
		}
		m.grant(s, q, sh, p, eff)
	}
}

// grant leases the first ready task of a shape to a pool's session.
func (m *matcher) grant(s *State, q *queue, sh *shape, p *pool, eff *Effects) {
	x := p.session
	t := s.firstReady(sh)
	s.leave(t)
	if sh.HeadSince != 0 { // its next task waits anew
		m.served(s, sh)
		m.lineUp(sh)
	}
	s.touchQueue(q)
	g := &s.globals
	start := q.Pass
	if g.VirtualTime > passCreditMax && start < g.VirtualTime-passCreditMax {
		start = g.VirtualTime - passCreditMax // it may catch up on a little, not on a day without a worker
	}
	g.VirtualTime = max(g.VirtualTime, start)
	q.Pass = start + weightStride*uint64(sh.Weight)/uint64(q.Weight)
	if q.fairPos >= 0 {
		m.fair.fix(q.fairPos)
	}
	g.LastToken++
	t.Token = g.LastToken
	s.enter(t, Leased)
	s.touchSession(x)
	x.LastGrant = t.Token
	l := s.addLease(x, LeaseRow{
		Token: t.Token, Task: t.ID, Session: x.ID, Granted: g.Now, Term: g.Term, Weight: sh.Weight, Pool: uint8(p.index),
	})
	s.touchLease(l)
	if sh.Suspect {
		x.suspects++
	}
	for i := range x.pools {
		if other := &x.pools[i]; other != p {
			m.placePool(s, other, false) // LastGrant is part of its order
		}
	}
	eff.Grants = append(eff.Grants, s.grantOf(x, t, l))
	s.leased(t, sh, x, l, eff)
}

// grantOf is what the worker is told of a lease.
func (s *State) grantOf(x *session, t *task, l *lease) Grant {
	sh, p := s.shapeOf(t), &s.policyOf(t).Policy
	return Grant{
		Session: x.ID, Attach: x.Attach, Token: l.Token, Task: t.ID, Kind: sh.Kind, Queue: sh.queue.Name,
		Pool: x.Worker.Pools[l.Pool].Name, Attempt: uint32(t.Attempts) + 1, MaxAttempts: p.MaxAttempts, Weight: sh.Weight,
		Gen: t.Gen, AttemptTimeout: p.AttemptTimeout, StartBy: t.startBy(), Deadline: t.Deadline, PayloadBytes: t.PayloadBytes,
	}
}

// pick returns the pool that a shape's next task goes to, or nil. The order is total, whatever that of m.free.
func (m *matcher) pick(sh *shape) *pool {
	var best *pool
	for _, gp := range m.free {
		if index, ok := gp.group.poolOf[sh.Kind]; ok && index == gp.index {
			best = m.search(gp, sh, best)
		}
	}
	return best
}

// search returns the best pool for a shape among a group's, if it is better than best. It descends the heap only past
// classes that don't fit (or, for a suspect, whose best session has one), and stops where the free slots are too few or
// best is better: all below is no better.
func (m *matcher) search(gp *groupPool, sh *shape, best *pool) *pool {
	m.stack = append(m.stack[:0], 0)
	for len(m.stack) > 0 {
		last := len(m.stack) - 1
		i := m.stack[last]
		m.stack = m.stack[:last]
		cp := *gp.classes.at(i)
		p := cp.sessions.min()
		if !p.holds(sh) || best != nil && !poolLess(p, best) {
			continue
		}
		if cp.class.fit(sh) >= 0 {
			if p.admits(sh) {
				best = p
				continue
			}
			best = cp.apart(sh, best)
		}
		first := heapArity*i + 1
		for c := first; c < min(first+heapArity, int32(gp.classes.len())); c++ {
			m.stack = append(m.stack, c)
		}
	}
	return best
}
