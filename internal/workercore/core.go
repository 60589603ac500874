package workercore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Pool configures one semaphore.
type Pool struct {
	Name  string
	Slots int // 1 to SlotsMax
	// Prefetch is how many leases of weight 1 beyond its slots the coordinator may send ahead; 0 to PrefetchMax. They wait
	// in the semaphore's line.
	Prefetch int
}

// Config of a Core.
type Config struct {
	Pools        []Pool   // 1 to PoolsMax; slots and prefetch SlotsTotalMax in all
	DrainTimeout Duration // how long a stopping worker lets its handlers run; 0: not at all
	KillGrace    Duration // between asking a handler to stop and killing it; 0: none
}

// Core is a worker: what it holds, runs and has to say. See the package's documentation. One goroutine calls it.
type Core struct {
	cfg Config
	now Time // the latest the core was told

	pools    []pool
	poolNo   map[string]int
	records  map[Token]*record
	free     []*record // at most TokensMax, for reuse
	timers   timers
	outbox   outbox
	held     int
	running  int  // Invariant: records in phase Running
	progress bool // handlers have said something of theirs, not told

	stream  stream
	session session
	drain   drain

	wake   Time // when the last Settle asked to be woken
	lookBy Time // this process stood still: until then nobody is given up for what may wait to be read
}

type pool struct {
	name string
	sem  Semaphore
}

// record is a token that the core knows.
type record struct {
	Waiter // its token, its weight, and its place in the semaphore

	task  TaskID
	phase Phase
	pool  int

	cause  Cause // Running: why its handler was asked to stop
	asked  bool  // Running: the coordinator wanted that
	killed bool  // Running: told so

	timeout  Duration
	startBy  Time // Held: not started from then on
	deadline Time // of its task
	stopAt   Time // Running: when its attempt timeout passes
	killAt   Time // Running, asked to stop: when its grace ends
	wake     Time // in timers
	timerPos int  // noTimer: not in timers

	outcome Outcome // Finished
	body    any
}

// New returns a core without a stream and without a session.
func New(cfg Config) (*Core, error) {
	if n := len(cfg.Pools); n < 1 || n > PoolsMax {
		return nil, fmt.Errorf("pools: %d, want 1 to %d", n, PoolsMax)
	}
	if cfg.DrainTimeout < 0 || cfg.KillGrace < 0 {
		return nil, errors.New("drain timeout and kill grace can't be negative")
	}
	c := &Core{cfg: cfg, poolNo: map[string]int{}, records: map[Token]*record{}, wake: TimeMax}
	c.drain.ghosts = map[Token]struct{}{}
	total := 0
	for i, p := range cfg.Pools {
		if p.Slots < 1 || p.Slots > SlotsMax {
			return nil, fmt.Errorf("slots of pool %q: %d, want 1 to %d", p.Name, p.Slots, SlotsMax)
		}
		if _, twice := c.poolNo[p.Name]; twice {
			return nil, fmt.Errorf("pool %q is there twice", p.Name)
		}
		if p.Prefetch < 0 || p.Prefetch > PrefetchMax {
			return nil, fmt.Errorf("prefetch of pool %q: %d, want 0 to %d", p.Name, p.Prefetch, PrefetchMax)
		}
		c.poolNo[p.Name] = i
		c.pools = append(c.pools, pool{name: p.Name, sem: NewSemaphore(p.Slots)})
		total += p.Slots + p.Prefetch
	}
	if total > SlotsTotalMax {
		return nil, fmt.Errorf("slots and prefetch of all pools: %d, the most is %d", total, SlotsTotalMax)
	}
	return c, nil
}

// Settle carries out what is due at now and what the inputs since the last Settle have made possible: it fires timers,
// starts what its semaphores admit, and composes messages. Call it after every batch of inputs and at NextWake.
func (c *Core) Settle(now Time, act *Actions) {
	c.tell(now)
	c.noteStall()
	c.watchTrust(act) // before anything is started: a stalled process must not start what it has lost
	c.fire(act)
	c.drainStep(act)
	c.admit(act)
	c.watchStream(act)
	c.speak(act)
	act.End = c.end()
	act.NextWake = c.nextWake()
	if c.wake = act.NextWake; act.End.Ended {
		c.wake = TimeMax // nobody comes again
	}
}

// noteStall notices that the owner comes much later than it was asked to: this process, or the machine, stood still. What
// the coordinator has said meanwhile is there, but nobody has read it yet; so a worker that stops doesn't take it for silent
// at once. (One that goes on does: to resume costs it little.) Trust in leases is not prolonged.
func (c *Core) noteStall() {
	if c.drain.on && c.now >= c.wake.Add(StallMin) {
		c.lookBy = c.now.Add(StallLook)
	}
}

// tell takes the time, which never goes back.
func (c *Core) tell(now Time) { c.now = max(c.now, now) }

