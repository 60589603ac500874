package engine

import (
	"context"
	"errors"
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// waiter is one Await.
// Invariant: ended has room for as many ends as it waits for tasks, so that a step never blocks on it: a step that
// delivers a task's end removes its waiters, and an Await registers each task again only after that.
type waiter struct {
	ended chan finished
}

// Await calls each, on the caller's goroutine, once for every distinct task as it ends: with its end, or with ErrNoTask or
// ErrNotRetained. It returns when all have been delivered, each failed, or ctx ended. A task with retention 0 is delivered
// if Await was called before its end.
func (e *Engine) Await(ctx context.Context, ids []scheduler.TaskID, each func(scheduler.TaskID, *storagev1.Finished, error) error) error {
	w := &waiter{ended: make(chan finished, len(ids))}
	live, rest := e.register(w, distinct(ids))
	defer func() { e.unregister(w, live) }()
	left := len(live)
	for len(rest) > 0 {
		id := rest[0]
		rest = rest[1:]
		f, lives, err := e.findFinished(id)
		if lives { // a dead letter that was retried meanwhile
			again, ended := e.register(w, []scheduler.TaskID{id})
			live, rest = append(live, again...), append(rest, ended...)
			left += len(again)
			continue
		}
		if err != nil && !isMissing(err) {
			return err
		}
		if err := each(id, f, err); err != nil {
			return err
		}
	}
	for ; left > 0; left-- {
		select {
		case rec := <-w.ended:
			f, err := e.fullFinished(&rec)
			if err != nil {
				return err
			}
			if err := each(rec.id, f, nil); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-e.stopped.Done():
			return e.ended()
		}
	}
	return nil
}

func distinct(ids []scheduler.TaskID) []scheduler.TaskID {
	seen := make(map[scheduler.TaskID]struct{}, len(ids))
	once := make([]scheduler.TaskID, 0, len(ids))
	for _, id := range ids {
		if _, ok := seen[id]; !ok {
			seen[id] = struct{}{}
			once = append(once, id)
		}
	}
	return once
}

// register splits distinct ids into live tasks, for which w now waits, and others.
func (e *Engine) register(w *waiter, ids []scheduler.TaskID) (live, rest []scheduler.TaskID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
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

func isMissing(err error) bool { return errors.Is(err, ErrNoTask) || errors.Is(err, ErrNotRetained) }

// Finished returns a finished task, ErrNoTask, ErrNotRetained (also of a task that lives), or storage's error.
func (e *Engine) Finished(id scheduler.TaskID) (*storagev1.Finished, error) {
	f, lives, err := e.findFinished(id)
	if lives {
		return nil, ErrNotRetained
	}
	return f, err
}

// findFinished looks for a finished task. lives: it hasn't ended.
func (e *Engine) findFinished(id scheduler.TaskID) (f *storagev1.Finished, lives bool, err error) {
	e.mu.RLock()
	rec, ok, known := e.stagedFinished(id)
	_, lives = e.state.Task(id)
	last := e.state.LastTask()
	e.mu.RUnlock()
	switch {
	case id == 0 || id > last:
		return nil, false, ErrNoTask
	case lives:
		return nil, true, nil
	case ok:
		f, err = e.fullFinished(&rec)
		return f, false, err
	case known:
		return nil, false, ErrNotRetained
	}
	data, err := e.opts.Storage.Finished(id)
	if err != nil {
		return nil, false, fmt.Errorf("read finished task %d: %w", id, err)
	}
	if data != nil {
		f, err = decodeFinished(id, data)
		return f, false, err
	}
	e.mu.RLock()
	_, lives = e.state.Task(id) // it was a dead letter, and storage let go of it because it lives again
	e.mu.RUnlock()
	if lives {
		return nil, true, nil
	}
	return nil, false, ErrNotRetained
}
