package watch

import (
	"sync"
	"testing"
	"testing/synctest"
)

// TestLatest: a reader sees the newest value, is told when there is a newer one, and skips what came between.
func TestLatest(t *testing.T) {
	var l Latest[string]
	v, version, moved := l.Get()
	if v != "" || version != 0 || closed(moved) {
		t.Errorf("before the first Set: %q, version %d, moved: %v", v, version, closed(moved))
	}
	l.Set("a")
	if !closed(moved) {
		t.Error("a waiting reader wasn't told")
	}
	l.Set("b")
	v, version, moved = l.Get()
	_, _, twin := l.Get()
	if v != "b" || version != 2 || closed(moved) {
		t.Errorf("after two Sets: %q, version %d, moved: %v", v, version, closed(moved))
	}
	l.Set("b") // the same value is a new version, too
	if !closed(moved) || !closed(twin) {
		t.Error("not all who wait were told")
	}
}

// TestLatestFollowed: beside a writer every reader sees versions grow, each with its value, and ends at the last.
func TestLatestFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const last = 5000
		var l Latest[uint64]
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for seen := uint64(0); seen < last; {
					v, version, moved := l.Get()
					if v != version || version < seen {
						t.Errorf("value %d of version %d after version %d", v, version, seen)
						return
					}
					if seen = version; seen < last {
						<-moved
					}
				}
			})
		}
		for v := uint64(1); v <= last; v++ {
			l.Set(v)
		}
		all.Wait()
	})
}
