package engine

import (
	"sync"
	"sync/atomic"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
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
type taskWatch struct {
	changed chan struct{}
	end     *finished // the task's last end since the watch began; nil: none. Guarded by events.mu
}

// TaskWatch is what a watch of one task is told.
type TaskWatch struct {
	// Changed signals, at least once after each change of the task, that it has changed: by an event of its. It has room for
	// one signal, so what changes before it is taken is one. Nil, which never signals, beyond TaskWatchesMax watches: who
	// watches looks again after a while by itself, too.
	Changed <-chan struct{}
	// Ended is the task's last end since the watch began, or nil: also of a task of which nothing is kept, so that who
	// watches sees the end of what it can't look up any more. Nil beyond TaskWatchesMax watches. Errors: storage's.
	Ended func() (*storagev1.Finished, error)
	// Stop ends the watch; it may be called twice.
	Stop func()
}

// Events is the ring of events, numbered by position. It holds the last scheduler.EventsKept that this process has seen.
func (e *Engine) Events() *watch.Ring[Event] { return e.events.ring }

// WatchTask begins a watch of one task, live or not. It must be stopped.
func (e *Engine) WatchTask(id scheduler.TaskID) TaskWatch {
	x := &e.events
	w := &taskWatch{changed: make(chan struct{}, 1)}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watches.Load() >= TaskWatchesMax {
		return TaskWatch{Ended: func() (*storagev1.Finished, error) { return nil, nil }, Stop: func() {}}
	}
	x.watches.Add(1)
	x.tasks[id] = append(x.tasks[id], w)
	return TaskWatch{
		Changed: w.changed, Ended: func() (*storagev1.Finished, error) { return e.watchedEnd(w) }, Stop: func() { x.unwatch(id, w) },
	}
}

func (e *Engine) watchedEnd(w *taskWatch) (*storagev1.Finished, error) {
	e.events.mu.Lock()
	rec := w.end
	e.events.mu.Unlock()
	if rec == nil {
		return nil, nil
	}
	return e.fullFinished(rec)
}

// watched reports whether anybody watches a task.
func (x *events) watched(id scheduler.TaskID) bool {
	if x.watches.Load() == 0 {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.tasks[id]) > 0
}

// ended hands a task's end to who watches it, before the event that says so.
func (x *events) ended(rec finished) {
	if x.watches.Load() == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, w := range x.tasks[rec.id] {
		w.end = new(finished)
		*w.end = rec
	}
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
