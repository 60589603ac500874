package sim

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// event sees one event of a step, in order.
func (o *oracle) event(ev *scheduler.Event, e *scheduler.Effects, b *scheduler.Batch) {
	o.positionNext(ev)
	switch ev.Type {
	case scheduler.EventSubmitted:
		o.submitted(ev, e, b)
	case scheduler.EventQueuePaused:
		o.queue(ev.Queue).paused = true
	case scheduler.EventQueueResumed:
		o.queue(ev.Queue).paused = false
	case scheduler.EventWorkerEnded:
		if s := o.sessions[ev.Session]; s != nil {
			s.over = true
			o.here = slices.DeleteFunc(o.here, func(x *sessionRecord) bool { return x == s })
		}
	case scheduler.EventQueueConfigured, scheduler.EventWorkerOpened, scheduler.EventWorkerAttached, scheduler.EventWorkerDetached:
	default:
		t := o.task(ev.Task)
		if t == nil {
			o.fail(InvConservation, "event %d of type %d is of task %d, which was never submitted", ev.Position, ev.Type, ev.Task)
			return
		}
		o.taskEvent(t, ev, e, b)
	}
}

func (o *oracle) taskEvent(t *taskRecord, ev *scheduler.Event, e *scheduler.Effects, b *scheduler.Batch) {
	switch ev.Type {
	case scheduler.EventReady:
		o.resolve(t, lifeScheduled)
		o.notEarly(t, "ready")
		o.turn(t, lifePending)
	case scheduler.EventLeased:
		o.lease(t, ev, e)
	case scheduler.EventReturned:
		o.uncharged(t, ev)
		o.leaseEnds(t, ev)
		o.turn(t, lifePending)
	case scheduler.EventFailed:
		o.charge(t, ev)
		o.goesOn(t)
		o.leaseEnds(t, ev)
		t.open = true
		o.open = append(o.open, t)
	case scheduler.EventCancelRequested:
		if !t.state.leased() {
			o.fail(InvTransitions, "task %d is asked to be cancelled in state %s", t.id, t.state)
		}
		t.asked = true
	case scheduler.EventSucceeded, scheduler.EventDead, scheduler.EventCancelled, scheduler.EventExpired:
		if ev.Type == scheduler.EventDead {
			o.charge(t, ev)
			o.diesRightly(t, ev, e, b)
		}
		o.ended(t, ev, e)
	case scheduler.EventRetried:
		if ev.Gen != t.gen+1 {
			o.fail(InvTransitions, "task %d is retried as generation %d after %d", t.id, ev.Gen, t.gen)
		}
		t.gen, t.attempts, t.losses, t.asked, t.late, t.notBefore, t.startBy, t.deadline, t.expires = ev.Gen, 0, 0, false, false, 0, 0, 0, 0
		o.turn(t, lifePending)
		o.fits(t)
	case scheduler.EventDeleted:
		t.deleted, t.expires = true, 0
		if t.state != lifeGone {
			o.turn(t, lifeGone)
		}
	}
}

// resolve says where a task went that FAILED in this step: what comes next tells, or the state at the step's end.
func (o *oracle) resolve(t *taskRecord, to lifeState) {
	if t.open {
		t.open = false
		o.turn(t, to)
	}
}

// positionNext (12): positions of events run on without a gap.
func (o *oracle) positionNext(ev *scheduler.Event) {
	if want := uint64(len(o.events)) + 1; ev.Position != want {
		o.fail(InvEvents, "event %d comes after %d", ev.Position, want-1)
	}
	o.events = append(o.events, hashEvent(ev))
}

// submitted (11): ids run on, each task is one item of a Submit.
func (o *oracle) submitted(ev *scheduler.Event, e *scheduler.Effects, b *scheduler.Batch) {
	if o.staged >= len(e.Staged) || e.Staged[o.staged].Task != ev.Task || ev.Task != o.lastTask+1 {
		o.fail(InvConservation, "task %d is submitted after %d, and no item of a Submit is it", ev.Task, o.lastTask)
		return
	}
	st := e.Staged[o.staged]
	o.staged++
	o.lastTask = ev.Task
	t := &taskRecord{id: ev.Task, spec: &b.Commands[st.Cmd].Submit.Tasks[st.Item], gen: 1}
	t.startBy, t.deadline = t.spec.StartBy, t.spec.Deadline
	o.tasks = append(o.tasks, t)
	if t.notBefore = t.spec.NotBefore; t.spec.Delay > 0 {
		t.notBefore = o.now.Add(t.spec.Delay)
	}
	to := lifePending
	if t.notBefore > o.now {
		to = lifeScheduled
	}
	o.turn(t, to)
	o.fits(t)
}

// notEarly (9): no task is made ready or leased before its not-before, the end of its delay, or that of its backoff.
func (o *oracle) notEarly(t *taskRecord, what string) {
	if t.notBefore > o.now {
		o.fail(InvAttempts, "task %d is %s %d ns before its time", t.id, what, t.notBefore-o.now)
	}
}

// lease sees a new lease.
func (o *oracle) lease(t *taskRecord, ev *scheduler.Event, e *scheduler.Effects) {
	o.leaseIsGranted(ev, e)
	o.tokenGrows(ev)
	o.oneLease(t, ev)
	o.notEarly(t, "leased")
	if int(ev.Attempt) != t.attempts+1 {
		o.fail(InvAttempts, "token %d is attempt %d of task %d, and %d were charged", ev.Token, ev.Attempt, t.id, t.attempts)
	}
	o.resolve(t, lifePending)
	o.turn(t, lifeLeased)
	t.token = ev.Token
	o.leases[ev.Token] = &leaseRecord{token: ev.Token, task: t, session: ev.Session, index: o.index}
	o.granted = append(o.granted, t)
	o.queueOpen(t)
	o.slotsFree(t, ev, e)
}

