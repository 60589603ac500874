package sim

import (
	"fmt"
	"math/rand/v2"
)

// Spans in nanoseconds.
const (
	microsecond int64 = 1_000
	millisecond       = 1000 * microsecond
	second            = 1000 * millisecond
	minute            = 60 * second
)

// World is one simulated cluster: a coordinator on its disk, workers, clients and watchers, and the network between them.
// One goroutine runs it, all time is virtual, and whatever happens is an event whose cause and time follow from the seed.
type World struct {
	plan  Plan
	rand  *rand.Rand
	now   int64 // true time, nanoseconds since the world's begin
	wall  int64 // what the coordinator's wall clock is ahead of epoch + now
	todo  agenda
	steps int // events that reached a real type
	calm  bool
	since int64 // when it became calm
	trace trace

	coord    *coordinator
	disk     *disk
	net      *network
	workers  []*worker
	clients  []*client
	watchers []*watcher
	oracle   *oracle
	cover    Coverage
	failure  *Violation

	checkAt int // step of the next full check
	faultAt int // step of the next fault, see Plan.FaultSteps
}

// epoch is the wall clock's time at the world's begin, in nanoseconds since the Unix epoch.
const epoch = 1_700_000_000 * second

// NewWorld returns the cluster that a seed draws, before it begins.
func NewWorld(seed uint64) *World {
	r := rand.New(rand.NewPCG(seed, 0x59617264))
	plan := drawPlan(r)
	w := &World{plan: plan, rand: r}
	w.trace.hash = seed
	w.oracle = newOracle(w)
	w.disk = newDisk(w)
	w.net = &network{w: w}
	w.coord = newCoordinator(w)
	for i := range plan.Workers {
		w.workers = append(w.workers, newWorker(w, i, &plan.Workers[i]))
	}
	for i := range plan.Clients {
		w.clients = append(w.clients, newClient(w, i))
	}
	for i := range plan.Watchers {
		w.watchers = append(w.watchers, newWatcher(w, i))
	}
	return w
}

// after makes an event.
func (w *World) after(d int64, do func()) { w.todo.add(w.now+max(d, 0), do) }

// step notes that an event has reached a real type.
func (w *World) step() { w.steps++ }

// note adds a line to the trace.
func (w *World) note(text string, args ...int64) { w.trace.note(w.now, w.steps, text, args...) }

// wallClock is what the coordinator's machine shows.
func (w *World) wallClock() int64 { return epoch + w.now + w.wall }

// next carries out one event.
func (w *World) next() {
	e := w.todo.next()
	w.now = max(w.now, e.at)
	e.do()
}

// fail ends the run. The first violation stands.
func (w *World) fail(inv Invariant, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Violation{Invariant: inv, Step: w.steps, At: w.now, Text: fmt.Sprintf(format, args...)}
	}
}

// chance draws whether something happens that does so in so many of a million cases.
func (w *World) chance(ppm int) bool { return ppm > 0 && w.rand.IntN(1_000_000) < ppm }

// fault draws whether a fault happens: none does once the world is calm.
func (w *World) fault(ppm int) bool { return !w.calm && w.chance(ppm) }

// between draws from least to most.
func (w *World) between(least, most int64) int64 {
	if most <= least {
		return least
	}
	return least + w.rand.Int64N(most-least+1)
}

func (w *World) intn(n int) int { return w.rand.IntN(n) }

// span draws a duration: mostly near the least, sometimes far out, as latencies are.
func (w *World) span(s Span) int64 {
	d := w.between(0, s.Most-s.Least)
	for range s.Skew {
		d = w.between(0, d)
	}
	return s.Least + d
}

// Span is a range of durations.
type Span struct {
	Least, Most int64
	Skew        int // how often the draw is drawn down: 0 is uniform
}
