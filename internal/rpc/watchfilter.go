package rpc

import (
	"strconv"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Bounds of a watch's filter.
const (
	WatchNamesMax = 100 // queues; kinds
	WatchTasksMax = 1000
	eventTypesMax = int(scheduler.EventWorkerEnded)
)

// watchFilter says which events a watcher wants; all conditions must hold. Nil maps: all.
type watchFilter struct {
	types  uint32 // bit i: type i
	queues map[string]bool
	kinds  map[string]bool
	tasks  map[scheduler.TaskID]bool
}

const softTypes = 1<<scheduler.EventStarted | 1<<scheduler.EventProgress

// wantsSoft reports whether STARTED or PROGRESS was asked for.
func (f *watchFilter) wantsSoft() bool { return f.types&softTypes != 0 }

// passes reports whether a watcher wants an event. One that concerns no task, or no queue, isn't among those of some.
func (f *watchFilter) passes(e *engine.Event) bool {
	return f.types&(1<<e.Type) != 0 && (f.tasks == nil || f.tasks[e.Task]) && (f.queues == nil || f.queues[e.Queue]) &&
		(f.kinds == nil || f.kinds[e.Kind])
}

// checkWatch checks a request. f is nil if the latest state of one task is wanted.
func checkWatch(req *yardmasterv1.TaskServiceWatchRequest) (f *watchFilter, one scheduler.TaskID, err error) {
	var v violations
	if req.GetLatestOnly() {
		return nil, checkLatest(&v, req), v.err()
	}
	f = &watchFilter{
		queues: nameSet(&v, "queues", req.GetQueues()), kinds: nameSet(&v, "kinds", req.GetKinds()), types: typeMask(&v, req.GetTypes()),
	}
	if len(req.GetTaskIds()) > 0 {
		f.tasks = map[scheduler.TaskID]bool{}
		for _, id := range v.ids("task_ids", req.GetTaskIds(), WatchTasksMax) {
			f.tasks[id] = true
		}
	}
	return f, 0, v.err()
}

func checkLatest(v *violations, req *yardmasterv1.TaskServiceWatchRequest) scheduler.TaskID {
	const want = "want none together with latest_only: leave it empty, or watch events"
	if req.GetAfterPosition() != 0 {
		v.add("after_position", want)
	}
	if len(req.GetQueues()) > 0 {
		v.add("queues", want)
	}
	if len(req.GetKinds()) > 0 {
		v.add("kinds", want)
	}
	if len(req.GetTypes()) > 0 {
		v.add("types", want)
	}
	if n := len(req.GetTaskIds()); n != 1 {
		v.add("task_ids", "want one task with latest_only, got %d: watch each by a call of its own, or watch events", n)
		return 0
	}
	return v.ids("task_ids", req.GetTaskIds(), 1)[0]
}

func nameSet(v *violations, field string, names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	set := map[string]bool{}
	for _, s := range v.names(field, names, 1, WatchNamesMax) {
		set[s] = true
	}
	return set
}

// typeMask gathers types. None: all but the soft ones.
func typeMask(v *violations, types []yardmasterv1.Event_Type) (mask uint32) {
	if len(types) == 0 {
		return (1<<(eventTypesMax+1) - 2) &^ softTypes
	}
	if len(types) > eventTypesMax {
		v.add("types", "want at most %d, got %d: name each once", eventTypesMax, len(types))
		return 0
	}
	for i, t := range types {
		if t < 1 || int(t) > eventTypesMax {
			v.add("types["+strconv.Itoa(i)+"]", "want a type of event, 1 to %d, got %d: leave it out", eventTypesMax, t)
			continue
		}
		mask |= 1 << t
	}
	return mask
}
