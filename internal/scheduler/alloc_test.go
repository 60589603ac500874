package scheduler

import (
	"runtime"
	"testing"
)

// mill is a cluster in a steady state: a backlog, one worker with slots, and steps that replace what they finish.
type mill struct {
	*harness
	id       SessionID
	tokens   []Token // leased, oldest first
	rows     []Row
	tasks    []TaskSpec
	sub, out Batch
	outcomes Outcomes
}

const millBatch = 100

// newMill makes a mill with so many leases in a steady state.
func newMill(t testing.TB, pending, slots int) *mill {
	return newMillOf(t, pending, slots, worker("w", slots, "a"), 0, specs(millBatch, "a"))
}

// newMillOf makes a mill of a worker, a bound on the queue's leases and the tasks of one submit.
func newMillOf(t testing.TB, pending, leases int, w WorkerInfo, maxLeases uint32, tasks []TaskSpec) *mill {
	m := &mill{harness: quiet(t), tasks: tasks}
	m.id = m.open(w)
	m.apply(Command{Op: OpConfigureQueue, Queue: &QueueCommand{Name: DefaultQueue, Fields: QueueMaxLeasesSet, MaxLeases: maxLeases}})
	var all []TaskSpec
	for len(all) < pending+leases {
		all = append(all, tasks...)
	}
	for len(all) > 0 {
		n := min(len(all), BatchTasksMax)
		m.s.Apply(&Batch{Logic: LogicVersion, Now: m.now, Commands: []Command{submit(all[:n]...)}}, &m.eff)
		m.take()
		all = all[n:]
		if m.s.DirtyLooks() > 50_000 {
			m.checkpoint()
		}
	}
	m.outcomes = Outcomes{Session: m.id, Attach: 1, FirstSeq: 1, List: make([]Outcome, millBatch)}
	m.sub = Batch{Logic: LogicVersion, Now: m.now, Commands: []Command{submit(m.tasks...)}}
	m.out = Batch{Logic: LogicVersion, Now: m.now, Commands: []Command{{Op: OpOutcomes, Outcomes: &m.outcomes}}}
	for range 200 {
		m.round()
	}
	return m
}

func (m *mill) take() {
	for i := range m.eff.Grants {
		m.tokens = append(m.tokens, m.eff.Grants[i].Token)
	}
}

// checkpoint empties the lists of dirty rows, as the engine does several times a second.
func (m *mill) checkpoint() {
	for c, done := m.s.Seal(), false; !done; {
		m.rows, done = m.s.Collect(c, 1000, m.rows[:0])
	}
}

// submitStep stores millBatch tasks.
func (m *mill) submitStep() { m.s.Apply(&m.sub, &m.eff) }

// outcomeStep ends millBatch leases; the slots are filled again.
func (m *mill) outcomeStep() {
	m.s.Apply(&m.out, &m.eff)
}

// next fills in the tokens of the next outcomeStep.
func (m *mill) next() {
	for i := range m.outcomes.List {
		m.outcomes.List[i] = Outcome{Token: m.tokens[i], Kind: OutcomeSucceeded}
	}
	m.tokens = append(m.tokens[:0], m.tokens[millBatch:]...)
	m.outcomes.AnswersThrough = m.outcomes.FirstSeq - 1
}

// done notes what outcomeStep granted.
func (m *mill) done() {
	m.outcomes.FirstSeq += millBatch
	m.take()
}

func (m *mill) round() {
	m.submitStep()
	m.next()
	m.outcomeStep()
	m.done()
	if m.s.DirtyLooks() > 30_000 {
		m.checkpoint()
	}
}

// mixed are light and heavy tasks in turn.
func mixed(n int) []TaskSpec {
	all := specs(n, "a")
	for i := range all {
		all[i].Weight = uint16(1 + i%3)
	}
	return all
}

// allocs counts the allocations of f.
func allocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// TestAllocations pins that a task's submit, grant and outcome allocate nothing in a steady state, with and without a
// backlog, and with a producer's window.
func TestAllocations(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ahead := worker("w", 500, "a")
	ahead.Pools[0].Prefetch = 500
	for name, m := range map[string]*mill{
		"backlog":    newMill(t, 10_000, 1000),
		"no backlog": newMill(t, 0, 100),
		"producer":   newMill(t, 1000, 1000),
		"prefetch":   newMillOf(t, 1000, 1000, ahead, 0, specs(millBatch, "a")),
		"max leases": newMillOf(t, 1000, 1000, worker("w", 2000, "a"), 1000, specs(millBatch, "a")),
		"heavy":      newMillOf(t, 1000, 1000, worker("w", 1000, "a"), 0, mixed(millBatch)),
	} {
		for range 2000 { // until each segment of the indexes has met its most
			m.round()
		}
		const rounds = 100
		var submits, ends uint64
		c := m.sub.Commands[0].Submit
		for i := range rounds {
			if m.s.DirtyLooks() > 20_000 {
				m.checkpoint()
			}
			if name == "producer" {
				c.Producer, c.Number, c.Lowest = Hash128{1}, uint64(i)+1, max(uint64(i), 1)
			}
			submits += allocs(m.submitStep)
			if code := m.eff.Replies[0].Code; code != CodeOK || !m.eff.Replies[0].Fresh {
				t.Fatalf("%s: submit %d: %s", name, i, code)
			}
			m.take()
			m.next()
			ends += allocs(m.outcomeStep)
			if n := len(m.eff.Finished); n != millBatch {
				t.Fatalf("%s: round %d ended %d tasks", name, i, n)
			}
			m.done()
		}
		// A handful in ten thousand: a list of dirty rows or of free slots that grew once more.
		t.Logf("%s: %d tasks: %d allocations in submits, %d in outcomes and grants", name, rounds*millBatch, submits, ends)
		if perTask := (submits + ends) * 100 / (rounds * millBatch); perTask > 0 {
			t.Errorf("%s: %d allocations in %d submits, %d in as many outcomes and grants; want fewer than one in a hundred", name, submits, rounds*millBatch, ends)
		}
		if err := m.s.Check(); err != nil {
			t.Fatal(err)
		}
	}
}
