package client_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/grpc"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

type watchStream = grpc.ServerStreamingServer[yardmasterv1.TaskServiceWatchResponse]

func (f *fake) Watch(req *yardmasterv1.TaskServiceWatchRequest, stream watchStream) error {
	f.mu.Lock()
	f.watched = append(f.watched, req)
	n := len(f.watched)
	f.mu.Unlock()
	return f.onWatch(n, req, stream)
}

func (f *fake) Timeline(_ context.Context, req *yardmasterv1.TimelineRequest) (*yardmasterv1.TimelineResponse, error) {
	if err := f.call("Timeline"); err != nil {
		return nil, err
	}
	return &yardmasterv1.TimelineResponse{Task: &yardmasterv1.Task{Id: req.GetTaskId()},
		Attempts: []*yardmasterv1.Attempt{{Number: 1, Worker: "w"}}}, nil
}

// lookedAt is how many tasks the fake looks at for a page: few, so that pages are short, and empty ones are followed by others.
const lookedAt = 3

func (f *fake) List(_ context.Context, req *yardmasterv1.TaskServiceListRequest) (*yardmasterv1.TaskServiceListResponse, error) {
	if err := f.call("List"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tasks == nil {
		page, _ := strconv.Atoi(req.GetPageToken()) // none: the first
		resp := &yardmasterv1.TaskServiceListResponse{Tasks: f.pages[page]}
		if page+1 < len(f.pages) {
			resp.NextPageToken = fmt.Sprint(page + 1)
		}
		return resp, nil
	}
	if f.onList != nil {
		f.onList(req)
	}
	after, _ := strconv.ParseUint(req.GetPageToken(), 10, 64)
	resp := &yardmasterv1.TaskServiceListResponse{LastTaskId: f.lastTask}
	looked := 0
	for _, task := range f.tasks {
		if task.GetId() <= after || req.GetThroughTaskId() > 0 && task.GetId() > req.GetThroughTaskId() {
			continue
		}
		if looked == lookedAt || len(resp.GetTasks()) == int(cmp.Or(req.GetPageSize(), 100)) {
			resp.NextPageToken = fmt.Sprint(after)
			break
		}
		looked, after = looked+1, task.GetId()
		if meets(task, req) {
			resp.Tasks = append(resp.Tasks, &yardmasterv1.Task{Id: task.GetId(), Kind: task.GetKind(), State: task.GetState()})
		}
	}
	return resp, nil
}

func meets(task *yardmasterv1.Task, req *yardmasterv1.TaskServiceListRequest) bool {
	for k, v := range req.GetLabels() {
		if task.GetLabels()[k] != v {
			return false
		}
	}
	return (req.GetKind() == "" || req.GetKind() == task.GetKind()) &&
		(len(req.GetStates()) == 0 || slices.Contains(req.GetStates(), task.GetState()))
}

// act carries a command out on tasks.
func (f *fake) act(ids []uint64, do func(*yardmasterv1.Task) yardmasterv1.TaskResult_Code) []*yardmasterv1.TaskResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, ids)
	results := make([]*yardmasterv1.TaskResult, len(ids))
	for i, id := range ids {
		results[i] = &yardmasterv1.TaskResult{TaskId: id, Code: yardmasterv1.TaskResult_CODE_DONE}
		if f.tasks == nil {
			continue
		}
		results[i].Code = yardmasterv1.TaskResult_CODE_NOT_FOUND
		for _, task := range f.tasks {
			if task.GetId() == id {
				results[i].Code = do(task)
			}
		}
	}
	return results
}

func terminal(s client.TaskState) bool { return s >= client.Succeeded }

func (f *fake) Cancel(_ context.Context, req *yardmasterv1.TaskServiceCancelRequest) (*yardmasterv1.TaskServiceCancelResponse, error) {
	if err := f.call("Cancel"); err != nil {
		return nil, err
	}
	return &yardmasterv1.TaskServiceCancelResponse{Results: f.act(req.GetTaskIds(), func(task *yardmasterv1.Task) yardmasterv1.TaskResult_Code {
		switch {
		case terminal(task.GetState()):
			return yardmasterv1.TaskResult_CODE_ALREADY_TERMINAL
		case task.GetState() == client.Leased && !req.GetForce():
			return yardmasterv1.TaskResult_CODE_REQUESTED
		}
		task.State = client.Cancelled
		return yardmasterv1.TaskResult_CODE_DONE
	})}, nil
}

func (f *fake) Retry(_ context.Context, req *yardmasterv1.RetryRequest) (*yardmasterv1.RetryResponse, error) {
	if err := f.call("Retry"); err != nil {
		return nil, err
	}
	return &yardmasterv1.RetryResponse{Results: f.act(req.GetTaskIds(), func(task *yardmasterv1.Task) yardmasterv1.TaskResult_Code {
		if task.GetState() != client.Dead {
			return yardmasterv1.TaskResult_CODE_NOT_DEAD
		}
		task.State = client.Pending
		return yardmasterv1.TaskResult_CODE_DONE
	})}, nil
}

func (f *fake) Delete(_ context.Context, req *yardmasterv1.TaskServiceDeleteRequest) (*yardmasterv1.TaskServiceDeleteResponse, error) {
	if err := f.call("Delete"); err != nil {
		return nil, err
	}
	results := f.act(req.GetTaskIds(), func(task *yardmasterv1.Task) yardmasterv1.TaskResult_Code {
		if !terminal(task.GetState()) {
			return yardmasterv1.TaskResult_CODE_NOT_TERMINAL
		}
		task.Id = 0 // gone
		return yardmasterv1.TaskResult_CODE_DONE
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tasks = slices.DeleteFunc(f.tasks, func(task *yardmasterv1.Task) bool { return task.GetId() == 0 })
	return &yardmasterv1.TaskServiceDeleteResponse{Results: results}, nil
}
