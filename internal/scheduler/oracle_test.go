package scheduler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// drawn makes rapid a source of choices, so that a failure shrinks.
type drawn struct{ t *rapid.T }

func (d drawn) n(limit int) int { return rapid.IntRange(0, limit-1).Draw(d.t, "n") }

// TestOracle compares the core with its dumb twin after every step of random commands: effects and state.
// Rapid prints the seed of a failure and how to replay it.
func TestOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { runOracle(rt, drawn{rt}, rt.Fatalf, 60, nil) })
}

// TestOracleLong runs fewer, longer histories.
func TestOracleLong(t *testing.T) {
	met := seen{}
	for _, seed := range seeds(8) {
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d: replay with -run TestOracleLong -seed %d: "+format, append([]any{seed, seed}, args...)...)
		}
		runOracle(t, newSeeded(seed), fail, 700, met)
	}
	met.enough(t, 10)
}

func runOracle(t interface{ Helper() }, src source, fail func(string, ...any), steps int, met seen) {
	t.Helper()
	g := &gen{source: src, s: New(), now: testEpoch, hostile: 6, deadly: 30 * src.n(2)}
	m := newModel()
	var eff Effects
	b := g.first()
	for i := range steps {
		g.s.Apply(b, &eff)
		want := m.apply(b)
		if met != nil {
			met.note(g.s, &eff)
		}
		if err := checkAll(g.s, &eff); err != nil {
			fail("step %d: %v\n%s", i, err, describe(b))
		}
		if err := checkRecall(g.s); err != nil {
			fail("step %d: recall: %v\n%s", i, err, describe(b))
		}
		if !same(want, &eff) {
			fail("step %d: effects differ (-model +core):\n%s\n%s", i, cmp.Diff(want, &eff, cmpopts.EquateEmpty()), describe(b))
		}
		if mine, core := m.rows(), rowsOf(g.s); !same(mine, core) {
			fail("step %d: states differ (-model +core):\n%s\n%s", i, cmp.Diff(mine, core, cmpopts.EquateEmpty()), describe(b))
		}
		b = g.step()
	}
}

// plainRows is a state as both twins can tell it.
type plainRows struct {
	Globals   GlobalsRow
	Tasks     map[TaskID]plainTask
	Leases    map[Token]LeaseRow
	Sessions  map[SessionID]SessionRow
	Queues    map[uint32]QueueRow
	Producers map[Hash128]ProducerRow
	Keys      map[Hash128]KeyRow
	Dead      map[TaskID]DeadRow
	Shapes    map[uint32]ShapeRow
}

type plainTask struct {
	Row         TaskRow
	Kind, Queue string
	Require     []Label
	Weight      uint16
	Policy      Policy
}

func newPlainRows(g GlobalsRow) *plainRows {
	return &plainRows{
		Globals: g, Tasks: map[TaskID]plainTask{}, Leases: map[Token]LeaseRow{}, Sessions: map[SessionID]SessionRow{},
		Queues: map[uint32]QueueRow{}, Producers: map[Hash128]ProducerRow{}, Keys: map[Hash128]KeyRow{}, Dead: map[TaskID]DeadRow{},
		Shapes: map[uint32]ShapeRow{},
	}
}

func (m *model) rows() *plainRows {
	p := newPlainRows(m.g)
	for id, t := range m.tasks {
		p.Tasks[id] = plainTask{t.TaskRow, t.kind, t.queue, t.require, t.weight, t.policy}
	}
	for k, v := range m.leases {
		p.Leases[k] = *v
	}
	for k, v := range m.sessions {
		p.Sessions[k] = *v
	}
	for _, v := range m.queues {
		p.Queues[v.ID] = *v
	}
	for k, v := range m.producers {
		p.Producers[k] = *v
	}
	for k, v := range m.keys {
		p.Keys[k] = *v
	}
	for k, v := range m.dead {
		p.Dead[k] = *v
	}
	for _, v := range m.shapes {
		p.Shapes[v.ID] = *v
	}
	return p
}

func rowsOf(s *State) *plainRows {
	p := newPlainRows(s.globals)
	p.Globals.LastPolicy = 0
	s.eachRow(func(r *Row) {
		switch r.Table {
		case TableTasks:
			info, _ := s.Task(r.Task.ID)
			row := r.Task
			row.Policy = 0
			p.Tasks[row.ID] = plainTask{row, info.Kind, info.Queue, info.Require, info.Weight, info.Policy}
		case TableLeases:
			p.Leases[r.Lease.Token] = r.Lease
		case TableSessions:
			p.Sessions[r.Session.ID] = *r.Session
		case TableQueues:
			p.Queues[r.Queue.ID] = *r.Queue
		case TableProducers:
			p.Producers[r.Producer.ID] = *r.Producer
		case TableKeys:
			p.Keys[r.Key128.Key] = r.Key128
		case TableDead:
			p.Dead[r.Dead.Task] = r.Dead
		case TableShapes:
			p.Shapes[r.Shape.ID] = *r.Shape
		}
	})
	return p
}

// describe prints a batch for a failure's message.
func describe(b *Batch) string {
	return "batch (as + lines): " + cmp.Diff((*Batch)(nil), b)
}
