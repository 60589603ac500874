package scheduler

// heavy checks waits, reservations and the places of suspects.
func (c *checker) heavy() {
	s, m := c.s, &c.s.matcher
	checkHeap(c, &m.heads, "heads")
	kept, suspects := map[*queue]int{}, map[SessionID]int{}
	waiting, reserved := 0, 0
	for id, sh := range s.shapes {
		c.bad(sh.HeadSince == 0 || sh.Weight > 1 && sh.ready.len() > 0 && !sh.queue.Paused, "shape %d of weight %d waits for slots, %d tasks ready",
			id, sh.Weight, sh.ready.len())
		c.bad(sh.blocked == 0 || sh.Weight == 1 || sh.HeadSince != 0 || s.globals.Logic < 2, "heavy shape %d is blocked and doesn't wait", id)
		switch {
		case sh.Reserved != 0:
			reserved++
			kept[sh.queue]++
			c.reservation(sh, suspects)
		case sh.HeadSince != 0:
			waiting++
		}
	}
	c.bad(reserved == len(m.reserved) && waiting == m.heads.len()+len(m.overdue), "%d reservations, %d waits; listed %d, %d+%d",
		reserved, waiting, len(m.reserved), m.heads.len(), len(m.overdue))
	for i, sh := range m.overdue {
		c.bad(i == 0 || headLess(m.overdue[i-1], sh), "overdue shape %d is out of order", sh.ID)
		c.bad(sh.HeadSince.Add(HeavyWait) <= s.globals.Now, "shape %d isn't overdue", sh.ID)
		fits := sh.fits
		c.bad(m.left || !sh.queue.open() || m.choose(s, sh) == nil, "shape %d could have a reservation", sh.ID)
		sh.fits = fits
	}
	s.leases.each(func(_ uint32, l *lease) bool {
		if s.ofSuspect(l) {
			suspects[l.Session]++
		}
		return true
	})
	for id, x := range s.sessions {
		c.bad(x.suspects == suspects[id] && x.suspects <= 1, "session %d has %d suspects, counted %d", id, suspects[id], x.suspects)
		for i := range x.pools {
			c.bad(x.pools[i].keep == nil || x.pools[i].keep.kept == &x.pools[i], "session %d pool %d is kept for nobody", id, i)
		}
	}
	for _, q := range s.queues {
		c.bad(q.kept == kept[q], "queue %s has %d reservations, counted %d", q.Name, kept[q], q.kept)
	}
}

func (c *checker) reservation(sh *shape, suspects map[SessionID]int) {
	m, p := &c.s.matcher, sh.kept
	if p == nil || c.s.sessions[sh.Reserved] == nil {
		c.bad(m.left, "shape %d: session %d isn't there", sh.ID, sh.Reserved)
		return
	}
	if sh.Suspect {
		suspects[sh.Reserved]++
	}
	c.bad(p.session.ID == sh.Reserved && p.keep == sh && m.names[p.name()] == sh && p.slots >= int(sh.Weight),
		"shape %d: its pool at session %d is another's", sh.ID, sh.Reserved)
	c.bad(m.left || p.session.attachedIn(c.s.globals.Term), "shape %d waits for session %d, which isn't matched", sh.ID, sh.Reserved)
	c.bad(m.left || !p.holds(sh) && m.pick(sh) == nil, "shape %d waits though it has room", sh.ID)
}
