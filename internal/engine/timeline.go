package engine

import (
	"context"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Timeline returns what happened to a task: its attempts without success, of all its generations. The one whose outcome
// ended it is told by its finished row alone. Errors: as Task.
func (e *Engine) Timeline(ctx context.Context, id scheduler.TaskID) (*Timeline, error) {
	task, err := e.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	all, err := e.allAttempts(id)
	if err != nil {
		return nil, err
	}
	t := &Timeline{Task: task, Earlier: all.earlier}
	for _, data := range all.list {
		a, err := decodeAttempt(id, data)
		if err != nil {
			return nil, err
		}
		t.Attempts = append(t.Attempts, a)
	}
	if n := len(t.Attempts); n > 0 && task.Finished.GetToken() != 0 && t.Attempts[n-1].GetToken() == task.Finished.GetToken() {
		t.Attempts = t.Attempts[:n-1]
	}
	return t, nil
}
