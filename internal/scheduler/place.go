package scheduler

// placeSession keeps a session's pools where matching looks for them.
func (m *matcher) placeSession(s *State, x *session) {
	if on := x.attachedIn(s.globals.Term); on != x.counted {
		x.counted = on
		if on {
			s.attached++
			m.arrived(x)
		} else {
			s.attached--
		}
	}
	for i := range x.pools {
		m.placePool(s, &x.pools[i], true)
	}
}

// placePool keeps one pool's place after its session or its use has changed; gained says that there may be room now for
// a shape that had none.
func (m *matcher) placePool(s *State, p *pool, gained bool) {
	if gained || p.keep != nil {
		m.look = true
	}
	cp := p.home
	want := p.room() > 0 && p.keep == nil && p.session.attachedIn(s.globals.Term)
	switch {
	case want && p.heapPos < 0:
		cp.sessions.push(p)
	case want:
		cp.sessions.fix(p.heapPos)
	case p.heapPos >= 0:
		cp.sessions.remove(p.heapPos)
	default:
		return
	}
	m.placeClassPool(cp)
	if want && gained && !cp.gained {
		cp.gained = true
		m.gained = append(m.gained, cp)
	}
}

// placeClassPool keeps a class's pool in its group's, by its best session.
func (m *matcher) placeClassPool(cp *classPool) {
	h := &cp.home.classes
	switch want := cp.sessions.len() > 0; {
	case want && cp.pos < 0:
		h.push(cp)
	case want:
		h.fix(cp.pos)
	case cp.pos >= 0:
		h.remove(cp.pos)
	}
	m.placeGroupPool(cp.home)
}

// placeGroupPool keeps a group's pool among those with room.
func (m *matcher) placeGroupPool(gp *groupPool) {
	switch {
	case gp.classes.len() > 0 && gp.freePos == 0:
		m.free = append(m.free, gp)
		gp.freePos = len(m.free)
	case gp.classes.len() == 0 && gp.freePos != 0:
		last := len(m.free) - 1
		moved := m.free[last]
		m.free[gp.freePos-1] = moved
		moved.freePos = gp.freePos
		m.free[last] = nil
		m.free = m.free[:last]
		gp.freePos = 0
	}
}

// placeOver keeps a pool among those with more used than there are slots.
func (m *matcher) placeOver(p *pool) {
	switch over := p.used > p.slots; {
	case over && p.overPos == 0:
		m.over = append(m.over, p)
		p.overPos = len(m.over)
	case !over && p.overPos != 0:
		last := len(m.over) - 1
		moved := m.over[last]
		m.over[p.overPos-1] = moved
		moved.overPos = p.overPos
		m.over[last] = nil
		m.over = m.over[:last]
		p.overPos = 0
	}
}

// detachAll forgets every session's free slots: a new term has begun.
func (m *matcher) detachAll(s *State) {
	for _, x := range s.sessions {
		m.placeSession(s, x)
	}
}

// placeQueue keeps a queue's place among those that may be granted from.
func (m *matcher) placeQueue(q *queue) {
	if q.kept > 0 {
		m.look = true
	}
	open := q.open()
	if open && q.shut {
		q.shut = false
		m.retryQueue(q)
	}
	want := q.cand.len() > 0 && open
	switch {
	case want && q.fairPos < 0:
		m.fair.push(q)
	case !want && q.fairPos >= 0:
		m.fair.remove(q.fairPos)
	}
}

// block sets a candidate shape aside until a pool that runs it gains free slots.
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
	last := len(m.blocked) - 1
	moved := m.blocked[last]
	m.blocked[sh.blocked-1] = moved
	moved.blocked = sh.blocked
	m.blocked[last] = nil
	m.blocked = m.blocked[:last]
	sh.blocked = 0
}

// reconsider makes candidates of the blocked shapes for which a pool that gained free slots has room.
func (m *matcher) reconsider() {
	if len(m.gained) == 0 {
		return
	}
	for i := len(m.blocked) - 1; i >= 0; i-- {
		sh := m.blocked[i]
		for _, cp := range m.gained {
			if cp.admits(sh) {
				m.unblock(sh)
				sh.queue.cand.push(sh)
				m.placeQueue(sh.queue)
				break
			}
		}
	}
	for i, cp := range m.gained {
		cp.gained = false
		m.gained[i] = nil
	}
	m.gained = m.gained[:0]
}
