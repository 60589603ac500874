package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// fakeLooks is how many tasks the fake looks at for one page: few, so that pages are short, and empty.
const fakeLooks = 3

func (f *taskFake) List(_ context.Context, req *yardmasterv1.TaskServiceListRequest) (*yardmasterv1.TaskServiceListResponse, error) {
	if req.GetPageSize() > 1000 {
		return nil, badField("page_size", "is above 1,000")
	}
	after, err := f.after(req)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	last := uint64(len(f.tasks))
	f.mu.Unlock()
	resp := &yardmasterv1.TaskServiceListResponse{LastTaskId: last}
	through := last
	if req.GetThroughTaskId() > 0 {
		through = min(through, req.GetThroughTaskId())
	}
	size := int(req.GetPageSize())
	if size == 0 {
		size = 100
	}
	id, looks := after, 0
	for id < through && looks < f.looks && len(resp.GetTasks()) < size {
		id, looks = id+1, looks+1
		task, err := f.full(id)
		if err != nil {
			return nil, err
		}
		if matches(task, req) {
			task.Payload = nil
			resp.Tasks = append(resp.Tasks, task)
		}
	}
	if f.growing {
		f.mu.Lock()
		f.tasks = append(f.tasks, &yardmasterv1.TaskSpec{Kind: "wait"})
		f.mu.Unlock()
	}
	if id < through {
		resp.NextPageToken = pageToken(req, id)
	}
	return resp, nil
}

// pageToken goes with one filter.
func pageToken(req *yardmasterv1.TaskServiceListRequest, after uint64) string {
	filter := proto.CloneOf(req)
	filter.PageSize, filter.PageToken = 0, ""
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(filter)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%d-%d", after, len(data))
}

func (f *taskFake) after(req *yardmasterv1.TaskServiceListRequest) (after uint64, err error) {
	if req.GetPageToken() == "" {
		return 0, nil
	}
	if _, err := fmt.Sscanf(req.GetPageToken(), "%d-", &after); err != nil || pageToken(req, after) != req.GetPageToken() {
		return 0, badField("page_token", "is not of a list with these conditions; begin anew")
	}
	return after, nil
}

func badField(field, what string) error {
	return refusal(codes.InvalidArgument, "the request has fields at fault", "INVALID", &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: what}}})
}

