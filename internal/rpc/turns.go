package rpc

import (
	"context"
	"sync"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// turns has calls take turns that read a task and then act on what they read, where the core can't tell whether it still
// holds. (It keeps nothing of a finished task but a dead letter's stub, and would carry out two deletes that both found the
// row.) Calls that share no task don't wait for each other. A call takes all its tasks or none, so none waits for another
// while it has what that one waits for.
type turns struct {
	mu    sync.Mutex
	taken map[scheduler.TaskID]chan struct{} // guarded by mu: closed when the call ends that has the task
}

// take waits until no other call has any of the tasks. give ends the turn. The error is ctx's.
func (t *turns) take(ctx context.Context, ids []scheduler.TaskID) (give func(), err error) {
	mine := make(chan struct{})
	for {
		other := t.try(ids, mine)
		if other == nil {
			return func() { t.give(ids, mine) }, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try takes all tasks, or returns the end of a call that has one of them.
func (t *turns) try(ids []scheduler.TaskID, mine chan struct{}) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if other := t.taken[id]; other != nil {
			return other
		}
	}
	if t.taken == nil {
		t.taken = map[scheduler.TaskID]chan struct{}{}
	}
	for _, id := range ids {
		t.taken[id] = mine
	}
	return nil
}

func (t *turns) give(ids []scheduler.TaskID, mine chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		delete(t.taken, id)
	}
	close(mine)
}
