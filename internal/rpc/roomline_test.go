package rpc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// lineRig drives a roomLine by hand: one queue "q" of a depth, tasks that end, and what was let in.
type lineRig struct {
	line *roomLine
	now  time.Time
	free uint64 // of queue q and of all others
	got  []string
	in   []*waiter // by arrival
	name map[*waiter]string
}

func newLineRig(free uint64) *lineRig {
	return &lineRig{line: newRoomLine(), now: time.Unix(1e9, 0), free: free, name: map[*waiter]string{}}
}

func (r *lineRig) enter(producer string, tasks uint64) *waiter {
	return r.enterFor(producer, "q", tasks)
}

func (r *lineRig) enterFor(producer, queue string, tasks uint64) *waiter {
	w := &waiter{producer: producer, need: []queueNeed{{queue, tasks}}, total: tasks, let: make(chan struct{}, 1), out: make(chan struct{})}
	r.name[w] = fmt.Sprintf("%s%d", producer, tasks)
	if !r.line.enter(w) {
		return nil
	}
	r.in = append(r.in, w)
	return w
}

// look lets waiters try; each try succeeds and uses up room.
func (r *lineRig) look() {
	queues := r.line.queues()
	for q := range queues {
		queues[q] = r.free
	}
	r.line.look(r.now, &roomCounts{total: 1 << 40, queues: queues})
	r.in = slices.DeleteFunc(r.in, func(w *waiter) bool {
		if w.trying {
			r.got = append(r.got, r.name[w])
			r.free -= w.total
			r.line.leave(w)
		}
		return w.trying
	})
}

func (r *lineRig) pass(d time.Duration, freed uint64) {
	r.now = r.now.Add(d)
	r.free += freed
	r.look()
}

func TestProducersTakeTurns(t *testing.T) {
	r := newLineRig(0)
	for range 5 {
		r.enter("a", 1)
	}
	r.enter("b", 1)
	r.enter("c", 1)
	for range 7 {
		r.pass(roomLook, 1)
	}
	if got := strings.Join(r.got, " "); got != "a1 b1 c1 a1 a1 a1 a1" {
		t.Fatal(got)
	}
}

func TestOneProducersWaitersKeepTheirOrder(t *testing.T) {
	r := newLineRig(0)
	r.enter("a", 5)
	r.enter("a", 1)
	r.enter("b", 2)
	r.pass(roomLook, 2) // a's first doesn't fit, so its second waits too; b is let in
	r.pass(roomLook, 6)
	if got := strings.Join(r.got, " "); got != "b2 a5 a1" {
		t.Fatal(got)
	}
}

// TestALargeBatchIsNotStarved: beside a producer that takes every place as it comes free, a batch of 100 gets in, and the
// small ones go on meanwhile.
func TestALargeBatchIsNotStarved(t *testing.T) {
	r := newLineRig(0)
	large := r.enter("large", 100)
	small, longest, idle := 0, time.Duration(0), time.Duration(0)
	for range 10_000 { // 10 tasks a second end
		for r.line.places.waiters < 5 {
			r.enter("small", 1)
		}
		before := len(r.got)
		r.pass(roomLook, 1)
		if idle += roomLook; len(r.got) > before {
			idle = 0
		}
		longest = max(longest, idle)
		for _, name := range r.got[before:] {
			if name == "large100" {
				large = nil
			} else {
				small++
			}
		}
		if large == nil {
			break
		}
	}
	if large != nil {
		t.Fatal("it is starved")
	}
	if small == 0 || longest > 20*time.Second {
		t.Fatalf("%d small ones were let in before it, the longest pause was %s", small, longest)
	}
}

// TestALargeBatchWithoutHopeLeavesRoom: in a queue where nothing comes free fast enough the small ones have at least about a
// third of the time.
func TestALargeBatchWithoutHopeLeavesRoom(t *testing.T) {
	r := newLineRig(0)
	r.enter("large", 1_000_000)
	let := 0
	const looks = 3000
	for range looks {
		for r.line.places.waiters < 5 {
			r.enter("small", 1)
		}
		before := len(r.got)
		r.free = 1
		r.pass(roomLook, 0)
		let += len(r.got) - before
	}
	if let < looks/3 || let > looks*9/10 {
		t.Fatalf("%d of %d", let, looks)
	}
}

func TestAHoldLeavesOtherQueuesAlone(t *testing.T) {
	r := newLineRig(5)
	r.enterFor("large", "other", 50)
	r.look()
	r.pass(2*RoomPatience, 0)
	g := r.line.gates["other"]
	if g == nil || g.holder == nil {
		t.Fatal("no room is kept")
	}
	r.enter("small", 3)
	r.enterFor("late", "other", 1)
	r.pass(roomLook, 0)
	if got := strings.Join(r.got, " "); got != "small3" {
		t.Fatal(got)
	}
	if r.line.wants([]queueNeed{{"third", 1}}) || !r.line.wants([]queueNeed{{"other", 1}}) {
		t.Fatal("a newcomer waits for the wrong ones")
	}
}

