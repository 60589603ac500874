package main

import (
	"cmp"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// testNow is the time at which every test runs yardctl.
var testNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(testNow.Add(-d)) }

// fake is a coordinator whose answers are settled by what it is asked: the kind of a task says how it fares.
//
//	ok       succeeds with its payload     fail, cancel, expire   end so
//	hang     never ends                    bad, full, internal    are refused so
//	later    is due in two days            wait                   is pending
//	old      is pending since three hours  busy                   runs and tells its progress
//	cut      ends, and every watch of it breaks once
//	lost     is stored, but the first answer is lost with the connection
type fake struct {
	mu       sync.Mutex
	tasks    []*yardmasterv1.TaskSpec // id - 1
	answered map[string]*yardmasterv1.SubmitResponse
	lost     int
	queues   map[string]*yardmasterv1.Queue    // configured ones
	states   map[uint64]yardmasterv1.TaskState // of tasks that were cancelled, retried, deleted (unspecified)
	watches  int
	looks    int   // tasks looked at for one page
	growing  bool  // each listing is followed by the submit of another task of kind wait
	requests []int // how many tasks each Cancel, Retry and Delete named
	refuse   bool  // Status refuses
	backup   backupFault
	conns    []net.Conn
	hung     chan struct{} // told of each Await that includes a task of kind hang
}

type taskFake struct {
	yardmasterv1.UnimplementedTaskServiceServer
	*fake
}

type queueFake struct {
	yardmasterv1.UnimplementedQueueServiceServer
	*fake
}

type operatorFake struct {
	yardmasterv1.UnimplementedOperatorServiceServer
	*fake
}

// serve starts a fake on loopback until the test ends.
func serve(t *testing.T) (*fake, string) {
	t.Helper()
	f := &fake{looks: fakeLooks, answered: map[string]*yardmasterv1.SubmitResponse{}, hung: make(chan struct{}, 100),
		queues: map[string]*yardmasterv1.Queue{}, states: map[uint64]yardmasterv1.TaskState{}}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(
		keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
	yardmasterv1.RegisterTaskServiceServer(server, &taskFake{fake: f})
	yardmasterv1.RegisterQueueServiceServer(server, &queueFake{fake: f})
	yardmasterv1.RegisterOperatorServiceServer(server, &operatorFake{fake: f})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(&cuttable{lis, f}) //nolint:errcheck // ends with Stop
	}()
	t.Cleanup(func() { server.Stop(); <-ended })
	return f, lis.Addr().String()
}

// cuttable is a listener that keeps its connections, to be cut.
type cuttable struct {
	net.Listener
	f *fake
}

func (l *cuttable) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.f.mu.Lock()
		l.f.conns = append(l.f.conns, conn)
		l.f.mu.Unlock()
	}
	return conn, err
}

// refusal makes a status with details.
func refusal(code codes.Code, message, reason string, details ...protoadapt.MessageV1) error {
	st, err := status.New(code, message).WithDetails(append(details,
		&errdetails.ErrorInfo{Domain: "yardmaster", Reason: reason})...)
	if err != nil {
		panic(err)
	}
	return st.Err()
}

func (f *taskFake) Submit(_ context.Context, req *yardmasterv1.SubmitRequest) (*yardmasterv1.SubmitResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := req.GetProducer()
	number := string(p.GetId()) + "/" + string(rune(p.GetNumber()))
	if resp := f.answered[number]; resp != nil {
		return resp, nil
	}
	resp := &yardmasterv1.SubmitResponse{}
	for i, spec := range req.GetTasks() {
		switch spec.GetKind() {
		case "bad":
			return nil, refusal(codes.InvalidArgument, "the request has fields at fault", "INVALID", &errdetails.BadRequest{
				FieldViolations: []*errdetails.BadRequest_FieldViolation{
					{Field: "tasks[0].priority", Description: "is 101, must be from -100 to 100"},
					{Field: "tasks[0].queue", Description: `is "Mail", must be a name: [a-z0-9][a-z0-9._-]{0,62}`}}})
		case "full":
			return nil, refusal(codes.ResourceExhausted, "queue default holds 5,000,000 tasks, its limit", "LIMIT_DEPTH",
				&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Minute)})
		case "internal":
			return nil, status.Error(codes.Internal, "a bug")
		}
		if key := spec.GetIdempotencyKey(); key == "known" {
			resp.TaskIds, resp.Existing = append(resp.TaskIds, 1), append(resp.Existing, uint32(i))
			continue
		}
		f.tasks = append(f.tasks, spec)
		resp.TaskIds = append(resp.TaskIds, uint64(len(f.tasks)))
	}
	f.answered[number] = resp
	if req.GetTasks()[0].GetKind() == "lost" && f.lost == 0 {
		f.lost++
		for _, conn := range f.conns {
			conn.Close()
		}
	}
	return resp, nil
}

