package scheduler

import (
	"fmt"
	"testing"
)

// bounded goes on step by step until none is asked for; each but the last must work, none may change too many rows. Half
// way it compares a state loaded from a checkpoint: what is left over must be found where it was.
func (h *harness) bounded(atLeastSteps int) {
	h.t.Helper()
	var twin *State
	var eff Effects
	for n := 1; ; n++ {
		rows := h.stepRows()
		if rows > StepRowsMax {
			h.t.Fatalf("step %d changed %d rows, at most %d may change", n, rows, StepRowsMax)
		}
		if twin != nil {
			twin.Apply(h.log[len(h.log)-1], &eff)
			if !same(&eff, &h.eff) || twin.Hash() != h.s.Hash() {
				h.t.Fatalf("step %d: a state loaded in between does otherwise", n)
			}
		}
		if n == 2 {
			twin = checkpointOf(h.t, h.s).load(h.t)
		}
		if !h.eff.More {
			if err := h.s.Check(); err != nil {
				h.t.Fatal(err)
			}
			if n < atLeastSteps {
				h.t.Fatalf("done after %d steps, want at least %d", n, atLeastSteps)
			}
			return
		}
		if rows < StepRowsMax/20 {
			h.t.Fatalf("step %d changed %d rows only, and wants more steps", n, rows)
		}
	}
}

func quiet(t testing.TB) *harness {
	h := newHarness(t)
	h.unchecked = true
	return h
}

func TestBoundDue(t *testing.T) {
	h := quiet(t)
	tasks := specs(30_000, "a")
	for i := range tasks {
		tasks[i].Delay = Hour
	}
	h.submit(tasks...)
	h.open(worker("w", 10_000, "a"))
	h.now = h.now.Add(Hour)
	h.bounded(4)
	if c := h.s.Counts(); c.Scheduled != 0 || c.Leased != 10_000 || c.Pending != 20_000 {
		t.Fatalf("%+v", c)
	}
}

func TestBoundGrants(t *testing.T) {
	h := quiet(t)
	h.submit(specs(20_000, "a")...)
	w := worker("w", 10_000, "a")
	h.open(w)
	if n := len(h.eff.Grants); n > StepRowsMax/2 || n < StepRowsMax/3 || !h.eff.More {
		t.Fatalf("%d grants in one step, more %v", n, h.eff.More)
	}
	h.bounded(2)
	if c := h.s.Counts(); c.Leased != 10_000 {
		t.Fatalf("%+v", c)
	}
}

// TestFairnessCredit lets a queue fall far behind while it is paused: then it may catch up on a little, not on all.
func TestFairnessCredit(t *testing.T) {
	h := newHarness(t)
	tasks := specs(2000, "a")
	for i := range tasks {
		tasks[i].Queue = [...]string{"paused", "runs"}[i%2]
	}
	h.submit(tasks...)
	h.apply(Command{Op: OpPauseQueue, Queue: &QueueCommand{Name: "paused"}})
	first := h.open(worker("w1", 500, "a"))
	if n := len(h.eff.Grants); n != 500 || h.s.sessions[first].leases != n {
		t.Fatalf("%d grants", n)
	}
	h.apply(Command{Op: OpResumeQueue, Queue: &QueueCommand{Name: "paused"}})
	h.open(worker("w2", 200, "a"))
	n := 0
	for i := range h.eff.Grants {
		if h.eff.Grants[i].Queue == "paused" {
			n++
		}
	}
	if credit := int(passCreditMax / weightStride); n < credit+(200-credit)/2-1 || n > credit+(200-credit)/2+1 {
		t.Fatalf("of 200 slots the queue that was paused got %d, want %d first and half of the rest", n, credit)
	}
}

func TestBoundDeathOfBigSession(t *testing.T) {
	h := quiet(t)
	w := worker("w", 10_000, "a", "b")
	w.Pools = append(w.Pools, Pool{Name: "b", Slots: 10_000, Kinds: []string{"b"}})
	id := h.open(w)
	h.submit(append(specs(10_000, "a"), specs(10_000, "b")...)...)
	h.tick(0)
	if c := h.s.Counts(); c.Leased != 20_000 {
		t.Fatalf("%+v", c)
	}
	started := make([]Token, 0, 10_000)
	for token := Token(1); token <= 20_000; token += 2 {
		started = append(started, token)
	}
	h.apply(onSession(OpExpireSession, SessionCommand{Session: id, Attach: 1, Started: started}))
	h.bounded(4)
	if c := h.s.Counts(); c.Pending != 20_000 || c.Leases != 0 || c.Sessions != 0 {
		t.Fatalf("%+v", c)
	}
	lost := 0
	h.s.tasks.each(func(_ uint32, t *task) bool { lost += int(t.Losses); return true })
	if lost != len(started) {
		t.Fatalf("%d losses, want %d", lost, len(started))
	}
}

