package workercore

// admit starts what the semaphores let through, as long as the leases are trusted and the outbox takes more.
func (c *Core) admit(act *Actions) {
	if c.held == 0 || !c.session.trusted(c.now) || c.drain.on {
		return
	}
	for i := range c.pools {
		for !c.outbox.full() {
			w := c.pools[i].sem.Next()
			if w == nil {
				break
			}
			c.start(c.records[w.Token], act)
		}
	}
}

func (c *Core) start(r *record, act *Actions) {
	c.held--
	c.running++
	r.phase = Running
	if r.timeout > 0 {
		r.stopAt = c.now.Add(r.timeout)
	}
	bound := min(r.stopAt, r.deadline)
	c.timers.set(r, bound)
	c.stream.started = append(c.stream.started, r.Token)
	c.stream.startedBy = min(c.stream.startedBy, c.now.Add(StartedAfter))
	act.Start = append(act.Start, Start{Token: r.Token, Deadline: bound, Body: r.body})
}

// fire carries out the timers that are due.
func (c *Core) fire(act *Actions) {
	for c.timers.next() <= c.now {
		r := c.timers.heap[0]
		switch {
		case r.phase == Held && r.deadline <= c.now:
			c.finish(r, Outcome{Kind: Interrupted, Reason: "its deadline passed before it could start"})
		case r.phase == Held:
			c.finish(r, Outcome{Kind: Interrupted, Reason: "its start-by passed before it could start"})
		case r.cause != CauseNone:
			c.stop(r, r.cause, true, act)
		case r.stopAt <= r.deadline:
			c.stop(r, CauseTimeout, false, act)
		default:
			c.stop(r, CauseDeadline, false, act)
		}
	}
}

// stop asks the handler of r to end; the first cause stands. After KillGrace, or at once if kill is set, it is killed.
//
// A handler that ignores even that keeps its permit, and its token stays unanswered: the coordinator's back-stop ends the
// attempt elsewhere, and the slot comes back when the handler does. Answering earlier would free a slot at the
// coordinator that isn't free here, and the next task would wait behind the stuck one.
func (c *Core) stop(r *record, cause Cause, kill bool, act *Actions) {
	if r.cause != CauseNone && (!kill || r.killed) {
		return
	}
	if r.cause == CauseNone {
		r.cause = cause
		r.killAt = c.now.Add(c.cfg.KillGrace)
	}
	r.killed = kill
	if kill {
		c.timers.remove(r)
	} else {
		c.timers.set(r, r.killAt)
	}
	act.Stop = append(act.Stop, Stop{Token: r.Token, Cause: r.cause, Kill: kill, Body: r.body})
}

// Cancel takes the coordinator's wish to end a token. One that the core doesn't know is answered too: the coordinator
// waits for the word that it is over.
func (c *Core) Cancel(now Time, token Token, task TaskID, reason CancelReason, act *Actions) {
	c.tell(now)
	if !c.listening("Cancel", act) {
		return
	}
	if token == 0 {
		c.violate("Cancel of token 0", act)
		return
	}
	r := c.records[token]
	if r == nil {
		if _, ghost := c.drain.ghosts[token]; !ghost && c.roomForToken(act) {
			c.finish(c.add(token, task), Outcome{Kind: Interrupted, Reason: "this worker doesn't know the token"})
		}
		return
	}
	switch {
	case r.phase == Held && reason == ReasonRevoked:
		c.finish(r, Outcome{Kind: Interrupted, Reason: "lease revoked"})
	case r.phase == Held:
		c.finish(r, Outcome{Kind: Cancelled})
	case r.phase == Running:
		r.asked = true
		c.stop(r, reason.cause(), false, act)
	}
}

func (reason CancelReason) cause() Cause {
	switch reason {
	case ReasonDeadline:
		return CauseDeadline
	case ReasonRevoked:
		return CauseRevoked
	}
	return CauseCancelled
}
