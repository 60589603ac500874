package scheduler

import "slices"

// session is one worker process's registration.
type session struct {
	SessionRow
	class      *class
	pools      []pool
	head, tail uint32 // slot + 1 of its first and last lease
	leases     int
	suspects   int     // live leases of suspects, and reservations for some: at most 1
	classPos   int     // in class.members
	counted    bool    // in State.attached
	endQueue   []Token // Ending: leases still to be returned, by token
	step       uint64  // that touched it last
	epoch      uint32
	stored     bool
}

// attachedIn reports whether the session is given work at all in a term.
func (x *session) attachedIn(term uint64) bool {
	return x.AttachTerm == term && term != 0 && !x.Draining && !x.Superseded && !x.Ending
}

// nextSeq is the number of the next outcome it may report.
func (x *session) nextSeq() uint64 { return x.AnswersFrom + uint64(len(x.Answers)) }

// openSession registers a worker process. Its name may be taken by a session with a live stream (refused), or by one
// whose stream is broken (superseded, its leases stay until its end) or that is of the same process (ended).
func (s *State) openSession(c *OpenSession, r *Reply, eff *Effects) {
	if !c.Worker.valid() || len(c.Tokens) > TokensKnownMax {
		r.Code = CodeInvalid
		return
	}
	old := s.sessionByName[c.Worker.Name]
	if old != nil && c.Live && old.Worker.Incarnation != c.Worker.Incarnation {
		r.Code = CodeNameTaken
		return
	}
	if len(s.sessions) >= SessionsMax {
		r.Code = CodeLimitSessions
		return
	}
	if old != nil {
		if old.Worker.Incarnation == c.Worker.Incarnation {
			s.touchSession(old)
			old.HeardTerm = s.globals.Term // this is its word: the process lives, nobody is to blame
			s.endSession(old, nil, eff)
		} else {
			s.supersede(old, eff)
		}
	}
	s.globals.LastSession++
	x := s.addSession(SessionRow{
		ID: s.globals.LastSession, Worker: c.Worker, Opened: s.globals.Now, AttachTerm: s.globals.Term, Attach: 1,
		HeardTerm: s.globals.Term, AnswersFrom: 1,
	})
	s.touchSession(x)
	r.Session, r.Attach = x.ID, x.Attach
	s.told(x, SessionOpened, eff)
	from := len(eff.Tokens)
	for i := range c.Tokens {
		s.adopt(x, &c.Tokens[i], eff)
	}
	r.Stop = Span{int32(from), int32(len(eff.Tokens))}
	s.matcher.placeSession(s, x)
}

// adopt lets a token that isn't the session's occupy its slots until the worker's word, and tells the worker to stop it.
// A finished one has no slot and nothing to stop: its outcome, or a repeat of it, will be its word. Tokens of other
// workers' sessions are not ours to touch: they only are to be stopped.
func (s *State) adopt(x *session, k *KnownToken, eff *Effects) {
	if k.Phase == PhaseFinished {
		return
	}
	eff.Tokens = append(eff.Tokens, k.Token)
	if k.Token == 0 || k.Token > s.globals.LastToken || k.Weight == 0 || k.Weight > WeightMax {
		return
	}
	if l := s.findLease(k.Token); l != nil {
		owner := s.sessions[l.Session]
		if owner == x || !owner.Ending || owner.Worker.Incarnation != x.Worker.Incarnation {
			return
		}
		s.loseLease(owner, l, eff)
	}
	pool := 0
	for i := range x.Worker.Pools {
		if x.Worker.Pools[i].Name == k.Pool {
			pool = i
		}
	}
	l := s.addLease(x, LeaseRow{
		Token: k.Token, Task: k.Task, Session: x.ID, Granted: s.globals.Now, Term: s.globals.Term, Weight: k.Weight,
		Pool: uint8(pool), Revoked: true,
	})
	s.touchLease(l)
}

// resumeSession attaches a session to a new stream. Every token that the worker names occupies a slot; of those it
// doesn't name the revoked ones are over and the live ones are granted again.
func (s *State) resumeSession(c *ResumeSession, r *Reply, eff *Effects) {
	x := s.sessions[c.Session]
	if x == nil || x.Ending || x.Worker.Incarnation != c.Incarnation {
		r.Code = CodeNotFound
		return
	}
	if len(c.Tokens) > TokensKnownMax || !x.confirmAnswers(c.AnswersThrough, s) {
		r.Code = CodeInvalid
		return
	}
	s.touchSession(x)
	x.AttachTerm, x.HeardTerm = s.globals.Term, s.globals.Term
	x.Attach++
	r.Session, r.Attach, r.Through = x.ID, x.Attach, x.nextSeq()-1
	s.told(x, SessionAttached, eff)
	named := make(map[Token]bool, len(c.Tokens))
	from := len(eff.Tokens)
	for i := range c.Tokens {
		k := &c.Tokens[i]
		named[k.Token] = true
		switch l := s.findLease(k.Token); {
		case l == nil || l.Session != x.ID:
			s.adopt(x, k, eff)
		case l.Revoked && k.Phase != PhaseFinished:
			eff.Tokens = append(eff.Tokens, k.Token)
		}
	}
	r.Stop = Span{int32(from), int32(len(eff.Tokens))}
	s.regrant(x, named, eff)
	s.matcher.placeSession(s, x)
}

