package sim

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// oracle sees all that the cluster does and says, and knows what it should be. It learns what a step did from its events,
// replies and grants, in their order, and keeps its own record of tasks, leases, sessions and answers; the state is then
// held against that.
type oracle struct {
	w      *World
	index  uint64 // of the last entry whose effects it has seen
	now    scheduler.Time
	served scheduler.Duration // what retention is counted in

	effects []uint64 // hash of what an entry did, by index - 1
	events  []uint64 // hash of an event, by position - 1
	crash   snapshot
	seal    snapshot

	lastTask  scheduler.TaskID
	lastToken scheduler.Token
	tasks     []*taskRecord // by id - 1
	live      int           // of tasks: those that haven't ended
	leases    map[scheduler.Token]*leaseRecord
	sessions  map[scheduler.SessionID]*sessionRecord
	queues    map[string]*queueRecord
	keys      map[scheduler.Hash128]keyRecord
	requests  map[requestKey]requestRecord
	dead      []scheduler.TaskID // that died at some time

	term        uint64
	limits      scheduler.Limits
	lastSession scheduler.SessionID
	here        []*sessionRecord // that aren't gone, by id
	holders     map[scheduler.Token]*sessionRecord
	alive       []*taskRecord // that the core holds
	shadow      *shadow       // nil: none runs

	resumed []*sessionRecord        // of the step under way
	again   map[scheduler.Token]int // likewise: grants of a token again that Resumes have accounted for
	unnamed []*leaseRecord          // likewise: live, unknown to their resumed worker, and not granted again
	endings []*leaseRecord          // likewise: leases that it ended
	open    []*taskRecord           // of the step under way: FAILED, and their state is still to be seen
	granted []*taskRecord           // of the step under way
	ends    int                     // of the step under way: Finished that an event has told of
	staged  int                     // likewise: Staged
	leased  int                     // likewise: Grants
}

// snapshot is what the state was at an index.
type snapshot struct{ index, hash uint64 }

// taskRecord is a task as the oracle knows it.
type taskRecord struct {
	id        scheduler.TaskID
	spec      *scheduler.TaskSpec
	gen       uint32
	state     lifeState
	token     scheduler.Token // current lease
	attempts  int             // that were charged to this generation
	losses    int             // likewise
	asked     bool            // to stop, by somebody
	late      bool            // its worker was told that its deadline has passed
	alive     int             // position in oracle.alive; it is there while the core holds it
	startBy   scheduler.Time
	deadline  scheduler.Time
	open      bool // FAILED in this step: PENDING or SCHEDULED
	notBefore scheduler.Time
	acked     bool
	heardAt   int64 // RUNNING: when this leader heard of the start, as its clock goes
	deleted   bool
	expires   scheduler.Duration // of what is kept of its end; 0: nothing is
	ends      []taskEnd          // by generation - 1
}

// taskEnd is how a generation of a task ended.
type taskEnd struct {
	state scheduler.TaskState
	token scheduler.Token // of the accepted success
}

// leaseRecord is a lease.
type leaseRecord struct {
	token    scheduler.Token
	task     *taskRecord
	session  scheduler.SessionID
	index    uint64 // of the entry that granted it
	ended    uint64 // of the entry that ended it; 0: it is live
	by       scheduler.EventType
	started  bool
	accepted bool
}

// sessionRecord is a session.
type sessionRecord struct {
	worker  int
	life    uint64 // of the worker's process
	over    bool
	expired bool
	trusts  int64          // true time until which an answered heartbeat has its worker trust it
	answers []answerRecord // by number - 1

	id         scheduler.SessionID
	info       scheduler.WorkerInfo
	attach     uint64 // its current number
	attached   bool   // in this term
	draining   bool
	superseded bool
	closed     bool // nobody may propose anything for it
	heard      uint64
	unheard    bool              // closed, and no leader of that term had heard of its worker
	started    []scheduler.Token // closed by its TTL: what the leader had heard the start of
	said       uint64            // number of its last outcome
	taken      map[scheduler.Token]slotsTaken
	used       []int // by pool: Invariant: the sum of taken
}

type answerRecord struct {
	token  scheduler.Token
	answer scheduler.Answer
}

// keyRecord is an idempotency key: the task that it made, and of what body.
type keyRecord struct {
	task scheduler.TaskID
	body scheduler.Hash128
}