func TestBoundExpiry(t *testing.T) {
	h := quiet(t)
	tasks := specs(25_000, "a")
	for i := range tasks {
		tasks[i].Deadline = h.now.Add(Hour)
		tasks[i].HasKey, tasks[i].Key = true, Hash128{1, byte(i), byte(i >> 8)}
	}
	h.open(worker("w", 5_000, "a"))
	h.submit(tasks...)
	h.tick(0)
	h.now = h.now.Add(Hour)
	h.bounded(4)
	if c := h.s.Counts(); c.Pending != 0 || c.Leased != 5_000 || c.Keys != 25_000 {
		t.Fatalf("%+v", c)
	}
	h.now = h.now.Add(8 * Day)
	for range 20 {
		h.apply(Command{Op: OpTick})
	}
	if c := h.s.Counts(); c.Keys != 5_000 {
		t.Fatalf("%+v: the keys of ended tasks should have gone", c)
	}
}

// TestBoundAllAtOnce lets a big session die while many tasks become due and expire and many slots are free: each kind of
// work goes on in every step.
func TestBoundAllAtOnce(t *testing.T) {
	h := quiet(t)
	w := worker("dies", 10_000, "a")
	id := h.open(w)
	h.submit(specs(10_000, "a")...)
	h.tick(0)
	tasks := specs(20_000, "b")
	for i := range tasks {
		if tasks[i].Delay = Hour; i%2 == 0 {
			tasks[i].Deadline = h.now.Add(Hour)
		}
	}
	h.submit(tasks...)
	h.submit(specs(10_000, "c")...)
	h.now = h.now.Add(Hour)
	h.apply(onSession(OpExpireSession, SessionCommand{Session: id, Attach: 1}), open(worker("lives", 10_000, "b", "c")))
	if e := &h.eff; len(e.Finished) == 0 || len(e.Grants) == 0 || !e.More {
		t.Fatalf("%d ends, %d grants: want some of each", len(e.Finished), len(e.Grants))
	}
	h.bounded(4)
	if c := h.s.Counts(); c.Leased != 10_000 || c.Scheduled != 0 || c.Sessions != 1 {
		t.Fatalf("%+v", c)
	}
}

// TestBoundManySessions ends all of very many sessions at once.
func TestBoundManySessions(t *testing.T) {
	h := quiet(t)
	const n = 12_000
	for i := range n {
		h.open(worker(fmt.Sprintf("w%d", i), 1, "a"))
	}
	h.submit(specs(n, "a")...)
	h.tick(0)
	if c := h.s.Counts(); c.Leased != n {
		t.Fatalf("%+v", c)
	}
	batch := make([]Command, 0, n)
	for i := range n {
		batch = append(batch, onSession(OpExpireSession, SessionCommand{Session: SessionID(n - i), Attach: 1}))
	}
	h.apply(batch...)
	h.bounded(2)
	if c := h.s.Counts(); c.Pending != n || c.Sessions != 0 {
		t.Fatalf("%+v", c)
	}
}

func code(h *harness, cmds ...Command) Code {
	h.apply(cmds...)
	return h.eff.Replies[len(cmds)-1].Code
}

func TestLimitShapes(t *testing.T) {
	h := newHarness(t)
	for i := range ShapesMax {
		h.submit(spec(fmt.Sprintf("k%d", i)))
	}
	if got := code(h, submit(spec("one-more"))); got != CodeLimitShapes {
		t.Fatalf("shape %d: %s", ShapesMax+1, got)
	}
	other := spec("one-more")
	other.Queue = "other"
	h.submit(other, spec("k7"))
	// A shape lives as long as its tasks: with one gone there is room for one.
	h.apply(Command{Op: OpCancel, Cancel: &Cancel{IDs: []TaskID{1}}})
	if got := code(h, submit(spec("one-more"), spec("two-more"))); got != CodeLimitShapes {
		t.Fatalf("two shapes where one fits: %s", got)
	}
	h.submit(spec("one-more"))
	if got := code(h, submit(spec("k0"))); got != CodeLimitShapes {
		t.Fatalf("a shape without tasks took no room when it came back: %s", got)
	}
	// Shapes without tasks are kept, but few.
	ids := make([]TaskID, 0, ShapesMax)
	for id := TaskID(1); id <= h.s.LastTask(); id++ {
		ids = append(ids, id)
	}
	h.apply(Command{Op: OpCancel, Cancel: &Cancel{IDs: ids}})
	if n := len(h.s.shapes); n > 2*idleShapesMax {
		t.Fatalf("%d shapes of no task", n)
	}
}

func TestLimitPolicies(t *testing.T) {
	h := newHarness(t)
	for round := range 3 {
		tasks := specs(500, "a")
		for i := range tasks {
			tasks[i].Policy.AttemptTimeout = Duration(1000*round + i)
		}
		h.submit(tasks...)
		for id := h.s.LastTask() - 499; id <= h.s.LastTask(); id++ {
			h.apply(Command{Op: OpCancel, Cancel: &Cancel{IDs: []TaskID{id}}})
		}
	}
	if h.s.policies.live != idlePoliciesMax {
		t.Fatalf("%d policies of no task, want %d", h.s.policies.live, idlePoliciesMax)
	}
}

