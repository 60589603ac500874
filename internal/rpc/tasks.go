package rpc

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Pages of lists.
const (
	PageSizeDefault = 100
	PageSizeMax     = 1000
)

// taskService is TaskService.
type taskService struct {
	yardmasterv1.UnimplementedTaskServiceServer
	s *Server
}

// Get returns one task.
func (t *taskService) Get(ctx context.Context, req *yardmasterv1.TaskServiceGetRequest) (*yardmasterv1.TaskServiceGetResponse, error) {
	task, err := t.s.engine.Task(ctx, scheduler.TaskID(req.GetTaskId()))
	if err != nil {
		return nil, t.s.fail("get a task", err)
	}
	return &yardmasterv1.TaskServiceGetResponse{Task: t.s.taskProto(task, req.GetIncludePayload())}, nil
}

// List returns a page of tasks. RUNNING is this leader's knowledge, so the engine is asked for leased tasks and what it
// finds is sorted out here.
func (t *taskService) List(ctx context.Context, req *yardmasterv1.TaskServiceListRequest) (*yardmasterv1.TaskServiceListResponse, error) {
	filter, wanted, err := listFilter(req)
	if err != nil {
		return nil, err
	}
	size := filter.Max
	res := &yardmasterv1.TaskServiceListResponse{}
	bytes := 0
	for {
		tasks, more, err := t.s.engine.List(ctx, filter)
		if err != nil {
			return nil, t.s.fail("list tasks", err)
		}
		for _, task := range tasks {
			p := t.s.taskProto(task, false)
			if p.GetOutcome() != nil {
				p.Outcome.Result = nil
			}
			if len(wanted) > 0 && !wanted[p.GetState()] {
				filter.After = task.ID
				continue
			}
			bytes += proto.Size(p)
			if n := len(res.Tasks); n == size || n > 0 && bytes > ResponseBytesMax {
				res.NextPageToken = strconv.FormatUint(uint64(filter.After), 10)
				return res, nil
			}
			filter.After = task.ID
			res.Tasks = append(res.Tasks, p)
		}
		if !more {
			return res, nil
		}
		if len(res.Tasks) == size {
			res.NextPageToken = strconv.FormatUint(uint64(filter.After), 10)
			return res, nil
		}
	}
}

// listFilter checks a List. wanted are the states asked for; empty: all.
func listFilter(req *yardmasterv1.TaskServiceListRequest) (f engine.ListFilter, wanted map[yardmasterv1.TaskState]bool, err error) {
	var v violations
	f = engine.ListFilter{Queue: req.GetQueue(), Kind: req.GetKind()}
	if f.Queue != "" {
		v.name("queue", f.Queue)
	}
	if f.Kind != "" {
		v.name("kind", f.Kind)
	}
	f.Max = int(v.number("page_size", req.GetPageSize(), PageSizeMax, PageSizeDefault))
	if token := req.GetPageToken(); token != "" {
		after, err := strconv.ParseUint(token, 10, 64)
		if err != nil {
			v.add("page_token", "want the next_page_token of the page before, got %s", quote(token))
		}
		f.After = scheduler.TaskID(after)
	}
	wanted = map[yardmasterv1.TaskState]bool{}
	for i, state := range req.GetStates() {
		known := state == yardmasterv1.TaskState_TASK_STATE_RUNNING
		if known {
			f.States = append(f.States, scheduler.Leased)
		}
		for core, p := range states {
			if p == state {
				known = true
				f.States = append(f.States, core)
			}
		}
		if !known {
			v.add("states["+strconv.Itoa(i)+"]", "want a task state, got %s", state)
		}
		wanted[state] = true
	}
	slices.Sort(f.States)
	f.States = slices.Compact(f.States)
	return f, wanted, v.err()
}

// Cancel asks for the end of tasks.
func (t *taskService) Cancel(ctx context.Context, req *yardmasterv1.TaskServiceCancelRequest) (*yardmasterv1.TaskServiceCancelResponse, error) {
	var v violations
	ids := v.ids("task_ids", req.GetTaskIds(), scheduler.BatchTasksMax)
	if v.any() {
		return nil, v.err()
	}
	res, err := t.s.engine.Do(ctx, scheduler.Command{Op: scheduler.OpCancel, Cancel: &scheduler.Cancel{IDs: ids, Force: req.GetForce()}})
	if err != nil {
		return nil, t.s.fail("cancel tasks", err)
	}
	if err := codeError(res.Code, ""); err != nil {
		return nil, err
	}
	results, err := t.results(ctx, res.Items)
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
	res, err := t.s.engine.Do(ctx, scheduler.Command{Op: scheduler.OpRetry, Retry: c})
	if err != nil {
		return nil, t.s.fail("retry tasks", err)
	}
	if err := codeError(res.Code, ""); err != nil {
		return nil, err
	}
	results, err := t.results(ctx, res.Items)
	if err != nil {
		return nil, err
	}
	return &yardmasterv1.RetryResponse{Results: results}, nil
}

func missing(err error) bool {
	return errors.Is(err, engine.ErrNoTask) || errors.Is(err, engine.ErrNotRetained)
}

// results shows what was done. Of tasks that the core doesn't know the engine says whether they are still retained.
func (t *taskService) results(ctx context.Context, items []scheduler.ItemResult) ([]*yardmasterv1.TaskResult, error) {
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
