package scheduler

import "slices"

func (c *checker) shapes() {
	s := c.s
	ready := 0
	for id, sh := range s.shapes {
		ready += sh.ready.len()
		idle := slices.Contains(sh.queue.idle, sh)
		if sh.refs > 0 && !sh.Suspect {
			c.queues[sh.Queue-1].shapes++
		}
		c.bad(sh.refs == c.shapeRefs[id] && idle == (sh.refs == 0), "shape %d: %d tasks, counted %d, idle %v", id, c.shapeRefs[id], sh.refs, idle)
		c.bad(s.shapeByKey[sh.key] == sh, "shape %d isn't found by its key", id)
		n := 0
		sh.ready.keys.walk(0, func(TaskID) bool { n++; return true })
		c.bad(n == sh.ready.len(), "shape %d: %d ready tasks, counted %d", id, n, sh.ready.len())
		places := 0
		for _, there := range [...]bool{sh.candPos >= 0, sh.blocked != 0, sh.Reserved != 0} {
			if there {
				places++
			}
		}
		c.bad(places == min(sh.ready.len(), 1), "shape %d: %d ready, candidate %v, blocked %v, reserved %v", id, sh.ready.len(),
			sh.candPos >= 0, sh.blocked != 0, sh.Reserved != 0)
	}
	c.bad(ready == c.ready, "%d ready tasks, %d in sets", c.ready, ready)
	c.bad(len(s.shapes) == len(s.shapeByKey), "%d shapes, %d by key", len(s.shapes), len(s.shapeByKey))
}

func (c *checker) policies() {
	s := c.s
	idle := 0
	s.policies.each(func(slot uint32, p *policy) bool {
		_, isIdle := slices.BinarySearch(s.idlePolicies, p.ID)
		if isIdle {
			idle++
		}
		c.bad(p.refs == c.policyRefs[p.ID] && isIdle == (p.refs == 0), "policy %d: %d tasks, counted %d, idle %v", p.ID, c.policyRefs[p.ID], p.refs, isIdle)
		c.bad(p.slot == slot && s.policyByValue[p.Policy] == slot, "policy %d isn't found by its value", p.ID)
		return true
	})
	c.bad(idle == len(s.idlePolicies) && idle <= idlePoliciesMax, "%d idle policies, listed %d", idle, len(s.idlePolicies))
	c.bad(len(s.policyByValue) == s.policies.live, "%d policies, %d by value", s.policies.live, len(s.policyByValue))
}

func (c *checker) queueSums() {
	s := c.s
	n := 0
	for at := s.deadHead; at != 0; at = s.dead.at(at - 1).next {
		d := s.dead.at(at - 1)
		n++
		c.queues[d.Queue-1].dead++
		c.bad(s.findTask(d.Task) == nil && s.deadOf[d.Task] == d.Row, "dead letter %d lives, or is indexed wrongly", d.Task)
		c.bad(d.prev == 0 || s.dead.at(d.prev-1).Row < d.Row, "dead letter %d is out of order", d.Task)
	}
	c.bad(n == s.dead.live && n == len(s.deadOf), "%d dead letters, %d listed, %d indexed", s.dead.live, n, len(s.deadOf))
	for i, q := range s.queues {
		sum := c.queues[i]
		c.bad(sum.counts == q.counts && sum.dead == q.dead && sum.shapes == q.shapes,
			"queue %s: %v tasks, %d dead, %d shapes; counted %v, %d, %d", q.Name, sum.counts, sum.dead, sum.shapes, q.counts, q.dead, q.shapes)
		c.bad(q.shapes <= ShapesMax && len(q.idle) <= idleShapesMax, "queue %s: %d shapes, %d idle", q.Name, q.shapes, len(q.idle))
		c.bad((q.fairPos >= 0) == (q.cand.len() > 0 && q.open()), "queue %s: place %d with %d candidates, open %v",
			q.Name, q.fairPos, q.cand.len(), q.open())
		c.bad(s.queueByName[q.Name] == q, "queue %s isn't found by its name", q.Name)
	}
}