func TestLimitQueues(t *testing.T) {
	h := quiet(t)
	var tasks []TaskSpec
	for i := range QueuesMax - 1 {
		s := spec("a")
		s.Queue = fmt.Sprintf("q%d", i)
		tasks = append(tasks, s)
	}
	h.submit(tasks...)
	more := spec("a")
	more.Queue = "one-more"
	if got := code(h, submit(spec("a"), more)); got != CodeLimitQueues || h.eff.Replies[0].Index != 1 {
		t.Fatalf("queue %d: %s", QueuesMax+1, got)
	}
	if got := code(h, Command{Op: OpConfigureQueue, Queue: &QueueCommand{Name: "one-more"}}); got != CodeLimitQueues {
		t.Fatalf("queue %d: %s", QueuesMax+1, got)
	}
	if err := h.s.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestLimitSessions(t *testing.T) {
	h := quiet(t)
	for i := range SessionsMax {
		h.open(worker(fmt.Sprintf("w%d", i), 1, "a"))
	}
	if got := code(h, open(worker("one-more", 1, "a"))); got != CodeLimitSessions {
		t.Fatalf("session %d: %s", SessionsMax+1, got)
	}
	h.apply(onSession(OpCloseSession, SessionCommand{Session: 5, Attach: 1}))
	h.open(worker("one-more", 1, "a"))
	if err := h.s.Check(); err != nil {
		t.Fatal(err)
	}
}

// TestLimitProducers fills the table of producers: one in recent use is never let go, an old one is.
func TestLimitProducers(t *testing.T) {
	h := quiet(t)
	use := func(i int) Code {
		id := Hash128{1, byte(i), byte(i >> 8), byte(i >> 16)}
		return code(h, Command{Op: OpSubmit, Submit: &Submit{Producer: id, Number: 1, Lowest: 1, Tasks: specs(1, "a")}})
	}
	for i := range ProducersMax {
		if got := use(i); got != CodeOK {
			t.Fatal(got)
		}
	}
	if got := use(ProducersMax); got != CodeLimitProducers {
		t.Fatalf("producer %d: %s", ProducersMax+1, got)
	}
	h.now = h.now.Add(ProducerSafe)
	use(0) // the oldest isn't any more
	h.now = h.now.Add(Second)
	if got := use(ProducersMax); got != CodeOK {
		t.Fatalf("producer %d after %d: %s", ProducersMax+1, ProducerSafe, got)
	}
	if use(0); h.eff.Replies[0].Fresh {
		t.Fatal("a producer in recent use was forgotten")
	}
	if err := h.s.Check(); err != nil {
		t.Fatal(err)
	}
}

// TestLimitDead fills the table of dead letters from a checkpoint: the oldest makes room for the next.
func TestLimitDead(t *testing.T) {
	h := newHarness(t)
	h.open(worker("w", 2, "a"))
	d := checkpointOf(t, h.s)
	l := NewLoader()
	for _, table := range Tables() {
		for key := uint64(1); key <= 3; key++ {
			if row, ok := d.rows[rowRef{table, key}]; ok {
				if table == TableGlobals {
					row.Globals.LastTask, row.Globals.LastDead = 2*DeadMax, 3*DeadMax
				}
				if err := l.Add(&row); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i := range uint64(DeadMax) {
		row := 2*DeadMax + i
		if err := l.Add(&Row{Table: TableDead, Key: row, Dead: DeadRow{Row: row, Task: TaskID(i + 1), Gen: 1, Queue: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := l.State()
	if err != nil {
		t.Fatal(err)
	}
	h.s, h.unchecked = s, true
	h.submit(specs(2, "a")...)
	h.apply(h.outcomes(1, Outcome{Token: 1, Permanent: true, Kind: OutcomeFailed}, Outcome{Token: 2, Permanent: true, Kind: OutcomeFailed}))
	if e := &h.eff; len(e.Forgotten) != 2 || e.Forgotten[0] != 1 || e.Forgotten[1] != 2 || h.s.Counts().Dead != DeadMax {
		t.Fatalf("forgotten %v, %d left", e.Forgotten, h.s.Counts().Dead)
	}
}

// TestLimitAnswers keeps at most AnswersMax answers above what the worker has confirmed.
func TestLimitAnswers(t *testing.T) {
	h := newHarness(t)
	id := h.open(worker("w", 1, "a"))
	report := func(first, through uint64, n int) Code {
		return code(h, Command{Op: OpOutcomes, Outcomes: &Outcomes{
			Session: id, Attach: 1, FirstSeq: first, AnswersThrough: through, List: make([]Outcome, n),
		}})
	}
	if got := report(1, 0, AnswersMax+1); got != CodeInvalid {
		t.Fatal(got)
	}
	if got := report(1, 0, AnswersMax); got != CodeOK {
		t.Fatal(got)
	}
	if got := report(AnswersMax+1, 0, 1); got != CodeInvalid {
		t.Fatal(got)
	}
	if got := report(AnswersMax+1, 3, 3); got != CodeOK {
		t.Fatal(got)
	}
	if n := len(h.s.sessions[id].Answers); n != AnswersMax {
		t.Fatalf("%d answers kept", n)
	}
}
