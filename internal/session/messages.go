package session

import "github.com/yardmaster/yardmaster/internal/scheduler"

// What follows is called for a message that Received has let pass.

// Begun says that the worker has started tokens.
func (m *Machine) Begun(now int64, tokens []uint64, acts *Actions) {
	for _, t := range tokens {
		l, ok := m.leases[scheduler.Token(t)]
		if !ok || l.started {
			continue
		}
		m.start(now, scheduler.Token(t), &l, acts)
		m.leases[scheduler.Token(t)] = l
	}
}

// start notes a start. The back-stop runs from when this leader learnt of it.
func (m *Machine) start(now int64, t scheduler.Token, l *lease, acts *Actions) {
	if l.started { // as a stream before has said: what was proposed meanwhile may come to nothing, see runBackstop
		m.arm(l)
		return
	}
	l.started, l.begun = true, now
	if l.task != 0 {
		acts.Notices = append(acts.Notices, Notice{Token: t, Task: l.task})
	}
	m.arm(l)
}

func (m *Machine) arm(l *lease) {
	if l.timeout <= 0 || l.revoked {
		return
	}
	l.due = l.begun + l.timeout + m.o.KillGrace + 2*m.o.Heartbeat
	m.wakeBackstop(l.due)
}

func (m *Machine) wakeBackstop(at int64) {
	if m.backstop == 0 || at < m.backstop {
		m.backstop = at
	}
}

// Beat is a heartbeat. Only the latest is answered.
func (m *Machine) Beat(sendTime int64, acts *Actions) {
	m.control.Heartbeat, m.control.HeartbeatTime = true, sendTime
	acts.Wake = true
}

// Arrived says that n outcomes have come and wait for admission. False: there are too many, the stream is ended.
func (m *Machine) Arrived(n int, acts *Actions) bool {
	if m.waiting+n > OutcomesUnanswered {
		m.cut(EndTooMany, acts)
		return false
	}
	m.waiting += n
	return true
}

// Outcomes proposes outcomes that have come on a stream and were admitted. It sets their session and attach number.
// If the stream isn't current any more they are dropped: the worker sends them again.
func (m *Machine) Outcomes(stream StreamID, o *scheduler.Outcomes, acts *Actions) {
	if stream != m.stream || m.life != alive {
		return
	}
	for i := range o.List {
		if l, ok := m.leases[o.List[i].Token]; ok && l.phase >= isSent {
			delete(m.leases, o.List[i].Token) // the worker's word
		}
	}
	o.Session = m.id
	m.submit(scheduler.Command{Op: scheduler.OpOutcomes, Outcomes: o}, acts)
}

// Answered says what became of outcomes that were proposed for a stream. The answers are durable. through is the last outcome
// of the session that is answered: after a reconnect that may be one that the worker has yet to send again, whose answer comes
// with it. So no more is acknowledged than these: a rejection is told with or before the number that covers it.
func (m *Machine) Answered(stream StreamID, o *scheduler.Outcomes, code scheduler.Code, through uint64,
	answers []scheduler.Answer, acts *Actions) {
	if stream != m.stream || stream == 0 {
		return
	}
	m.waiting -= len(o.List)
	switch code {
	case scheduler.CodeOK:
	case scheduler.CodeInvalid:
		m.cut(EndBadOutcomes, acts)
		return
	default:
		return
	}
	m.control.Ack = true
	m.control.AckThrough = max(m.control.AckThrough, min(through, o.FirstSeq+uint64(len(o.List))-1))
	for i, a := range answers {
		if a != scheduler.AnswerAccepted {
			m.control.Rejected = append(m.control.Rejected,
				Rejected{Seq: o.FirstSeq + uint64(i), Token: o.List[i].Token, Answer: a})
		}
	}
	acts.Wake = true
}

// Draining says that the worker stops by its own wish.
func (m *Machine) Draining(acts *Actions) {
	if !m.draining {
		m.draining = true
		m.propose(scheduler.OpDrainSession, scheduler.SessionCommand{}, acts)
	}
}

// Goodbye asks for the session's end. The stream ends once that is durable.
func (m *Machine) Goodbye(stream StreamID, acts *Actions) {
	if stream != m.stream || m.life != alive {
		return
	}
	m.propose(scheduler.OpCloseSession, scheduler.SessionCommand{}, acts)
	m.life = closing
}
