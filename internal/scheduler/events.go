package scheduler

// LastPosition is the position of the last event; 0: there was none yet.
func (s *State) LastPosition() uint64 { return s.globals.LastPosition }

// event appends the next event, to be filled in by the caller; nil under logic 1, which has none.
func (s *State) event(kind EventType, eff *Effects) *Event {
	if s.globals.Logic < 2 {
		return nil
	}
	s.globals.LastPosition++
	eff.Events = append(eff.Events, Event{Position: s.globals.LastPosition, Type: kind})
	return &eff.Events[len(eff.Events)-1]
}

// taskEvent tells of a task. of is the lease concerned; the zero one: none.
func (s *State) taskEvent(kind EventType, t *task, sh *shape, of held, cause Cause, eff *Effects) {
	e := s.event(kind, eff)
	if e == nil {
		return
	}
	e.Task, e.Gen, e.Queue, e.Kind, e.Cause = t.ID, t.Gen, sh.queue.Name, sh.Kind, cause
	if of.session != nil {
		e.Token, e.Attempt, e.Session, e.Worker = of.token, of.attempt, of.session.ID, of.session.Worker.Name
	}
}

func (s *State) queueEvent(kind EventType, q *queue, eff *Effects) {
	if e := s.event(kind, eff); e != nil {
		e.Queue = q.Name
	}
}

func (s *State) sessionEvent(kind EventType, x *session, eff *Effects) {
	if e := s.event(kind, eff); e != nil {
		e.Session, e.Worker = x.ID, x.Worker.Name
	}
}

// held is a lease as its task's story tells it.
type held struct {
	token   Token
	granted Time
	session *session
	attempt uint32 // its number, from 1
}

func heldBy(t *task, l *lease, x *session) held {
	return held{token: l.Token, granted: l.Granted, session: x, attempt: uint32(t.Attempts) + 1}
}

// leased tells of a new lease.
func (s *State) leased(t *task, sh *shape, x *session, l *lease, eff *Effects) {
	s.taskEvent(EventLeased, t, sh, heldBy(t, l, x), CauseNone, eff)
}

var endEvents = [...]EventType{Succeeded: EventSucceeded, Dead: EventDead, Cancelled: EventCancelled, Expired: EventExpired}

// failed keeps a charged attempt that didn't succeed.
func (s *State) failed(t *task, cause Cause, by end, eff *Effects) {
	f := Failed{
		Task: t.ID, Cause: cause, Attempt: by.attempt, Gen: t.Gen, Token: by.token, Granted: by.granted, Cmd: by.cmd, Item: by.item,
	}
	if by.session != nil {
		f.Session, f.Worker = by.session.ID, by.session.Worker.Name
	}
	eff.Failed = append(eff.Failed, f)
}
