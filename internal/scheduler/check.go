package scheduler

import (
	"errors"
	"fmt"
)

// Check recomputes every index and counter from the rows and reports what differs. It walks the whole state, and needs
// it alone, as Apply does.
func (s *State) Check() error {
	c := checker{s: s, shapeRefs: map[uint32]int{}, policyRefs: map[uint32]int{}, queues: make([]queueSum, len(s.queues))}
	c.tasks()
	c.leases()
	c.shapes()
	c.policies()
	c.queueSums()
	c.sessions()
	c.heaps()
	c.matcher()
	c.heavy()
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
		if sh == nil || s.policyOf(t) == nil || t.State > Leased || t.State == 0 {
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
		c.bad(sh.ready.keys.has(readyKey(t)) && t.pos < 0, "pending task %d isn't among its shape's, or at %d of the due heap", t.ID, t.pos)
		c.bad(t.Token == 0 && t.Due == 0, "pending task %d has token %d, due %d", t.ID, t.Token, t.Due)
	case Scheduled:
		c.due++
		c.bad(int(t.pos) < s.due.len() && t.pos >= 0 && *s.due.at(t.pos) == timer{t.Due, t.ID, t.slot},
			"scheduled task %d isn't at %d of the due heap", t.ID, t.pos)
	case Leased:
		l := s.findLease(t.Token)
		c.bad(l != nil && l.Task == t.ID && !l.Revoked, "leased task %d: token %d isn't its lease", t.ID, t.Token)
	}
	_, hasKey := s.keyOfTask[t.ID]
	c.bad(hasKey == t.has(FlagHasKey), "task %d: key flag %v, key %v", t.ID, t.has(FlagHasKey), hasKey)
	want := t.Deadline
	if t.State == Leased && t.has(FlagDeadlinePassed) {
		want = 0
	} else if by := t.startBy(); t.State != Leased && by != 0 && (want == 0 || by < want) {
		want = by
	}
	if want == 0 {
		c.bad(t.expiryPos < 0, "task %d stands in the expiry heap", t.ID)
		return
	}
	c.expiry++
	c.bad(t.expiryPos >= 0 && int(t.expiryPos) < s.expiry.len() && *s.expiry.at(t.expiryPos) == timer{want, t.ID, t.slot},
		"task %d isn't at %d of the expiry heap", t.ID, t.expiryPos)
}

func (c *checker) leases() {
	s := c.s
	used := map[*pool]int{}
	perSession := map[SessionID]int{}
	live := uint64(0)
	s.leases.each(func(_ uint32, l *lease) bool {
		x := s.sessions[l.Session]
		if x == nil || int(l.Pool) >= len(x.pools) {
			c.bad(false, "lease %d: session %d, pool %d isn't there", l.Token, l.Session, l.Pool)
			return true
		}
		perSession[l.Session]++
		used[&x.pools[l.Pool]] += int(l.Weight)
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
			p := &x.pools[i]
			c.bad(p.used == used[p], "session %d pool %d: %d slots used, counted %d", x.ID, i, used[p], p.used)
		}
	}
}