func (c *checker) sessions() {
	s := c.s
	attached, dying := 0, 0
	for id, x := range s.sessions {
		on := x.attachedIn(s.globals.Term)
		if on {
			attached++
		}
		if x.Ending {
			dying++
		}
		c.bad(on == x.counted, "session %d: attached %v, counted %v", id, on, x.counted)
		c.bad((s.sessionByName[x.Worker.Name] == x) == (!x.Superseded && !x.Ending), "session %d: named wrongly", id)
		c.bad(slices.Contains(s.outnamed[x.Worker.Name], x) == (x.Superseded && !x.Ending), "session %d: outnamed wrongly", id)
		c.bad(len(x.Answers) <= AnswersMax, "session %d keeps %d answers", id, len(x.Answers))
		for i := range x.pools {
			p := &x.pools[i]
			c.bad((p.heapPos >= 0) == (on && p.room() > 0 && p.keep == nil), "session %d pool %d: room %d, kept %v, place %d", id, i,
				p.room(), p.keep != nil, p.heapPos)
			over := p.overPos != 0 && s.matcher.over[p.overPos-1] == p
			c.bad(over == (p.used > p.slots), "session %d pool %d: %d of %d slots used, listed %v", id, i, p.used, p.slots, over)
		}
	}
	c.bad(attached == s.attached && dying == len(s.dying), "%d sessions attached and %d dying, counted %d and %d",
		attached, dying, s.attached, len(s.dying))
	c.bad(slices.IsSortedFunc(s.dying, func(a, b *session) int { return cmpID(a.ID, b.ID) }), "dying sessions are out of order")
}

func (c *checker) heaps() {
	s := c.s
	checkHeap(c, &s.due, "due")
	checkHeap(c, &s.expiry, "expiry")
	checkHeap(c, &s.producerUse, "producers")
	checkHeap(c, &s.keyExpiry, "keys")
	checkHeap(c, &s.matcher.fair, "fair")
	for _, q := range s.queues {
		checkHeap(c, &q.cand, "candidates")
	}
	for _, k := range s.matcher.classes {
		for i := range k.pools {
			checkHeap(c, &k.pools[i].sessions, "sessions of a class")
		}
	}
	for _, g := range s.matcher.groups {
		for i := range g.pools {
			checkHeap(c, &g.pools[i].classes, "classes of a group")
		}
	}
}

func checkHeap[E any](c *checker, h *heap[E], name string) {
	for i := 1; i < h.len(); i++ {
		c.bad(h.less(*h.items.at((i - 1) / heapArity), *h.items.at(i)), "heap of %s: out of order at %d of %d", name, i, h.len())
	}
}

// matcher checks that no slot stays idle while a task that fits it waits.
func (c *checker) matcher() {
	m := &c.s.matcher
	c.bad(len(m.gained) == 0 || m.left, "%d gains weren't looked at", len(m.gained))
	for _, sh := range c.s.shapes {
		if sh.ready.len() > 0 && (sh.blocked != 0 || !m.left && sh.Reserved == 0 && sh.queue.open()) {
			c.bad(m.pick(sh) == nil, "shape %d (blocked %v) waits though a pool has room", sh.ID, sh.blocked != 0)
		}
	}
	sessions, classes, free := 0, 0, 0
	for _, k := range m.classes {
		sessions += len(k.members)
		for i := range k.pools {
			cp := &k.pools[i]
			c.bad((cp.pos >= 0) == (cp.sessions.len() > 0), "class pool %d: place %d, %d sessions", i, cp.pos, cp.sessions.len())
		}
	}
	for _, g := range m.groups {
		classes += g.refs
		for i := range g.pools {
			gp := &g.pools[i]
			if gp.classes.len() > 0 {
				free++
			}
			c.bad((gp.freePos != 0) == (gp.classes.len() > 0), "group pool %d: place %d, %d classes", i, gp.freePos, gp.classes.len())
		}
	}
	c.bad(sessions == len(c.s.sessions) && classes == len(m.classes) && free == len(m.free),
		"%d sessions in classes, %d classes in groups, %d free pools; counted %d, %d, %d",
		sessions, classes, free, len(c.s.sessions), len(m.classes), len(m.free))
}

