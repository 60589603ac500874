package engine

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// findChunk is how many tasks a find looks at per hold of the lock, or per read of storage.
const findChunk = 4096

// FindPage returns tasks in order of id: those above ListFilter.After that pass, at most Max. It looks at about Looks tasks
// and then returns what it has, maybe nothing; Listed.Next says where to go on.
//
// It goes from window to window of ids, and in each looks at the live tasks, then at ended ones in the buffers, then in
// storage: the way that tasks go. Those that go back meanwhile, dead letters that are retried, are noted for it by the
// steps. So a task that exists throughout is on a page, once, as it stood at some time of the find; and what a page costs
// depends on what it looks at, not on how many tasks there are.
func (e *Engine) FindPage(ctx context.Context, f ListFilter) (*Listed, error) {
	if len(f.Labels) > scheduler.LabelsMax {
		return nil, fmt.Errorf("find tasks: %d labels, the limit is %d, which is what a task may have: name fewer", len(f.Labels), scheduler.LabelsMax)
	}
	p := newPage(f)
	e.mu.Lock()
	e.finds[p] = struct{}{}
	last := e.state.LastTask()
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.finds, p)
		e.mu.Unlock()
	}()
	for !p.done() {
		if err := e.findWindow(p); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	tasks, err := e.addLabels(ctx, p.tasks)
	if err != nil {
		return nil, err
	}
	return &Listed{Tasks: tasks, Next: p.next(), Last: last}, nil
}

// findWindow looks at the next ids.
func (e *Engine) findWindow(p *page) error {
	if err := e.findLive(p); err != nil {
		return err
	}
	if p.filter.wantsFinished() {
		if err := e.findStaged(p); err != nil {
			return err
		}
		if err := e.findStored(p); err != nil {
			return err
		}
		if err := e.findRevived(p); err != nil {
			return err
		}
	}
	p.close()
	return nil
}

// findLive opens a window and adds the live tasks in it.
func (e *Engine) findLive(p *page) error {
	n := p.chunk()
	found := make([]scheduler.TaskInfo, 0, min(n, p.filter.Max+1))
	e.mu.RLock()
	p.revived = p.revived[:0] // steps write it under mu; who went back before now is found by the walk
	last, done := scheduler.TaskID(0), true
	if p.filter.wantsLive() {
		last, done = e.state.WalkTasks(p.at, n, func(info scheduler.TaskInfo) {
			p.looks++
			if p.filter.passesLive(&info) {
				found = append(found, info)
			}
		})
	}
	e.mu.RUnlock()
	p.open(last, done)
	_, err := e.addLive(p, found) // who is gone by now is looked for among the finished
	return err
}

// addLive adds those of live tasks that have the wanted labels. gone: the body of one is gone, it has ended meanwhile.
func (e *Engine) addLive(p *page, found []scheduler.TaskInfo) (gone bool, err error) {
	if len(p.filter.labels) == 0 {
		for i := range found {
			p.add(&Task{ID: found[i].ID, Live: &found[i]})
		}
		return false, nil
	}
	ids := make([]scheduler.TaskID, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	labels, err := e.labelsOf(ids)
	if err != nil {
		return false, err
	}
	for i, l := range labels {
		switch {
		case l == nil:
			gone = true
		case p.filter.hasLabels(l):
			p.add(&Task{ID: ids[i], Live: &found[i]})
		}
	}
	return gone, nil
}

// findStaged adds finished tasks that the buffers hold. What has left them when its turn comes is in storage by then.
func (e *Engine) findStaged(p *page) error {
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
			if p.inWindow(list[i].id) && p.filter.passesFinished(list[i].data, list[i].late != nil) {
				ids = append(ids, list[i].id)
			}
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if room := p.room(); len(ids) > room { // the page has no use for more
		ids = ids[:room]
		p.shorten(ids[room-1])
	}
	for _, id := range ids {
		if _, err := e.addStanding(p, id); err != nil {
			return err
		}
	}
	return nil
}

// storedRow is a finished task as storage has it.
type storedRow struct {
	id   scheduler.TaskID
	data []byte
}

// findStored adds finished tasks in storage. If it has more of them than one look is at, the window ends with that look.
func (e *Engine) findStored(p *page) error {
	var rows []storedRow
	room, looked, after := p.room(), 0, p.at
	n := max(min(p.n, p.filter.Looks-p.looks), 1)
	err := e.opts.Storage.FinishedAfter(p.at, n, func(id scheduler.TaskID, data []byte) bool {
		if !p.inWindow(id) {
			return false
		}
		looked++
		after = id
		if p.filter.passesFinished(data, false) {
			rows = append(rows, storedRow{id, bytes.Clone(data)})
		}
		return len(rows) < room
	})
	if err != nil {
		return fmt.Errorf("find finished tasks: %w", err)
	}
	p.looks += looked
	if looked == n || len(rows) == room {
		p.shorten(after)
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
	return nil
}

// addStanding adds a task as it stands now, if it passes. !known: only storage can tell.
func (e *Engine) addStanding(p *page, id scheduler.TaskID) (known bool, err error) {
	for look := 1; ; look++ {
		e.mu.RLock()
		info, live := e.state.Task(id)
		rec, ok, known := e.stagedFinished(id)
		e.mu.RUnlock()
		switch {
		case live && !p.filter.passesLive(&info):
			return true, nil
		case live:
			if gone, err := e.addLive(p, []scheduler.TaskInfo{info}); !gone || look == looksMax {
				return true, err
			}
			continue
		case !ok || !p.filter.passesFinished(rec.data, rec.late != nil):
			return known, nil
		}
		f, err := e.fullFinished(&rec)
		if err == nil && p.filter.hasLabels(f) {
			p.add(&Task{ID: id, Finished: f})
		}
		return true, err
	}
}

// findRevived adds the dead letters that were retried since the window was opened.
func (e *Engine) findRevived(p *page) error {
	e.mu.RLock()
	ids := slices.Clone(p.revived)
	e.mu.RUnlock()
	for _, id := range ids {
		if !p.inWindow(id) {
			continue
		}
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
		if f != nil && p.filter.passesDecoded(f) {
			p.add(&Task{ID: id, Finished: f})
		}
	}
	return nil
}