func matches(task *yardmasterv1.Task, req *yardmasterv1.TaskServiceListRequest) bool {
	at := task.GetSubmitTime().AsTime()
	switch {
	case task.GetState() == yardmasterv1.TaskState_TASK_STATE_UNSPECIFIED, // deleted
		req.GetQueue() != "" && req.GetQueue() != task.GetQueue(),
		req.GetKind() != "" && req.GetKind() != task.GetKind(),
		len(req.GetStates()) > 0 && !slices.Contains(req.GetStates(), task.GetState()),
		req.GetSubmittedFrom() != nil && at.Before(req.GetSubmittedFrom().AsTime()),
		req.GetSubmittedBefore() != nil && !at.Before(req.GetSubmittedBefore().AsTime()):
		return false
	}
	for key, value := range req.GetLabels() {
		if got, ok := task.GetLabels()[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// each does something to each task. Ids of 100 and more are answered by their number: 102 is code 2.
func (f *taskFake) each(ids []uint64, do func(task *yardmasterv1.Task) yardmasterv1.TaskResult_Code) (results []*yardmasterv1.TaskResult, err error) {
	if len(ids) == 0 || len(ids) > 1000 {
		return nil, badField("task_ids", "has not 1 to 1,000 ids")
	}
	f.requests = append(f.requests, len(ids))
	for _, id := range ids {
		code := yardmasterv1.TaskResult_CODE_NOT_FOUND
		if id >= 100 && int(id) > len(f.tasks) {
			code = yardmasterv1.TaskResult_Code(id % 100)
		} else if task, err := f.full(id); err == nil && task.GetState() != yardmasterv1.TaskState_TASK_STATE_UNSPECIFIED {
			code = do(task)
		}
		results = append(results, &yardmasterv1.TaskResult{TaskId: id, Code: code})
	}
	return results, nil
}

func (f *taskFake) become(id uint64, state yardmasterv1.TaskState) yardmasterv1.TaskResult_Code {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states[id] = state
	return yardmasterv1.TaskResult_CODE_DONE
}

func (f *taskFake) Cancel(_ context.Context, req *yardmasterv1.TaskServiceCancelRequest) (*yardmasterv1.TaskServiceCancelResponse, error) {
	results, err := f.each(req.GetTaskIds(), func(task *yardmasterv1.Task) yardmasterv1.TaskResult_Code {
		switch {
		case terminal(task.GetState()):
			return yardmasterv1.TaskResult_CODE_ALREADY_TERMINAL
		case task.GetLease() != nil && !req.GetForce():
			return yardmasterv1.TaskResult_CODE_REQUESTED
		}
		return f.become(task.GetId(), yardmasterv1.TaskState_TASK_STATE_CANCELLED)
	})
	return &yardmasterv1.TaskServiceCancelResponse{Results: results}, err
}

// Retry: the queue named full is full.
func (f *taskFake) Retry(_ context.Context, req *yardmasterv1.RetryRequest) (*yardmasterv1.RetryResponse, error) {
	results, err := f.each(req.GetTaskIds(), func(task *yardmasterv1.Task) yardmasterv1.TaskResult_Code {
		switch {
		case task.GetState() != yardmasterv1.TaskState_TASK_STATE_DEAD:
			return yardmasterv1.TaskResult_CODE_NOT_DEAD
		case task.GetQueue() == "full":
			return yardmasterv1.TaskResult_CODE_LIMIT_REACHED
		}
		return f.become(task.GetId(), yardmasterv1.TaskState_TASK_STATE_PENDING)
	})
	return &yardmasterv1.RetryResponse{Results: results}, err
}

func (f *taskFake) Delete(_ context.Context, req *yardmasterv1.TaskServiceDeleteRequest) (*yardmasterv1.TaskServiceDeleteResponse, error) {
	results, err := f.each(req.GetTaskIds(), func(task *yardmasterv1.Task) yardmasterv1.TaskResult_Code {
		if !terminal(task.GetState()) {
			return yardmasterv1.TaskResult_CODE_NOT_TERMINAL
		}
		return f.become(task.GetId(), yardmasterv1.TaskState_TASK_STATE_UNSPECIFIED)
	})
	return &yardmasterv1.TaskServiceDeleteResponse{Results: results}, err
}

// Timeline: a task that failed has two attempts that left something; one that runs has one.
func (f *taskFake) Timeline(_ context.Context, req *yardmasterv1.TimelineRequest) (*yardmasterv1.TimelineResponse, error) {
	task, err := f.full(req.GetTaskId())
	if err != nil {
		return nil, err
	}
	resp := &yardmasterv1.TimelineResponse{Task: task}
	attempt := func(n uint32, end time.Duration, f *yardmasterv1.Failure) *yardmasterv1.Attempt {
		return &yardmasterv1.Attempt{Number: n, Generation: task.GetGeneration(), Token: uint64(60 + n), Worker: "build-7", SessionId: 3,
			GrantTime: ago(end + 10*time.Second), EndTime: ago(end), RunTime: durationpb.New(9500 * time.Millisecond), Failure: f, Succeeded: f == nil}
	}
	panicked := attempt(18, time.Minute, &yardmasterv1.Failure{Cause: yardmasterv1.Cause_CAUSE_PANIC, Message: "index out of range",
		Detail: "goroutine 7 [running]:\n\tmain.handle(\x1b[31m)\n"})
	lost := attempt(19, 30*time.Second, &yardmasterv1.Failure{Cause: yardmasterv1.Cause_CAUSE_WORKER_LOST})
	lost.RunTime = nil
	switch task.GetKind() {
	case "fail":
		resp.EarlierAttempts = 17
		resp.Attempts = []*yardmasterv1.Attempt{panicked, lost, attempt(20, 3*time.Second, task.GetOutcome().GetFailure())}
	case "busy":
		resp.Attempts = []*yardmasterv1.Attempt{attempt(1, 5*time.Minute, &yardmasterv1.Failure{Cause: yardmasterv1.Cause_CAUSE_EXIT, Signal: "SIGKILL", Message: "killed"}), lost}
		lost.Number = 2
	case "ok":
		resp.Attempts = []*yardmasterv1.Attempt{attempt(1, 3*time.Second, nil)}
	}
	return resp, nil
}
