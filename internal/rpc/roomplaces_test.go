package rpc

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func waiterOf(producer string, bytes int) *waiter {
	return &waiter{
		producer: producer, need: []queueNeed{{"q", 1}}, total: 1, bytes: bytes,
		let: make(chan struct{}, 1), out: make(chan struct{}),
	}
}

// TestPlacesAreShared: one producer has all places; others come, and in the end all have as many.
func TestPlacesAreShared(t *testing.T) {
	l := newRoomLine()
	var first []*waiter
	for range SubmitWaiters {
		w := waiterOf("a", 1)
		if !l.enter(w) {
			t.Fatal("there is a place")
		}
		first = append(first, w)
	}
	if l.enter(waiterOf("a", 1)) {
		t.Fatal("it has all places and gets one more")
	}
	for n := 0; ; n++ {
		entered := false
		for _, producer := range []string{"b", "c", "d"} {
			if w := waiterOf(producer, 1); l.enter(w) {
				entered = true
			}
		}
		if !entered {
			break
		}
		if n > SubmitWaiters {
			t.Fatal("places go to and fro")
		}
	}
	for producer, p := range l.byKey {
		if p.places.waiters != SubmitWaiters/4 || len(p.waiters) != p.places.waiters {
			t.Errorf("%s has %d places", producer, p.places.waiters)
		}
	}
	for i, w := range first {
		if out := i >= SubmitWaiters/4; w.isOut() != out {
			t.Fatalf("waiter %d: out %t, want the oldest to keep their places", i, !out)
		}
	}
	if l.enter(waiterOf("e", 1)); l.byKey["e"].places.waiters != 1 || l.places.waiters != SubmitWaiters {
		t.Error("a fifth has no place")
	}
}

// TestBytesAreShared: what is short are bytes. As many give way as it takes, of those who take most; or nobody.
func TestBytesAreShared(t *testing.T) {
	l := newRoomLine()
	l.most = places{100, 1000}
	var a, b []*waiter
	for range 5 {
		a = append(a, waiterOf("a", 100))
	}
	for range 6 {
		b = append(b, waiterOf("b", 80))
	}
	for _, w := range slices.Concat(a, b) {
		if !l.enter(w) {
			t.Fatal("there is room")
		}
	}
	big := waiterOf("c", 330) // one of each may go, and then each has less left than this
	if l.enter(big) || l.places != (places{11, 980}) || slices.ContainsFunc(slices.Concat(a, b), func(w *waiter) bool { return w.isOut() || w.yields }) {
		t.Fatalf("it got in, or others gave way in vain: %+v", l.places)
	}
	big.bytes = 250
	if !l.enter(big) || l.places != (places{9, 970}) {
		t.Fatalf("%+v", l.places)
	}
	for i, w := range a { // a has most with 500, then b with 480, then both have 400
		if w.isOut() != (i == 4) {
			t.Errorf("a's waiter %d: out %t", i, w.isOut())
		}
	}
	for i, w := range b {
		if w.isOut() != (i >= 4) {
			t.Errorf("b's waiter %d: out %t", i, w.isOut())
		}
	}
}

// TestWhoTriesKeepsItsPlace: its fate isn't known.
func TestWhoTriesKeepsItsPlace(t *testing.T) {
	l := newRoomLine()
	l.most.waiters = 3
	old, tries, newest := waiterOf("a", 1), waiterOf("a", 1), waiterOf("a", 1)
	for _, w := range []*waiter{old, tries, newest} {
		l.enter(w)
	}
	tries.trying, newest.trying = true, true
	if !l.enter(waiterOf("b", 1)) || !old.isOut() || tries.isOut() || newest.isOut() {
		t.Fatalf("out: %t %t %t", old.isOut(), tries.isOut(), newest.isOut())
	}
}

// lineModel says by brute force who gives way: each waiter, newest first, is tried as the one.
type lineModel struct {
	in   []*waiter // by arrival
	most places
}

func (m *lineModel) taken(producer string, without map[*waiter]bool) (p places) {
	for _, w := range m.in {
		if (producer == "" || w.producer == producer) && !without[w] {
			p.add(w, 1)
		}
	}
	return p
}

