package scheduler

import (
	"slices"
	"strconv"
	"testing"
)

// TestExplain takes random tasks that wait in random clusters and does away with the reason that Explain names, again and
// again: a task that waits always has a reason, and in the end it is granted.
func TestExplain(t *testing.T) {
	granted, cures := 0, map[ReasonCode]int{}
	for _, seed := range seeds(300) {
		g := &gen{source: newSeeded(seed), s: New(), now: testEpoch, deadly: 30 * int(seed%2)}
		h := &harness{t: t, s: g.s, now: testEpoch}
		h.step(&Batch{Logic: LogicVersion, Now: g.now, Commands: []Command{g.beginTerm()}})
		for range 60 {
			h.step(g.step())
		}
		h.now = g.now
		h.term = g.s.globals.Term
		var waiting []TaskID
		g.s.ids.walk(0, func(id TaskID) bool {
			if ti, ok := g.s.Task(id); ok && ti.State == Pending && ti.StartBy == 0 && ti.Deadline == 0 {
				waiting = append(waiting, id)
			}
			return true
		})
		if len(waiting) == 0 {
			continue
		}
		cure := &cure{harness: h, id: waiting[g.n(len(waiting))], seed: seed, used: cures}
		cure.run()
		granted++
	}
	t.Logf("%d tasks granted; reasons done away with: %v", granted, cures)
	if *seedFlag != 0 {
		return
	}
	for _, code := range []ReasonCode{
		ReasonQueuePaused, ReasonNoWorkers, ReasonKindNotServed, ReasonQueueNotServed, ReasonLabelMissing, ReasonPoolTooSmall, ReasonSlotsBusy,
		ReasonDetached, ReasonDraining, ReasonReserved, ReasonSuspectsApart, ReasonQueueMaxLeases,
	} {
		if cures[code] == 0 {
			t.Errorf("no task waited for reason %s: the test shows too little", reasonNames[code])
		}
	}
}

// cure does away with the reasons why one task waits.
type cure struct {
	*harness
	id      TaskID
	seed    uint64
	used    map[ReasonCode]int
	workers int
}

func (c *cure) run() {
	c.t.Helper()
	for range 300 {
		e, ok := c.s.Explain(c.id)
		if !ok || e.Task.State != Pending {
			if !ok || e.Task.State != Leased {
				c.t.Fatalf("seed %d: task %d ended without a grant", c.seed, c.id)
			}
			return
		}
		if len(e.Reasons) == 0 {
			c.t.Fatalf("seed %d: task %d waits, and Explain names no reason; replay with -run TestExplain -seed %d", c.seed, c.id, c.seed)
		}
		// Reasons that one session alone has to get over come one after the other: take the first that isn't a mere queue
		// of others, and the rarest, so that it is about few workers.
		r := e.Reasons[0]
		for _, o := range e.Reasons[1:] {
			if r.Code != ReasonQueuePaused && r.Code != ReasonQueueMaxLeases && o.Code != ReasonBehindOthers && o.Count <= r.Count {
				r = o
			}
		}
		c.used[r.Code]++
		c.remove(&e.Task, r)
	}
	e, _ := c.s.Explain(c.id)
	c.t.Fatalf("seed %d: task %d isn't granted however many reasons went; left: %+v; replay with -run TestExplain -seed %d", c.seed, c.id, e.Reasons, c.seed)
}

// example returns the session that a reason is about.
func (c *cure) example(task *TaskInfo, r Reason) *session {
	for _, x := range c.s.sortedSessions() {
		if got, held := c.s.explainSession(x, c.s.shapes[task.TaskRow.Shape]); held && got.Code == r.Code && got.Label == r.Label {
			if r.Count == 1 && x.Worker.Name != r.Example {
				c.t.Fatalf("seed %d: reason %s names %s, but it is %s's", c.seed, reasonNames[r.Code], r.Example, x.Worker.Name)
			}
			return x
		}
	}
	c.t.Fatalf("seed %d: no session has the reason %s that was named", c.seed, reasonNames[r.Code])
	return nil
}

