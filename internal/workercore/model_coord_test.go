package workercore

import (
	"slices"

	"pgregory.net/rapid"
)

// grant leases new tasks to free slots and puts them on the stream.
func (w *world) grant(t *rapid.T) {
	c := &w.coord
	if !c.attached {
		w.t.Fatal("granting to a detached session")
	}
	var batch []*lease
	for range rapid.IntRange(1, 4).Draw(t, "leases") {
		p := rapid.SampledFrom(modelPools).Draw(t, "pool")
		free := p.Slots
		for _, l := range c.occupied {
			if l.pool == p.Name {
				free -= l.weight
			}
		}
		if free+p.Prefetch <= 0 {
			continue
		}
		free = max(free, 1) // sent ahead
		c.lastToken++
		l := &lease{token: c.lastToken, weight: rapid.IntRange(1, free).Draw(t, "weight"), pool: p.Name, live: true}
		if rapid.Bool().Draw(t, "timeout") {
			l.timeout = 2 * second
		}
		c.leases[l.token], c.occupied[l.token] = l, l
		batch = append(batch, l)
	}
	w.sendGrants(batch)
}

func (w *world) sendGrants(batch []*lease) {
	if len(batch) == 0 {
		return
	}
	c := &w.coord
	c.grantSeq++
	seq := c.grantSeq
	leases := make([]Lease, 0, len(batch))
	for _, l := range batch {
		l.sent = true
		leases = append(leases, Lease{Token: l.token, Task: TaskID(l.token), Pool: l.pool, Weight: uint32(l.weight), AttemptTimeout: l.timeout, Body: l})
	}
	w.toWorker = append(w.toWorker, func() { w.core.Grants(w.now, seq, leases, &w.act) })
}

// cancel sends the wish for a token's end; a revoked lease isn't accepted any more.
func (w *world) cancel(token Token, reason CancelReason) {
	l := w.coord.leases[token]
	if reason == ReasonRevoked {
		l.live = false
	}
	w.toWorker = append(w.toWorker, func() { w.core.Cancel(w.now, token, TaskID(token), reason, &w.act) })
}

// recall asks some tokens back, of the session or not, started or not.
func (w *world) recall(t *rapid.T) {
	c := &w.coord
	tokens := []Token{c.lastToken + 1000}
	for _, token := range sortedKeys(c.leases) {
		if c.leases[token].sent && rapid.Bool().Draw(t, "ask") {
			tokens = append(tokens, token)
			c.asked[token] = true
		}
	}
	c.recalls++
	w.toWorker = append(w.toWorker, func() {
		w.owes = true
		w.core.Recall(w.now, tokens, &w.act)
	})
}

// givenUp releases what the worker has given up.
func (w *world) givenUp(m Message) {
	c := &w.coord
	if c.recalls--; c.recalls < 0 {
		w.t.Fatalf("%s, and nothing was asked", describe(m))
	}
	for _, token := range m.Recalled {
		l := c.leases[token]
		switch {
		case !c.asked[token] || l == nil:
			w.t.Fatalf("token %d wasn't asked for, or is no lease", token)
		case w.started[token]:
			w.t.Fatalf("token %d is given up and was started", token)
		}
		c.givenUp[token] = true
		delete(c.leases, token)
		delete(c.occupied, token)
	}
}

// process lets the coordinator read one message.
func (w *world) process() {
	m := w.toCoord[0]
	w.toCoord = w.toCoord[1:]
	c := &w.coord
	if m.Kind == Hello {
		w.hello(m)
		return
	}
	if !c.attached {
		w.t.Fatalf("%s before Welcome", describe(m))
	}
	if m.ReceivedThrough > c.grantSeq || m.ReceivedThrough < c.grantTold || m.AnswersThrough < c.confirmed || m.AnswersThrough > uint64(len(c.answers)) {
		w.t.Fatalf("%s: grants %d to %d and answers %d to %d can be confirmed", describe(m), c.grantTold, c.grantSeq, c.confirmed, len(c.answers))
	}
	c.grantTold, c.confirmed = m.ReceivedThrough, m.AnswersThrough
	switch m.Kind {
	case Started:
		for _, token := range m.Started {
			if !w.started[token] {
				w.t.Fatalf("token %d is said to have started", token)
			}
		}
	case Outcomes:
		w.outcomes(m)
	case Recalled:
		w.givenUp(m)
	case Heartbeat:
		if m.Progress && w.version < VersionRecall {
			w.t.Fatal("progress for a coordinator that doesn't know it")
		}
		c.heard = w.now
		w.toWorker = append(w.toWorker, func() { w.core.HeartbeatAck(w.now, m.SendTime, &w.act) })
	case Drained:
		if len(c.occupied) > 0 || len(w.running) != m.Left {
			w.t.Fatalf("drained with %d slots taken, %d handlers, %d told", len(c.occupied), len(w.running), m.Left)
		}
	case Goodbye:
		c.goodbye = true
	}
}