func (c *checker) rest() {
	s := c.s
	c.bad(len(s.producers) == len(s.producerRows) && len(s.producers) == s.producerUse.len(), "producers: %d, %d rows, heap of %d",
		len(s.producers), len(s.producerRows), s.producerUse.len())
	for _, p := range s.producers {
		c.bad(len(p.Answers) <= ProducerWindow, "producer row %d keeps %d answers", p.Row, len(p.Answers))
	}
	ended := 0
	s.keys.each(func(slot uint32, k *key) bool {
		if k.Expires != 0 {
			ended++
		}
		c.bad(k.slot == slot && s.keyRow[k.Key] == k.Row && s.keyOfTask[k.Task] == k.Row, "key %d is indexed wrongly", k.Row)
		c.bad((k.Expires != 0) == (s.findTask(k.Task) == nil), "key %d: expires %d, its task %d is otherwise", k.Row, k.Expires, k.Task)
		c.bad((k.pos >= 0) == (k.Expires != 0), "key %d: expires %d, place %d", k.Row, k.Expires, k.pos)
		return true
	})
	c.bad(len(s.keyRow) == s.keys.live && len(s.keyOfTask) == s.keys.live && s.keyExpiry.len() == ended,
		"%d keys, %d ended; %d by key, %d by task, %d timers", s.keys.live, ended, len(s.keyRow), len(s.keyOfTask), s.keyExpiry.len())
	c.ids()
	checkSlab(c, &s.tasks, "tasks")
	checkSlab(c, &s.leases, "leases")
	checkSlab(c, &s.policies, "policies")
	checkSlab(c, &s.keys, "keys")
	checkSlab(c, &s.dead, "dead")
}

// ids checks the order of live tasks, and who holds the rare part of a task's row.
func (c *checker) ids() {
	s := c.s
	n, last, unconfirmed := 0, TaskID(0), 0
	s.ids.walk(0, func(id TaskID) bool {
		t := s.findTask(id)
		c.bad(id > last && t != nil, "task %d comes after %d in order, and lives: %v", id, last, t != nil)
		if t != nil && t.Undelivered > 0 {
			unconfirmed++
			c.bad(s.unconfirmed[id] != 0, "task %d: nobody failed to confirm it %d times", id, t.Undelivered)
		}
		n, last = n+1, id
		return n <= s.tasks.live
	})
	c.bad(n == s.tasks.live, "%d tasks, %d in order", s.tasks.live, n)
	c.bad(len(s.unconfirmed) == unconfirmed, "%d unconfirmed tasks, listed %d", unconfirmed, len(s.unconfirmed))
}

func checkSlab[R any, P keyed[R]](c *checker, s *slab[R, P], name string) {
	total, lines := s.index.check(c, name)
	c.bad(total == s.live && int(s.high) == s.live+s.free.len(), "%s: %d live, %d indexed, %d slots used, %d free", name, s.live, total, s.high, s.free.len())
	free := 0
	for n := s.index.free; n != 0 && free <= int(s.index.high); n = *s.index.at(n-1, 0) {
		free++
	}
	c.bad(lines+free == int(s.index.high), "%s: %d lines of the index, %d free, %d used", name, lines, free, s.index.high)
}

// check counts the keys and the lines in use.
func (x *index) check(c *checker, name string) (keys, lines int) {
	for i := range x.segs {
		used := 0
		for _, p := range x.segs[i].places {
			if p.live == 0 {
				continue
			}
			used++
			there := 0
			for key := range uint64(lineKeys) {
				if *x.at(p.line, key) != 0 {
					there++
				}
			}
			c.bad(there == int(p.live), "%s: %d keys from %d on, counted %d", name, there, p.key*lineKeys, p.live)
			keys += there
		}
		c.bad(used == x.segs[i].used, "%s: %d places in segment %d, counted %d", name, used, i, x.segs[i].used)
		lines += used
	}
	return keys, lines
}
