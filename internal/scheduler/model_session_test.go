package scheduler

import "slices"

// named returns the session that has a worker's name.
func (m *model) named(name string) *SessionRow {
	for _, x := range m.sessions {
		if x.Worker.Name == name && !x.Superseded && !x.Ending {
			return x
		}
	}
	return nil
}

func (m *model) changed(x *SessionRow, kind SessionChangeKind) {
	m.eff.Sessions = append(m.eff.Sessions, SessionChange{x.ID, kind, x.Attach})
	switch e := (Event{Session: x.ID, Worker: x.Worker.Name}); {
	case kind == SessionOpened:
		e.Type = EventWorkerOpened
		m.event(e)
	case kind == SessionAttached:
		e.Type = EventWorkerAttached
		m.event(e)
	case kind == SessionDetached, kind == SessionSuperseded && x.AttachTerm == m.g.Term:
		e.Type = EventWorkerDetached
		m.event(e)
	case kind == SessionEnded:
		e.Type = EventWorkerEnded
		m.event(e)
	}
}

func (m *model) open(c *OpenSession, r *Reply) {
	if !c.Worker.valid() {
		r.Code = CodeInvalid
		return
	}
	if old := m.named(c.Worker.Name); old != nil {
		switch same := old.Worker.Incarnation == c.Worker.Incarnation; {
		case same:
			old.HeardTerm = m.g.Term
			m.end(old, nil)
		case c.Live:
			r.Code = CodeNameTaken
			return
		default:
			old.Superseded = true
			m.changed(old, SessionSuperseded)
		}
	}
	m.g.LastSession++
	x := &SessionRow{
		ID: m.g.LastSession, Worker: c.Worker, Opened: m.g.Now, AttachTerm: m.g.Term, Attach: 1, HeardTerm: m.g.Term, AnswersFrom: 1,
	}
	m.sessions[x.ID] = x
	r.Session, r.Attach = x.ID, 1
	m.changed(x, SessionOpened)
	m.name(x, c.Tokens, r)
}

// name settles the tokens that a Hello names and that aren't the session's live leases.
func (m *model) name(x *SessionRow, tokens []KnownToken, r *Reply) {
	r.Stop.From = int32(len(m.eff.Tokens))
	for _, k := range tokens {
		if k.Phase == PhaseFinished || m.live(x.ID, k.Token) != nil {
			continue
		}
		m.eff.Tokens = append(m.eff.Tokens, k.Token)
		if k.Token < 1 || k.Token > m.g.LastToken || k.Weight < 1 || k.Weight > WeightMax {
			continue
		}
		if l := m.leases[k.Token]; l != nil {
			owner := m.sessions[l.Session]
			if owner.ID == x.ID || !owner.Ending || owner.Worker.Incarnation != x.Worker.Incarnation {
				continue
			}
			m.lose(owner, l)
		}
		pool := max(0, slices.IndexFunc(x.Worker.Pools, func(p Pool) bool { return p.Name == k.Pool }))
		m.leases[k.Token] = &LeaseRow{
			Token: k.Token, Task: k.Task, Session: x.ID, Granted: m.g.Now, Term: m.g.Term, Weight: k.Weight, Pool: uint8(pool), Revoked: true,
		}
	}
	r.Stop.To = int32(len(m.eff.Tokens))
}

func (m *model) resume(c *ResumeSession, r *Reply) {
	x := m.sessions[c.Session]
	if x == nil || x.Ending || x.Worker.Incarnation != c.Incarnation {
		r.Code = CodeNotFound
		return
	}
	if c.AnswersThrough >= x.AnswersFrom+uint64(len(x.Answers)) {
		r.Code = CodeInvalid
		return
	}
	m.confirm(x, c.AnswersThrough)
	x.AttachTerm, x.HeardTerm = m.g.Term, m.g.Term
	x.Attach++
	r.Session, r.Attach, r.Through = x.ID, x.Attach, x.AnswersFrom+uint64(len(x.Answers))-1
	m.changed(x, SessionAttached)
	m.name(x, c.Tokens, r)
	for _, l := range sorted(m.leases) {
		if l.Session != x.ID {
			continue
		}
		named := slices.ContainsFunc(c.Tokens, func(k KnownToken) bool { return k.Token == l.Token })
		if l.Revoked {
			if !named {
				delete(m.leases, l.Token)
			}
			continue
		}
		t := m.tasks[l.Task]
		if !named {
			g := m.grantOf(t, x, l)
			g.Again = true
			m.eff.Grants = append(m.eff.Grants, g)
		}
		if t.Flags&FlagCancelRequested != 0 {
			m.note(t, CancelAsked)
		} else if t.Flags&FlagDeadlinePassed != 0 {
			m.note(t, CancelDeadline)
		}
	}
}

// nameBack gives the name of a session that has ended to the latest of those that it had superseded.
func (m *model) nameBack(ended *SessionRow) {
	if ended.Superseded || m.g.Logic < 3 {
		return
	}
	var heir *SessionRow
	for _, x := range m.sessions {
		if x.Worker.Name == ended.Worker.Name && x.Superseded && !x.Ending && (heir == nil || x.ID > heir.ID) {
			heir = x
		}
	}
	if heir == nil {
		return
	}
	if heir.Superseded = false; heir.AttachTerm == m.g.Term {
		m.changed(heir, SessionAttached)
	}
}

