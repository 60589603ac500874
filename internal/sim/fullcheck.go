package sim

import "github.com/yardmaster/yardmaster/internal/scheduler"

// checkEvery is how many steps there are between two full checks.
const checkEvery = 50

// fullCheck holds the state against the oracle's record, and every index against its rows.
func (o *oracle) fullCheck() {
	c := o.w.coord
	if !c.up || c.state == nil || c.applied < o.index {
		return
	}
	if err := c.state.Check(); err != nil {
		o.fail(InvConservation, "the core: %v", err)
		return
	}
	for _, k := range o.w.workers {
		if k.up {
			if err := k.core.Check(); err != nil {
				o.fail(InvBounds, "the core of worker %d: %v", k.id, err)
			}
		}
	}
	o.tasksConserved(c)
	o.endsKept(c)
	o.boundsKept(c)
	o.slotsKept(c.state)
	o.proposalsKept(c)
}

// tasksConserved (11): the tasks that live are those that were submitted and haven't ended, each in the state, generation
// and lease that its events say, with attempts and losses within bounds (9).
func (o *oracle) tasksConserved(c *coordinator) {
	live := uint64(0)
	for _, t := range o.tasks {
		info, ok := c.state.Task(t.id)
		if want := t.state.core(); ok != (want != 0) || ok && (info.State != want || info.Gen != t.gen || info.Token != t.token) {
			o.fail(InvConservation, "task %d should be %s, generation %d, token %d; it lives: %v, %s, generation %d, token %d", t.id, t.state,
				t.gen, t.token, ok, info.State, info.Gen, info.Token)
			return
		}
		if !ok {
			continue
		}
		live++
		o.backstopKept(t)
		if int(info.Attempts) != t.attempts || int(info.Losses) != t.losses || info.Undelivered >= scheduler.UndeliveredMax {
			o.fail(InvAttempts, "task %d lives after %d attempts, %d losses; it was charged %d and %d", t.id, info.Attempts, info.Losses, t.attempts, t.losses)
		}
	}
	n := c.state.Counts()
	if n.Scheduled+n.Pending+n.Leased != live || c.state.LastTask() != o.lastTask {
		o.fail(InvConservation, "%d tasks live, the core counts %d; the last is %d, the core says %d", live, n.Scheduled+n.Pending+n.Leased,
			o.lastTask, c.state.LastTask())
	}
}

// endsKept (1): a task that was stored and has ended is found until its retention is over, a dead letter with its body until
// it is forgotten; one that lives has its body.
func (o *oracle) endsKept(c *coordinator) {
	served := c.state.Served()
	for _, t := range o.tasks {
		switch {
		case t.state.core() != 0:
			if c.body(t.id) == nil {
				o.fail(InvAcknowledged, "task %d lives without its body", t.id)
			}
		case t.state == lifeDead:
			row := c.finished(t.id)
			if gen, ok := c.state.DeadGen(t.id); !ok || gen != t.gen || row == nil || row.gen != t.gen || c.body(t.id) == nil {
				o.fail(InvAcknowledged, "dead letter %d, generation %d, isn't kept: stub %v, row %v", t.id, t.gen, ok, row != nil)
			}
		case t.state != lifeGone && t.expires > served:
			if row := c.finished(t.id); row == nil || row.state != endOf[t.state] || row.gen != t.gen {
				o.fail(InvAcknowledged, "the end of task %d, %s, isn't kept", t.id, t.state)
			}
		}
	}
}

// proposalsKept (1): each command that was put in line stands there, is in flight, or was carried out and its proposer told.
func (o *oracle) proposalsKept(c *coordinator) {
	n := c.told + c.line.Len()
	for _, f := range c.flights {
		n += len(f.items)
	}
	if n != c.asked {
		o.fail(InvAcknowledged, "%d commands were put in line, and %d are told of, in line, or in flight", c.asked, n)
	}
}

// boundsKept (17): what the coordinator holds in memory is bounded by what there is.
func (o *oracle) boundsKept(c *coordinator) {
	sessions := c.state.Counts().Sessions
	switch {
	case len(c.flights) > 2:
		o.fail(InvBounds, "%d entries are in flight", len(c.flights))
	case len(c.reg.entries) > sessions:
		o.fail(InvBounds, "%d sessions have machines, there are %d", len(c.reg.entries), sessions)
	}
	for _, row := range c.disk.store.rows[scheduler.TableProducers] {
		if p := row.Producer; len(p.Answers) > scheduler.ProducerWindow || len(p.Answers) > 0 && p.Answers[0].Number < p.Lowest {
			o.fail(InvBounds, "a producer has %d answers kept, from number %d on, and its lowest is %d", len(p.Answers), p.Answers[0].Number, p.Lowest)
		}
	}
	for _, e := range c.reg.entries {
		if n := e.m.Leases(); n > 20_000 {
			o.fail(InvBounds, "session %d: its machine holds %d leases", e.id, n)
		}
	}
}

// atRest (16, 17): once all work has ended and been answered, no lease, slot, message or waiter is left.
func (o *oracle) atRest() {
	c := o.w.coord
	for _, x := range c.state.Sessions() {
		for _, l := range c.state.SessionLeases(x.ID, 1) {
			o.fail(InvBounds, "token %d of task %d, revoked %v, is left at session %d of worker %s once all work has ended", l.Token, l.Task,
				l.Revoked, x.ID, x.Worker.Name)
		}
		for _, p := range x.Pools {
			if p.Used != 0 {
				o.fail(InvBounds, "session %d, pool %s: %d slots are taken once all work has ended", x.ID, p.Name, p.Used)
			}
		}
	}
	for _, e := range c.reg.entries {
		if e.m.Leases() != 0 || e.m.UnconfirmedBytes() != 0 {
			o.fail(InvBounds, "session %d: its machine holds %d leases, %d bytes unconfirmed once all work has ended", e.id, e.m.Leases(), e.m.UnconfirmedBytes())
		}
	}
	for _, k := range o.w.workers {
		if n := k.core.Counts(); k.up && n.Held+n.Running+n.Unanswered != 0 {
			o.fail(InvBounds, "worker %d holds %d, runs %d, has %d unanswered once all work has ended", k.id, n.Held, n.Running, n.Unanswered)
		}
	}
	if len(c.waiters) != 0 {
		o.fail(InvBounds, "%d tasks are awaited once all have ended", len(c.waiters))
	}
	o.fullCheck()
	o.wholeReplay(c)
}