// hello opens or resumes a session, as section 12 says.
func (w *world) hello(m Message) {
	c := &w.coord
	named := map[Token]Known{}
	for _, k := range m.Tokens {
		if _, twice := named[k.Token]; twice {
			w.t.Fatalf("token %d named twice", k.Token)
		}
		named[k.Token] = k
	}
	resumed := c.session != 0 && c.session == m.Session
	if !resumed {
		c.lastSession++
		c.session = c.lastSession
		c.leases, c.answers, c.answered, c.confirmed = map[Token]*lease{}, nil, map[Token]bool{}, 0
	} else if m.AnswersThrough < c.confirmed || m.AnswersThrough > uint64(len(c.answers)) {
		w.t.Fatalf("Hello confirms answers through %d of %d", m.AnswersThrough, len(c.answers))
	} else {
		c.confirmed = m.AnswersThrough
	}
	c.attached, c.heard = true, w.now
	c.occupied = map[Token]*lease{}
	var stop []Token
	var again []*lease
	for _, k := range m.Tokens {
		l := c.leases[k.Token]
		if l == nil || !l.live {
			stop = append(stop, k.Token)
		}
		if c.answered[k.Token] { // its answer was lost; the outcome comes again
			continue
		}
		c.occupied[k.Token] = &lease{token: k.Token, weight: int(k.Weight), pool: k.Pool}
		if l != nil && l.live && rapid.Bool().Draw(w.t, "grant what is known") {
			again = append(again, l)
		}
	}
	for _, token := range sortedKeys(c.leases) {
		if _, known := named[token]; known {
			continue
		}
		if l := c.leases[token]; l.live {
			if w.started[token] {
				w.t.Fatalf("token %d was started, and Hello doesn't name it", token)
			}
			c.occupied[token] = l
			again = append(again, l)
		} else {
			delete(c.leases, token)
		}
	}
	session := c.session
	w.toWorker = append(w.toWorker, func() {
		w.core.Welcome(w.now, WelcomeMessage{Session: session, TTL: testTTL, Interval: testInterval, Margin: testMargin, Stop: stop, NewSession: !resumed, Version: w.version}, &w.act)
	})
	w.sendGrants(again)
}

// outcomes answers ends of attempts, and checks their numbers.
func (w *world) outcomes(m Message) {
	c := &w.coord
	var rejected []Rejection
	for i, o := range m.Outcomes {
		seq := m.FirstSeq + uint64(i)
		switch {
		case seq <= c.confirmed:
			w.t.Fatalf("outcome %d comes again, and its answer was confirmed", seq)
		case seq <= uint64(len(c.answers)):
			if c.answers[seq-1].token != o.Token {
				w.t.Fatalf("outcome %d was of token %d, now of %d", seq, c.answers[seq-1].token, o.Token)
			}
		case seq != uint64(len(c.answers))+1:
			w.t.Fatalf("outcome %d after %d", seq, len(c.answers))
		default:
			c.answers = append(c.answers, answer{token: o.Token, fenced: !w.accept(o)})
		}
		if c.answers[seq-1].fenced {
			rejected = append(rejected, Rejection{Seq: seq, Token: o.Token})
		}
	}
	through := uint64(len(c.answers))
	if through-c.confirmed > OutboxMax {
		w.t.Fatalf("%d answers to keep", through-c.confirmed)
	}
	rejected = slices.Clone(rejected)
	w.toWorker = append(w.toWorker, func() { w.core.Answers(w.now, through, rejected, &w.act) })
}

// accept applies an outcome: the slot comes back, and it counts if the lease is live.
func (w *world) accept(o Outcome) bool {
	c := &w.coord
	if c.answered[o.Token] {
		w.t.Fatalf("token %d is answered for twice", o.Token)
	}
	if _, ok := c.occupied[o.Token]; !ok && c.leases[o.Token] != nil {
		w.t.Fatalf("token %d has no slot", o.Token)
	}
	c.answered[o.Token] = true
	l := c.leases[o.Token]
	delete(c.occupied, o.Token)
	delete(c.leases, o.Token)
	if l == nil || !l.live {
		return false
	}
	if c.acceptedOf[o.Token] {
		w.t.Fatalf("token %d was accepted before", o.Token)
	}
	c.acceptedOf[o.Token] = true
	if (o.Kind == Succeeded || o.Kind == Failed || o.Kind == TimedOut) && !w.started[o.Token] {
		w.t.Fatalf("outcome %+v of a token that never ran", o)
	}
	return true
}
