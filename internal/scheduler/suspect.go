package scheduler

import "slices"

// A suspect is a task that was lost with its worker SuspectLosses times while it ran: it may be what kills them. It stays
// one until it ends. Suspects wait in shapes of their own, which no limit of shapes counts since a loss can't be refused;
// they only run in slots that are free, never two on a session. A session that dies with one takes no other task's losses.

// suspect makes a suspect of a task that is in no state's indexes.
func (s *State) suspect(t *task) {
	old := s.shapeOf(t)
	if old.Suspect {
		return
	}
	spec := TaskSpec{Kind: old.Kind, Require: old.Require, Weight: old.Weight}
	s.scratch.key = appendShapeKey(s.scratch.key[:0], old.Queue|suspectBit, &spec)
	sh := s.shapeByKey[string(s.scratch.key)]
	if sh == nil {
		s.globals.LastShape++
		sh = s.addShape(ShapeRow{
			ID: s.globals.LastShape, Queue: old.Queue, Kind: old.Kind, Require: old.Require, Weight: old.Weight, Suspect: true,
		})
		s.touchShape(sh)
	}
	s.holdShape(sh)
	t.Shape = sh.ID
	s.releaseShape(old)
}

// ofSuspect reports whether a token is a suspect's live lease.
func (s *State) ofSuspect(l *lease) bool {
	return !l.Revoked && s.shapeOf(s.findTask(l.Task)).Suspect
}

// suspectGone notes that a suspect has left a session, or that no slots are kept there for one any more: another may come.
func (s *State) suspectGone(x *session) {
	if x.suspects--; x.suspects > 0 {
		return
	}
	for i := range x.pools {
		s.matcher.placePool(s, &x.pools[i], true)
	}
	if x.counted {
		s.matcher.arrived(x)
	}
}

// blameSuspect leaves only the suspect to be blamed for a session's death, if the leader had heard of its start.
func (s *State) blameSuspect(x *session) {
	if x.suspects == 0 {
		return
	}
	var blamed []Token
	for at := x.head; at != 0; at = s.leases.at(at - 1).next {
		l := s.leases.at(at - 1)
		if _, heard := slices.BinarySearch(x.EndStarted, l.Token); heard && s.ofSuspect(l) {
			blamed = append(blamed, l.Token)
		}
	}
	if len(blamed) > 0 {
		x.EndStarted, x.HeardTerm = blamed, s.globals.Term
	}
}
