package main

import (
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Words that end a run once yardctl has printed them.
const (
	wordInterrupt = "ctrl-c"   // as if the user had pressed it
	wordTimeout   = "time-out" // as if --timeout had passed
)

// fakeEvents are all events that there have been. Those up to position 102 are no longer kept.
func fakeEvents() []*yardmasterv1.Event {
	event := func(position uint64, typ yardmasterv1.Event_Type) *yardmasterv1.Event {
		return &yardmasterv1.Event{Position: position, Type: typ, Time: timestamppb.New(testNow.Add(time.Duration(position) * time.Millisecond)),
			TaskId: 42, Queue: "mail", Kind: "report", Generation: 1}
	}
	leased := event(104, yardmasterv1.Event_TYPE_LEASED)
	leased.Worker, leased.SessionId, leased.Token, leased.Attempt = "build-7", 3, 71, 2
	started := event(104, yardmasterv1.Event_TYPE_STARTED)
	started.Worker, started.Attempt = "build-7", 2
	progress := event(104, yardmasterv1.Event_TYPE_PROGRESS)
	progress.Worker, progress.Progress = "build-7", &yardmasterv1.Progress{Permille: 1000, Message: "all but done"}
	failed := event(105, yardmasterv1.Event_TYPE_FAILED)
	failed.Worker, failed.Attempt, failed.Cause, failed.Generation = "build-7", 2, yardmasterv1.Cause_CAUSE_EXIT, 3
	other := &yardmasterv1.Event{Position: 106, Type: yardmasterv1.Event_TYPE_QUEUE_PAUSED, Queue: "default", Time: timestamppb.New(testNow.Add(time.Second))}
	last := event(107, yardmasterv1.Event_TYPE_WORKER_ENDED)
	last.TaskId, last.Kind, last.Worker, last.SessionId = 0, "", wordInterrupt, 3
	return []*yardmasterv1.Event{event(103, yardmasterv1.Event_TYPE_SUBMITTED), leased, started, progress, failed, other, last}
}

func (f *taskFake) Watch(req *yardmasterv1.TaskServiceWatchRequest, stream grpc.ServerStreamingServer[yardmasterv1.TaskServiceWatchResponse]) error {
	f.mu.Lock()
	f.watches++
	first := f.watches == 1
	f.mu.Unlock()
	if req.GetLatestOnly() {
		return f.watchTask(req.GetTaskIds()[0], first, stream)
	}
	send := func(events *yardmasterv1.Events) error {
		return stream.Send(&yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Events{Events: events}})
	}
	position := req.GetAfterPosition()
	switch {
	case position == 0: // from now on: which is, here, before all that is kept
		position = 102
	case position < 102:
		lagged := &yardmasterv1.Lagged{Missed: 102 - position, ResumePosition: 102}
		position = 102
		if err := stream.Send(&yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Lagged{Lagged: lagged}}); err != nil {
			return err
		}
	}
	if err := send(&yardmasterv1.Events{ThroughPosition: position}); err != nil {
		return err
	}
	for _, e := range fakeEvents() {
		if e.GetPosition() <= position {
			continue
		}
		events := &yardmasterv1.Events{ThroughPosition: e.GetPosition()}
		if e.GetWorker() == wordInterrupt || wanted(e, req) {
			events.Events = []*yardmasterv1.Event{e}
		}
		if err := send(events); err != nil {
			return err
		}
		if e.GetType() == yardmasterv1.Event_TYPE_FAILED && first {
			return status.Error(codes.Unavailable, "the coordinator stops")
		}
	}
	<-stream.Context().Done()
	return nil
}

// wanted tells whether an event meets a request's conditions.
func wanted(e *yardmasterv1.Event, req *yardmasterv1.TaskServiceWatchRequest) bool {
	soft := e.GetType() == yardmasterv1.Event_TYPE_STARTED || e.GetType() == yardmasterv1.Event_TYPE_PROGRESS
	return (len(req.GetQueues()) == 0 || slices.Contains(req.GetQueues(), e.GetQueue())) &&
		(len(req.GetKinds()) == 0 || slices.Contains(req.GetKinds(), e.GetKind())) &&
		(len(req.GetTaskIds()) == 0 || slices.Contains(req.GetTaskIds(), e.GetTaskId())) &&
		(len(req.GetTypes()) == 0 && !soft || slices.Contains(req.GetTypes(), e.GetType()))
}

// watchTask streams the states of one task, the present one twice.
func (f *taskFake) watchTask(id uint64, first bool, stream grpc.ServerStreamingServer[yardmasterv1.TaskServiceWatchResponse]) error {
	end, err := f.full(id)
	if err != nil {
		return err
	}
	send := func(task *yardmasterv1.Task) error {
		return stream.Send(&yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Task{Task: task}})
	}
	running := f.task(id, f.tasks[id-1])
	running.State, running.CancelRequested = yardmasterv1.TaskState_TASK_STATE_RUNNING, false
	running.Lease = &yardmasterv1.Lease{Token: 70 + id, Worker: "build-7", SessionId: 3, GrantTime: ago(time.Second)}
	if string(f.tasks[id-1].GetPayload()) != "" && end.GetOutcome() == nil {
		running.Progress = &yardmasterv1.Progress{Permille: 10, Message: string(f.tasks[id-1].GetPayload())}
	}
	for _, task := range []*yardmasterv1.Task{running, running} {
		if err := send(task); err != nil {
			return err
		}
	}
	switch {
	case end.GetKind() == "cut" && first:
		return status.Error(codes.Unavailable, "the coordinator stops")
	case end.GetOutcome() == nil:
		<-stream.Context().Done()
		return nil
	}
	return send(end)
}
