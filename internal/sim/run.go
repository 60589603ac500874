package sim

import (
	"fmt"
	"io"
	"runtime/debug"
)

// Defaults and bounds of a run.
const (
	StepsDefault = 2000
	calmTime     = 10 * minute  // for which no handler may run, in all, while there is work once the faults have stopped
	restTime     = 100 * second // in which all has to be answered then
	stepsMost    = 60           // a run ends after so many times its steps, whatever happens
)

// Options of a run.
type Options struct {
	Steps int       // of the safety phase; 0: StepsDefault
	Trace io.Writer // every note goes there; nil: none
}

// Result is what a run has shown.
type Result struct {
	Seed     uint64
	Steps    int
	Virtual  int64 // nanoseconds that passed in the world
	Hash     uint64
	Coverage Coverage
	Failure  *Violation // nil: no invariant was violated
	Trace    string     // of a failure: the last notes
	Faults   bool       // the plan had faults
}

// Run simulates the cluster that a seed draws: a safety phase of so many steps with its faults, then a liveness phase
// without any, at whose end all work must have ended.
func Run(seed uint64, opts Options) (res Result) {
	if opts.Steps == 0 {
		opts.Steps = StepsDefault
	}
	w := NewWorld(seed)
	w.trace.live = opts.Trace
	res.Seed = seed
	defer func() {
		if p := recover(); p != nil {
			w.fail(InvBounds, "panic: %v\n%s", p, debug.Stack())
		}
		res.Steps, res.Virtual, res.Hash, res.Coverage, res.Failure = w.steps, w.now, w.trace.hash, w.cover, w.failure
		res.Coverage.Tasks = len(w.oracle.tasks)
		if w.failure != nil {
			res.Trace = w.trace.last(120)
		}
		for _, weight := range w.plan.Faults {
			res.Faults = res.Faults || weight > 0
		}
	}()
	w.begin()
	w.runUntil(func() bool { return w.steps >= opts.Steps })
	w.becalm()
	w.live(opts.Steps)
	return res
}

// begin has everything start.
func (w *World) begin() {
	w.after(0, w.coord.boot)
	for _, k := range w.workers {
		w.after(w.between(0, 100*millisecond), k.boot)
	}
	for _, c := range w.clients {
		c.begin()
	}
	for _, x := range w.watchers {
		w.after(0, x.begin)
	}
	w.faults()
}

// runUntil carries out events until done, or an invariant is violated.
func (w *World) runUntil(done func() bool) {
	for w.failure == nil && !done() {
		if w.todo.len() == 0 {
			w.fail(InvLiveness, "nothing happens any more")
			return
		}
		w.next()
		w.faultsBySteps()
		if w.steps >= w.checkAt && w.failure == nil {
			w.checkAt = w.steps + checkEvery
			w.oracle.fullCheck()
		}
	}
}

// live (16): once the faults have stopped, every task ends and every request is answered, and soon after that nothing is left
// of them in memory. The time in which handlers run isn't counted: while the coordinator stood still clients may have sent
// many times their backlog, and there are only so many slots. Every run is charged (9), so they come to an end. All else may
// take calmTime: 150 tasks, granted one after the other, each twice, with three entries of half a second a time, take 450 s.
func (w *World) live(steps int) {
	most := steps * stepsMost
	quiet := func() bool {
		idle := w.coord.up && w.coord.leading && w.oracle.live == 0
		for _, c := range w.clients {
			idle = idle && c.idle()
		}
		return idle
	}
	idle, last, works := int64(0), w.now, false // time without a handler, until last; whether one runs since
	w.runUntil(func() bool {
		if !works {
			idle += w.now - last
		}
		last, works = w.now, w.works()
		return quiet() || idle > calmTime || w.steps > most
	})
	if w.failure != nil {
		return
	}
	if !quiet() {
		w.fail(InvLiveness, "%s", w.stuck())
		return
	}
	w.note("all work has ended")
	rest := w.now + restTime
	w.runUntil(func() bool { return w.now > rest })
	if w.failure == nil {
		w.oracle.atRest()
	}
}

// works reports whether a handler runs that ends of itself.
func (w *World) works() bool {
	for _, k := range w.workers {
		for _, h := range k.handlers {
			if w.now < h.endsAt {
				return true
			}
		}
	}
	return false
}

// stuck says what didn't end.
func (w *World) stuck() string {
	for _, t := range w.oracle.tasks {
		if t.state.core() != 0 {
			return fmt.Sprintf("task %d is still %s, token %d, %d s after the faults stopped; kind %s, queue %s, weight %d", t.id, t.state, t.token,
				(w.now-w.since)/second, t.spec.Kind, t.spec.Queue, t.spec.Weight)
		}
	}
	for _, c := range w.clients {
		if !c.idle() {
			return fmt.Sprintf("client %d waits for %d answers", c.id, len(c.open)+c.wants)
		}
	}
	return "the coordinator doesn't lead"
}
