package scheduler

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

type slabRow struct{ key, value uint64 }

func (r *slabRow) rowKey() uint64 { return r.key }

// TestSlab compares a slab with a map.
func TestSlab(t *testing.T) {
	for _, seed := range seeds(4) {
		r := newSeeded(seed)
		var s slab[slabRow, *slabRow]
		twin := map[uint64]uint64{}
		span := 50
		for i := range 60_000 {
			if i%10_000 == 0 {
				span *= 4
			}
			key := uint64(1 + r.n(span))
			slot, row := s.find(key)
			if want, ok := twin[key]; ok != (row != nil) || ok && row.value != want {
				t.Fatalf("seed %d: key %d: %v, want %d, %v", seed, key, row, want, ok)
			}
			if row == nil {
				s.add(slabRow{key, uint64(i)})
				twin[key] = uint64(i)
			} else {
				s.remove(slot)
				delete(twin, key)
			}
		}
		var c checker
		if checkSlab(&c, &s, "rows"); len(c.errs) > 0 {
			t.Fatalf("seed %d: %v", seed, c.errs)
		}
		n := 0
		s.each(func(_ uint32, row *slabRow) bool {
			n++
			return twin[row.key] == row.value
		})
		if n != len(twin) || s.live != n {
			t.Fatalf("seed %d: %d rows walked, %d counted, want %d", seed, n, s.live, len(twin))
		}
	}
}

type heapItem struct{ key, id, pos int }

// TestHeap compares a heap with a sorted list, while elements come, go and change.
func TestHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := heap[*heapItem]{
			less:  func(a, b *heapItem) bool { return a.key < b.key || a.key == b.key && a.id < b.id },
			moved: func(e *heapItem, pos int32) { e.pos = int(pos) },
		}
		var all []*heapItem
		pick := func() int { return rapid.IntRange(0, len(all)-1).Draw(t, "which") }
		key := rapid.IntRange(0, 50)
		for i := range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 5).Draw(t, "op"); {
			case op < 3 || len(all) == 0:
				e := &heapItem{key: key.Draw(t, "key"), id: i}
				all = append(all, e)
				h.push(e)
			case op == 3:
				at := pick()
				h.remove(int32(all[at].pos))
				if all[at].pos != -1 {
					t.Fatalf("a removed element thinks that it is at %d", all[at].pos)
				}
				all = slices.Delete(all, at, at+1)
			default:
				e := all[pick()]
				e.key = key.Draw(t, "key")
				h.fix(int32(e.pos))
			}
			for _, e := range all {
				if *h.at(int32(e.pos)) != e {
					t.Fatalf("element %d isn't at %d", e.id, e.pos)
				}
			}
			if len(all) > 0 && h.min() != slices.MinFunc(all, func(a, b *heapItem) int {
				if h.less(a, b) {
					return -1
				}
				return 1
			}) {
				t.Fatal("the first isn't the least")
			}
		}
	})
}

// TestPaged compares a paged stack with a slice, over several pages.
func TestPaged(t *testing.T) {
	for _, seed := range seeds(3) {
		r := newSeeded(seed)
		var p paged[int]
		var twin []int
		for i := range 40_000 {
			if grow := i/5000%2 == 0; r.n(3) > 0 == grow || len(twin) == 0 {
				p.push(i)
				twin = append(twin, i)
			} else {
				if got := p.pop(); got != twin[len(twin)-1] {
					t.Fatalf("seed %d: popped %d, want %d", seed, got, twin[len(twin)-1])
				}
				twin = twin[:len(twin)-1]
			}
			if p.len() != len(twin) {
				t.Fatalf("seed %d: %d elements, want %d", seed, p.len(), len(twin))
			}
			if len(twin) > 0 {
				if at := r.n(len(twin)); *p.at(at) != twin[at] {
					t.Fatalf("seed %d: %d at %d, want %d", seed, *p.at(at), at, twin[at])
				}
			}
		}
		if most := len(twin)/pageRows + 2; len(p.pages) > most {
			t.Fatalf("seed %d: %d pages for %d elements", seed, len(p.pages), len(twin))
		}
	}
}

// TestIndexLines: what few keys of many are left takes no more than a line each, and lines that have become empty are used
// again.
func TestIndexLines(t *testing.T) {
	const n = 100 * lineKeys
	var s slab[slabRow, *slabRow]
	for round := range uint64(10) {
		first := 1 + round*n // a new range of keys each time, as counters have it
		for key := first; key < first+n; key++ {
			s.add(slabRow{key, key})
		}
		for key := first; key < first+n; key++ {
			if key != first+5*lineKeys {
				slot, _ := s.find(key)
				s.remove(slot)
			}
		}
	}
	if most := n/lineKeys + 1 + 10; s.live != 10 || int(s.index.high) > most {
		t.Errorf("%d rows live, %d lines were used at most, want 10 and at most %d", s.live, s.index.high, most)
	}
}
