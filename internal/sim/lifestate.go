package sim

import "github.com/yardmaster/yardmaster/internal/scheduler"

// lifeState is where a task stands, RUNNING and its absence included.
type lifeState uint8

// The states.
const (
	lifeNone lifeState = iota // not submitted
	lifeScheduled
	lifePending
	lifeLeased
	lifeRunning // the leader has heard of the start; soft
	lifeSucceeded
	lifeDead
	lifeCancelled
	lifeExpired
	lifeGone // nothing of it is kept
	lifeStates
)

var lifeNames = [lifeStates]string{"-", "SCHEDULED", "PENDING", "LEASED", "RUNNING", "SUCCEEDED", "DEAD", "CANCELLED", "EXPIRED", "GONE"}

func (s lifeState) String() string { return lifeNames[s] }

func (s lifeState) terminal() bool { return s >= lifeSucceeded }

func (s lifeState) leased() bool { return s == lifeLeased || s == lifeRunning }

// core is the state as the core has it; 0: the core doesn't hold such a task.
func (s lifeState) core() scheduler.TaskState {
	switch s {
	case lifeScheduled:
		return scheduler.Scheduled
	case lifePending:
		return scheduler.Pending
	case lifeLeased, lifeRunning:
		return scheduler.Leased
	}
	return 0
}

var endStates = map[scheduler.EventType]lifeState{
	scheduler.EventSucceeded: lifeSucceeded, scheduler.EventDead: lifeDead, scheduler.EventCancelled: lifeCancelled,
	scheduler.EventExpired: lifeExpired,
}

var endOf = map[lifeState]scheduler.TaskState{
	lifeSucceeded: scheduler.Succeeded, lifeDead: scheduler.Dead, lifeCancelled: scheduler.Cancelled, lifeExpired: scheduler.Expired,
}

// legal says which changes of state there are, as docs/states.md has them.
var legal = [lifeStates][lifeStates]bool{
	lifeNone:      {lifePending: true, lifeScheduled: true},
	lifeScheduled: {lifePending: true, lifeCancelled: true, lifeExpired: true},
	lifePending:   {lifeLeased: true, lifeCancelled: true, lifeExpired: true},
	lifeLeased: {
		lifeRunning: true, lifePending: true, lifeScheduled: true, lifeSucceeded: true, lifeDead: true, lifeCancelled: true,
		lifeExpired: true,
	},
	lifeRunning: {
		lifeLeased: true, lifePending: true, lifeScheduled: true, lifeSucceeded: true, lifeDead: true, lifeCancelled: true,
		lifeExpired: true,
	},
	lifeSucceeded: {lifeGone: true},
	lifeDead:      {lifePending: true, lifeGone: true},
	lifeCancelled: {lifeGone: true},
	lifeExpired:   {lifeGone: true},
}

// turn (7): a task changes its state only as the table says.
func (o *oracle) turn(t *taskRecord, to lifeState) {
	if !legal[t.state][to] {
		o.fail(InvTransitions, "task %d goes from %s to %s", t.id, t.state, to)
	}
	o.w.cover.Transitions[t.state][to]++
	if was, is := t.state.core() != 0, to.core() != 0; is && !was {
		o.live++
		o.queue(t.spec.Queue).live++
		t.alive = len(o.alive)
		o.alive = append(o.alive, t)
	} else if was && !is {
		o.live--
		o.queue(t.spec.Queue).live--
		last := o.alive[len(o.alive)-1]
		o.alive[t.alive], last.alive = last, t.alive
		o.alive = o.alive[:len(o.alive)-1]
	}
	t.state = to
}
