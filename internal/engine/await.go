package engine

import (
	"context"
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// waiter is one Await. Its channel holds as many ends as it has tasks, so that delivery never blocks.
type waiter struct {
	ended chan *finished
}

// deliver hands the ends of a step to who waits for them. Under mu.
func (e *Engine) deliver() {
	for i, rec := range e.ended {
		for _, w := range e.waiters[rec.Task] {
			w.ended <- rec
		}
		delete(e.waiters, rec.Task)
		e.ended[i] = nil
	}
	e.ended = e.ended[:0]
}

// Await calls each, on the caller's goroutine, once for every distinct task as it ends: with its end, or with ErrNoTask or
// ErrNotRetained. It returns when all have been delivered, each failed, or ctx ended. A task with retention 0 is delivered
// if Await was called before its end.
func (e *Engine) Await(ctx context.Context, ids []scheduler.TaskID, each func(scheduler.TaskID, *storagev1.Finished, error) error) error {
	w := &waiter{ended: make(chan *finished, len(ids))}
	live, rest := e.register(w, ids)
	defer e.unregister(w, live)
	for _, id := range rest {
		f, err := e.Finished(id)
		if err != nil && f == nil && !isMissing(err) {
			return err
		}
		if err := each(id, f, err); err != nil {
			return err
		}
	}
	for range live {
		select {
		case rec := <-w.ended:
			f, err := e.buildFinished(rec)
			if err != nil {
				return err
			}
			if err := each(rec.Task, f, nil); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-e.stopped.Done():
			return ErrStopping
		}
	}
	return nil
}

// register splits ids into live tasks, for which w now waits, and others.
func (e *Engine) register(w *waiter, ids []scheduler.TaskID) (live, rest []scheduler.TaskID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := make(map[scheduler.TaskID]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		if _, ok := e.state.Task(id); ok {
			e.waiters[id] = append(e.waiters[id], w)
			live = append(live, id)
		} else {
			rest = append(rest, id)
		}
	}
	return live, rest
}

func (e *Engine) unregister(w *waiter, ids []scheduler.TaskID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		ws := e.waiters[id]
		for i := range ws {
			if ws[i] == w {
				ws = append(ws[:i:i], ws[i+1:]...)
				break
			}
		}
		if len(ws) == 0 {
			delete(e.waiters, id)
		} else {
			e.waiters[id] = ws
		}
	}
}

// Finished returns a finished task, ErrNoTask, ErrNotRetained, or storage's error.
func (e *Engine) Finished(id scheduler.TaskID) (*storagev1.Finished, error) {
	e.mu.RLock()
	rec, known := e.stagedFinished(id)
	last := e.state.LastTask()
	e.mu.RUnlock()
	switch {
	case id == 0 || id > last:
		return nil, ErrNoTask
	case rec != nil:
		return e.buildFinished(rec)
	case known:
		return nil, ErrNotRetained
	}
	data, err := e.opts.Storage.Finished(id)
	if err != nil {
		return nil, fmt.Errorf("read finished task %d: %w", id, err)
	}
	if data == nil {
		return nil, ErrNotRetained
	}
	return decodeFinished(id, data)
}