func (c *cure) remove(task *TaskInfo, r Reason) {
	switch r.Code {
	case ReasonQueuePaused:
		c.apply(Command{Op: OpResumeQueue, Queue: &QueueCommand{Name: task.Queue}})
		return
	case ReasonQueueMaxLeases:
		c.apply(Command{Op: OpConfigureQueue, Queue: &QueueCommand{Name: task.Queue, Fields: QueueMaxLeasesSet}})
		return
	case ReasonNoWorkers:
		c.open(WorkerInfo{Name: "x", Kinds: []string{"other"}, Pools: []Pool{{Name: "main", Slots: 1}}})
		return
	case ReasonBehindOthers:
		c.t.Fatalf("seed %d: behind others is the only reason left", c.seed)
	}
	x := c.example(task, r)
	switch r.Code {
	case ReasonReserved:
		i := x.class.fit(c.s.shapes[task.Shape])
		c.apply(Command{Op: OpCancel, Cancel: &Cancel{IDs: c.ready(x.pools[i].keep)}})
	case ReasonSuspectsApart:
		c.removeSuspect(x)
	case ReasonSlotsBusy:
		tokens := c.s.tokensOf(x)
		c.apply(c.outcomes(x.ID, Outcome{Token: tokens[0], Kind: OutcomeSucceeded}))
	case ReasonDetached:
		if x.Superseded || x.Ending {
			c.apply(onSession(OpCloseSession, SessionCommand{Session: x.ID, Attach: x.Attach}))
			return
		}
		known := make([]KnownToken, 0, x.leases)
		for _, token := range c.s.tokensOf(x) {
			known = append(known, KnownToken{Token: token, Weight: 1, Phase: PhaseStarted})
		}
		c.apply(Command{Op: OpResumeSession, Resume: &ResumeSession{Session: x.ID, Incarnation: x.Worker.Incarnation, Tokens: known}})
	default:
		c.replace(x, task, r)
	}
}

// ready returns a shape's ready tasks.
func (c *cure) ready(sh *shape) (ids []TaskID) {
	sh.ready.keys.walk(0, func(key TaskID) bool { ids = append(ids, key&(1<<readyIDBits-1)); return true })
	return ids
}

// removeSuspect ends a session's suspect, or the wait of the one for which slots are kept there.
func (c *cure) removeSuspect(x *session) {
	for _, token := range c.s.tokensOf(x) {
		if l := c.s.findLease(token); c.s.ofSuspect(l) {
			c.apply(c.outcomes(x.ID, Outcome{Token: token, Kind: OutcomeSucceeded}))
			return
		}
	}
	for i := range x.pools {
		if sh := x.pools[i].keep; sh != nil && sh.Suspect {
			c.apply(Command{Op: OpCancel, Cancel: &Cancel{IDs: c.ready(sh)}})
			return
		}
	}
	c.t.Fatalf("seed %d: session %d has no suspect", c.seed, x.ID)
}

// replace closes a session and opens one that is the same but for the reason.
func (c *cure) replace(x *session, task *TaskInfo, r Reason) {
	w := x.Worker
	w.Kinds, w.Queues, w.Labels, w.Pools = slices.Clone(w.Kinds), slices.Clone(w.Queues), slices.Clone(w.Labels), slices.Clone(w.Pools)
	switch r.Code {
	case ReasonKindNotServed:
		w.Kinds = append(w.Kinds, task.Kind)
		slices.Sort(w.Kinds)
	case ReasonQueueNotServed:
		w.Queues = append(w.Queues, task.Queue)
		slices.Sort(w.Queues)
	case ReasonLabelMissing:
		w.Labels = slices.DeleteFunc(w.Labels, func(l Label) bool { return l.Key == r.Label.Key })
		w.Labels = append(w.Labels, r.Label)
		slices.SortFunc(w.Labels, func(a, b Label) int {
			if a.Key < b.Key {
				return -1
			}
			return 1
		})
	case ReasonPoolTooSmall:
		for i := range w.Pools {
			w.Pools[i].Slots = max(w.Pools[i].Slots, task.Weight)
		}
	case ReasonDraining:
	default:
		c.t.Fatalf("seed %d: no cure for %s", c.seed, reasonNames[r.Code])
	}
	c.apply(onSession(OpCloseSession, SessionCommand{Session: x.ID, Attach: x.Attach}))
	c.workers++
	w.Name = "cured" + strconv.Itoa(c.workers)
	c.open(w)
}
