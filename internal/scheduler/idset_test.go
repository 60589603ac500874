package scheduler

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func (s *idSet) all() (ids []TaskID) {
	s.walk(0, func(id TaskID) bool { ids = append(ids, id); return true })
	return ids
}

// check reports what is wrong with the pages.
func (s *idSet) check(t interface{ Fatalf(string, ...any) }) {
	last, some := uint64(0), false
	for i, p := range s.pages {
		if n := len(p.words); n == 0 || n > idPageWords || i > 0 && len(s.pages[i-1].words)+n <= idPageWords/2 {
			t.Fatalf("page %d of %d has %d words: empty, or it and the one before should be one", i, len(s.pages), len(p.words))
		}
		for _, w := range p.words {
			if some && w.key <= last || w.bits == 0 {
				t.Fatalf("word %d after %d, bits %x", w.key, last, w.bits)
			}
			last, some = w.key, true
		}
	}
}

// TestIDSet compares the set with a sorted slice: dense and sparse ids, at the end, in the middle, taken out in any order.
func TestIDSet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s idSet
		var plain []TaskID
		spread := rapid.SampledFrom([]uint64{1, 3, 64, 1000}).Draw(rt, "spread")
		next := rapid.Uint64Range(1, 1<<54).Draw(rt, "first")
		for range rapid.IntRange(1, 12).Draw(rt, "rounds") {
			n := rapid.IntRange(1, 1500).Draw(rt, "n")
			switch rapid.IntRange(0, 2).Draw(rt, "what") {
			case 0:
				for range n {
					plain = append(plain, TaskID(next))
					s.add(TaskID(next))
					next += spread
				}
			case 1: // those that were taken out of the middle come back
				at := rapid.IntRange(0, 1000).Draw(rt, "at")
				for i := range min(n, 300) {
					if next < uint64(at+i)*spread+1 {
						break
					}
					id := TaskID(next - uint64(at+i)*spread - 1)
					if j, there := slices.BinarySearch(plain, id); !there && id > 0 {
						plain = slices.Insert(plain, j, id)
						s.add(id)
					}
				}
			default:
				at, step := rapid.IntRange(0, len(plain)).Draw(rt, "at"), rapid.IntRange(0, 3).Draw(rt, "step")
				for range n {
					if at >= len(plain) {
						break
					}
					s.remove(plain[at])
					plain = slices.Delete(plain, at, at+1)
					at += step
				}
			}
			s.check(rt)
			if len(plain) > 0 && (s.first() != plain[0] || !s.has(plain[len(plain)/2])) {
				rt.Fatalf("the first is %d, want %d; or %d is missing", s.first(), plain[0], plain[len(plain)/2])
			}
			if got := s.all(); !slices.Equal(got, plain) {
				rt.Fatalf("the set has %d ids, want %d", len(got), len(plain))
			}
			after := TaskID(0)
			if len(plain) > 0 {
				after = plain[rapid.IntRange(0, len(plain)-1).Draw(rt, "after")] + TaskID(rapid.IntRange(0, 2).Draw(rt, "more"))
			}
			j, there := slices.BinarySearch(plain, after)
			if there {
				j++
			}
			var got TaskID
			s.walk(after, func(id TaskID) bool { got = id; return false })
			if j < len(plain) && got != plain[j] || j == len(plain) && got != 0 {
				rt.Fatalf("after %d comes %d", after, got)
			}
		}
	})
}

// TestIDSetChurn takes ids far apart out and puts them back at random, so that full pages are split, neighbours joined and
// let go, and the memory of those used again.
func TestIDSetChurn(t *testing.T) {
	const n, apart = 4000, 64
	for _, seed := range seeds(3) {
		r := newSeeded(seed)
		var s idSet
		in := make([]bool, n)
		for step := range 60_000 {
			// Waves: first most come, then most go.
			i, coming := r.n(n), r.n(10) < 1+8*(step/10_000%2^1)
			if in[i] == coming {
				continue
			}
			in[i] = coming
			if id := TaskID(i*apart + 1); coming {
				s.add(id)
			} else {
				s.remove(id)
			}
			if step%500 == 0 {
				s.check(t)
				var want []TaskID
				for i := range in {
					if in[i] {
						want = append(want, TaskID(i*apart+1))
					}
				}
				if got := s.all(); !slices.Equal(got, want) {
					t.Fatalf("seed %d, step %d: %d ids, want %d; replay with -run TestIDSetChurn -seed %d", seed, step, len(got), len(want), seed)
				}
			}
		}
	}
}

// TestIDSetSize pins what the set costs: dense, and with one id in each word after most were taken out.
func TestIDSetSize(t *testing.T) {
	const n = 1 << 20
	var s idSet
	for id := range TaskID(n) {
		s.add(id + 1)
	}
	if words := len(s.pages) * idPageWords; words*16 > n/3 {
		t.Errorf("%d words for %d ids", words, n)
	}
	left := 0
	for id := TaskID(1); id <= n; id++ {
		if id%640 == 0 {
			left++
			continue
		}
		s.remove(id)
	}
	if words := len(s.pages) * idPageWords; words > 4*left+idPageWords {
		t.Errorf("%d words for %d ids far apart", words, left)
	}
	s.check(t)
	if got := len(s.all()); got != left {
		t.Errorf("%d ids, want %d", got, left)
	}
	s.walk(1<<64-1, func(id TaskID) bool { t.Errorf("%d after the last id there can be", id); return false })
}

// TestIDSetSplit puts an id in at each place of a full page.
func TestIDSetSplit(t *testing.T) {
	for at := range idPageWords {
		var s idSet
		for i := range TaskID(2 * idPageWords) { // two pages: the last one is never split at its end
			s.add(i*128 + 64)
		}
		s.add(TaskID(at)*128 + 1)
		s.check(t)
		if got := s.all(); len(got) != 2*idPageWords+1 || got[at] != TaskID(at)*128+1 {
			t.Fatalf("at %d of %d comes %d", at, len(got), got[at])
		}
	}
}
