package engine

import (
	"context"
	"fmt"
	"slices"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// Bodies calls each for every id with its encoded storagev1.Body, in their order, or with nil: the task has ended. Ids in
// ascending order are cheapest; then those of ended tasks come last. The data is good during the call only. each must not wait for anything: storage may have a read transaction open.
//
// Bodies of live tasks that are damaged or lost are passed over; the error then names them, see Damaged.
func (e *Engine) Bodies(ids []scheduler.TaskID, each func(i int, data []byte) error) error {
	found := make([][]byte, len(ids))
	var missing []scheduler.TaskID
	var at, absent []int
	e.mu.RLock()
	for i, id := range ids {
		if b, ok := e.stagedBody(id); ok {
			found[i] = b
		} else {
			if missing == nil {
				missing, at = make([]scheduler.TaskID, 0, len(ids)-i), make([]int, 0, len(ids)-i)
			}
			missing, at = append(missing, id), append(at, i)
		}
	}
	e.mu.RUnlock()
	if len(missing) == len(ids) && slices.IsSorted(ids) { // a backlog's: storage gives them in this order, without a copy
		err := e.storedBodies(ids, func(i int, data []byte) error {
			if data == nil {
				absent = append(absent, i)
				return nil
			}
			return each(i, data)
		})
		if err != nil && Damaged(err) == nil {
			return err
		}
		lost := e.lostBodies(ids, absent)
		for _, i := range absent {
			if slices.Contains(lost, ids[i]) {
				continue
			}
			if err := each(i, nil); err != nil {
				return err
			}
		}
		return withLost(err, lost)
	}
	var damaged error
	if len(missing) > 0 {
		damaged = e.storedBodies(missing, func(k int, data []byte) error {
			if data != nil {
				found[at[k]] = append([]byte{}, data...)
			}
			return nil
		})
		if damaged != nil && Damaged(damaged) == nil {
			return damaged
		}
	}
	bad := Damaged(damaged)
	for i, data := range found {
		if data == nil && !slices.Contains(bad, ids[i]) {
			absent = append(absent, i)
		}
	}
	lost := e.lostBodies(ids, absent)
	for i, data := range found {
		if data == nil && (slices.Contains(bad, ids[i]) || slices.Contains(lost, ids[i])) {
			continue
		}
		if err := each(i, data); err != nil {
			return err
		}
	}
	return withLost(damaged, lost)
}

func (e *Engine) storedBodies(ids []scheduler.TaskID, each func(i int, data []byte) error) error {
	if err := e.opts.Storage.Bodies(ids, each); err != nil {
		return fmt.Errorf("read bodies: %w", err)
	}
	return nil
}

// looksMax is how often Task looks: a task may end between two looks, and a dead letter live again.
const looksMax = 3

// Task returns a task, live or finished. Errors: ErrNoTask, ErrNotRetained, storage's.
func (e *Engine) Task(_ context.Context, id scheduler.TaskID) (*Task, error) {
	for look := 1; ; look++ {
		t, err := e.liveTask(id)
		if err != nil || t != nil && (t.Body != nil || t.Unreadable || look == looksMax) {
			return t, err
		}
		fin, lives, err := e.findFinished(id)
		if lives && look < looksMax {
			continue
		}
		if lives {
			err = ErrNotRetained
		}
		if err != nil {
			return nil, err
		}
		return e.finishedTask(id, fin)
	}
}

// liveTask returns a live task, or nil. One without a body ended in the meantime, unless that is unreadable.
func (e *Engine) liveTask(id scheduler.TaskID) (*Task, error) {
	e.mu.RLock()
	info, live := e.state.Task(id)
	last := e.stagedLast(id)
	e.mu.RUnlock()
	if !live {
		return nil, nil
	}
	t := &Task{ID: id, Live: &info}
	var err error
	if err = e.addBody(t); err != nil || t.Body == nil && !t.Unreadable || info.Flags&scheduler.FlagHasFailure == 0 {
		return t, err
	}
	if last == nil {
		if last, err = e.storedLast(id); err != nil || last == nil {
			return t, err
		}
	}
	t.LastFailure, err = decodeAttempt(id, last)
	return t, err
}

// finishedTask adds the body to a dead letter: it is still there.
func (e *Engine) finishedTask(id scheduler.TaskID, fin *storagev1.Finished) (*Task, error) {
	t := &Task{ID: id, Finished: fin}
	var err error
	if scheduler.TaskState(fin.GetState()) == scheduler.Dead {
		err = e.addBody(t)
	}
	return t, err
}

// addBody reads a task's body, if it is there and can be read.
func (e *Engine) addBody(t *Task) error {
	err := e.Bodies([]scheduler.TaskID{t.ID}, func(_ int, data []byte) error {
		if data == nil {
			return nil
		}
		t.Body = &storagev1.Body{}
		return proto.Unmarshal(data, t.Body)
	})
	if t.Unreadable = Damaged(err) != nil; err == nil || t.Unreadable {
		return nil
	}
	return fmt.Errorf("read body of task %d: %w", t.ID, err)
}

// Explain says why a live task is where it is. Errors: ErrNoTask, ErrNotRetained (it has ended).
func (e *Engine) Explain(id scheduler.TaskID) (scheduler.Explanation, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	x, ok := e.state.Explain(id)
	switch {
	case ok:
		return x, nil
	case id == 0 || id > e.state.LastTask():
		return x, ErrNoTask
	}
	return x, ErrNotRetained
}

// Queues returns all queues, by name.
func (e *Engine) Queues() []scheduler.QueueInfo {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.state.Queues()
}

// Queue returns one queue, or false.
func (e *Engine) Queue(name string) (scheduler.QueueInfo, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.state.Queue(name)
}

// QueueSettings returns one queue's settings, or false. It costs a look-up, whatever the queue holds.
func (e *Engine) QueueSettings(name string) (scheduler.QueueRow, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.state.QueueSettings(name)
}

// ExplainQueue says why a queue's tasks wait; false: there is no such queue.
func (e *Engine) ExplainQueue(name string) (scheduler.QueueExplanation, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.state.ExplainQueue(name)
}

// Recallable returns unstarted leases that should be given up by their workers, at most so many.
func (e *Engine) Recallable(most int) []scheduler.RecallItem {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.state.Recallable(most, nil)
}

// Sessions returns all sessions, by worker's name, then id.
func (e *Engine) Sessions() []scheduler.SessionInfo {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.state.Sessions()
}

// SessionLeases returns the first n tokens of a session.
func (e *Engine) SessionLeases(id scheduler.SessionID, n int) []scheduler.LeaseInfo {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.state.SessionLeases(id, n)
}

// Hash returns the state's hash. It walks the whole state while Apply waits.
func (e *Engine) Hash() uint64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.state.Hash()
}

// Status returns the engine's figures.
func (e *Engine) Status() Status {
	s := Status{
		CheckpointIndex: e.opts.Storage.DurableIndex(), StoreBytes: e.opts.Storage.Bytes(), DiskFree: e.diskFree.Load(),
		Leading: e.Leading(), Started: scheduler.Time(e.started.UnixNano()), Totals: e.totals.read(),
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	s.Term, s.AppliedIndex, s.Now = e.state.Term(), e.applied, e.state.Now()
	s.Counts, s.Limits = e.state.Counts(), e.state.Limits()
	s.Logic, s.LastPosition = e.state.Logic(), e.state.LastPosition()
	return s
}
