package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// queue finds a queue: those whose names begin with mail exist, and those that were configured.
func (f *queueFake) queue(name string) (*yardmasterv1.Queue, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.queues[name]
	switch {
	case q == nil && strings.HasPrefix(name, "mail"):
		q = &yardmasterv1.Queue{Name: name, Weight: 1, Pending: 1234567, Leased: 8, DepthLimit: 5_000_000, Shapes: 3,
			OldestPending: ago(95 * time.Minute)}
		f.queues[name] = q
	case q == nil:
		return nil, refusal(codes.NotFound, "there is no queue "+name, "QUEUE_UNKNOWN")
	}
	return proto.CloneOf(q), nil
}

func (f *queueFake) set(name string, change func(*yardmasterv1.Queue)) (*yardmasterv1.Queue, error) {
	if _, err := f.queue(name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	change(f.queues[name])
	f.mu.Unlock()
	return f.queue(name)
}

func (f *queueFake) List(context.Context, *yardmasterv1.QueueServiceListRequest) (*yardmasterv1.QueueServiceListResponse, error) {
	if _, err := f.queue("mail"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	resp := &yardmasterv1.QueueServiceListResponse{Queues: []*yardmasterv1.Queue{{Name: "default", Weight: 1, DepthLimit: 5_000_000}}}
	for _, name := range slices.Sorted(maps.Keys(f.queues)) {
		resp.Queues = append(resp.Queues, proto.CloneOf(f.queues[name]))
	}
	return resp, nil
}

func (f *queueFake) Get(_ context.Context, req *yardmasterv1.QueueServiceGetRequest) (*yardmasterv1.QueueServiceGetResponse, error) {
	q, err := f.queue(req.GetName())
	return &yardmasterv1.QueueServiceGetResponse{Queue: q}, err
}

func (f *queueFake) Configure(_ context.Context, req *yardmasterv1.ConfigureRequest) (*yardmasterv1.ConfigureResponse, error) {
	switch {
	case req.GetDepthLimit() > 20_000_000:
		return nil, badField("depth_limit", "is 20,000,001, must be from 1 to 20,000,000, or 0")
	case req.Retention != nil && req.GetClearRetention():
		return nil, badField("clear_retention", "retention must be absent")
	}
	f.mu.Lock()
	if f.queues[req.GetName()] == nil && !strings.HasPrefix(req.GetName(), "mail") {
		f.queues[req.GetName()] = &yardmasterv1.Queue{Name: req.GetName(), Weight: 1, DepthLimit: 5_000_000}
	}
	f.mu.Unlock()
	q, err := f.set(req.GetName(), func(q *yardmasterv1.Queue) {
		if req.Weight != nil {
			q.Weight = req.GetWeight()
		}
		if req.DepthLimit != nil {
			q.DepthLimit, q.OwnDepthLimit = uint64(req.GetDepthLimit()), req.GetDepthLimit() != 0
			if !q.GetOwnDepthLimit() {
				q.DepthLimit = 5_000_000
			}
		}
		if req.MaxLeases != nil {
			q.MaxLeases = req.GetMaxLeases()
		}
		if req.Retention != nil || req.GetClearRetention() {
			q.Retention = req.GetRetention()
		}
		if req.DeadRetention != nil || req.GetClearDeadRetention() {
			q.DeadRetention = req.GetDeadRetention()
		}
	})
	return &yardmasterv1.ConfigureResponse{Queue: q}, err
}

func (f *queueFake) Pause(_ context.Context, req *yardmasterv1.QueueServicePauseRequest) (*yardmasterv1.QueueServicePauseResponse, error) {
	q, err := f.set(req.GetName(), func(q *yardmasterv1.Queue) { q.Paused = true })
	return &yardmasterv1.QueueServicePauseResponse{Queue: q}, err
}

func (f *queueFake) Resume(_ context.Context, req *yardmasterv1.QueueServiceResumeRequest) (*yardmasterv1.QueueServiceResumeResponse, error) {
	q, err := f.set(req.GetName(), func(q *yardmasterv1.Queue) { q.Paused = false })
	return &yardmasterv1.QueueServiceResumeResponse{Queue: q}, err
}

// Purge: a purge of mail-cut breaks off in its middle, one of mail-early ends there as if all were well.
func (f *queueFake) Purge(req *yardmasterv1.PurgeRequest, stream grpc.ServerStreamingServer[yardmasterv1.PurgeResponse]) error {
	q, err := f.queue(req.GetName())
	if err != nil {
		return err
	}
	for _, part := range []uint64{2, 1} {
		if err := stream.Send(&yardmasterv1.PurgeResponse{Purged: q.GetPending() / part, Done: part == 1}); err != nil {
			return err
		}
		if req.GetName() == "mail-cut" && !req.GetDryRun() {
			return status.Error(codes.Unavailable, "the coordinator stops")
		}
		if req.GetName() == "mail-early" {
			return nil
		}
	}
	if !req.GetDryRun() {
		_, err = f.set(req.GetName(), func(q *yardmasterv1.Queue) { q.Pending, q.OldestPending = 0, nil })
	}
	return err
}

func (f *queueFake) Explain(_ context.Context, req *yardmasterv1.QueueServiceExplainRequest) (*yardmasterv1.QueueServiceExplainResponse, error) {
	q, err := f.queue(req.GetName())
	if err != nil {
		return nil, err
	}
	resp := &yardmasterv1.QueueServiceExplainResponse{Queue: q}
	if q.GetPending() == 0 {
		resp.Summary = "queue " + q.GetName() + " has no pending tasks."
		resp.Reasons = []*yardmasterv1.Reason{{Code: yardmasterv1.Reason_CODE_QUEUE_EMPTY, Count: 1, Detail: "submit to it"}}
		return resp, nil
	}
	resp.Summary = "queue " + q.GetName() + " has 1,234,567 pending tasks of 3 shapes; 2 of these are held back."
	resp.Reasons = []*yardmasterv1.Reason{{Code: yardmasterv1.Reason_CODE_QUEUE_MAX_LEASES, Count: 1, Detail: "it has 8 leases of at most 8"}}
	resp.Shapes = []*yardmasterv1.ShapeExplanation{
		{Kind: "video", Require: map[string]string{"gpu": "a"}, Weight: 2, Pending: 1234000, NextTaskId: 42, NextSubmitTime: ago(95 * time.Minute),
			Reasons: []*yardmasterv1.Reason{
				{Code: yardmasterv1.Reason_CODE_LABEL_MISSING, Count: 11, Detail: "gpu=a isn't set at build-1 and 10 others"},
				{Code: yardmasterv1.Reason_CODE_SLOTS_BUSY, Count: 1, Detail: "all slots of build-7 are taken"}}},
		{Kind: "video", Weight: 1, Pending: 500, NextTaskId: 77, NextSubmitTime: ago(time.Minute), Suspects: true,
			Reasons: []*yardmasterv1.Reason{{Code: yardmasterv1.Reason_CODE_SUSPECTS_APART, Count: 3, Detail: "build-7 runs a suspect"}}},
		{Kind: "mail", Weight: 1, Pending: 67, NextTaskId: 99, NextSubmitTime: ago(time.Second)},
	}
	return resp, nil
}
