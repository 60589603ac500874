package engine

import (
	"sync"
	"sync/atomic"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/watch"
)

// TaskWatchesMax is how many watches of single tasks there may be at once.
const TaskWatchesMax = 10_000

// events follow the steps, a replay's too: so a watcher can go on over a restart as far as the tail of the log reaches.
type events struct {
	ring    *watch.Ring[Event]
	scratch []Event // of the step under way; owned by the apply goroutine

	watches atomic.Int64 // so that a step looks for no watcher when there is none
	mu      sync.Mutex
	tasks   map[scheduler.TaskID][]*taskWatch
}

// taskWatch is one WatchTask.
type taskWatch struct{ changed chan struct{} }

// Events is the ring of events, numbered by position. It holds the last scheduler.EventsKept that this process has seen.
func (e *Engine) Events() *watch.Ring[Event] { return e.events.ring }

// WatchTask signals, at least once after each change of a task, that it has changed: by an event of its. The
// signal is a channel with room for one: what changes before it is taken is one signal. stop ends it; it may be called
// twice. Beyond TaskWatchesMax watches changed is nil, which never signals: who watches looks again after a while by
// itself, too.
func (e *Engine) WatchTask(id scheduler.TaskID) (changed <-chan struct{}, stop func()) {
	x := &e.events
	w := &taskWatch{changed: make(chan struct{}, 1)}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watches.Load() >= TaskWatchesMax {
		return nil, func() {}
	}
	x.watches.Add(1)
	x.tasks[id] = append(x.tasks[id], w)
	return w.changed, func() { x.unwatch(id, w) }
}

func (x *events) unwatch(id scheduler.TaskID, w *taskWatch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.tasks[id]
	for i := range all {
		if all[i] != w {
			continue
		}
		x.watches.Add(-1)
		if all = append(all[:i:i], all[i+1:]...); len(all) == 0 {
			delete(x.tasks, id)
		} else {
			x.tasks[id] = all
		}
		return
	}
}

// poke signals to the watches of a task. Under mu.
func (x *events) poke(id scheduler.TaskID) {
	for _, w := range x.tasks[id] {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// publish lets a step's events out. On the apply goroutine.
func (x *events) publish(all []scheduler.Event, now scheduler.Time) {
	if len(all) == 0 {
		return
	}
	if next := x.ring.Last() + 1; all[0].Position != next || all[len(all)-1].Position != next+uint64(len(all))-1 {
		panic("engine: the core's events are out of order")
	}
	x.scratch = x.scratch[:0]
	for i := range all {
		x.scratch = append(x.scratch, Event{Event: all[i], At: now})
	}
	x.ring.Append(x.scratch)
	if x.watches.Load() == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range all {
		x.poke(all[i].Task)
	}
}