// regrant settles the tokens of a resumed session by whether the worker named them.
func (s *State) regrant(x *session, named map[Token]bool, eff *Effects) {
	for _, token := range s.tokensOf(x) {
		l := s.findLease(token)
		if l.Revoked {
			if !named[token] {
				s.endLease(x, l)
			}
			continue
		}
		t := s.findTask(l.Task)
		if !named[token] {
			g := s.grantOf(x, t, l)
			g.Again = true
			eff.Grants = append(eff.Grants, g)
		}
		if t.has(FlagCancelRequested) {
			s.noteCancel(t, CancelAsked, eff)
		} else if t.has(FlagDeadlinePassed) {
			s.noteCancel(t, CancelDeadline, eff)
		}
	}
}

// tokensOf returns a session's tokens in order.
func (s *State) tokensOf(x *session) []Token {
	tokens := make([]Token, 0, x.leases)
	for at := x.head; at != 0; at = s.leases.at(at - 1).next {
		tokens = append(tokens, s.leases.at(at-1).Token)
	}
	slices.Sort(tokens)
	return tokens
}

func (s *State) addSession(row SessionRow) *session {
	x := &session{SessionRow: row}
	s.sessions[x.ID] = x
	switch {
	case x.Ending:
	case x.Superseded:
		s.outname(x)
	default:
		s.sessionByName[x.Worker.Name] = x
	}
	s.matcher.join(x)
	return x
}

// sessionCommand carries out what a stream or timer proposed, if its attach number is still current.
func (s *State) sessionCommand(op Op, c *SessionCommand, r *Reply, eff *Effects) {
	x := s.sessions[c.Session]
	if x == nil || x.Ending || x.Attach != c.Attach {
		r.Code = CodeStale
		return
	}
	switch op {
	case OpAttach:
		s.touchSession(x)
		x.AttachTerm = s.globals.Term
		x.Attach++
		r.Session, r.Attach = x.ID, x.Attach
		s.changed(x, SessionAttached, eff)
	case OpDetach:
		s.touchSession(x)
		x.AttachTerm = 0
		s.matcher.placeSession(s, x)
		s.tokensOver(x, c.Over, eff)
		s.tokensUnconfirmed(x, c.Unconfirmed, eff)
		s.changed(x, SessionDetached, eff)
	case OpRelease:
		s.tokensOver(x, c.Over, eff)
	case OpExpireSession:
		s.endSession(x, c.Started, eff)
		s.nameBack(x, eff)
	case OpDrainSession:
		s.touchSession(x)
		x.Draining = true
		s.matcher.placeSession(s, x)
	case OpCloseSession:
		s.closeSession(x, eff)
		s.nameBack(x, eff)
	case OpTimeoutLeases:
		s.timeoutLeases(x, c.Tokens, eff)
	case OpUnreadable:
		s.tokensUnreadable(x, c.Tokens, eff)
	}
}

func (s *State) changed(x *session, kind SessionChangeKind, eff *Effects) {
	s.told(x, kind, eff)
	s.matcher.placeSession(s, x)
}

var sessionEvents = [...]EventType{
	SessionOpened: EventWorkerOpened, SessionAttached: EventWorkerAttached, SessionDetached: EventWorkerDetached,
	SessionSuperseded: EventWorkerDetached, SessionEnded: EventWorkerEnded,
}

func (s *State) told(x *session, kind SessionChangeKind, eff *Effects) {
	eff.Sessions = append(eff.Sessions, SessionChange{Session: x.ID, Kind: kind, Attach: x.Attach})
	if kind == SessionSuperseded && x.AttachTerm != s.globals.Term {
		return // it was detached already
	}
	s.sessionEvent(sessionEvents[kind], x, eff)
}

func (s *State) supersede(x *session, eff *Effects) {
	s.touchSession(x)
	x.Superseded = true
	delete(s.sessionByName, x.Worker.Name)
	s.outname(x)
	s.changed(x, SessionSuperseded, eff)
}

