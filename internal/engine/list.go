package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Bounds of one List.
const (
	scanSlots    = 4096 // task slots looked at per hold of the lock
	scanFinished = 1000 // finished rows looked at per read of storage
)

// List returns tasks above ListFilter.After in order of id, at most Max, and whether there are more. Live tasks are found
// by a walk over all of them, a bounded number per hold of the lock.
func (e *Engine) List(ctx context.Context, f ListFilter) ([]*Task, bool, error) {
	p := &page{filter: f, states: map[scheduler.TaskState]bool{}, limit: f.Max + 1}
	for _, s := range f.States {
		p.states[s] = true
	}
	if err := e.listLive(ctx, p); err != nil {
		return nil, false, err
	}
	if p.wantsFinished() {
		if err := e.listStaged(p); err != nil {
			return nil, false, err
		}
		if err := e.listStored(ctx, p); err != nil {
			return nil, false, err
		}
	}
	p.trim()
	more := len(p.tasks) > f.Max
	tasks := p.tasks[:min(len(p.tasks), f.Max)]
	for _, t := range tasks {
		if t.Live != nil && t.Live.Flags&scheduler.FlagHasLabels != 0 {
			b, err := e.body(t.ID)
			if err != nil {
				return nil, false, err
			}
			t.Body = b
		}
	}
	return tasks, more, nil
}

// page gathers the lowest ids that pass a filter.
type page struct {
	filter ListFilter
	states map[scheduler.TaskState]bool
	limit  int
	tasks  []*Task
}

func (p *page) passes(id scheduler.TaskID, state scheduler.TaskState, queue, kind string) bool {
	return id > p.filter.After && (len(p.states) == 0 || p.states[state]) &&
		(p.filter.Queue == "" || p.filter.Queue == queue) && (p.filter.Kind == "" || p.filter.Kind == kind)
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

func (p *page) add(t *Task) {
	p.tasks = append(p.tasks, t)
	if len(p.tasks) >= 4*p.limit {
		p.trim()
	}
}

// trim keeps the lowest ids, each once: a task that ended between two looks is kept as it was first seen.
func (p *page) trim() {
	slices.SortStableFunc(p.tasks, func(a, b *Task) int { return cmp.Compare(a.ID, b.ID) })
	p.tasks = slices.CompactFunc(p.tasks, func(a, b *Task) bool { return a.ID == b.ID })
	if len(p.tasks) > p.limit {
		clear(p.tasks[p.limit:])
		p.tasks = p.tasks[:p.limit]
	}
}

func (e *Engine) listLive(ctx context.Context, p *page) error {
	for from := uint32(0); ; {
		e.mu.RLock()
		from = e.state.ScanTasks(from, scanSlots, func(info scheduler.TaskInfo) {
			if p.passes(info.ID, info.State, info.Queue, info.Kind) {
				p.add(&Task{ID: info.ID, Live: &info})
			}
		})
		e.mu.RUnlock()
		if from == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// listStaged adds finished tasks that storage doesn't hold yet.
func (e *Engine) listStaged(p *page) error {
	var recs []*finished
	e.mu.RLock()
	for _, u := range [...]*unsaved{e.live, e.sealed} {
		if u == nil {
			continue
		}
		for id, rec := range u.finished {
			if p.passes(id, rec.State, rec.Queue, rec.Kind) {
				recs = append(recs, rec)
			}
		}
	}
	e.mu.RUnlock()
	slices.SortFunc(recs, func(a, b *finished) int { return cmp.Compare(a.Task, b.Task) })
	for _, rec := range recs[:min(len(recs), p.limit)] {
		f, err := e.buildFinished(rec)
		if err != nil {
			return err
		}
		p.add(&Task{ID: rec.Task, Finished: f})
	}
	return nil
}

// listStored adds finished tasks from storage until the page is full or storage ends.
func (e *Engine) listStored(ctx context.Context, p *page) error {
	after, found := p.filter.After, 0
	for {
		looked := 0
		var bad error
		err := e.opts.Storage.FinishedAfter(after, scanFinished, func(id scheduler.TaskID, data []byte) bool {
			looked++
			after = id
			var f *storagev1.Finished
			if f, bad = decodeFinished(id, data); bad != nil {
				return false
			}
			if p.passes(id, scheduler.TaskState(f.GetState()), f.GetSpec().GetQueue(), f.GetSpec().GetKind()) && e.stillStored(id) {
				p.add(&Task{ID: id, Finished: f})
				found++
			}
			return found < p.limit
		})
		switch {
		case err != nil:
			return fmt.Errorf("list finished tasks: %w", err)
		case bad != nil:
			return bad
		case found >= p.limit || looked < scanFinished:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// stillStored reports whether a stored finished task has not been revived, forgotten or finished again since.
func (e *Engine) stillStored(id scheduler.TaskID) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	_, known := e.stagedFinished(id)
	return !known
}