// leaseIsGranted (12): each lease is told as an event and granted to its session, in the same order.
func (o *oracle) leaseIsGranted(ev *scheduler.Event, e *scheduler.Effects) {
	for o.leased < len(e.Grants) && e.Grants[o.leased].Again {
		o.leased++
	}
	if o.leased >= len(e.Grants) || e.Grants[o.leased].Token != ev.Token || e.Grants[o.leased].Session != ev.Session {
		o.fail(InvEvents, "event %d tells of token %d, which isn't the next grant", ev.Position, ev.Token)
	}
	o.leased++
}

// tokenGrows (5): each new token is greater than all before it, in this or an earlier life of the coordinator.
func (o *oracle) tokenGrows(ev *scheduler.Event) {
	if ev.Token <= o.lastToken {
		o.fail(InvTokens, "token %d of task %d comes after %d", ev.Token, ev.Task, o.lastToken)
	}
	o.lastToken = ev.Token
}

// oneLease (4): a task that is leased has no other live lease.
func (o *oracle) oneLease(t *taskRecord, ev *scheduler.Event) {
	if t.token != 0 {
		o.fail(InvOneLease, "task %d is leased with token %d, and token %d is still current", t.id, ev.Token, t.token)
	}
}

// leaseEnds (4, 6): a lease ends once, and it is its task's current one.
func (o *oracle) leaseEnds(t *taskRecord, ev *scheduler.Event) {
	l := o.leases[ev.Token]
	if l == nil || ev.Token != t.token || l.ended != 0 {
		o.fail(InvOneLease, "event %d of type %d ends token %d of task %d, whose current one is %d", ev.Position, ev.Type, ev.Token, t.id, t.token)
		return
	}
	l.ended, l.by = o.index, ev.Type
	o.endings = append(o.endings, l)
	t.token = 0
	o.queue(t.spec.Queue).leased--
}

// ended sees a task's end. (12): each end is told as an event, in the same order.
func (o *oracle) ended(t *taskRecord, ev *scheduler.Event, e *scheduler.Effects) {
	if t.token != 0 {
		o.leaseEnds(t, ev)
	} else if ev.Token != 0 {
		o.fail(InvOneLease, "event %d says that task %d ended with token %d, which was over", ev.Position, t.id, ev.Token)
	}
	o.resolve(t, lifePending)
	o.turn(t, endStates[ev.Type])
	if o.ends >= len(e.Finished) || e.Finished[o.ends].Task != t.id || e.Finished[o.ends].State != endOf[t.state] {
		o.fail(InvEvents, "event %d tells of the end of task %d, which isn't the next", ev.Position, t.id)
		return
	}
	f := &e.Finished[o.ends]
	o.ends++
	if f.Cause == scheduler.CauseUnreadable && traitsOf(t.spec.Body)&traitUnreadable == 0 || f.Cause != ev.Cause {
		o.fail(InvTransitions, "task %d ends for cause %d, its event says %d, its traits are %#x", t.id, f.Cause, ev.Cause, traitsOf(t.spec.Body))
	}
	t.expires = f.ExpiresAt
	t.ends = append(t.ends, taskEnd{state: f.State, token: f.Token})
	if t.state == lifeDead {
		o.dead = append(o.dead, t.id)
	}
	if t.expires == 0 {
		o.turn(t, lifeGone)
	}
}

// everyEffectTold (12): what a step stored, granted and ended it has told, all of it.
func (o *oracle) everyEffectTold(e *scheduler.Effects) {
	for o.leased < len(e.Grants) && e.Grants[o.leased].Again {
		o.leased++
	}
	if o.staged != len(e.Staged) || o.ends != len(e.Finished) || o.leased != len(e.Grants) {
		o.fail(InvEvents, "entry %d: of %d submits %d are told, of %d ends %d, of %d grants %d", o.index, len(e.Staged), o.staged,
			len(e.Finished), o.ends, len(e.Grants), o.leased)
	}
}

// forgotten (1): what isn't kept any more is over its retention by served time, or was deleted.
func (o *oracle) forgotten(e *scheduler.Effects) {
	for _, id := range e.Forgotten {
		t := o.task(id)
		if t == nil || !t.state.terminal() {
			o.fail(InvAcknowledged, "task %d is forgotten and hasn't ended", id)
			return
		}
		if t.state != lifeGone {
			if t.expires > o.served {
				o.fail(InvAcknowledged, "task %d, %s, is forgotten %d ms before its retention is over", id, t.state, int64(t.expires-o.served)/millisecond)
			}
			o.turn(t, lifeGone)
		}
		t.expires = 0
	}
}

// anyDead draws a dead letter, or 0: rather one whose retention ends soon. Now and then it is one that isn't dead any more.
func (o *oracle) anyDead() scheduler.TaskID {
	if len(o.dead) == 0 {
		return 0
	}
	if o.w.chance(100_000) {
		return o.dead[o.w.intn(len(o.dead))]
	}
	o.dead = slices.DeleteFunc(o.dead, func(id scheduler.TaskID) bool { return o.task(id).state != lifeDead })
	var best *taskRecord
	for range min(len(o.dead), 1+o.w.intn(6)) {
		if t := o.task(o.dead[o.w.intn(len(o.dead))]); best == nil || t.expires < best.expires {
			best = t
		}
	}
	if best == nil {
		return 0
	}
	return best.id
}