func TestTheTotalHoldsEverybody(t *testing.T) {
	l := newRoomLine()
	w := &waiter{producer: "a", need: []queueNeed{{"q", 5}}, total: 5, let: make(chan struct{}, 1), out: make(chan struct{})}
	l.enter(w)
	l.look(time.Unix(1, 0), &roomCounts{total: 4, queues: map[string]uint64{"q": 100}})
	if !l.wants([]queueNeed{{"other", 1}}) {
		t.Fatal("a newcomer overtakes one that waits for the total")
	}
	l.leave(w)
	if l.wants([]queueNeed{{"other", 1}}) || len(l.gates) != 0 {
		t.Fatal("nobody waits any more")
	}
}

// TestTriesSpeakForTheirRoom: what is being tried isn't given away twice, and comes back with a failed try.
func TestTriesSpeakForTheirRoom(t *testing.T) {
	l := newRoomLine()
	a := &waiter{producer: "a", need: []queueNeed{{"q", 3}}, total: 3, let: make(chan struct{}, 1), out: make(chan struct{})}
	b := &waiter{producer: "b", need: []queueNeed{{"q", 3}}, total: 3, let: make(chan struct{}, 1), out: make(chan struct{})}
	l.enter(a)
	l.enter(b)
	look := func() int { return l.look(time.Unix(1, 0), &roomCounts{total: 9, queues: map[string]uint64{"q": 5}}) }
	if look() != 1 || !a.trying || b.trying {
		t.Fatal("one fits")
	}
	if look() != 0 {
		t.Fatal("its room is given away again")
	}
	a.trying = false
	if look() != 1 || a.trying || !b.trying {
		t.Fatal("the turn is b's")
	}
}

func TestWaitersAreBounded(t *testing.T) {
	r := newLineRig(0)
	var last *waiter
	for i := range SubmitWaiters {
		if last = r.enter(fmt.Sprint(i), 1); last == nil {
			t.Fatal("too few")
		}
	}
	if r.enter("x", 1) != nil {
		t.Fatal("too many")
	}
	r.line.leave(last)
	last.bytes = SubmitWaitersBytes + 1
	if r.line.enter(last) {
		t.Fatal("too many bytes")
	}
	last.bytes--
	if !r.line.enter(last) {
		t.Fatal("it fits")
	}
}

// TestRoomLineAtRandom checks after each of many random acts what must always hold.
func TestRoomLineAtRandom(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l, now := newRoomLine(), time.Unix(1e9, 0)
		var in []*waiter
		for step := range 400 {
			switch rnd.IntN(4) {
			case 0, 1:
				n := 1 + rnd.Uint64N(20)
				w := &waiter{producer: fmt.Sprint(rnd.IntN(4)), need: []queueNeed{{fmt.Sprint(rnd.IntN(3)), n}}, total: n, bytes: 1, let: make(chan struct{}, 1), out: make(chan struct{})}
				if l.enter(w) {
					in = append(in, w)
				}
			case 2:
				if len(in) > 0 {
					i := rnd.IntN(len(in))
					l.leave(in[i])
					in = append(in[:i], in[i+1:]...)
				}
			}
			now = now.Add(time.Duration(rnd.IntN(500)) * time.Millisecond)
			free := roomCounts{total: rnd.Uint64N(60), queues: l.queues()}
			room := map[string]uint64{}
			for q := range free.queues {
				free.queues[q] = rnd.Uint64N(30)
				room[q] = free.queues[q]
			}
			tried := map[*waiter]bool{}
			for _, w := range in {
				tried[w] = w.trying
			}
			total := free.total
			let := l.look(now, &free)
			used, sum := map[string]uint64{}, uint64(0)
			for _, w := range in {
				if w.trying {
					used[w.need[0].queue] += w.total
					sum += w.total
				}
			}
			if let > 0 {
				for q, n := range used {
					for _, w := range in {
						if w.trying && !tried[w] && w.need[0].queue == q && n > room[q] {
							t.Fatalf("seed %d, step %d: %d tasks try for the %d places of a queue", seed, step, n, room[q])
						}
					}
				}
				if sum > total {
					t.Fatalf("seed %d, step %d: %d tasks try for %d places", seed, step, sum, total)
				}
			}
			if l.places != (places{len(in), len(in)}) || len(l.byKey) != len(l.producers) {
				t.Fatalf("seed %d, step %d: %d waiters of %d", seed, step, l.places.waiters, len(in))
			}
			for _, g := range l.gates {
				if g.holder != nil && !l.standing(g.holder) && !g.holder.trying {
					t.Fatalf("seed %d, step %d: room is kept for one that has gone", seed, step)
				}
			}
			for _, w := range in {
				if w.trying && rnd.IntN(2) == 0 {
					w.trying = false
				}
			}
		}
	}
}
