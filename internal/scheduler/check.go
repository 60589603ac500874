package scheduler

import (
	"errors"
	"fmt"
)

// Check recomputes every index and counter from the rows and reports what differs. It walks the whole state.
func (s *State) Check() error {
	c := checker{s: s, shapeRefs: map[uint32]int{}, policyRefs: map[uint32]int{}, queues: make([]queueSum, len(s.queues))}
	c.tasks()
	c.leases()
	c.shapes()
	c.sessions()
	c.matcher()
	c.rest()
	return errors.Join(c.errs...)
}

const checkErrorsMax = 20

type checker struct {
	s                     *State
	errs                  []error
	shapeRefs, policyRefs map[uint32]int
	queues                []queueSum
	due, expiry, ready    int
}

type queueSum struct {
	counts [Leased + 1]uint64
	dead   uint64
	shapes int
}

func (c *checker) bad(ok bool, format string, args ...any) {
	if !ok && len(c.errs) < checkErrorsMax {
		c.errs = append(c.errs, fmt.Errorf("check: "+format, args...))
	}
}

func (c *checker) tasks() {
	s := c.s
	var counts [Leased + 1]uint64
	n := 0
	s.tasks.each(func(slot uint32, t *task) bool {
		n++
		c.bad(t.slot == slot, "task %d thinks it is in slot %d, not %d", t.ID, t.slot, slot)
		found, _ := s.tasks.find(uint64(t.ID))
		c.bad(found == slot, "task %d is indexed at slot %d, not %d", t.ID, found, slot)
		c.bad(t.ID <= s.globals.LastTask, "task %d is above the counter %d", t.ID, s.globals.LastTask)
		sh := s.shapeOf(t)
		if sh == nil || s.policies[t.Policy] == nil || t.State > Leased || t.State == 0 {
			c.bad(false, "task %d: shape %d, policy %d or state %d isn't there", t.ID, t.Shape, t.Policy, t.State)
			return true
		}
		c.shapeRefs[t.Shape]++
		c.policyRefs[t.Policy]++
		counts[t.State]++
		c.queues[sh.Queue-1].counts[t.State]++
		c.taskPlace(t, sh)
		return true
	})
	c.bad(n == s.tasks.live, "%d tasks, counted %d", n, s.tasks.live)
	c.bad(counts == s.counts, "tasks by state %v, counted %v", counts, s.counts)
	c.bad(c.due == s.due.len(), "%d due tasks, heap of %d", c.due, s.due.len())
	c.bad(c.expiry == s.expiry.len(), "%d expiring tasks, heap of %d", c.expiry, s.expiry.len())
}

func (c *checker) taskPlace(t *task, sh *shape) {
	s := c.s
	switch t.State {
	case Pending:
		c.ready++
		c.bad(int(t.pos) < sh.ready.len() && t.pos >= 0 && sh.ready.items[t.pos] == ready{readyKey(t), t.slot},
			"pending task %d isn't at %d of its shape's heap", t.ID, t.pos)
		c.bad(t.Token == 0 && t.Due == 0, "pending task %d has token %d, due %d", t.ID, t.Token, t.Due)
	case Scheduled:
		c.due++
		c.bad(int(t.pos) < s.due.len() && t.pos >= 0 && s.due.items[t.pos] == timer{t.Due, t.ID, t.slot},
			"scheduled task %d isn't at %d of the due heap", t.ID, t.pos)
	case Leased:
		l := s.findLease(t.Token)
		c.bad(l != nil && l.Task == t.ID && !l.Revoked, "leased task %d: token %d isn't its lease", t.ID, t.Token)
	}
	want := t.Deadline
	if t.State == Leased && t.has(FlagDeadlinePassed) {
		want = 0
	} else if t.State != Leased && t.StartBy != 0 && (want == 0 || t.StartBy < want) {
		want = t.StartBy
	}
	if want == 0 {
		c.bad(t.expiryPos < 0, "task %d stands in the expiry heap", t.ID)
		return
	}
	c.expiry++
	c.bad(t.expiryPos >= 0 && int(t.expiryPos) < s.expiry.len() && s.expiry.items[t.expiryPos] == timer{want, t.ID, t.slot},
		"task %d isn't at %d of the expiry heap", t.ID, t.expiryPos)
	_, hasKey := s.keyOfTask[t.ID]
	c.bad(hasKey == t.has(FlagHasKey), "task %d: key flag %v, key %v", t.ID, t.has(FlagHasKey), hasKey)
}

