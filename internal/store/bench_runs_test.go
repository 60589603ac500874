//go:build unix

package store

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

const (
	benchTasks = 100_000 // tasks of one checkpoint
	benchKept  = 500_000 // tasks in a file that some are taken from
)

// benchNew is a checkpoint of n new tasks, each with a body of 300 bytes.
func benchNew(from scheduler.TaskID, n int) *Checkpoint {
	body := make([]byte, 300)
	bodies := make([]Blob, n)
	for i := range bodies {
		bodies[i] = Blob{ID: from + scheduler.TaskID(i), Data: body}
	}
	return &Checkpoint{Rows: taskBatches(uint64(from), n), Bodies: bodies}
}

// benchGone is a checkpoint that removes tasks.
func benchGone(ids []scheduler.TaskID) *Checkpoint {
	rows := make([]scheduler.Row, len(ids))
	for i, id := range ids {
		rows[i] = deletion(scheduler.TableTasks, uint64(id))
	}
	return &Checkpoint{Rows: pulling(rows), DropBodies: ids}
}

// benchSave times a checkpoint; it stands between StopTimer and StartTimer.
func benchSave(b *testing.B, s *Store, cp *Checkpoint, spent *time.Duration) {
	began := cpuTime(b)
	b.StartTimer()
	save(b, s, cp)
	b.StopTimer()
	*spent += cpuTime(b) - began
}

func perTask(b *testing.B, s *Store, tasks int, spent time.Duration) {
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*tasks), "cpu-ns/task")
	st := s.Stats()
	if n := st.Rows[scheduler.TableTasks]; n > 0 {
		b.ReportMetric(float64(st.FileBytes-st.FreeBytes)/float64(n), "bytes/task")
	}
}

// BenchmarkSaveNew is a checkpoint of new tasks alone.
func BenchmarkSaveNew(b *testing.B) {
	s := benchOpen(b)
	spent := time.Duration(0)
	b.ReportAllocs()
	next := scheduler.TaskID(1)
	for b.Loop() {
		b.StopTimer()
		cp := benchNew(next, benchTasks)
		next += benchTasks
		benchSave(b, s, cp, &spent)
		b.StartTimer()
	}
	perTask(b, s, benchTasks, spent)
}

// BenchmarkSaveGone removes tasks: in order of id, as short ones end, and at
// random out of all that are there.
func BenchmarkSaveGone(b *testing.B) {
	for name, random := range map[string]bool{"ordered": false, "random": true} {
		b.Run(name, func(b *testing.B) {
			s := benchOpen(b)
			for from := scheduler.TaskID(1); from < benchKept; from += benchTasks {
				save(b, s, benchNew(from, benchTasks))
			}
			ids := make([]scheduler.TaskID, benchKept)
			for i := range ids {
				ids[i] = scheduler.TaskID(i + 1)
			}
			if random {
				rng := rand.New(rand.NewPCG(1, 2))
				rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			}
			const n = 20_000
			spent := time.Duration(0)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				gone := ids[:n]
				ids = append(ids[n:], gone...)
				benchSave(b, s, benchGone(gone), &spent)
				if b.N > len(ids)/n/2 {
					b.Fatal("choose -benchtime 10x: there is no more to remove")
				}
				b.StartTimer()
			}
			perTask(b, s, n, spent)
		})
	}
}

// BenchmarkBodiesSparse reads the bodies of tasks far from one another.
func BenchmarkBodiesSparse(b *testing.B) {
	s := benchOpen(b)
	save(b, s, benchNew(1, benchTasks))
	ids := make([]scheduler.TaskID, 100)
	next := 0
	for b.Loop() {
		for i := range ids {
			ids[i] = scheduler.TaskID(1 + (next+i*997)%benchTasks)
		}
		next++
		if err := s.Bodies(ids, func(int, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, len(ids))
}
