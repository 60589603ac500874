package consensus

import (
	"fmt"
	"testing"
)

type idleMachine struct{ recorder }

func (*idleMachine) Apply(uint64, uint64, []byte) {}

// BenchmarkPropose measures commits: entries of size bytes, inflight at a time.
// One fsync a commit is the floor for inflight=1.
func BenchmarkPropose(b *testing.B) {
	for _, c := range []struct{ size, inflight int }{
		{256, 1}, {256, 8}, {256, 64}, {25600, 8}, {100 << 10, 1}, {100 << 10, 8},
	} {
		b.Run(fmt.Sprintf("size=%d/inflight=%d", c.size, c.inflight), func(b *testing.B) {
			o, _ := testOptions(b, b.TempDir(), &memDisk{})
			o.Machine = &idleMachine{}
			o.hooks.raftTimeout = loneTimeout
			l := mustOpen(b, o)
			entry := make([]byte, c.size)
			waits := make([]func() error, 0, c.inflight)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				if len(waits) == c.inflight {
					if err := waits[0](); err != nil {
						b.Fatal(err)
					}
					waits = waits[:copy(waits, waits[1:])]
				}
				wait, err := l.Propose(entry)
				if err != nil {
					b.Fatal(err)
				}
				waits = append(waits, wait)
				if c.inflight == 1 {
					if err := waits[0](); err != nil {
						b.Fatal(err)
					}
					waits = waits[:0]
				}
			}
			for _, wait := range waits {
				if err := wait(); err != nil {
					b.Fatal(err)
				}
			}
			s := l.Stats()
			b.ReportMetric(float64(s.Entries)/float64(s.Writes), "entries/fsync")
			b.ReportMetric(float64(s.WriteTime.Nanoseconds())/float64(s.Writes), "ns/fsync")
		})
	}
}

// BenchmarkOpen measures a start up to leadership.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		o, _ := testOptions(b, dir, &memDisk{})
		o.hooks.raftTimeout = loneTimeout
		l, err := Open(o)
		if err != nil {
			b.Fatal(err)
		}
		awaitLeader(b, l)
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
