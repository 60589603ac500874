package workercore

import "fmt"

// session is what the coordinator has said of the worker's registration.
type session struct {
	id       uint64 // 0: none yet
	ttl      Duration
	interval Duration
	margin   Duration

	// lease time: the coordinator won't give our leases away before this much after the send time of a message that it has
	// answered.
	answeredSent Time // send time of the last answered Hello or Heartbeat
	lost         bool // the trusted deadline passed, and all handlers were killed
}

// trustedUntil is when leases stop being trusted. It always is before the coordinator can give them away: the TTL runs
// from the receipt of what was sent at answeredSent, and the margin covers what clocks differ by in a TTL.
func (s *session) trustedUntil() Time {
	if s.id == 0 {
		return TimeMax // no leases
	}
	return s.answeredSent.Add(s.ttl - s.margin)
}

func (s *session) trusted(now Time) bool { return s.id != 0 && now < s.trustedUntil() }

// watchTrust stops all handlers without grace once the leases aren't trusted any more. What they report after that is
// Interrupted (or the success that was), and is accepted if the session could be resumed and fenced if not. Held tasks
// are kept, unstarted: they may still be ours.
func (c *Core) watchTrust(act *Actions) {
	s := &c.session
	if s.id == 0 || s.trusted(c.now) {
		s.lost = false
		return
	}
	if s.lost {
		return
	}
	s.lost = true
	for _, r := range c.inOrder(Running) {
		c.stop(r, CauseLost, true, act)
	}
}

// Welcome takes the answer to Hello.
func (c *Core) Welcome(now Time, m WelcomeMessage, act *Actions) {
	c.tell(now)
	st := &c.stream
	if st.state != streamHello {
		if st.state == streamLive {
			c.violate("a second Welcome", act)
		}
		return
	}
	if m.Session == 0 || m.TTL <= 0 || m.Interval <= 0 || m.Margin < 0 || m.TTL <= m.Margin || m.Interval >= m.TTL {
		c.violate(fmt.Sprintf("Welcome with session %d, TTL %d ns, heartbeat interval %d ns, margin %d ns", m.Session, m.TTL, m.Interval, m.Margin), act)
		return
	}
	if m.Margin == 0 {
		m.Margin = m.TTL / 10
	}
	s := &c.session
	renewed := s.id != 0 && (m.NewSession || m.Session != s.id)
	first := s.id == 0
	s.id, s.ttl, s.interval, s.margin = m.Session, m.TTL, m.Interval, m.Margin
	s.answeredSent = st.helloSent
	st.state, st.welcomed, st.version = streamLive, c.now, max(m.Version, 1)
	st.heartbeatAt = st.helloSent.Add(s.interval)
	if renewed || first {
		c.outbox.answered, c.outbox.numbered = 0, 0
	}
	for _, token := range m.Stop {
		c.stopToken(c.records[token], act)
	}
	if renewed { // every old lease is fenced, named or not
		for _, token := range st.named {
			c.stopToken(c.records[token], act)
		}
	}
	st.named = nil
}

// stopToken ends a token that isn't a live lease of the session: its outcome will be fenced. It is reported nevertheless,
// as its slot comes back only by our word.
func (c *Core) stopToken(r *record, act *Actions) {
	switch {
	case r == nil:
	case r.phase == Held:
		c.finish(r, Outcome{Kind: Interrupted, Reason: "lease revoked"})
	case r.phase == Running:
		c.stop(r, CauseRevoked, false, act)
	}
}

// HeartbeatAck takes the answer to a heartbeat.
func (c *Core) HeartbeatAck(now, sent Time, act *Actions) {
	c.tell(now)
	if !c.listening("HeartbeatAck", act) {
		return
	}
	if sent > c.stream.heartbeatSent {
		c.violate("HeartbeatAck of a heartbeat that was never sent", act)
		return
	}
	c.session.answeredSent = max(c.session.answeredSent, sent)
}

// Answers takes the answers to all outcomes up to a number.
func (c *Core) Answers(now Time, through uint64, rejected []Rejection, act *Actions) {
	c.tell(now)
	o := &c.outbox
	if !c.listening("OutcomeAck", act) || through <= o.answered {
		return
	}
	if through-o.answered > uint64(o.numbered) {
		c.violate(fmt.Sprintf("OutcomeAck through %d, the last outcome sent is %d", through, o.answered+uint64(o.numbered)), act)
		return
	}
	for _, rej := range rejected {
		r := c.records[rej.Token]
		if r == nil || r.phase != Finished || rej.Seq <= o.answered || rej.Seq > through {
			continue // an answer repeated
		}
		act.Fenced = append(act.Fenced, Fenced{Token: r.Token, Task: r.task, Kind: r.outcome.Kind, Gone: rej.Gone})
	}
	for o.answered < through {
		c.forget(o.pop())
	}
	c.stream.confirmLater(c.now)
}