// Resize sets the slots of a pool, 1 to SlotsMax. A shrink takes effect as permits come back; what then fits no more is
// handed back. It reports whether there is such a pool.
func (c *Core) Resize(name string, slots int) bool {
	no, ok := c.poolNo[name]
	if !ok || slots < 1 || slots > SlotsMax {
		return false
	}
	for _, w := range c.pools[no].sem.Resize(slots, nil) {
		c.finish(c.records[w.Token], Outcome{Kind: Interrupted, Reason: tooHeavy(w.Weight, slots)})
	}
	return true
}

func tooHeavy(weight, slots int) string {
	return fmt.Sprintf("weighs %d, its pool at this worker has %d slots", weight, slots)
}

// Finished takes the report of a handler that has returned.
func (c *Core) Finished(now Time, token Token, rep Report) {
	c.tell(now)
	if _, ghost := c.drain.ghosts[token]; ghost { // given up earlier; its outcome has been reported
		delete(c.drain.ghosts, token)
		return
	}
	r := c.records[token]
	if r == nil || r.phase != Running {
		panic(fmt.Sprintf("workercore: a handler of token %d returned that was not running", token))
	}
	o := r.resolve(rep)
	o.Ran = rep.Ran
	c.finish(r, o)
}

// resolve says what is reported for a handler that returned rep. Success stands even if it was asked to stop: the fence
// decides whether it counts. Only a timed-out attempt has failed whatever it returned, since a handler that is stopped
// may well return half a result without an error.
func (r *record) resolve(rep Report) Outcome {
	o := Outcome{Kind: rep.Kind, Size: rep.Size, Body: rep.Body}
	switch {
	case r.cause == CauseNone:
	case r.cause == CauseTimeout:
		o.Kind, o.Reason = TimedOut, "attempt timeout passed"
	case r.cause == CauseDeadline && !r.asked:
		o.Kind, o.Reason = TimedOut, "task deadline passed"
	case rep.Kind == Succeeded:
	case r.cause == CauseCancelled, r.cause == CauseDeadline:
		o = Outcome{Kind: Cancelled}
	case r.cause == CauseRevoked:
		o = Outcome{Kind: Interrupted, Reason: "lease revoked"}
	case r.cause == CauseLost:
		o = Outcome{Kind: Interrupted, Reason: "no contact with the coordinator"}
	case r.cause == CauseDraining:
		o = Outcome{Kind: Interrupted, Reason: reasonStopping}
	}
	return o
}

const reasonStopping = "the worker stops"

// add makes the record of a token that the core doesn't know.
func (c *Core) add(token Token, task TaskID) *record {
	var r *record
	if n := len(c.free); n > 0 {
		r, c.free = c.free[n-1], c.free[:n-1]
	} else {
		r = new(record)
	}
	*r = record{
		Waiter: Waiter{Token: token, Weight: 1}, task: task,
		startBy: TimeMax, deadline: TimeMax, stopAt: TimeMax, killAt: TimeMax, wake: TimeMax, timerPos: noTimer,
	}
	c.records[token] = r
	return r
}

// finish ends a record with an outcome, from whatever phase it is in, and puts it into the outbox.
func (c *Core) finish(r *record, o Outcome) {
	sem := &c.pools[r.pool].sem
	switch r.state {
	case waiterWaiting:
		sem.Withdraw(&r.Waiter)
	case waiterAdmitted:
		sem.Release(&r.Waiter)
	}
	switch r.phase {
	case Held:
		c.held--
	case Running:
		c.running--
	}
	c.timers.remove(r)
	o.Token, o.Task = r.Token, r.task
	r.phase, r.outcome, r.body = Finished, o, nil
	c.outbox.push(r)
}

// forget drops a record: its outcome has its answer, or it was given up before it started.
func (c *Core) forget(r *record) {
	delete(c.records, r.Token)
	r.outcome, r.body = Outcome{}, nil
	c.free = append(c.free, r)
}

// inOrder returns the records in a phase, by token.
func (c *Core) inOrder(phase Phase) []*record {
	var list []*record
	for _, r := range c.records {
		if r.phase == phase {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *record) int { return cmp.Compare(a.Token, b.Token) })
	return list
}

// Counts is what a core holds, for those who look at it from outside.
type Counts struct {
	Session    uint64 // 0: none yet
	Live       bool   // the stream is up and welcomed
	Held       int
	Running    int
	Unanswered int
	Slots      int // permits of all semaphores
	Used       int // those that are out
}

// Counts returns the present counts.
func (c *Core) Counts() Counts {
	n := Counts{
		Session: c.session.id, Live: c.stream.state == streamLive,
		Held: c.held, Running: c.running, Unanswered: c.outbox.n,
	}
	for i := range c.pools {
		n.Slots += c.pools[i].sem.Capacity()
		n.Used += c.pools[i].sem.Used()
	}
	return n
}
