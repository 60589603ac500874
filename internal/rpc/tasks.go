package rpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// taskService is TaskService.
type taskService struct {
	yardmasterv1.UnimplementedTaskServiceServer
	s       *Server
	deletes turns
}

// Get returns one task.
func (t *taskService) Get(ctx context.Context, req *yardmasterv1.TaskServiceGetRequest) (*yardmasterv1.TaskServiceGetResponse, error) {
	task, err := t.s.engine.Task(ctx, scheduler.TaskID(req.GetTaskId()))
	if err != nil {
		return nil, t.s.fail("get a task", err)
	}
	if task.Unreadable && req.GetIncludePayload() {
		return nil, refuse(codes.DataLoss, ReasonUnreadable, 0, fmt.Sprintf("task_id: task %d: %s; without include_payload the rest of it is shown",
			task.ID, unreadableText), "task_id", fmt.Sprint(uint64(task.ID)))
	}
	return &yardmasterv1.TaskServiceGetResponse{Task: t.s.taskProto(task, req.GetIncludePayload())}, nil
}

// Cancel asks for the end of tasks.
func (t *taskService) Cancel(ctx context.Context, req *yardmasterv1.TaskServiceCancelRequest) (*yardmasterv1.TaskServiceCancelResponse, error) {
	var v violations
	ids := v.ids("task_ids", req.GetTaskIds(), scheduler.BatchTasksMax)
	if v.any() {
		return nil, v.err()
	}
	cmd := scheduler.Command{Op: scheduler.OpCancel, Cancel: &scheduler.Cancel{IDs: ids, Force: req.GetForce()}}
	results, err := t.results(ctx, "cancel tasks", cmd)
	if err != nil {
		return nil, err
	}
	return &yardmasterv1.TaskServiceCancelResponse{Results: results}, nil
}

// Retry gives dead letters a new generation. Their rows are read here; the core takes one only if it is still the dead
// letter's present one.
func (t *taskService) Retry(ctx context.Context, req *yardmasterv1.RetryRequest) (*yardmasterv1.RetryResponse, error) {
	var v violations
	ids := v.ids("task_ids", req.GetTaskIds(), scheduler.BatchTasksMax)
	if v.any() {
		return nil, v.err()
	}
	c := &scheduler.Retry{Items: make([]scheduler.RetryItem, len(ids))}
	for i, id := range ids {
		c.Items[i].ID = id
		task, err := t.s.engine.Task(ctx, id)
		switch {
		case missing(err):
		case err != nil:
			return nil, t.s.fail("read a dead letter", err)
		case task.Finished != nil && scheduler.TaskState(task.Finished.GetState()) == scheduler.Dead:
			c.Items[i] = scheduler.RetryItem{ID: id, Gen: task.Finished.GetGen(), Found: true, Spec: storedSpec(task.Finished.GetSpec())}
		}
	}
	results, err := t.results(ctx, "retry tasks", scheduler.Command{Op: scheduler.OpRetry, Retry: c})
	if err != nil {
		return nil, err
	}
	return &yardmasterv1.RetryResponse{Results: results}, nil
}

// Delete removes finished tasks. Their rows are read here; the core takes a dead letter only if it is still the one that was
// read. Deletes of one task take turns, so that only one of them finds it.
func (t *taskService) Delete(ctx context.Context, req *yardmasterv1.TaskServiceDeleteRequest) (*yardmasterv1.TaskServiceDeleteResponse, error) {
	var v violations
	ids := v.ids("task_ids", req.GetTaskIds(), scheduler.BatchTasksMax)
	if v.any() {
		return nil, v.err()
	}
	give, err := t.deletes.take(ctx, ids)
	if err != nil {
		return nil, t.s.fail("delete tasks", err)
	}
	defer give()
	c := &scheduler.Delete{Items: make([]scheduler.DeleteItem, len(ids))}
	seen := make([]bool, len(ids))
	for i, id := range ids {
		c.Items[i].ID = id
		task, err := t.s.engine.Task(ctx, id)
		switch {
		case missing(err):
		case err != nil:
			return nil, t.s.fail("read a finished task", err)
		case task.Finished != nil:
			c.Items[i] = scheduler.DeleteItem{ID: id, Gen: task.Finished.GetGen(), Found: true}
			seen[i] = true
		default:
			seen[i] = true
		}
	}
	items, err := t.act(ctx, "delete tasks", scheduler.Command{Op: scheduler.OpDelete, Delete: c})
	if err != nil {
		return nil, err
	}
	out := &yardmasterv1.TaskServiceDeleteResponse{}
	for i, item := range items {
		code := item.Code
		if code == scheduler.ItemNotFound && seen[i] {
			code = scheduler.ItemNotTerminal // it lived when it was read and has ended since, or was retried and died again
		}
		out.Results = append(out.Results, &yardmasterv1.TaskResult{TaskId: uint64(item.ID), Code: yardmasterv1.TaskResult_Code(code)})
	}
	return out, nil
}

// act carries out a command over several tasks and returns what it did to each.
func (t *taskService) act(ctx context.Context, what string, cmd scheduler.Command) ([]scheduler.ItemResult, error) {
	res, err := t.s.engine.Do(ctx, cmd)
	if err != nil {
		return nil, t.s.fail(what, err)
	}
	return res.Items, codeError(res.Code, "")
}

func missing(err error) bool {
	return errors.Is(err, engine.ErrNoTask) || errors.Is(err, engine.ErrNotRetained)
}

// results carries out a command and shows what was done. Of tasks that the core doesn't know the engine says whether they are
// still retained.
func (t *taskService) results(ctx context.Context, what string, cmd scheduler.Command) ([]*yardmasterv1.TaskResult, error) {
	items, err := t.act(ctx, what, cmd)
	if err != nil {
		return nil, err
	}
	out := make([]*yardmasterv1.TaskResult, len(items))
	for i, item := range items {
		code := item.Code
		if code == scheduler.ItemAlreadyTerminal || code == scheduler.ItemNotDead {
			if _, err := t.s.engine.Task(ctx, item.ID); missing(err) {
				code = scheduler.ItemNotFound
			} else if err != nil {
				return nil, t.s.fail("read a task", err)
			}
		}
		out[i] = &yardmasterv1.TaskResult{TaskId: uint64(item.ID), Code: yardmasterv1.TaskResult_Code(code)}
	}
	return out, nil
}
