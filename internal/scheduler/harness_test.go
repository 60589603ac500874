package scheduler

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seedFlag replays a test that draws its commands from a seed: go test -run NAME -seed N.
var seedFlag = flag.Uint64("seed", 0, "seed of the random tests that draw from one; 0: theirs")

// seeds returns the seeds that a random test runs with: its own n, or the one asked for.
func seeds(n int) []uint64 {
	if *seedFlag != 0 {
		return []uint64{*seedFlag}
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = uint64(i) + 1
	}
	return all
}

// source is where a generator's choices come from: rapid, a seeded generator, or a fuzzer's bytes.
type source interface {
	// n returns a number in [0, limit).
	n(limit int) int
}

type seeded struct{ r *rand.Rand }

func newSeeded(seed uint64) seeded { return seeded{rand.New(rand.NewPCG(seed, seed))} }

func (s seeded) n(limit int) int { return s.r.IntN(limit) }

// harness applies commands to a state, checks it after each step and keeps the log.
type harness struct {
	t         testing.TB
	s         *State
	eff       Effects
	log       []*Batch
	now       Time
	term      uint64
	logic     uint32 // of the first entry
	unchecked bool   // Check walks the whole state: too much after each step of a test with many tasks
}

// testEpoch is when tests begin: a time of day, so that a confusion with served time shows.
const testEpoch = Time(1_700_000_000) * Time(Second)

func newHarness(t testing.TB) *harness { return newHarnessOf(t, LogicVersion) }

// newHarnessOf begins a log under some version of the rules.
func newHarnessOf(t testing.TB, logic uint32) *harness {
	h := &harness{t: t, s: New(), now: testEpoch, logic: logic}
	h.begin(Limits{MaxTasks: MaxTasksDefault, Depth: QueueDepth})
	return h
}

// begin commits a new leader's first entry.
func (h *harness) begin(l Limits) *Effects {
	h.term++
	return h.apply(Command{Op: OpBeginTerm, BeginTerm: &BeginTerm{Term: h.term, Limits: l}})
}

// apply carries out one step at the harness's time.
func (h *harness) apply(cmds ...Command) *Effects {
	h.t.Helper()
	return h.step(&Batch{Logic: h.rules(), Now: h.now, Commands: cmds})
}

// rules is the version that the next entry must want.
func (h *harness) rules() uint32 {
	if v := h.s.Logic(); v != 0 {
		return v
	}
	return h.logic
}

func (h *harness) step(b *Batch) *Effects {
	h.t.Helper()
	h.log = append(h.log, b)
	h.s.Apply(b, &h.eff)
	if h.unchecked {
		return &h.eff
	}
	if err := checkAll(h.s, &h.eff); err != nil {
		h.t.Fatalf("after step %d: %v", len(h.log), err)
	}
	return &h.eff
}

// tick lets time pass and applies steps until none is asked for.
func (h *harness) tick(d Duration) {
	h.t.Helper()
	h.now = h.now.Add(d)
	for {
		if h.apply(Command{Op: OpTick}); !h.eff.More {
			return
		}
	}
}

// checkAll checks the state and what must hold of any step's effects.
func checkAll(s *State, eff *Effects) error {
	if err := s.Check(); err != nil {
		return err
	}
	for _, q := range s.Queues() {
		if alone, ok := s.Queue(q.Name); !ok || alone != q {
			return fmt.Errorf("queue %+v among all, %+v alone", q, alone)
		}
	}
	for i := range eff.Events {
		before := s.LastPosition() - uint64(len(eff.Events)-1-i)
		if p := eff.Events[i].Position; p != before && p != before-RestoreJump { // OpRestored comes last
			return fmt.Errorf("event %d of %d has position %d, the last one is %d", i, len(eff.Events), p, s.LastPosition())
		}
	}
	if !eff.More && s.matcher.left && !s.Restoring() {
		return fmt.Errorf("matching stopped early, and More isn't set")
	}
	for _, g := range eff.Grants {
		if x := s.sessions[g.Session]; !g.Again && (x == nil || !x.attachedIn(s.globals.Term) || x.Attach != g.Attach) {
			return fmt.Errorf("grant of token %d to session %d, attach %d, which isn't there", g.Token, g.Session, g.Attach)
		}
		if g.Token > s.globals.LastToken {
			return fmt.Errorf("grant of token %d above the counter", g.Token)
		}
	}
	return nil
}

// replay applies a log to an empty state.
func replay(log []*Batch) *State {
	s := New()
	var eff Effects
	for _, b := range log {
		s.Apply(b, &eff)
	}
	return s
}

// Commands in short.

func submit(tasks ...TaskSpec) Command {
	return Command{Op: OpSubmit, Submit: &Submit{Tasks: tasks}}
}

func spec(kind string) TaskSpec {
	return TaskSpec{Kind: kind, Queue: DefaultQueue, Weight: 1, Policy: DefaultPolicy()}
}

func specs(n int, kind string) []TaskSpec {
	all := make([]TaskSpec, n)
	for i := range all {
		all[i] = spec(kind)
	}
	return all
}

func worker(name string, slots int, kinds ...string) WorkerInfo {
	return WorkerInfo{Name: name, Incarnation: Hash128{1}, Kinds: kinds, Pools: []Pool{{Name: "main", Slots: uint16(slots)}}}
}

func open(w WorkerInfo) Command { return Command{Op: OpOpenSession, Open: &OpenSession{Worker: w}} }

func onSession(op Op, c SessionCommand) Command { return Command{Op: op, Session: &c} }

// open opens a session and returns its id.
func (h *harness) open(w WorkerInfo) SessionID {
	h.t.Helper()
	eff := h.apply(open(w))
	if eff.Replies[0].Code != CodeOK {
		h.t.Fatalf("open %s: %s", w.Name, eff.Replies[0].Code)
	}
	return eff.Replies[0].Session
}

// submit stores tasks in as many steps as it takes.
func (h *harness) submit(tasks ...TaskSpec) {
	h.t.Helper()
	for len(tasks) > 0 {
		n := min(len(tasks), BatchTasksMax)
		if eff := h.apply(submit(tasks[:n]...)); eff.Replies[0].Code != CodeOK {
			h.t.Fatalf("submit: %s at %d", eff.Replies[0].Code, eff.Replies[0].Index)
		}
		tasks = tasks[n:]
	}
}

// outcomes builds the report of tokens' ends, as the session's next numbers.
func (h *harness) outcomes(id SessionID, list ...Outcome) Command {
	x := h.s.sessions[id]
	return Command{Op: OpOutcomes, Outcomes: &Outcomes{
		Session: id, Attach: x.Attach, FirstSeq: x.nextSeq(), AnswersThrough: x.nextSeq() - 1, List: list,
	}}
}

func join[T any](items []T, f func(T) string) string {
	parts := make([]string, len(items))
	for i, it := range items {
		parts[i] = f(it)
	}
	return strings.Join(parts, " ")
}
