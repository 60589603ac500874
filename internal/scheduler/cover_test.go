package scheduler

import "testing"

// seen counts what random histories have met, so that a test can tell when it shows too little.
type seen map[string]int

// note looks at a state after a step and what the step did.
func (c seen) note(s *State, eff *Effects) {
	for _, g := range eff.Grants {
		l := s.findLease(g.Token)
		if l == nil || g.Again {
			continue
		}
		if s.sessions[g.Session].pools[l.Pool].overPos != 0 {
			c["sent ahead"]++
		}
		if s.ofSuspect(l) {
			c["suspect granted"]++
		}
	}
	for _, sh := range s.shapes {
		switch {
		case sh.Reserved != 0 && sh.Suspect:
			c["reserved for a suspect"]++
		case sh.Reserved != 0:
			c["reserved"]++
		case sh.HeadSince != 0:
			c["waiting"]++
		}
		if sh.ready.len() > 0 && sh.Suspect {
			if r := s.explainShape(s.firstReady(sh), sh, s.sortedSessions()); hasReason(r, ReasonSuspectsApart) {
				c["kept apart"]++
			}
		}
	}
	c["reservations at once"] = max(c["reservations at once"], len(s.matcher.reserved))
	c["overdue at once"] = max(c["overdue at once"], len(s.matcher.overdue))
	for _, q := range s.queues {
		if q.full(q.kept) && q.counts[Pending] > 0 {
			c["max leases"]++
			if q.kept > 0 {
				c["max leases with one kept"]++
			}
		}
	}
	c["recallable"] += len(s.Recallable(100, nil))
}

// enough complains of what was met fewer than so many times; reservations at once: fewer than two.
func (c seen) enough(t *testing.T, least int) {
	t.Helper()
	t.Log(map[string]int(c))
	if *seedFlag != 0 {
		return
	}
	for _, what := range []string{
		"sent ahead", "suspect granted", "kept apart", "waiting", "reserved", "reserved for a suspect", "max leases",
		"max leases with one kept", "recallable", "overdue at once",
	} {
		if c[what] < least {
			t.Errorf("%s: met %d times: the test shows too little", what, c[what])
		}
	}
	if c["reservations at once"] < 2 {
		t.Error("never two reservations at once: the test shows too little")
	}
}

func hasReason(all []Reason, code ReasonCode) bool {
	for i := range all {
		if all[i].Code == code {
			return true
		}
	}
	return false
}
