package engine

import (
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"pgregory.net/rapid"
)

// TestEndLine compares the line with a map: ids near and far, ends that come again, ends that are removed.
func TestEndLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newUnsaved().ended
		twin := map[scheduler.TaskID]int{}
		id := rapid.Custom(func(t *rapid.T) scheduler.TaskID {
			return scheduler.TaskID(rapid.SampledFrom([]uint64{0, 1 << 40}).Draw(t, "base") + rapid.Uint64Range(1, 3*endGroupIDs).Draw(t, "id"))
		})
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			if x := id.Draw(t, "which"); rapid.IntRange(0, 4).Draw(t, "op") > 0 {
				twin[x] = l.len()
				l.add(finished{id: x, gen: uint32(l.len())})
			} else {
				delete(twin, x)
				l.remove(x)
			}
			x := id.Draw(t, "looked up")
			rec, ok := l.get(x)
			at, want := twin[x]
			if ok != want || ok && (rec.id != x || int(rec.gen) != at) {
				t.Fatalf("task %d: end %d of %d, %v; want %d, %v", x, rec.gen, rec.id, ok, at, want)
			}
		}
		for i := range l.list {
			at, ok := twin[l.list[i].id]
			if want := ok && at == i; l.isValid(i) != want {
				t.Fatalf("end %d of task %d is valid: %v, want %v", i, l.list[i].id, !want, want)
			}
		}
		if l.valid != len(twin) {
			t.Fatalf("%d valid ends, want %d", l.valid, len(twin))
		}
	})
}
