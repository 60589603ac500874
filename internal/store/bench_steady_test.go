package store

import (
	"math/rand/v2"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// steady is a store under a steady load: each checkpoint brings tasks that
// finished, a rate of them a served second, of which each is kept for a minute.
// It begins after a burst, in which nothing expired, so that the file has pages
// to spare.
type steady struct {
	rate int
	next scheduler.TaskID
	rng  *rand.Rand
}

const (
	steadyRetention = scheduler.Minute
	steadyBurst     = 60 // checkpoints, of about a second each
)

func (l *steady) expiry(id scheduler.TaskID) scheduler.Duration {
	return scheduler.Duration(id) * scheduler.Second / scheduler.Duration(l.rate)
}

// run makes checkpoints and returns the bytes of the file that have ever been
// used: bbolt makes files longer in large steps.
func (l *steady) run(tb testing.TB, s *Store, checkpoints int, expires bool) (used int64) {
	tb.Helper()
	for range checkpoints {
		rows := benchFinished(l.next, l.rate*3/4+l.rng.IntN(l.rate*2/3), 0)
		for i := range rows {
			rows[i].Queue = "default"
			rows[i].ExpiresAt = l.expiry(rows[i].ID) + steadyRetention
		}
		save(tb, s, &Checkpoint{Finished: rows})
		l.next += scheduler.TaskID(len(rows))
		for more := expires; more; {
			var err error
			if _, _, more, err = s.Expire(l.expiry(l.next), 5000); err != nil {
				tb.Fatal(err)
			}
		}
	}
	err := s.db.View(func(tx *bbolt.Tx) error {
		used = tx.Size()
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return used
}

// begin runs through the burst and until the load is steady.
func (l *steady) begin(tb testing.TB, s *Store) (used int64) {
	l.next, l.rng = 1, rand.New(rand.NewPCG(1, 2))
	l.run(tb, s, steadyBurst, false)
	return l.run(tb, s, 60, true)
}

// TestSteadyFile: under a steady load the file doesn't grow. It did while pages
// were given out in no order: each transaction writes the list of free pages to
// neighbouring ones, and there were ever fewer of those.
func TestSteadyFile(t *testing.T) {
	s := openTest(t, t.TempDir())
	l := steady{rate: 3000}
	before := l.begin(t, s)
	if after := l.run(t, s, 300, true); after > before {
		t.Errorf("the file grew from %d to %d bytes in 300 checkpoints of the same load", before, after)
	}
}

// BenchmarkSteady is TestSteadyFile at the size of a busy cluster, 20,000 tasks a
// second: growth is that of 600 checkpoints, each of which counts as a second.
func BenchmarkSteady(b *testing.B) {
	for b.Loop() {
		s := benchOpen(b)
		s.o.FinishedQueueMax = 1 << 30
		l := steady{rate: 20_000}
		before := l.begin(b, s)
		growth := l.run(b, s, 600, true) - before
		b.ReportMetric(float64(before), "file-bytes")
		b.ReportMetric(float64(growth), "growth-bytes")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
