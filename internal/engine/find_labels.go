package engine

import (
	"context"
	"fmt"
	"slices"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// labelsOf reads the labels of tasks, of many at once; nil: the body is gone, the task has ended. In a damaged body there
// are none.
func (e *Engine) labelsOf(ids []scheduler.TaskID) ([]*storagev1.Finished, error) {
	all := make([]*storagev1.Finished, len(ids))
	read := func(i int, body []byte) error {
		if body == nil {
			return nil
		}
		all[i] = &storagev1.Finished{}
		return proto.Unmarshal(appendLabels(nil, body), all[i])
	}
	missing, at := make([]scheduler.TaskID, 0, len(ids)), make([]int, 0, len(ids))
	e.mu.RLock()
	bodies := make([][]byte, len(ids))
	for i, id := range ids {
		body, ok := e.stagedBody(id)
		if bodies[i] = body; !ok {
			missing, at = append(missing, id), append(at, i)
		}
	}
	e.mu.RUnlock()
	for i, body := range bodies {
		if err := read(i, body); err != nil {
			return nil, fmt.Errorf("decode labels of task %d: %w", ids[i], err)
		}
	}
	if len(missing) == 0 {
		return all, nil
	}
	err := e.opts.Storage.Bodies(missing, func(k int, body []byte) error { return read(at[k], body) })
	lost := Damaged(err)
	if err != nil && lost == nil {
		return nil, fmt.Errorf("read labels of tasks: %w", err)
	}
	for i, id := range ids {
		if all[i] == nil && slices.Contains(lost, id) {
			all[i] = &storagev1.Finished{}
		}
	}
	return all, nil
}

// addLabels gives live tasks that have labels a body with them. One that has ended since it was found, so that its body is
// gone, has them from its finished row; one that isn't known any more is left out.
func (e *Engine) addLabels(ctx context.Context, tasks []*Task) ([]*Task, error) {
	var with []*Task
	var ids []scheduler.TaskID
	for _, t := range tasks {
		if t.Live != nil && t.Live.Flags&scheduler.FlagHasLabels != 0 {
			with, ids = append(with, t), append(ids, t.ID)
		}
	}
	if len(with) == 0 {
		return tasks, nil
	}
	labels, err := e.labelsOf(ids)
	if err != nil {
		return nil, err
	}
	for i, t := range with {
		if labels[i] == nil {
			now, err := e.Task(ctx, t.ID)
			switch {
			case isMissing(err):
				tasks = slices.DeleteFunc(tasks, func(x *Task) bool { return x == t })
				continue
			case err != nil:
				return nil, err
			}
			labels[i] = &storagev1.Finished{Labels: now.Finished.GetLabels()}
			if now.Live != nil {
				labels[i].Labels = now.Body.GetLabels()
			}
		}
		t.Body = &storagev1.Body{Labels: labels[i].GetLabels()}
	}
	return tasks, nil
}