// outcome is how a task fares, or nil.
func (f *fake) outcome(id uint64) *yardmasterv1.AwaitResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	resp := &yardmasterv1.AwaitResponse{TaskId: id}
	if id == 999 && len(f.tasks) < 999 {
		resp.MissingReason = "OUTCOME_NOT_RETAINED"
		return resp
	}
	if id > uint64(len(f.tasks)) {
		resp.MissingReason = "TASK_UNKNOWN"
		return resp
	}
	spec := f.tasks[id-1]
	o := &yardmasterv1.Outcome{FinishTime: ago(3 * time.Second), Attempts: 1, Token: 70 + id, Worker: "build-7"}
	switch spec.GetKind() {
	case "fail":
		o.State, o.Cause, o.Attempts = yardmasterv1.TaskState_TASK_STATE_DEAD, yardmasterv1.Cause_CAUSE_EXIT, 20
		o.Failure = &yardmasterv1.Failure{Cause: o.Cause, Message: "exit code 2\nand more", ExitCode: 2, Detail: "no such file"}
	case "cancel":
		o.State, o.Cause = yardmasterv1.TaskState_TASK_STATE_CANCELLED, yardmasterv1.Cause_CAUSE_CANCELLED
	case "expire":
		o = &yardmasterv1.Outcome{State: yardmasterv1.TaskState_TASK_STATE_EXPIRED, Cause: yardmasterv1.Cause_CAUSE_START_BY,
			FinishTime: ago(time.Minute)}
	case "hang":
		return nil
	default:
		o.State, o.Result = yardmasterv1.TaskState_TASK_STATE_SUCCEEDED, spec.GetPayload()
	}
	resp.Outcome = o
	return resp
}

