package watch

import (
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// twin is a ring that keeps everything and knows what a ring of its size would have lost.
type twin struct {
	all  []int // element i has number from + i
	from uint64
	size int
}

func (w *twin) last() uint64 { return w.from + uint64(len(w.all)) - 1 }

// read is Ring.Read, said as simply as it can be.
func (w *twin) read(after uint64, room int) (got []int, through, missed uint64) {
	first := w.from + uint64(max(len(w.all)-w.size, 0))
	through = after
	for number := w.from; number <= w.last(); number++ {
		if number <= after {
			continue
		}
		if number < first {
			missed++
			through = number
			continue
		}
		if len(got) == room {
			break
		}
		got = append(got, w.all[number-w.from])
		through = number
	}
	return got, through, missed
}

// TestRingAgrees compares the ring with its twin, wherever readers stand and whatever room they have.
func TestRingAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size, last := rapid.IntRange(1, 9).Draw(t, "size"), rapid.Uint64Range(0, 20).Draw(t, "last")
		r, w := NewRing[int](size, last), &twin{from: last + 1, size: size}
		var waits []<-chan struct{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "append") {
				var some []int
				for range rapid.IntRange(0, 2*size+1).Draw(t, "elements") {
					some = append(some, len(w.all)+len(some))
				}
				r.Append(some)
				w.all = append(w.all, some...)
				for _, moved := range waits {
					if closed(moved) != (len(some) > 0) {
						t.Fatalf("%d elements came; a waiting reader was told: %v", len(some), closed(moved))
					}
				}
				if len(some) > 0 {
					waits = nil
				}
			}
			// A position before the ring's begin is one of an earlier process.
			after := rapid.OneOf(rapid.Uint64Range(0, w.last()+3), rapid.Just(uint64(math.MaxUint64))).Draw(t, "after")
			buf := make([]int, rapid.IntRange(1, 2*size).Draw(t, "room"))
			n, through, missed, moved := r.Read(after, buf)
			got, wantThrough, wantMissed := w.read(after, len(buf))
			if early := w.from - 1; after < early { // the twin doesn't know what was before it either
				got, wantThrough, wantMissed = w.read(early, len(buf))
				wantMissed += early - after
			}
			if !slices.Equal(buf[:n], got) || through != wantThrough || missed != wantMissed {
				t.Fatalf("after %d: %v through %d, missed %d; want %v, %d, %d", after, buf[:n], through, missed, got, wantThrough, wantMissed)
			}
			if (moved != nil) != (n == 0 && missed == 0) || moved != nil && closed(moved) {
				t.Fatalf("after %d of %d: to wait for: %v", after, w.last(), moved)
			}
			if moved != nil {
				waits = append(waits, moved)
			}
			if r.Last() != w.last() {
				t.Fatalf("last is %d, want %d", r.Last(), w.last())
			}
		}
	})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestRingFollowed: readers of any speed, beside the writer, see every element once and in order, or how many they missed.
func TestRingFollowed(t *testing.T) {
	const size, elements, readers = 64, 20_000, 4
	r := NewRing[uint64](size, 0)
	var all sync.WaitGroup
	for reader := range readers {
		all.Go(func() {
			buf := make([]uint64, 1+reader*size/2)
			for at, seen := uint64(0), uint64(0); at < elements; {
				n, through, missed, moved := r.Read(at, buf)
				if missed > 0 && n == 0 && through <= at {
					t.Errorf("missed %d and got nowhere", missed)
					return
				}
				seen += missed
				for _, e := range buf[:n] {
					if seen++; e != seen {
						t.Errorf("got %d, want %d", e, seen)
						return
					}
				}
				if seen != through {
					t.Errorf("through %d, but %d were seen or missed", through, seen)
					return
				}
				if at = through; moved != nil {
					<-moved
				}
			}
		})
	}
	for number := uint64(1); number <= elements; number += 5 {
		r.Append([]uint64{number, number + 1, number + 2, number + 3, number + 4})
	}
	all.Wait()
}

// TestRingTakesMemoryAsItFills: an empty ring of any size costs nothing, and a full one no more than its size.
func TestRingTakesMemoryAsItFills(t *testing.T) {
	const size = 100_000
	r := NewRing[int](size, 7)
	if len(r.slots) != 0 || cap(r.slots) != 0 {
		t.Errorf("an empty ring has room for %d", cap(r.slots))
	}
	some := make([]int, 999)
	for range 3 * size / len(some) {
		r.Append(some)
	}
	if len(r.slots) != size {
		t.Errorf("a full ring has %d elements, want %d", len(r.slots), size)
	}
	if n := testing.AllocsPerRun(10, func() { r.Append(some) }); n != 0 {
		t.Errorf("a full ring takes %v allocations an Append", n)
	}
}

func BenchmarkRingAppend(b *testing.B) {
	r := NewRing[[13]uint64](100_000, 0)
	some := make([][13]uint64, 1000)
	for b.Loop() {
		r.Append(some)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/element")
}

func TestRingSkip(t *testing.T) {
	r := NewRing[int](4, 10)
	r.Append([]int{11, 12, 13})
	_, _, _, waits := r.Read(13, make([]int, 4))
	r.Skip(13)
	if n, through, missed, _ := r.Read(11, make([]int, 4)); n != 2 || through != 13 || missed != 0 {
		t.Fatalf("a skip to where it is: %d through %d, missed %d", n, through, missed)
	}
	r.Skip(100)
	select {
	case <-waits:
	default:
		t.Error("who waits isn't told of a skip")
	}
	buf := make([]int, 8)
	if n, through, missed, _ := r.Read(12, buf); n != 0 || through != 100 || missed != 88 || r.Last() != 100 {
		t.Fatalf("after a skip: %d through %d, missed %d, last %d", n, through, missed, r.Last())
	}
	r.Append([]int{101, 102, 103, 104, 105})
	if n, through, missed, _ := r.Read(100, buf); n != 4 || through != 105 || missed != 1 || buf[0] != 102 || buf[3] != 105 {
		t.Fatalf("then: %v, %d through %d, missed %d", buf, n, through, missed)
	}
}