func (c *checker) leases() {
	s := c.s
	type use struct{ leases, slots int }
	used := map[*pool]*use{}
	perSession := map[SessionID]int{}
	live := uint64(0)
	s.leases.each(func(_ uint32, l *lease) bool {
		x := s.sessions[l.Session]
		if x == nil || int(l.Pool) >= len(x.pools) {
			c.bad(false, "lease %d: session %d, pool %d isn't there", l.Token, l.Session, l.Pool)
			return true
		}
		perSession[l.Session]++
		p := &x.pools[l.Pool]
		if used[p] == nil {
			used[p] = &use{}
		}
		used[p].slots += int(l.Weight)
		if !l.Revoked {
			live++
			t := s.findTask(l.Task)
			c.bad(t != nil && t.State == Leased && t.Token == l.Token, "live lease %d: task %d doesn't have it", l.Token, l.Task)
		}
		c.bad(l.Token <= s.globals.LastToken, "token %d is above the counter", l.Token)
		return true
	})
	c.bad(live == s.counts[Leased], "%d live leases, %d leased tasks", live, s.counts[Leased])
	for _, x := range s.sessions {
		c.bad(x.leases == perSession[x.ID] && len(s.tokensOf(x)) == x.leases, "session %d has %d leases, counted %d, listed %d",
			x.ID, perSession[x.ID], x.leases, len(s.tokensOf(x)))
		for i := range x.pools {
			p, want := &x.pools[i], 0
			if u := used[p]; u != nil {
				want = u.slots
			}
			c.bad(p.used == want, "session %d pool %d: %d slots used, counted %d", x.ID, i, want, p.used)
		}
	}
}

func (c *checker) shapes() {
	s := c.s
	ready := 0
	for id, sh := range s.shapes {
		ready += sh.ready.len()
		c.queues[sh.Queue-1].shapes++
		c.bad(sh.refs == c.shapeRefs[id] && sh.refs > 0, "shape %d: %d tasks, counted %d", id, c.shapeRefs[id], sh.refs)
		for i := 1; i < sh.ready.len(); i++ {
			c.bad(readyLess(sh.ready.items[(i-1)/heapArity], sh.ready.items[i]), "shape %d: heap out of order at %d", id, i)
		}
		isCand, isBlocked := sh.candPos >= 0, sh.blocked != 0
		c.bad(isCand != isBlocked == (sh.ready.len() > 0) && !(isCand && isBlocked),
			"shape %d: %d ready, candidate %v, blocked %v", id, sh.ready.len(), isCand, isBlocked)
	}
	c.bad(ready == c.ready, "%d ready tasks, %d in heaps", c.ready, ready)
	for id, p := range s.policies {
		c.bad(p.refs == c.policyRefs[id] && p.refs > 0, "policy %d: %d tasks, counted %d", id, c.policyRefs[id], p.refs)
	}
	s.dead.each(func(_ uint32, d *deadStub) bool {
		c.queues[d.Queue-1].dead++
		c.bad(s.findTask(d.Task) == nil && s.deadOf[d.Task] == d.Row, "dead letter %d lives, or is indexed wrongly", d.Task)
		return true
	})
	for i, q := range s.queues {
		sum := c.queues[i]
		c.bad(sum.counts == q.counts && sum.dead == q.dead && sum.shapes == q.shapes,
			"queue %s: %v tasks, %d dead, %d shapes; counted %v, %d, %d", q.Name, sum.counts, sum.dead, sum.shapes, q.counts, q.dead, q.shapes)
		c.bad((q.fairPos >= 0) == (q.cand.len() > 0 && !q.Paused), "queue %s: place %d with %d candidates, paused %v",
			q.Name, q.fairPos, q.cand.len(), q.Paused)
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
		c.bad(len(x.Answers) <= AnswersMax, "session %d keeps %d answers", id, len(x.Answers))
		for i := range x.pools {
			p := &x.pools[i]
			c.bad((p.heapPos >= 0) == (on && p.free() > 0), "session %d pool %d: free %d, place %d", id, i, p.free(), p.heapPos)
		}
	}
	c.bad(attached == s.attached && dying == len(s.dying), "%d sessions attached and %d dying, counted %d and %d",
		attached, dying, s.attached, len(s.dying))
}

// matcher checks that no slot stays idle while a task that fits it waits.
func (c *checker) matcher() {
	m := &c.s.matcher
	if m.gained {
		return // a step that met its bound before granting
	}
	for _, sh := range m.blocked {
		c.bad(m.pick(sh) == nil, "shape %d is blocked though a pool has room", sh.ID)
	}
	for _, k := range m.classes {
		for i := range k.pools {
			cp := &k.pools[i]
			c.bad((cp.freePos != 0) == (cp.sessions.len() > 0), "class pool %d: place %d, %d sessions", i, cp.freePos, cp.sessions.len())
		}
	}
}

func (c *checker) rest() {
	s := c.s
	c.bad(len(s.producers) == len(s.producerRows) && len(s.producers) == s.producerUse.len(), "producers: %d, %d rows, heap of %d",
		len(s.producers), len(s.producerRows), s.producerUse.len())
	for _, p := range s.producers {
		c.bad(len(p.Answers) <= ProducerWindow, "producer row %d keeps %d answers", p.Row, len(p.Answers))
	}
	c.bad(len(s.keyRow) == s.keys.live, "%d keys, %d indexed", s.keys.live, len(s.keyRow))
	c.bad(len(s.deadOf) == s.dead.live, "%d dead letters, %d indexed", s.dead.live, len(s.deadOf))
	total := 0
	for i := range s.tasks.index.segs {
		total += s.tasks.index.segs[i].used
	}
	c.bad(total == s.tasks.live, "index of %d tasks, %d live", total, s.tasks.live)
}