func (f *taskFake) Await(req *yardmasterv1.AwaitRequest, stream grpc.ServerStreamingServer[yardmasterv1.AwaitResponse]) error {
	hangs := false
	for _, id := range req.GetTaskIds() {
		resp := f.outcome(id)
		if resp == nil {
			hangs = true
			continue
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
	if hangs {
		f.hung <- struct{}{}
		<-stream.Context().Done()
	}
	return nil
}

// task is a task that shows every field its state has.
func (f *fake) task(id uint64, spec *yardmasterv1.TaskSpec) *yardmasterv1.Task {
	task := &yardmasterv1.Task{
		Id: id, Kind: spec.GetKind(), Queue: cmp.Or(spec.GetQueue(), "default"), State: yardmasterv1.TaskState_TASK_STATE_PENDING,
		Priority: spec.GetPriority(), Weight: 1, Generation: 1, SubmitTime: ago(200 * time.Second),
		AttemptTimeout: durationpb.New(time.Hour), Retry: &yardmasterv1.RetryPolicy{MaxAttempts: 20, MaxWorkerLosses: 3},
		Labels: spec.GetLabels(), Require: spec.GetRequire(), PayloadBytes: uint32(len(spec.GetPayload())),
		Retention: durationpb.New(24 * time.Hour), DeadRetention: durationpb.New(7 * 24 * time.Hour),
	}
	switch spec.GetKind() {
	case "hang":
		task.State, task.Attempts, task.CancelRequested = yardmasterv1.TaskState_TASK_STATE_RUNNING, 1, true
		task.Lease = &yardmasterv1.Lease{Token: 70 + id, Worker: "build-7", SessionId: 3, GrantTime: ago(90 * time.Second)}
	case "old":
		task.SubmitTime = ago(3 * time.Hour)
	case "busy":
		task.State, task.Attempts, task.Suspect = yardmasterv1.TaskState_TASK_STATE_RUNNING, 2, true
		task.Lease = &yardmasterv1.Lease{Token: 70 + id, Worker: "build-7", SessionId: 3, GrantTime: ago(90 * time.Second)}
		task.Progress = &yardmasterv1.Progress{Permille: 425, Message: "page 17\nof 40", ReportTime: ago(2 * time.Second)}
	case "later":
		task.State, task.DueTime = yardmasterv1.TaskState_TASK_STATE_SCHEDULED, ago(-52*time.Hour)
		task.LastFailure = &yardmasterv1.Failure{Cause: yardmasterv1.Cause_CAUSE_ERROR, Message: "try later"}
	}
	return task
}

func (f *taskFake) find(id uint64) (*yardmasterv1.Task, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case id == 999 && len(f.tasks) < 999:
		return nil, refusal(codes.NotFound, "task 999 has ended and is no longer retained", "OUTCOME_NOT_RETAINED")
	case id > uint64(len(f.tasks)):
		return nil, refusal(codes.NotFound, "there is no such task", "TASK_UNKNOWN")
	}
	task := f.task(id, f.tasks[id-1])
	if state, changed := f.states[id]; changed {
		task.State = state
		if state == yardmasterv1.TaskState_TASK_STATE_PENDING {
			task.Generation++
		}
	}
	return task, nil
}

func (f *taskFake) full(id uint64) (*yardmasterv1.Task, error) {
	task, err := f.find(id)
	if _, changed := f.states[id]; err != nil || changed || task.GetState() != yardmasterv1.TaskState_TASK_STATE_PENDING ||
		task.GetKind() == "wait" || task.GetKind() == "old" {
		return task, err
	}
	if resp := f.outcome(id); resp != nil {
		task.Outcome, task.State, task.Attempts = resp.GetOutcome(), resp.GetOutcome().GetState(), resp.GetOutcome().GetAttempts()
	}
	return task, nil
}

func (f *taskFake) Get(_ context.Context, req *yardmasterv1.TaskServiceGetRequest) (*yardmasterv1.TaskServiceGetResponse, error) {
	task, err := f.full(req.GetTaskId())
	if err != nil {
		return nil, err
	}
	if task.GetState() == yardmasterv1.TaskState_TASK_STATE_UNSPECIFIED { // deleted
		return nil, refusal(codes.NotFound, "the task has ended and is no longer retained", "OUTCOME_NOT_RETAINED")
	}
	if req.GetIncludePayload() && task.GetOutcome() == nil {
		task.Payload = f.tasks[req.GetTaskId()-1].GetPayload()
	}
	return &yardmasterv1.TaskServiceGetResponse{Task: task}, nil
}

func (f *taskFake) Explain(_ context.Context, req *yardmasterv1.TaskServiceExplainRequest) (*yardmasterv1.TaskServiceExplainResponse, error) {
	return &yardmasterv1.TaskServiceExplainResponse{
		TaskId: req.GetTaskId(), State: yardmasterv1.TaskState_TASK_STATE_PENDING, Summary: "task 5 (video in queue default) is PENDING: no worker that serves kind video is free.",
		Reasons: []*yardmasterv1.Reason{
			{Code: yardmasterv1.Reason_CODE_KIND_NOT_SERVED, Count: 12, Detail: "kind video isn't listed; start a worker that lists it"},
			{Code: yardmasterv1.Reason_CODE_SLOTS_BUSY, Count: 1, Detail: "all slots of build-7 are taken"},
			{Code: yardmasterv1.Reason_CODE_BEHIND_OTHERS, Count: 1000, Detail: "tasks of queue default go before it"},
			{Code: yardmasterv1.Reason_CODE_QUEUE_PAUSED, Count: 1, Detail: "queue default is paused; resume it"},
		},
	}, nil
}
