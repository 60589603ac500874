package scheduler

import (
	"fmt"
	"slices"
	"testing"
)

// busy is a cluster whose slots are all taken by light tasks, which end in a random order while new ones come.
type busy struct {
	*harness
	src    source
	leased []Token // of light tasks
	slots  int
	light  map[SessionID]int // ends of light tasks by session, as they were granted
	heavy  []Grant
}

func newBusy(t *testing.T, seed uint64, workers, slots, prefetch int) *busy {
	b := &busy{harness: quiet(t), src: newSeeded(seed), light: map[SessionID]int{}}
	for i := range workers {
		w := worker(fmt.Sprintf("w%d", i), slots, "a")
		w.Pools[0].Prefetch = uint16(prefetch)
		b.open(w)
	}
	b.slots = workers * (slots + prefetch)
	tasks := specs(2*b.slots, "a")
	b.submit(tasks...)
	b.take()
	return b
}

func (b *busy) take() {
	for _, g := range b.eff.Grants {
		if g.Weight > 1 {
			b.heavy = append(b.heavy, g)
			continue
		}
		b.light[g.Session]++
		b.leased = append(b.leased, g.Token)
	}
}

// end ends one of the light tasks that were granted first, so that no worker holds on to one for ever.
func (b *busy) end() {
	b.t.Helper()
	i := b.src.n(min(len(b.leased), 20))
	token := b.leased[i]
	b.leased = slices.Delete(b.leased, i, i+1)
	b.now = b.now.Add(50 * Millisecond)
	b.apply(submit(spec("a")), b.outcomes(b.s.findLease(token).Session, Outcome{Token: token, Kind: OutcomeSucceeded}))
	b.take()
}

// TestHeavyLiveness keeps a cluster full of light tasks of higher share: heavy ones of two queues get their slots all the
// same, within so many ends of light tasks, while other workers go on with light ones.
func TestHeavyLiveness(t *testing.T) {
	for _, prefetch := range []int{0, 3} {
		for _, seed := range seeds(5) {
			b := newBusy(t, seed, 5, 4, prefetch)
			var tasks []TaskSpec
			for i := range 6 {
				s := spec("a")
				s.Weight, s.Queue = uint16(2+i%3), [...]string{"q1", "q2"}[i%2]
				tasks = append(tasks, s)
			}
			b.submit(tasks...)
			b.take()
			clear(b.light)
			for n := 0; len(b.heavy) < len(tasks); n++ {
				// A second's ends until it is due, and then each of the pool's leases has to end once; so for each heavy task.
				if most := len(tasks) * (20 + 25 + 3*b.slots); n > most {
					t.Fatalf("seed %d, prefetch %d: %d of %d heavy tasks granted after %d ends of light ones; replay with -run TestHeavyLiveness -seed %d",
						seed, prefetch, len(b.heavy), len(tasks), n, seed)
				}
				ended := len(b.heavy)
				b.end()
				if len(b.s.matcher.reserved) > 1 {
					t.Fatalf("seed %d: %d reservations at once", seed, len(b.s.matcher.reserved))
				}
				for ; ended < len(b.heavy); ended++ { // they end soon
					g := b.heavy[ended]
					b.apply(b.outcomes(g.Session, Outcome{Token: g.Token, Kind: OutcomeSucceeded}))
					b.take()
				}
			}
			for id := SessionID(1); id <= 5; id++ {
				if b.light[id] == 0 {
					t.Fatalf("seed %d: session %d was given no light task meanwhile", seed, id)
				}
			}
			if err := b.s.Check(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestHeavyStarvesUnderLogic1 shows what the test above would find without reservations: under logic 1 the heavy task
// never gets its slots.
func TestHeavyStarvesUnderLogic1(t *testing.T) {
	b := newBusy(t, 1, 5, 4, 0)
	b.s.globals.Logic = 1
	s := spec("a")
	s.Weight, s.Queue = 4, "q"
	b.step(&Batch{Logic: 1, Now: b.now, Commands: []Command{submit(s)}})
	for range 1000 {
		i := b.src.n(min(len(b.leased), 20))
		token := b.leased[i]
		b.leased = slices.Delete(b.leased, i, i+1)
		b.now = b.now.Add(50 * Millisecond)
		b.step(&Batch{Logic: 1, Now: b.now, Commands: []Command{
			submit(spec("a")), b.outcomes(b.s.findLease(token).Session, Outcome{Token: token, Kind: OutcomeSucceeded}),
		}})
		b.take()
	}
	if len(b.heavy) > 0 {
		t.Fatal("the heavy task was granted: so logic 1 isn't kept, or the load isn't as steady as it should be")
	}
	// From logic 2 on it waits in line.
	b.step(&Batch{Logic: 1, Now: b.now, Commands: []Command{{Op: OpSetLogic, SetLogic: &SetLogic{Logic: 2}}}})
	for n := 0; len(b.heavy) == 0; n++ {
		if n > 200 {
			t.Fatal("the heavy task isn't granted under logic 2")
		}
		b.end()
	}
}

// TestBoundHeads lets very many heavy shapes begin their wait at once, and then have pools kept for them.
func TestBoundHeads(t *testing.T) {
	h := quiet(t)
	const queues, shapes, pools = 45, 250, 8
	for i := range 100 {
		w := worker(fmt.Sprintf("w%d", i), 2, "heavy", "light")
		w.Pools[0].Name = fmt.Sprintf("p%d", i%pools)
		h.open(w)
	}
	h.submit(specs(300, "light")...) // takes all slots
	var tasks []TaskSpec
	for i := range queues * shapes {
		s := spec("heavy")
		s.Queue, s.Weight = fmt.Sprintf("q%d", i/shapes), 2
		if i%shapes > 0 { // the first of each queue fits, the others fit nowhere
			s.Weight = uint16(2 + i%shapes)
		}
		tasks = append(tasks, s)
	}
	h.submit(tasks...)
	x := h.s.sessions[1]
	end := func(n int) {
		h.apply(h.outcomes(x.ID, Outcome{Token: h.s.tokensOf(x)[n], Kind: OutcomeSucceeded}))
	}
	end(0)
	if !h.eff.More {
		t.Fatalf("%d waits began in one step", queues*shapes)
	}
	if n := h.s.matcher.heads.len(); n > StepRowsMax {
		t.Fatalf("%d waits began in one step, each a row", n)
	}
	h.bounded(1)
	if n := h.s.matcher.heads.len(); n != queues*shapes {
		t.Fatalf("%d shapes wait, want %d", n, queues*shapes)
	}
	h.now = h.now.Add(HeavyWait)
	h.s.globals.Now = h.now
	before := h.s.Hash()
	if h.s.matcher.serveHeavy(h.s, h.s.rows, &h.eff) || h.s.Hash() != before {
		t.Fatal("a step that has met its bound made reservations, or thinks that there is nothing to do")
	}
	h.bounded(1)
	if n := len(h.s.matcher.reserved); n != pools {
		t.Fatalf("%d reservations, want %d", n, pools)
	}
	if at, ok := h.s.NextDeadline(); ok {
		t.Fatalf("a tick is due at %d for nothing", at)
	}
	h.begin(Limits{MaxTasks: MaxTasksDefault, Depth: QueueDepth}) // every session is detached
	h.bounded(1)
	if n := len(h.s.matcher.reserved); n != 0 {
		t.Fatalf("%d reservations of sessions that aren't attached", n)
	}
}
