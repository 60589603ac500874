package engine

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Bounds of one List.
const (
	scanSlots    = 4096 // task slots looked at per hold of the lock
	scanFinished = 1000 // finished rows looked at per read of storage
)

// List returns tasks above ListFilter.After in order of id, at most Max, and whether there are more. Live tasks are found
// by a walk over all of them, a bounded number per hold of the lock; then ended ones in the buffers, then in storage: the
// way that tasks go. Those that go back while it walks, dead letters that are retried, are noted for it by the steps. So a
// task that exists throughout is listed, as it stood at some time of the walk.
func (e *Engine) List(ctx context.Context, f ListFilter) ([]*Task, bool, error) {
	f.Max = max(f.Max, 1)
	p := newPage(f)
	e.mu.Lock()
	e.lists[p] = struct{}{}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.lists, p)
		e.mu.Unlock()
	}()
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
	if err := e.listRevived(p); err != nil {
		return nil, false, err
	}
	tasks, more := p.result()
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

func (e *Engine) listLive(ctx context.Context, p *page) error {
	for from := uint32(0); ; {
		e.mu.RLock()
		from = e.state.ScanTasks(from, scanSlots, p.addLive)
		e.mu.RUnlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if from == 0 {
			return nil
		}
	}
}

// listStaged adds finished tasks that storage doesn't hold yet.
func (e *Engine) listStaged(p *page) error {
	var ids []scheduler.TaskID
	var lists [2][]finished // what is in them doesn't change, so they are walked without the lock
	e.mu.RLock()
	for i, u := range [...]*unsaved{e.live, e.sealed} {
		if u != nil {
			lists[i] = u.ended.list
		}
	}
	e.mu.RUnlock()
	for _, list := range lists {
		for i := range list {
			if p.inRange(list[i].id) && p.passesFinished(list[i].data) {
				ids = append(ids, list[i].id)
			}
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if !p.inRange(id) {
			return nil // the page is full of lower ones
		}
		if _, err := e.addStanding(p, id); err != nil {
			return err
		}
	}
	return nil
}

// addStanding adds a task as it stands now, if it passes. !known: only storage can tell.
func (e *Engine) addStanding(p *page, id scheduler.TaskID) (known bool, err error) {
	e.mu.RLock()
	info, live := e.state.Task(id)
	rec, ok, known := e.stagedFinished(id)
	e.mu.RUnlock()
	switch {
	case live:
		p.addLive(info)
		return true, nil
	case !ok || !p.passesFinished(rec.data):
		return known, nil
	}
	f, err := e.fullFinished(&rec)
	if err == nil {
		p.add(&Task{ID: id, Finished: f})
	}
	return true, err
}

// listStored adds finished tasks from storage until the page is full or storage ends.
func (e *Engine) listStored(ctx context.Context, p *page) error {
	type row struct {
		id   scheduler.TaskID
		data []byte
	}
	var rows []row
	for after := p.filter.After; ; {
		looked := 0
		rows = rows[:0]
		err := e.opts.Storage.FinishedAfter(after, scanFinished, func(id scheduler.TaskID, data []byte) bool {
			looked++
			after = id
			if p.passesFinished(data) {
				rows = append(rows, row{id, bytes.Clone(data)})
			}
			return p.inRange(id) && len(rows) < p.limit
		})
		if err != nil {
			return fmt.Errorf("list finished tasks: %w", err)
		}
		for _, r := range rows {
			known, err := e.addStanding(p, r.id) // it may have been revived, forgotten or finished again since
			if err != nil {
				return err
			}
			if known {
				continue
			}
			f, err := decodeFinished(r.id, r.data)
			if err != nil {
				return err
			}
			p.add(&Task{ID: r.id, Finished: f})
		}
		p.trim()
		switch {
		case !p.inRange(after+1) || looked < scanFinished && len(rows) < p.limit:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// listRevived adds the dead letters that were retried while the list walked.
func (e *Engine) listRevived(p *page) error {
	e.mu.RLock()
	ids := p.revived
	e.mu.RUnlock()
	for _, id := range ids {
		known, err := e.addStanding(p, id)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		f, _, err := e.findFinished(id) // it has ended again and is stored already
		if err != nil && !isMissing(err) {
			return err
		}
		if f != nil && p.passes(id, scheduler.TaskState(f.GetState()), f.GetSpec().GetQueue(), f.GetSpec().GetKind()) {
			p.add(&Task{ID: id, Finished: f})
		}
	}
	return nil
}
