package scheduler

// matcher pairs ready tasks with free slots.
//
// Queues take turns by virtual time (start-time fair queueing, Goyal, Vin, Cheng 1996, in integers): each slot granted
// moves its queue on by weightStride / weight, and the queue that is least far on goes first. Within a queue the order is
// priority, then id. A task goes to the session with most free slots in the pool that runs it; among equals to the one
// that waited longest since its last grant.
//
// What is cached here (candidate heaps, blocked shapes, fits) only saves time: a state loaded from a checkpoint, with all
// caches cold, makes the same grants.
type matcher struct {
	classes map[string]*class
	free    []*classPool // with at least one matchable session that has free slots; order never reaches output
	fair    heap[*queue] // unpaused queues with candidates, by pass
	blocked []*shape     // shapes with ready tasks for which no fitting pool had room; order never reaches output
	gained  bool         // a pool has gained free slots since blocked was looked at
}

func (m *matcher) init() {
	m.classes = map[string]*class{}
	m.fair = heap[*queue]{
		less:  func(a, b *queue) bool { return a.Pass < b.Pass || a.Pass == b.Pass && a.ID < b.ID },
		moved: func(q *queue, pos int32) { q.fairPos = pos },
	}
}

// addReady puts a task into its shape's heap. A queue that had no ready task doesn't claim the past.
func (m *matcher) addReady(s *State, sh *shape, t *task) {
	q := sh.queue
	if q.counts[Pending] == 1 && q.Pass < s.globals.VirtualTime {
		s.touchQueue(q)
		q.Pass = s.globals.VirtualTime
		if q.fairPos >= 0 {
			m.fair.fix(q.fairPos)
		}
	}
	sh.ready.push(ready{readyKey(t), t.slot})
	if sh.candPos >= 0 {
		if t.pos == 0 {
			q.cand.fix(sh.candPos)
		}
	} else if sh.blocked == 0 {
		q.cand.push(sh)
		m.placeQueue(q)
	}
}

// removeReady takes a task out of its shape's heap.
func (m *matcher) removeReady(sh *shape, t *task) {
	q := sh.queue
	if sh.ready.len() == 1 {
		if sh.candPos >= 0 {
			q.cand.remove(sh.candPos)
			m.placeQueue(q)
		}
		m.unblock(sh)
		sh.ready.remove(t.pos)
		return
	}
	first := t.pos == 0
	sh.ready.remove(t.pos)
	if first && sh.candPos >= 0 {
		q.cand.fix(sh.candPos)
	}
}

// placeQueue keeps a queue's place among those that may be granted from.
func (m *matcher) placeQueue(q *queue) {
	want := q.cand.len() > 0 && !q.Paused
	switch {
	case want && q.fairPos < 0:
		m.fair.push(q)
	case !want && q.fairPos >= 0:
		m.fair.remove(q.fairPos)
	}
}

// block sets a shape aside until a pool gains free slots.
func (m *matcher) block(sh *shape) {
	sh.queue.cand.remove(sh.candPos)
	m.blocked = append(m.blocked, sh)
	sh.blocked = len(m.blocked)
	m.placeQueue(sh.queue)
}

// unblock takes a shape out of the blocked ones.
func (m *matcher) unblock(sh *shape) {
	if sh.blocked == 0 {
		return
	}
	last := m.blocked[len(m.blocked)-1]
	m.blocked[sh.blocked-1] = last
	last.blocked = sh.blocked
	m.blocked = m.blocked[:len(m.blocked)-1]
	sh.blocked = 0
}

// reconsider makes candidates of the blocked shapes that a pool has room for now.
func (m *matcher) reconsider() {
	for i := len(m.blocked) - 1; i >= 0; i-- {
		if sh := m.blocked[i]; m.pick(sh) != nil {
			m.unblock(sh)
			sh.queue.cand.push(sh)
			m.placeQueue(sh.queue)
		}
	}
	m.gained = false
}

// run grants until no candidate fits a free slot, or the step has changed max rows.
func (m *matcher) run(s *State, maxRows int, eff *Effects) {
	if m.gained {
		m.reconsider()
	}
	for len(m.free) > 0 && m.fair.len() > 0 {
		if s.rows >= maxRows {
			eff.More = true
			return
		}
		q := m.fair.min()
		sh := q.cand.min()
		p := m.pick(sh)
		if p == nil {
			m.block(sh)
			continue
		}
		m.grant(s, q, sh, p, eff)
	}
}

// grant leases the first ready task of a shape to a pool's session.
func (m *matcher) grant(s *State, q *queue, sh *shape, p *pool, eff *Effects) {
	x := p.session
	t := s.tasks.at(sh.ready.min().slot)
	s.leave(t)
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
	for i := range x.pools {
		if other := &x.pools[i]; other != p && other.heapPos >= 0 {
			other.home.sessions.fix(other.heapPos) // LastGrant is part of their order
		}
	}
	eff.Grants = append(eff.Grants, s.grantOf(x, t, l))
}

// grantOf is what the worker is told of a lease.
func (s *State) grantOf(x *session, t *task, l *lease) Grant {
	sh, p := s.shapeOf(t), &s.policies[t.Policy].Policy
	return Grant{
		Session: x.ID, Attach: x.Attach, Token: l.Token, Task: t.ID, Kind: sh.Kind, Queue: sh.queue.Name,
		Pool: x.Worker.Pools[l.Pool].Name, Attempt: uint32(t.Attempts) + 1, MaxAttempts: p.MaxAttempts, Weight: sh.Weight,
		Gen: t.Gen, AttemptTimeout: p.AttemptTimeout, StartBy: t.StartBy, Deadline: t.Deadline, PayloadBytes: t.PayloadBytes,
	}
}

// pick returns the pool that a shape's next task goes to, or nil. The order is total, whatever that of m.free.
func (m *matcher) pick(sh *shape) *pool {
	var best *pool
	for _, cp := range m.free {
		if cp.class.fit(sh) != cp.index {
			continue
		}
		if p := cp.sessions.min(); p.admits(sh.Weight) && (best == nil || poolLess(p, best)) {
			best = p
		}
	}
	return best
}
