package client_test

import (
	"context"

	"google.golang.org/grpc"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// fakeQueues is the fake's QueueService, and fakeOperator its OperatorService: all three share one node.
type fakeQueues struct {
	yardmasterv1.UnimplementedQueueServiceServer
	f          *fake
	configured []*yardmasterv1.ConfigureRequest
	purges     []*yardmasterv1.PurgeRequest
	onPurge    func(n int, stream grpc.ServerStreamingServer[yardmasterv1.PurgeResponse]) error
}

type fakeOperator struct {
	yardmasterv1.UnimplementedOperatorServiceServer
	f            *fake
	lastPosition uint64
}

func (o *fakeOperator) Status(context.Context, *yardmasterv1.OperatorServiceStatusRequest) (*yardmasterv1.OperatorServiceStatusResponse, error) {
	return &yardmasterv1.OperatorServiceStatusResponse{LastPosition: o.lastPosition}, o.f.call("Status")
}

func (q *fakeQueues) Configure(_ context.Context, req *yardmasterv1.ConfigureRequest) (*yardmasterv1.ConfigureResponse, error) {
	q.configured = append(q.configured, req)
	return &yardmasterv1.ConfigureResponse{Queue: &yardmasterv1.Queue{Name: req.GetName()}}, q.f.call("Configure")
}

func (q *fakeQueues) Get(_ context.Context, req *yardmasterv1.QueueServiceGetRequest) (*yardmasterv1.QueueServiceGetResponse, error) {
	return &yardmasterv1.QueueServiceGetResponse{Queue: &yardmasterv1.Queue{Name: req.GetName()}}, q.f.call("GetQueue")
}

func (q *fakeQueues) Explain(_ context.Context, req *yardmasterv1.QueueServiceExplainRequest) (*yardmasterv1.QueueServiceExplainResponse, error) {
	return &yardmasterv1.QueueServiceExplainResponse{Summary: "queue " + req.GetName() + " is empty"}, q.f.call("ExplainQueue")
}

func (q *fakeQueues) Purge(req *yardmasterv1.PurgeRequest, stream grpc.ServerStreamingServer[yardmasterv1.PurgeResponse]) error {
	q.purges = append(q.purges, req)
	return q.onPurge(len(q.purges), stream)
}
