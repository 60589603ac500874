package engine

import (
	"cmp"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
)

// page gathers the lowest ids that pass a filter.
type page struct {
	filter ListFilter
	states map[scheduler.TaskState]bool // empty: all
	limit  int                          // one more than asked for: it tells whether there are more
	tasks  []*Task
	bound  scheduler.TaskID // limit tasks below or at it are there, so no higher one is of use; 0: not yet

	revived []scheduler.TaskID // while the list walks; written by steps, under the engine's mu
}

func newPage(f ListFilter) *page {
	p := &page{filter: f, states: map[scheduler.TaskState]bool{}, limit: f.Max + 1}
	for _, s := range f.States {
		p.states[s] = true
	}
	return p
}

func (p *page) wantsFinished() bool {
	if len(p.states) == 0 {
		return true
	}
	for s := range p.states {
		if s.Terminal() {
			return true
		}
	}
	return false
}

// inRange reports whether the page has use for an id.
func (p *page) inRange(id scheduler.TaskID) bool {
	return id > p.filter.After && (p.bound == 0 || id < p.bound)
}

func (p *page) wantsState(s scheduler.TaskState) bool { return len(p.states) == 0 || p.states[s] }

// passesFinished looks into an encoded storagev1.Finished without decoding it: a result may be a megabyte.
func (p *page) passesFinished(data []byte) bool {
	var state uint64
	var spec []byte
	eachField(data, func(num protowire.Number, n uint64, v []byte) (more bool) {
		switch num {
		case finishedState:
			state = n
		case finishedSpec:
			spec = v
		}
		return num < finishedSpec
	})
	if !p.wantsState(scheduler.TaskState(state)) {
		return false
	}
	var kind, queue []byte
	eachField(spec, func(num protowire.Number, _ uint64, v []byte) (more bool) {
		switch num {
		case specKind:
			kind = v
		case specQueue:
			queue = v
		}
		return num < specQueue
	})
	return (p.filter.Queue == "" || p.filter.Queue == string(queue)) && (p.filter.Kind == "" || p.filter.Kind == string(kind))
}

// addLive adds a live task if it passes.
func (p *page) addLive(info scheduler.TaskInfo) {
	if p.passes(info.ID, info.State, info.Queue, info.Kind) {
		p.add(&Task{ID: info.ID, Live: &info})
	}
}

func (p *page) passes(id scheduler.TaskID, s scheduler.TaskState, queue, kind string) bool {
	return p.inRange(id) && p.wantsState(s) && (p.filter.Queue == "" || p.filter.Queue == queue) &&
		(p.filter.Kind == "" || p.filter.Kind == kind)
}

func (p *page) add(t *Task) {
	if !p.inRange(t.ID) {
		return
	}
	p.tasks = append(p.tasks, t)
	if len(p.tasks) >= 4*p.limit {
		p.trim()
	}
}

// trim keeps the lowest ids, each once: a task that ended between two looks is kept as it was first seen.
func (p *page) trim() {
	slices.SortStableFunc(p.tasks, func(a, b *Task) int { return cmp.Compare(a.ID, b.ID) })
	p.tasks = slices.CompactFunc(p.tasks, func(a, b *Task) bool { return a.ID == b.ID })
	if len(p.tasks) >= p.limit {
		clear(p.tasks[p.limit:])
		p.tasks = p.tasks[:p.limit]
		p.bound = p.tasks[p.limit-1].ID
	}
}

// result returns the page, and whether more follows it.
func (p *page) result() (tasks []*Task, more bool) {
	p.trim()
	most := p.limit - 1
	return p.tasks[:min(len(p.tasks), most)], len(p.tasks) > most
}
