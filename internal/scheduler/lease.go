package scheduler

// lease is a token that occupies slots of a session: 72 bytes without pointers. It is live unless Revoked.
type lease struct {
	LeaseRow
	slot       uint32
	prev, next uint32 // slot + 1 of the neighbours in the session's list; 0: none
	epoch      uint32
	stored     bool
}

func (l *lease) rowKey() uint64 { return uint64(l.Token) }

func (s *State) findLease(t Token) *lease {
	if t == 0 {
		return nil
	}
	_, l := s.leases.find(uint64(t))
	return l
}

// addLease stores a lease and takes its slots.
func (s *State) addLease(x *session, row LeaseRow) *lease {
	s.rows++
	slot, l := s.leases.add(lease{LeaseRow: row})
	l.slot = slot
	if l.prev = x.tail; l.prev != 0 {
		s.leases.at(l.prev - 1).next = slot + 1
	} else {
		x.head = slot + 1
	}
	x.tail = slot + 1
	x.leases++
	p := &x.pools[row.Pool]
	p.used += int(row.Weight)
	s.matcher.placeOver(p)
	s.matcher.placePool(s, p, false)
	return l
}

// endLease deletes a lease of a session: its slots come back.
func (s *State) endLease(x *session, l *lease) {
	s.rows++
	if x.suspects > 0 && s.ofSuspect(l) {
		s.suspectGone(x)
	}
	if l.prev != 0 {
		s.leases.at(l.prev - 1).next = l.next
	} else {
		x.head = l.next
	}
	if l.next != 0 {
		s.leases.at(l.next - 1).prev = l.prev
	} else {
		x.tail = l.prev
	}
	x.leases--
	p := &x.pools[l.Pool]
	p.used -= int(l.Weight)
	s.matcher.placeOver(p)
	s.dropRow(TableLeases, uint64(l.Token), &l.epoch, l.stored)
	s.leases.remove(l.slot)
	s.matcher.placePool(s, p, true)
}

// revoke takes a leased task's lease from it: the token is fenced, its worker is told to stop, the slots stay taken until
// the worker's word. The task is in no state's indexes afterwards. What it had is returned.
func (s *State) revoke(t *task, eff *Effects) end {
	s.noteCancel(t, CancelRevoked, eff)
	l := s.findLease(t.Token)
	by := end{held: heldBy(t, l, s.sessions[l.Session]), cmd: -1}
	s.touchLease(l)
	s.rows++
	if x := s.sessions[l.Session]; x.suspects > 0 && s.ofSuspect(l) {
		s.suspectGone(x)
	}
	l.Revoked = true
	s.leave(t)
	t.Token = 0
	return by
}

// noteCancel asks the worker of a leased task to stop it, unless its session has ended.
func (s *State) noteCancel(t *task, reason CancelReason, eff *Effects) {
	l := s.findLease(t.Token)
	if !s.sessions[l.Session].Ending {
		eff.Cancels = append(eff.Cancels, CancelNote{Session: l.Session, Token: l.Token, Task: t.ID, Reason: reason})
	}
}

// unlease returns the slots of a session's live lease and takes its task out of Leased.
func (s *State) unlease(x *session, l *lease) (*task, end) {
	t := s.findTask(l.Task)
	by := end{held: heldBy(t, l, x), cmd: -1}
	s.endLease(x, l)
	s.leave(t)
	t.Token = 0
	return t, by
}

// unseen returns the slot of a session's token that the worker never saw, and its task if it still is the task's token,
// else nil.
func (s *State) unseen(x *session, token Token) (*task, end) {
	l := s.findLease(token)
	switch {
	case l == nil || l.Session != x.ID:
		return nil, end{}
	case l.Revoked:
		s.endLease(x, l)
		return nil, end{}
	}
	return s.unlease(x, l)
}

// tokensOver ends tokens that the worker never saw, at no cost: slot back, task back.
func (s *State) tokensOver(x *session, tokens []Token, eff *Effects) {
	for _, token := range tokens {
		if t, by := s.unseen(x, token); t != nil {
			s.requeue(t, by, eff)
		}
	}
}

// tokensUnconfirmed releases leases that were sent and not confirmed: the tasks go on elsewhere at no cost, the slots
// stay taken until the worker's word. A task that UndeliveredMax sessions failed to confirm is a dead letter; only changes
// of session count, so two that take turns count each time.
func (s *State) tokensUnconfirmed(x *session, tokens []Token, eff *Effects) {
	for _, token := range tokens {
		l := s.findLease(token)
		if l == nil || l.Session != x.ID || l.Revoked {
			continue
		}
		t := s.findTask(l.Task)
		by := s.revoke(t, eff)
		if s.unconfirmed[t.ID] != x.ID {
			s.unconfirmed[t.ID] = x.ID
			t.Undelivered++
		}
		if t.Undelivered >= UndeliveredMax && !t.has(FlagCancelRequested|FlagDeadlinePassed) {
			s.finish(t, Dead, CauseUndeliverable, by, eff)
			continue
		}
		s.requeue(t, by, eff)
	}
}

// tokensUnreadable ends tokens that the worker never saw, because the payloads of their tasks can't be read. No worker could
// run these, so they are dead letters, charged with nothing, unless their end has come anyhow.
func (s *State) tokensUnreadable(x *session, tokens []Token, eff *Effects) {
	for _, token := range tokens {
		switch t, by := s.unseen(x, token); {
		case t == nil:
		case t.has(FlagCancelRequested | FlagDeadlinePassed):
			s.requeue(t, by, eff)
		default:
			s.finish(t, Dead, CauseUnreadable, by, eff)
		}
	}
}

// timeoutLeases is the back-stop: the worker should have ended these attempts itself. Each counts as a failed one.
func (s *State) timeoutLeases(x *session, tokens []Token, eff *Effects) {
	for _, token := range tokens {
		l := s.findLease(token)
		if l == nil || l.Session != x.ID || l.Revoked {
			continue
		}
		t := s.findTask(l.Task)
		by := s.revoke(t, eff)
		s.failAttempt(t, Outcome{Cause: CauseTimeout}, by, eff)
	}
}
