package workercore

import "slices"

// speak composes messages as long as the shell takes more.
func (c *Core) speak(act *Actions) {
	for c.stream.inFlight < InFlightMax {
		m, ok := c.compose(act)
		if !ok {
			return
		}
		c.stream.inFlight++
		act.Send = append(act.Send, m)
	}
}

// compose returns the most urgent message, with the confirmations that are due.
func (c *Core) compose(act *Actions) (Message, bool) {
	st := &c.stream
	switch st.state {
	case streamOpen:
		return c.hello(), true
	case streamLive:
	default:
		return Message{}, false
	}
	m, ok := c.nextMessage(act)
	if !ok {
		if c.now < st.confirmBy {
			return Message{}, false
		}
		m = Message{Kind: Receipt}
	}
	m.ReceivedThrough, m.AnswersThrough = st.received, c.outbox.answered
	st.confirmBy = TimeMax
	return m, true
}

func (c *Core) nextMessage(act *Actions) (Message, bool) {
	st, d := &c.stream, &c.drain
	switch {
	case d.goodbye:
		return Message{}, false
	case st.heartbeatAt <= c.now || c.progressAt() <= c.now:
		st.heartbeatSent = c.now
		st.heartbeatAt = c.now.Add(c.session.interval)
		m := Message{Kind: Heartbeat, SendTime: c.now, Progress: c.progress && st.version >= VersionRecall}
		c.progress = c.progress && !m.Progress
		return m, true
	case d.on && !d.told:
		d.told = true
		m := Message{Kind: Draining, Running: c.running, Waiting: d.handedBack}
		d.handedBack = 0
		return m, true
	case st.recalls > 0:
		return c.composeRecalled(), true
	}
	if c.now >= st.startedBy {
		if m, ok := c.composeStarted(act); ok {
			return m, true
		}
	}
	switch {
	case c.outbox.unsent():
		return c.composeOutcomes(act), true
	case !c.allDone():
	case !d.drained:
		d.drained = true
		return Message{Kind: Drained, Left: len(d.ghosts)}, true
	default:
		d.goodbye, d.goodbyeSent = true, c.now
		return Message{Kind: Goodbye}, true
	}
	return Message{}, false
}

func (c *Core) hello() Message {
	st := &c.stream
	st.state, st.helloSent = streamHello, c.now
	st.started, st.startedBy = st.started[:0], TimeMax // Hello tells
	c.drain.told, c.drain.drained = false, false
	m := Message{Kind: Hello, Session: c.session.id, AnswersThrough: c.outbox.answered}
	tokens := make([]Token, 0, len(c.records))
	for token := range c.records {
		tokens = append(tokens, token)
	}
	slices.Sort(tokens)
	for _, token := range tokens {
		r := c.records[token]
		m.Tokens = append(m.Tokens, Known{Token: token, Task: r.task, Phase: r.phase, Weight: uint32(r.Weight), Pool: c.pools[r.pool].name})
	}
	st.named = tokens
	return m
}

// composeStarted tells of handlers that have begun. One that has ended already is left out: its outcome tells more.
func (c *Core) composeStarted(act *Actions) (Message, bool) {
	st := &c.stream
	from, taken := len(act.tokens), 0
	for _, token := range st.started {
		if len(act.tokens)-from == StartedMax {
			break
		}
		taken++
		if r := c.records[token]; r != nil && r.phase == Running {
			act.tokens = append(act.tokens, token)
		}
	}
	st.started = slices.Delete(st.started, 0, taken)
	if len(st.started) == 0 {
		st.startedBy = TimeMax
	}
	if len(act.tokens) == from {
		return Message{}, false
	}
	return Message{Kind: Started, Started: act.tokens[from:len(act.tokens):len(act.tokens)]}, true
}

// composeOutcomes takes as many unsent outcomes as go into one message, at least one.
func (c *Core) composeOutcomes(act *Actions) Message {
	o := &c.outbox
	m := Message{Kind: Outcomes, FirstSeq: o.answered + uint64(o.sent) + 1}
	from, size := len(act.outcomes), 0
	for o.unsent() {
		next := &o.at(o.sent).outcome
		if size += next.Size + outcomeOverhead; size > OutcomesBytesMax && len(act.outcomes) > from {
			break
		}
		act.outcomes = append(act.outcomes, *next)
		o.send()
	}
	m.Outcomes = act.outcomes[from:len(act.outcomes):len(act.outcomes)]
	return m
}

// outcomeOverhead is what an outcome takes in a message beside its Size, about.
const outcomeOverhead = 32

// nextWake is when Settle has something to do even if nothing comes in. What waits only for the shell to take a message
// is not among it.
func (c *Core) nextWake() Time {
	at := min(c.timers.next(), c.silentAt(), c.drainWake())
	if !c.session.lost {
		at = min(at, c.session.trustedUntil())
	}
	if st := &c.stream; st.state == streamLive && st.inFlight < InFlightMax && !c.drain.goodbye {
		at = min(at, st.heartbeatAt, c.progressAt(), st.confirmBy, st.startedBy)
	}
	return at
}
