package workercore

// drain is the worker's own stop. Its stages are points in time; all of them may be now.
type drain struct {
	on         bool
	until      Time // then handlers are asked to stop
	abandonAt  Time // then those that still run are killed and given up
	asked      bool // they were asked
	abandoned  bool // they were given up
	aborted    bool // there won't be a stream any more: nothing is waited for but handlers
	handedBack int  // held tasks handed back at its beginning, until Draining has told

	told        bool // Draining is sent on this stream
	drained     bool // Drained is sent on this stream
	named       bool // that some straggle was said
	goodbye     bool // Goodbye is sent: nothing more is said or heard
	goodbyeSent Time
	idle        Time // since when nothing runs; TimeMax: something does
	quiet       Time // since when every token has its answer; TimeMax: one hasn't

	// ghosts are handlers that were given up, and their outcomes reported, before they returned.
	ghosts map[Token]struct{}
}

// Drain begins the worker's own stop: what isn't started is handed back at once, what runs has Config.DrainTimeout to end,
// then KillGrace, then it is given up. Heartbeats go on. Settle says when it is over (Actions.End). Repeating it changes
// nothing.
func (c *Core) Drain(now Time) {
	c.tell(now)
	d := &c.drain
	if d.on {
		return
	}
	d.on, d.idle, d.quiet = true, TimeMax, TimeMax
	d.until = c.now.Add(c.cfg.DrainTimeout)
	d.abandonAt = d.until.Add(c.cfg.KillGrace)
	d.handedBack = c.held
	for _, r := range c.inOrder(Held) {
		c.finish(r, Outcome{Kind: Interrupted, Reason: reasonStopping})
	}
}

// Force leaves a drain no more time, and begins it if nothing has: handlers are killed and given up now; their answers are
// waited for.
func (c *Core) Force(now Time) {
	c.Drain(now)
	c.drain.until = min(c.drain.until, c.now)
	c.drain.abandonAt = min(c.drain.abandonAt, c.now)
}

// Abort ends a worker that can't reach its coordinator any more: handlers are killed, and waited for at most KillGrace.
func (c *Core) Abort(now Time) {
	c.Drain(now)
	d := &c.drain
	d.aborted, d.asked = true, false // those that were asked are killed now
	d.until = min(d.until, c.now)
	d.abandonAt = min(d.abandonAt, c.now.Add(c.cfg.KillGrace))
}

// drainStep carries out the stages that are due.
func (c *Core) drainStep(act *Actions) {
	d := &c.drain
	if !d.on {
		return
	}
	if c.now >= d.until && !d.asked {
		d.asked = true
		for _, r := range c.inOrder(Running) {
			c.stop(r, CauseDraining, d.aborted, act)
		}
	}
	if c.now >= d.abandonAt && !d.abandoned {
		d.abandoned = true
		for _, r := range c.inOrder(Running) {
			c.stop(r, CauseDraining, true, act)
			d.ghosts[r.Token] = struct{}{}
			c.finish(r, r.resolve(Report{Kind: Interrupted}))
		}
	}
	if len(d.ghosts) > 0 && c.ghostsWaited() && !d.named {
		d.named, act.Straggle = true, true
	}
	d.idle = since(d.idle, c.running == 0 && c.ghostsWaited(), c.now)
	d.quiet = since(d.quiet, len(c.records) == 0, c.now)
}

// since keeps the time from which on a condition has held.
func since(at Time, holds bool, now Time) Time {
	if !holds {
		return TimeMax
	}
	return min(at, now)
}

// ghostsWaited reports whether handlers that were given up have returned or had their time.
func (c *Core) ghostsWaited() bool {
	return len(c.drain.ghosts) == 0 || c.now >= c.drain.abandonAt.Add(KillWait)
}

// allDone reports whether a stopping worker has nothing left to do: nothing runs, and every token has its answer.
func (c *Core) allDone() bool {
	return c.drain.on && c.running == 0 && len(c.records) == 0 && c.ghostsWaited()
}

// end says whether a stopping worker has come to its end.
func (c *Core) end() End {
	d := &c.drain
	e := End{Unanswered: len(c.records), Left: len(d.ghosts)}
	if e.Unanswered > 0 && d.idle != TimeMax {
		e.Waited, e.Silent = Duration(c.now-d.idle), Duration(c.now-c.session.answeredSent)
		e.Live, e.TTL = c.stream.state == streamLive, c.session.ttl
	}
	switch {
	case !d.on || c.running > 0:
	case d.goodbye && c.stream.state == streamNone,
		c.session.id == 0 && c.stream.state != streamHello && len(d.ghosts) == 0,
		c.now >= c.endBy():
		e.Ended = true
	}
	return e
}

// endBy is when a stopping worker of which nothing runs any more ends whatever has been answered. Unanswered leases would
// cost their tasks the wait for the session's TTL, so for them it waits until the drain deadline. After a stall the answers
// that came meanwhile are read first.
func (c *Core) endBy() Time {
	d := &c.drain
	switch {
	case c.running > 0 || d.idle == TimeMax:
		return TimeMax
	case d.aborted:
		return d.idle
	case d.goodbye:
		return max(d.goodbyeSent.Add(AnswerWait), c.lookBy)
	case d.quiet == TimeMax:
		return max(d.until, d.idle.Add(AnswerWait), c.lookBy)
	}
	return max(max(d.idle, d.quiet).Add(AnswerWait), c.lookBy)
}

// drainWake is when the drain has something to do.
func (c *Core) drainWake() Time {
	d := &c.drain
	switch {
	case !d.on:
		return TimeMax
	case !d.asked && c.running > 0:
		return d.until
	case !d.abandoned && c.running > 0:
		return d.abandonAt
	case len(d.ghosts) > 0 && c.now < d.abandonAt.Add(KillWait):
		return d.abandonAt.Add(KillWait)
	}
	return c.endBy()
}
