package workercore

import (
	"fmt"
	"math"
)

// stream is the present stream and what was said on it.
type stream struct {
	state    streamState
	inFlight int // messages composed and not yet sent

	helloSent     Time
	welcomed      Time
	named         []Token // tokens of the unanswered Hello
	version       uint32  // of the protocol, as the Welcome said
	heartbeatAt   Time    // when the next one is due
	heartbeatSent Time    // send time of the last one on this stream

	received  uint64 // the highest Grants.seq
	confirmBy Time   // when receipts and answers are confirmed if nothing else is said; TimeMax: nothing to confirm

	recalls  int     // Recalls without an answer
	recalled []Token // what was given up for them

	started   []Token // started since the last Started, oldest first; some may have finished
	startedBy Time    // when Started goes out; TimeMax: nothing to tell
}

type streamState uint8

const (
	streamNone   streamState = iota // there is none
	streamOpen                      // open; Hello is to be sent
	streamHello                     // Hello is sent; waits for Welcome
	streamLive                      // both sides talk
	streamBroken                    // given up; waits for its end
)

// Connected takes note of a new stream. Reading of the old one must have ended: Hello names what is known now.
func (c *Core) Connected(now Time) {
	c.tell(now)
	if c.stream.state != streamNone {
		panic("workercore: a stream opens while there is one")
	}
	c.stream = stream{state: streamOpen, confirmBy: TimeMax, startedBy: TimeMax, heartbeatSent: math.MinInt64, started: c.stream.started[:0]}
	c.outbox.sent = 0
}

// Disconnected takes note of the stream's end, after all that was read from it.
func (c *Core) Disconnected(now Time) {
	c.tell(now)
	c.stream.state, c.stream.inFlight = streamNone, 0
}

// Sent takes note that n messages have been sent; others may follow.
func (c *Core) Sent(n int) {
	if c.stream.inFlight < n {
		panic("workercore: more messages sent than composed")
	}
	c.stream.inFlight -= n
}

// Grants takes new leases. Those that are known already are ignored.
func (c *Core) Grants(now Time, seq uint64, leases []Lease, act *Actions) {
	c.tell(now)
	st := &c.stream
	if !c.listening("Grants", act) {
		return
	}
	if seq != st.received+1 {
		c.violate(fmt.Sprintf("Grants with seq %d after %d", seq, st.received), act)
		return
	}
	st.received = seq
	st.confirmLater(c.now)
	for i := range leases {
		l := &leases[i]
		if l.Token == 0 || l.Weight == 0 || l.Weight > math.MaxInt32 {
			c.violate(fmt.Sprintf("lease with token %d and weight %d", l.Token, l.Weight), act)
			return
		}
		if c.records[l.Token] != nil {
			continue
		}
		if _, ghost := c.drain.ghosts[l.Token]; ghost {
			continue
		}
		if !c.roomForToken(act) {
			return
		}
		c.receive(l)
	}
}

// receive makes the record of a granted lease, and ends it at once if it can't run here.
func (c *Core) receive(l *Lease) {
	r := c.add(l.Token, l.Task)
	r.Weight, r.timeout, r.body = int(l.Weight), l.AttemptTimeout, l.Body
	no, ok := c.poolNo[l.Pool]
	r.pool = no
	switch {
	case c.drain.on:
		c.finish(r, Outcome{Kind: Interrupted, Reason: reasonStopping})
		return
	case !ok:
		c.finish(r, Outcome{Kind: Failed, Reason: fmt.Sprintf("this worker has no pool %q", l.Pool)})
		return
	case !c.pools[no].sem.Enqueue(&r.Waiter):
		c.finish(r, Outcome{Kind: Interrupted, Reason: tooHeavy(r.Weight, c.pools[no].sem.Capacity())})
		return
	}
	r.phase = Held
	c.held++
	if l.DeadlineIn > 0 {
		r.deadline = c.now.Add(l.DeadlineIn)
	}
	if l.StartWithin > 0 {
		r.startBy = c.now.Add(l.StartWithin)
	}
	c.timers.set(r, min(r.deadline, r.startBy))
}

// roomForToken reports whether one more token may be known. A coordinator that keeps to the slots never comes here.
func (c *Core) roomForToken(act *Actions) bool {
	if len(c.records) < TokensMax {
		return true
	}
	c.violate(fmt.Sprintf("more than %d tokens at a time", TokensMax), act)
	return false
}

// listening reports whether a message of the coordinator counts now.
func (c *Core) listening(what string, act *Actions) bool {
	switch c.stream.state {
	case streamLive:
		return !c.drain.goodbye
	case streamHello:
		c.violate(what+" before Welcome", act)
	}
	return false
}

// violate gives up a stream whose other side doesn't keep to the contract. Nothing else that comes on it counts.
func (c *Core) violate(what string, act *Actions) { c.giveUp("protocol violation: "+what, act) }

func (c *Core) giveUp(why string, act *Actions) {
	if c.stream.state == streamBroken || c.stream.state == streamNone {
		return
	}
	c.stream.state = streamBroken
	act.Reconnect = why
}

// watchStream gives up a stream that doesn't answer, while there is time to reach the coordinator by another.
func (c *Core) watchStream(act *Actions) {
	if c.now < c.silentAt() {
		return
	}
	if c.stream.state == streamHello {
		c.giveUp("Hello not answered in 10 s", act)
	} else {
		c.giveUp("heartbeats are not answered", act)
	}
}

// silentAt is when the stream counts as dead if nothing is answered until then.
func (c *Core) silentAt() Time {
	st, s := &c.stream, &c.session
	switch st.state {
	case streamHello:
		return max(st.helloSent.Add(WelcomeWait), c.lookBy)
	case streamLive: // halfway between the second heartbeat and the end of trust
		return max(max(s.answeredSent, st.welcomed).Add(s.interval+(s.ttl-s.margin)/2), c.lookBy)
	}
	return TimeMax
}

// confirmLater makes sure that what was received is confirmed soon.
func (st *stream) confirmLater(now Time) { st.confirmBy = min(st.confirmBy, now.Add(ConfirmAfter)) }