func (m *model) session(op Op, c *SessionCommand, r *Reply) {
	x := m.sessions[c.Session]
	if x == nil || x.Ending || x.Attach != c.Attach {
		r.Code = CodeStale
		return
	}
	switch op {
	case OpAttach:
		x.AttachTerm = m.g.Term
		x.Attach++
		r.Session, r.Attach = x.ID, x.Attach
		m.changed(x, SessionAttached)
	case OpDetach:
		x.AttachTerm = 0
		m.unseen(x, c.Over, m.back)
		m.unconfirmed(x, c.Unconfirmed)
		m.changed(x, SessionDetached)
	case OpRelease:
		m.unseen(x, c.Over, m.back)
	case OpExpireSession:
		m.end(x, c.Started)
		m.nameBack(x)
	case OpDrainSession:
		x.Draining = true
	case OpCloseSession:
		x.HeardTerm = m.g.Term
		m.end(x, nil)
		m.nameBack(x)
	case OpUnreadable:
		m.unseen(x, c.Tokens, func(t *mTask, by mEnd) {
			if t.Flags&(FlagCancelRequested|FlagDeadlinePassed) != 0 {
				m.back(t, by)
			} else {
				m.finish(t, Dead, CauseUnreadable, by)
			}
		})
	case OpTimeoutLeases:
		for _, token := range c.Tokens {
			if l := m.live(x.ID, token); l != nil {
				t := m.tasks[l.Task]
				m.fail(t, Outcome{Cause: CauseTimeout}, m.revoke(t))
			}
		}
	}
}

// unseen ends tokens that the worker never saw; then is told of those that still are their tasks'.
func (m *model) unseen(x *SessionRow, tokens []Token, then func(*mTask, mEnd)) {
	for _, token := range tokens {
		l := m.leases[token]
		if l == nil || l.Session != x.ID {
			continue
		}
		if l.Revoked {
			delete(m.leases, token)
			continue
		}
		t := m.tasks[l.Task]
		by := m.held(t)
		delete(m.leases, token)
		then(t, by)
	}
}

func (m *model) unconfirmed(x *SessionRow, tokens []Token) {
	for _, token := range tokens {
		l := m.live(x.ID, token)
		if l == nil {
			continue
		}
		t := m.tasks[l.Task]
		by := m.revoke(t)
		if t.LastSession != x.ID {
			t.LastSession = x.ID
			t.Undelivered++
		}
		if t.Undelivered >= UndeliveredMax && t.Flags&(FlagCancelRequested|FlagDeadlinePassed) == 0 {
			m.finish(t, Dead, CauseUndeliverable, by)
		} else {
			m.back(t, by)
		}
	}
}

// end marks a session as dead; bury returns its leases.
func (m *model) end(x *SessionRow, started []Token) {
	if x.HeardTerm != m.g.Term {
		x.HeardTerm = 0
	}
	x.Ending, x.AttachTerm = true, 0
	x.EndStarted = slices.Sorted(slices.Values(started))
	blamed := slices.DeleteFunc(slices.Clone(x.EndStarted), func(token Token) bool {
		l := m.live(x.ID, token)
		return l == nil || !m.shapeOf(m.tasks[l.Task]).Suspect
	})
	if len(blamed) > 0 { // it alone is
		x.EndStarted, x.HeardTerm = slices.Compact(blamed), m.g.Term
	}
	m.changed(x, SessionEnded)
}

func (m *model) bury() {
	for _, x := range sorted(m.sessions) {
		if !x.Ending {
			continue
		}
		for _, l := range sorted(m.leases) {
			if l.Session == x.ID {
				m.lose(x, l)
			}
		}
		delete(m.sessions, x.ID)
	}
}

func (m *model) lose(x *SessionRow, l *LeaseRow) {
	if l.Revoked {
		delete(m.leases, l.Token)
		return
	}
	t := m.tasks[l.Task]
	by := m.held(t)
	delete(m.leases, l.Token)
	spent := false
	heard := slices.Contains(x.EndStarted, l.Token)
	if heard {
		t.Losses++
		by.lost = m.g.Logic >= 2
		spent = t.Losses >= t.policy.MaxLosses
	} else if x.HeardTerm == 0 {
		t.Attempts++
		by.lost = m.g.Logic >= 2
		spent = t.Attempts >= t.policy.MaxAttempts
	}
	if by.lost {
		m.failed(t, CauseWorkerLost, by)
	}
	if spent && t.Flags&(FlagCancelRequested|FlagDeadlinePassed) == 0 {
		m.finish(t, Dead, CauseWorkerLost, by)
		return
	}
	if heard && t.Losses >= SuspectLosses && m.g.Logic >= 2 {
		t.Shape = m.shape(t, true).ID
		m.settleShapes(t.queue)
	}
	m.back(t, by)
}