func (m *lineModel) enter(w *waiter) (out map[*waiter]bool, ok bool) {
	out = map[*waiter]bool{}
	for {
		all := m.taken("", out)
		all.add(w, 1)
		of := func(p places) int { return p.bytes }
		if all.waiters > m.most.waiters {
			of = func(p places) int { return p.waiters }
		} else if all.bytes <= m.most.bytes {
			return out, true
		}
		own := m.taken(w.producer, nil)
		own.add(w, 1)
		var can []*waiter
		seen := map[string]bool{}
		for _, o := range slices.Backward(m.in) {
			if o.trying || out[o] || seen[o.producer] {
				continue
			}
			seen[o.producer] = true
			rest := m.taken(o.producer, out)
			rest.add(o, -1)
			if of(rest) >= of(own) {
				can = append(can, o)
			}
		}
		if len(can) == 0 {
			return nil, false
		}
		out[slices.MaxFunc(can, func(a, b *waiter) int {
			return cmp.Or(cmp.Compare(of(m.taken(a.producer, out)), of(m.taken(b.producer, out))), cmp.Compare(a.arrival, b.arrival))
		})] = true
	}
}

// TestPlacesAtRandom compares the line with the model: who gets in, who gives way, and what is left.
func TestPlacesAtRandom(t *testing.T) {
	gaveWay, refused, several := 0, 0, 0
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		l := newRoomLine()
		l.most = places{5 + rnd.IntN(20), 100 + rnd.IntN(400)}
		m := &lineModel{most: l.most}
		for step := range 400 {
			w := waiterOf(fmt.Sprint(rnd.IntN(1+rnd.IntN(6))), 1+rnd.IntN(1+rnd.IntN(100)))
			want, ok := m.enter(w)
			if got := l.enter(w); got != ok {
				t.Fatalf("seed %d, step %d: enters %t, want %t", seed, step, got, ok)
			}
			for _, o := range m.in {
				if o.isOut() != want[o] || o.yields != want[o] {
					t.Fatalf("seed %d, step %d: %s of %d bytes gives way: %t, want %t", seed, step, o.producer, o.bytes, o.isOut(), want[o])
				}
			}
			m.in = slices.DeleteFunc(m.in, func(o *waiter) bool { return want[o] })
			if ok {
				m.in = append(m.in, w)
			} else {
				refused++
			}
			gaveWay += len(want)
			if len(want) > 1 {
				several++
			}
			for range rnd.IntN(2) {
				if len(m.in) > 0 {
					i := rnd.IntN(len(m.in))
					l.leave(m.in[i])
					m.in = slices.Delete(m.in, i, i+1)
				}
			}
			if len(m.in) > 0 {
				o := m.in[rnd.IntN(len(m.in))]
				o.trying = !o.trying
			}
			var in []*waiter
			for producer, p := range l.byKey {
				in = append(in, p.waiters...)
				if p.places != m.taken(producer, nil) || len(p.waiters) == 0 {
					t.Fatalf("seed %d, step %d: %s takes %+v", seed, step, producer, p.places)
				}
			}
			slices.SortFunc(in, func(a, b *waiter) int { return cmp.Compare(a.arrival, b.arrival) })
			if !slices.Equal(in, m.in) || l.places != m.taken("", nil) || l.places.waiters > l.most.waiters || l.places.bytes > l.most.bytes {
				t.Fatalf("seed %d, step %d: %d in line, want %d: %+v of %+v", seed, step, len(in), len(m.in), l.places, l.most)
			}
		}
	}
	if gaveWay < 100 || refused < 100 || several < 10 {
		t.Errorf("%d gave way, %d were refused, %d times several gave way: the test looks at too little", gaveWay, refused, several)
	}
}

// TestThePlaceOfWhoHasMost: a producer with a request comes to a full line; of the one with all places the newest is
// refused at once, with RetryInfo, and the others wait on.
func TestThePlaceOfWhoHasMost(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.depthOf("q", 10)
		if _, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(10, "q")}); err != nil {
			t.Fatal(err)
		}
		r.s.room.mu.Lock()
		r.s.room.line.most.waiters = 3
		r.s.room.mu.Unlock()
		var many []chan error
		for i := range uint64(3) {
			many = append(many, r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(1, "q"), Producer: producerOf(1, i+1, 1)}))
			synctest.Wait()
		}
		start := time.Now()
		one := r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(1, "q"), Producer: producerOf(2, 1, 1)})
		if !answered(many[2]) || answered(many[1]) || answered(many[0]) || answered(one) {
			t.Fatal("not the newest alone gives way")
		}
		if st := wantStatus(t, <-many[2], codes.ResourceExhausted, ReasonLimitDepth); !hasRetry(st) || time.Since(start) != 0 {
			t.Fatalf("%v after %s", st, time.Since(start))
		}
		if n := r.s.room.waiting.Load(); n != 3 {
			t.Fatalf("%d wait", n)
		}
		r.cancelled(1, 3)
		r.pass(4 * roomLook)
		for _, done := range []chan error{many[0], many[1], one} {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if n := r.s.room.waiting.Load(); n != 0 {
			t.Fatalf("%d wait", n)
		}
	})
}
