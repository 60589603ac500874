package main

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func testWorker(name string) *yardmasterv1.Worker {
	return &yardmasterv1.Worker{
		Name: name, SessionId: 3, State: yardmasterv1.Worker_STATE_ATTACHED, Kinds: []string{"hash", "thumbnail"},
		Labels: map[string]string{"zone": "b", "disk": "ssd"}, Leases: 2, LastHeard: durationpb.New(1200 * time.Millisecond),
		RemoteAddress: "10.0.0.7:51234", OpenTime: ago(26 * time.Hour),
		ProtocolVersion: 2,
		Pools:           []*yardmasterv1.WorkerPool{{Name: "main", Slots: 16, Used: 19, Prefetch: 16}, {Name: "cpu", Slots: 2, Kinds: []string{"thumbnail"}}},
	}
}

func (f *operatorFake) ListWorkers(_ context.Context, req *yardmasterv1.ListWorkersRequest) (*yardmasterv1.ListWorkersResponse, error) {
	if req.GetPageToken() == "" {
		return &yardmasterv1.ListWorkersResponse{Workers: []*yardmasterv1.Worker{testWorker("build-7")}, NextPageToken: "more"}, nil
	}
	other := &yardmasterv1.Worker{Name: "build-8", State: yardmasterv1.Worker_STATE_DETACHED, Queues: []string{"mail"}}
	return &yardmasterv1.ListWorkersResponse{Workers: []*yardmasterv1.Worker{other}}, nil
}

func (f *operatorFake) GetWorker(_ context.Context, req *yardmasterv1.GetWorkerRequest) (*yardmasterv1.GetWorkerResponse, error) {
	if req.GetName() != "build-7" {
		return nil, refusal(codes.NotFound, "there is no worker "+req.GetName(), "WORKER_UNKNOWN")
	}
	return &yardmasterv1.GetWorkerResponse{Sessions: []*yardmasterv1.WorkerDetail{{Worker: testWorker("build-7"),
		Leases: []*yardmasterv1.WorkerLease{
			{Token: 71, TaskId: 1, Kind: "hash", GrantTime: ago(90 * time.Second), Started: true},
			{Token: 72, TaskId: 2, GrantTime: ago(time.Second), Revoked: true}}}}}, nil
}

func (f *operatorFake) Status(_ context.Context, req *yardmasterv1.OperatorServiceStatusRequest) (*yardmasterv1.OperatorServiceStatusResponse, error) {
	resp := &yardmasterv1.OperatorServiceStatusResponse{
		Version: "v0.1.0", StartTime: ago(49 * time.Hour), LogTime: ago(0), Term: 4, AppliedIndex: 1234567, CheckpointIndex: 1234000,
		Queues: 2, Sessions: 5, Attached: 4, Scheduled: 10, Pending: 2000, Leased: 16, Dead: 3, MaxTasks: 20_000_000,
		StoreBytes: 123_456_789, DiskFreeBytes: 98_765_432_100, LogicVersion: 2, LastPosition: 987654,
		Totals: &yardmasterv1.Totals{Submitted: 352_800, Granted: 350_000, Succeeded: 349_000, FailedAttempts: 900, Dead: 3, Cancelled: 20, Expired: 1},
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse {
		return nil, refusal(codes.Internal, "a bug", "INTERNAL")
	}
	if req.GetIncludeHash() {
		resp.StateHash = "00c0ffee"
	}
	return resp, nil
}
