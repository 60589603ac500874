package rpc

import (
	"context"
	"errors"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// latest sends a task as it is, and again after each change, until it has ended. It reads the task anew each time, so what
// came and went while the watcher didn't read is skipped. Changes that only this leader knows of, a start and progress, are
// among the soft events.
func (w *watcher) latest(id scheduler.TaskID) error {
	task := w.s.engine.WatchTask(id)
	defer task.Stop()
	after, stopSoft := w.s.soft.watch()
	defer stopSoft()
	w.soft = after
	for {
		softMoved := w.skipSoft()
		t, err := w.look(id, task.Ended)
		if err != nil {
			return err
		}
		m := &yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Task{Task: w.s.taskProto(t, false)}}
		if err := w.gs.Send(m); err != nil {
			return broken(w.ctx, err)
		}
		if t.Finished != nil {
			return nil
		}
		if err := w.change(id, task.Changed, softMoved); err != nil {
			return err
		}
	}
}

// look reads the task; of one that ended under this watch and isn't kept, what ended says.
func (w *watcher) look(id scheduler.TaskID, ended func() (*storagev1.Finished, error)) (*engine.Task, error) {
	t, err := w.s.engine.Task(w.ctx, id)
	if !errors.Is(err, engine.ErrNotRetained) {
		return t, err
	}
	f, broken := ended()
	switch {
	case broken != nil:
		return nil, broken
	case f == nil:
		return nil, err
	}
	return &engine.Task{ID: id, Finished: f}, nil
}

// skipSoft passes over the soft events so far: what they say is part of the task that is read next.
func (w *watcher) skipSoft() (moved <-chan struct{}) {
	for moved == nil {
		_, moved = w.readSoft(0)
	}
	return moved
}

// change waits until a task may have changed.
func (w *watcher) change(id scheduler.TaskID, changed, softMoved <-chan struct{}) error {
	for {
		select {
		case _, ok := <-changed:
			if !ok {
				return engine.ErrStopping
			}
			return nil
		case <-softMoved:
			for softMoved = nil; softMoved == nil; {
				var found bool
				if found, softMoved = w.readSoft(id); found {
					return nil
				}
			}
		case <-w.s.flush:
			select {
			case <-changed:
				return nil
			default:
				return errEnded
			}
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
	}
}

// readSoft reads soft events and reports whether one is of a task. moved is nil if there may be more at once.
func (w *watcher) readSoft(id scheduler.TaskID) (found bool, moved <-chan struct{}) {
	c := chunks.Get().(*chunk)
	defer chunks.Put(c)
	n, through, _, moved := w.s.soft.ring.Read(w.soft, c.soft[:])
	w.soft = through
	for i := range c.soft[:n] {
		found = found || c.soft[i].Task == id
	}
	clear(c.soft[:n])
	return found, moved
}
