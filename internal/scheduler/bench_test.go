package scheduler

import (
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkApply is one task's life, submit, grant and outcome, in steps of a hundred, beside a backlog: ns/op is a task,
// and should be flat.
func BenchmarkApply(b *testing.B) {
	for _, pending := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("pending=%d", pending), func(b *testing.B) {
			m := newMill(b, pending, 1000)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += millBatch {
				m.round()
			}
		})
	}
}

// BenchmarkApplySingle is one task's life in steps of one command, on an idle cluster.
func BenchmarkApplySingle(b *testing.B) {
	m := newMill(b, 0, 100)
	m.next()
	m.outcomeStep() // nothing runs now
	m.done()
	sub := Batch{Logic: LogicVersion, Now: m.now, Commands: []Command{submit(spec("a"))}}
	m.outcomes.List = m.outcomes.List[:1]
	b.ReportAllocs()
	for b.Loop() {
		m.s.Apply(&sub, &m.eff)
		m.outcomes.List[0] = Outcome{Token: m.eff.Grants[0].Token, Kind: OutcomeSucceeded}
		m.outcomes.AnswersThrough = m.outcomes.FirstSeq - 1
		m.s.Apply(&m.out, &m.eff)
		m.outcomes.FirstSeq++
		if m.s.DirtyLooks() > 30_000 {
			m.checkpoint()
		}
	}
}

// BenchmarkApplyWorkers is BenchmarkApply with a worker of its own label for each hundred of tasks in flight.
func BenchmarkApplyWorkers(b *testing.B) {
	for _, workers := range []int{10, 1000, 20_000} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			h := quiet(b)
			for i := range workers {
				w := worker(fmt.Sprintf("w%d", i), 4, "a", "b")
				w.Labels = []Label{{"host", w.Name}}
				h.open(w)
			}
			other := specs(500, "nobody-serves-this")
			h.submit(other...)
			sub := Batch{Logic: LogicVersion, Now: h.now, Commands: []Command{submit(spec("a"))}}
			out := Outcomes{Attach: 1, List: make([]Outcome, 1)}
			end := Batch{Logic: LogicVersion, Now: h.now, Commands: []Command{{Op: OpOutcomes, Outcomes: &out}}}
			b.ReportAllocs()
			for b.Loop() {
				h.s.Apply(&sub, &h.eff)
				g := &h.eff.Grants[0]
				x := h.s.sessions[g.Session]
				out.Session, out.FirstSeq, out.AnswersThrough = g.Session, x.nextSeq(), x.nextSeq()-1
				out.List[0] = Outcome{Token: g.Token, Kind: OutcomeSucceeded}
				h.s.Apply(&end, &h.eff)
			}
		})
	}
}

// BenchmarkApplyMatching is BenchmarkApply with what else matching does: leases ahead of slots, a bound on the queue's
// leases, tasks of mixed weight that wait for slots in turn.
func BenchmarkApplyMatching(b *testing.B) {
	ahead := worker("w", 500, "a")
	ahead.Pools[0].Prefetch = 500
	for _, bench := range []struct {
		name string
		m    func() *mill
	}{
		{"prefetch", func() *mill { return newMillOf(b, 1000, 1000, ahead, 0, specs(millBatch, "a")) }},
		{"max-leases", func() *mill { return newMillOf(b, 1000, 1000, worker("w", 2000, "a"), 1000, specs(millBatch, "a")) }},
		{"heavy", func() *mill { return newMillOf(b, 1000, 1000, worker("w", 1000, "a"), 0, mixed(millBatch)) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			m := bench.m()
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += millBatch {
				m.round()
			}
		})
	}
}

// BenchmarkRecallable asks twenty thousand workers' state what is to be recalled: nothing is ahead of slots, or all slots
// are taken, or slots are free that fit nothing that is ahead.
func BenchmarkRecallable(b *testing.B) {
	for _, bench := range []struct {
		name     string
		prefetch uint16
		free     bool
	}{{"none-ahead", 0, false}, {"none-free", 2, false}, {"none-fits", 2, true}} {
		b.Run(bench.name, func(b *testing.B) {
			h := quiet(b)
			const n = 20_000
			for i := range n {
				w := worker(fmt.Sprintf("w%d", i), 1, "a")
				if bench.free && i%2 == 0 {
					w.Kinds = []string{"other"}
				}
				w.Pools[0].Prefetch = bench.prefetch
				h.open(w)
			}
			h.submit(specs(3*n, "a")...)
			h.tick(0)
			b.ReportAllocs()
			for b.Loop() {
				if items := h.s.Recallable(1000, nil); len(items) > 0 {
					b.Fatal(items)
				}
			}
		})
	}
}

// BenchmarkLoad loads a checkpoint of a million pending tasks; bytes/task is what they then take in memory.
func BenchmarkLoad(b *testing.B) {
	const n = 1_000_000
	m := newMill(b, n, 1000)
	d := checkpointOf(b, m.s)
	m.s = nil
	globals := d.rows[rowRef{TableGlobals, 1}]
	last := uint64(globals.Globals.LastTask)
	var tables [][]Row
	for _, table := range Tables() {
		var rows []Row
		for key := uint64(1); key <= last; key++ {
			if r, ok := d.rows[rowRef{table, key}]; ok {
				rows = append(rows, r)
			}
		}
		tables = append(tables, rows)
	}
	before := heapInUse()
	var s *State
	for b.Loop() {
		l := NewLoader()
		for _, rows := range tables {
			for i := range rows {
				if err := l.Add(&rows[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
		var err error
		if s, err = l.State(); err != nil {
			b.Fatal(err)
		}
	}
	bytes := float64(heapInUse()-before) / float64(s.tasks.live)
	if b.ReportMetric(bytes, "bytes/task"); bytes > taskBytesMax {
		b.Errorf("%.1f bytes a task, want at most %d", bytes, taskBytesMax)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(tables)
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