// outname notes a superseded session under its name.
func (s *State) outname(x *session) {
	list := s.outnamed[x.Worker.Name]
	i, _ := slices.BinarySearchFunc(list, x.ID, func(o *session, id SessionID) int { return cmpID(o.ID, id) })
	s.outnamed[x.Worker.Name] = slices.Insert(list, i, x)
}

// unname takes a session off its name.
func (s *State) unname(x *session) {
	if s.sessionByName[x.Worker.Name] == x {
		delete(s.sessionByName, x.Worker.Name)
		return
	}
	list := slices.DeleteFunc(s.outnamed[x.Worker.Name], func(o *session) bool { return o == x })
	if len(list) == 0 {
		delete(s.outnamed, x.Worker.Name)
	} else {
		s.outnamed[x.Worker.Name] = list
	}
}

// nameBack gives the name of a session that has ended to the latest of those that it superseded: that process may well
// live, and be the only one of the name. From logic 3 on.
func (s *State) nameBack(ended *session, eff *Effects) {
	list := s.outnamed[ended.Worker.Name]
	if ended.Superseded || len(list) == 0 || s.globals.Logic < 3 {
		return
	}
	x := list[len(list)-1]
	s.unname(x)
	s.touchSession(x)
	x.Superseded = false
	s.sessionByName[x.Worker.Name] = x
	if x.AttachTerm == s.globals.Term {
		s.changed(x, SessionAttached, eff)
	}
}

// closeSession is Goodbye: nothing runs there any more, so whatever it still holds goes back at no cost.
func (s *State) closeSession(x *session, eff *Effects) {
	s.touchSession(x)
	x.HeardTerm = s.globals.Term
	s.endSession(x, nil, eff)
}

// endSession begins a session's end. Its leases are returned by this step and the next ones, in order of token.
// HeardTerm 0 notes that this leader never heard from it: then its leases are presumed started.
func (s *State) endSession(x *session, started []Token, eff *Effects) {
	s.touchSession(x)
	if x.HeardTerm != s.globals.Term {
		x.HeardTerm = 0
	}
	x.Ending, x.AttachTerm = true, 0
	x.EndStarted = slices.Clone(started)
	slices.Sort(x.EndStarted)
	if s.globals.Logic >= 2 {
		s.blameSuspect(x)
	}
	s.unname(x)
	x.endQueue = s.tokensOf(x)
	i, _ := slices.BinarySearchFunc(s.dying, x.ID, func(d *session, id SessionID) int { return cmpID(d.ID, id) })
	s.dying = slices.Insert(s.dying, i, x)
	s.changed(x, SessionEnded, eff)
}

func cmpID(a, b SessionID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// buryDying returns the leases of dead sessions until the step has changed max rows.
func (s *State) buryDying(maxRows int, eff *Effects) {
	buried := 0
	for buried < len(s.dying) && s.buryOne(s.dying[buried], maxRows, eff) {
		buried++
	}
	s.dying = slices.Delete(s.dying, 0, buried)
}

// buryOne returns one dead session's leases and drops it; false: the step has met its bound.
func (s *State) buryOne(x *session, maxRows int, eff *Effects) bool {
	for len(x.endQueue) > 0 {
		if s.rows >= maxRows {
			return false
		}
		if l := s.findLease(x.endQueue[0]); l != nil && l.Session == x.ID { // else a new session of the process has it
			s.loseLease(x, l, eff)
		}
		x.endQueue = x.endQueue[1:]
	}
	if s.rows >= maxRows {
		return false
	}
	s.rows++
	s.dropRow(TableSessions, uint64(x.ID), &x.epoch, x.stored)
	s.matcher.quit(x)
	delete(s.sessions, x.ID)
	return true
}

// loseLease ends a lease whose session died. Only a started task is blamed: a start that the leader heard of spends a
// loss, one that it could not have heard of an attempt.
func (s *State) loseLease(x *session, l *lease, eff *Effects) {
	if l.Revoked {
		s.endLease(x, l)
		return
	}
	_, heard := slices.BinarySearch(x.EndStarted, l.Token)
	t, by := s.unlease(x, l)
	p := &s.policyOf(t).Policy
	charged, spent := true, false
	switch {
	case heard:
		t.Losses++
		spent = t.Losses >= p.MaxLosses
	case x.HeardTerm == 0:
		t.Attempts++
		spent = t.Attempts >= p.MaxAttempts
	default:
		charged = false
	}
	if charged && s.globals.Logic >= 2 {
		by.lost = true
		s.failed(t, CauseWorkerLost, by, eff)
	}
	if spent && !t.has(FlagCancelRequested|FlagDeadlinePassed) {
		s.finish(t, Dead, CauseWorkerLost, by, eff)
		return
	}
	if heard && t.Losses >= SuspectLosses && s.globals.Logic >= 2 {
		s.suspect(t)
	}
	s.requeue(t, by, eff)
}
