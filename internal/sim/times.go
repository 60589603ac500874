package sim

import "github.com/yardmaster/yardmaster/internal/scheduler"

// timePasses (9, 1): the log's time is that of its entries and never goes back; what retention is counted in is the time that
// passes within terms, and not the step that a new leader takes.
func (o *oracle) timePasses(state *scheduler.State, b *scheduler.Batch) {
	if passed := scheduler.Duration(b.Now - o.now); passed > 0 {
		o.now = b.Now
		if b.Commands[0].Op != scheduler.OpBeginTerm {
			o.served += passed
		}
	}
	if state.Now() != o.now || state.Served() != o.served {
		o.fail(InvAttempts, "after entry %d it is %d and %d ns were served, where it should be %d and %d", o.index, state.Now(), state.Served(),
			o.now, o.served)
	}
}

// due is when time will change a task that the core holds: 0 is never.
func (t *taskRecord) due() (at scheduler.Time) {
	soonest := func(x scheduler.Time) {
		if x != 0 && (at == 0 || x < at) {
			at = x
		}
	}
	if t.state.leased() {
		if !t.late {
			soonest(t.deadline)
		}
		return at
	}
	soonest(t.deadline)
	if t.attempts == 0 && t.losses == 0 {
		soonest(t.startBy)
	}
	if t.state == lifeScheduled {
		soonest(t.notBefore)
	}
	return at
}

// timesKept (9, 16): a step fires all that is due, unless it says that it has left some over: delays, backoffs, start-bys and
// deadlines; and the core asks for its next step no later than the next of them. At some steps it is also asked whether
// anything waits for nothing.
func (o *oracle) timesKept(state *scheduler.State, e *scheduler.Effects) {
	for i := range e.Cancels {
		if n := &e.Cancels[i]; n.Reason == scheduler.CancelDeadline {
			o.leases[n.Token].task.late = true
		}
	}
	if e.More {
		return
	}
	next, ok := state.NextDeadline()
	for _, t := range o.alive {
		at := t.due()
		switch {
		case at == 0:
		case at <= o.now:
			o.fail(InvAttempts, "task %d, %s, is overdue by %d ns after entry %d", t.id, t.state, o.now-at, o.index)
		case !ok || next > at:
			o.fail(InvLiveness, "task %d, %s, is due in %d ns, and the core wants no step before", t.id, t.state, at-o.now)
		}
	}
	if o.index%8 == 0 {
		o.nothingIdle()
	}
}