type queueRecord struct {
	paused    bool
	leased    int
	live      int // tasks that haven't ended
	maxLeases int // 0: without bound
	depth     uint64
	depthMost uint64 // the most tasks that it could hold while entry depthAt was applied
	depthAt   uint64
}

type requestKey struct {
	producer scheduler.Hash128
	number   uint64
}

type requestRecord struct {
	first scheduler.TaskID
	count int32
	ids   []scheduler.TaskID
}

func newOracle(w *World) *oracle {
	return &oracle{
		w: w, leases: map[scheduler.Token]*leaseRecord{}, sessions: map[scheduler.SessionID]*sessionRecord{},
		queues: map[string]*queueRecord{}, holders: map[scheduler.Token]*sessionRecord{}, again: map[scheduler.Token]int{},
		keys: map[scheduler.Hash128]keyRecord{}, requests: map[requestKey]requestRecord{},
	}
}

func (o *oracle) fail(inv Invariant, format string, args ...any) { o.w.fail(inv, format, args...) }

func (o *oracle) task(id scheduler.TaskID) *taskRecord {
	if id == 0 || int(id) > len(o.tasks) {
		return nil
	}
	return o.tasks[id-1]
}

func (o *oracle) queue(name string) *queueRecord {
	q := o.queues[name]
	if q == nil {
		q = &queueRecord{}
		o.queues[name] = q
	}
	return q
}

// applied sees a step, after the state has carried it out. What a replay carries out again must be what it was.
func (o *oracle) applied(c *coordinator, index uint64, b *scheduler.Batch) {
	e := &c.eff
	hash := hashEffects(e)
	if index <= o.index {
		if o.effects[index-1] != hash {
			o.fail(InvReplay, "entry %d did something else when it was replayed", index)
		}
		return
	}
	if !o.appliedOnce(index) {
		return
	}
	o.effects = append(o.effects, hash)
	o.timePasses(c.state, b)
	o.open, o.granted, o.endings, o.ends, o.staged, o.leased = o.open[:0], o.granted[:0], o.endings[:0], 0, 0, 0
	o.requestsOnce(e, b)
	o.openings(e, b)
	o.commanded(e, b)
	for i := range e.Events {
		o.event(&e.Events[i], e, b)
	}
	o.everyEffectTold(e)
	o.settleOpen(c.state, e, b)
	o.answersRight(e, b)
	o.regranted(c.state, e)
	o.inTurn()
	o.timesKept(c.state, e)
	o.forgotten(e)
	o.lettingGo(e, b)
	o.shadowed(index, b, hash)
}

// appliedOnce (15): every entry's effects come once, in the order of the log; no entry is skipped.
func (o *oracle) appliedOnce(index uint64) bool {
	if index != o.index+1 {
		o.fail(InvTwice, "entry %d is applied after %d", index, o.index)
		return false
	}
	o.index = index
	return true
}

// speaks (13): whatever leaves the coordinator because of an entry, that entry is durable.
func (o *oracle) speaks(index uint64, what string) {
	if d := o.w.disk; index > d.synced {
		o.fail(InvDurable, "%s of entry %d is let out, and only %d are durable", what, index, d.synced)
	}
}

// grantSent (13): a grant leaves after the entry that it follows from is durable; (3) and only of a lease that there is.
func (o *oracle) grantSent(g *scheduler.Grant) {
	l := o.leases[g.Token]
	if l == nil {
		o.fail(InvLeaseOfTask, "token %d of task %d is sent, and nobody granted it", g.Token, g.Task)
		return
	}
	if t := o.task(g.Task); traitsOf(t.spec.Body)&traitUnreadable != 0 {
		o.fail(InvLeaseOfTask, "token %d of task %d is sent, whose body can't be read", g.Token, g.Task)
	}
	o.speaks(l.index, "a grant")
}

// streamEnds (6): the coordinator finds no fault with what its workers say.
func (o *oracle) streamEnds(e *entry, end session.End) {
	o.w.note("coordinator: ends stream %d of session %d, reason %d", int64(end.Stream), int64(e.id), int64(end.Reason))
	switch end.Reason {
	case session.EndBadReceipt, session.EndTooMany, session.EndBadOutcomes, session.EndBadRecalled:
		o.fail(InvOutcomes, "session %d: its worker is told that it broke the protocol, reason %d", e.id, end.Reason)
	}
}
