package rpc

import (
	"context"

	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// queueService is QueueService.
type queueService struct {
	yardmasterv1.UnimplementedQueueServiceServer
	s *Server
}

// List returns every queue.
func (q *queueService) List(context.Context, *yardmasterv1.QueueServiceListRequest) (*yardmasterv1.QueueServiceListResponse, error) {
	res := &yardmasterv1.QueueServiceListResponse{}
	for _, info := range q.s.engine.Queues() {
		res.Queues = append(res.Queues, queueProto(&info))
	}
	return res, nil
}

// Get returns one queue.
func (q *queueService) Get(_ context.Context, req *yardmasterv1.QueueServiceGetRequest) (*yardmasterv1.QueueServiceGetResponse, error) {
	if err := queueName(req.GetName()); err != nil {
		return nil, err
	}
	queue, err := q.find(req.GetName())
	if err != nil {
		return nil, err
	}
	return &yardmasterv1.QueueServiceGetResponse{Queue: queue}, nil
}

// Configure changes settings.
func (q *queueService) Configure(ctx context.Context, req *yardmasterv1.ConfigureRequest) (*yardmasterv1.ConfigureResponse, error) {
	var v violations
	v.name("name", req.GetName())
	if w := req.GetWeight(); req.Weight != nil && (w < 1 || w > scheduler.QueueWeightMax) {
		v.add("weight", "want 1 to %d, got %d", scheduler.QueueWeightMax, w)
	}
	if v.any() {
		return nil, v.err()
	}
	queue, err := q.do(ctx, scheduler.OpConfigureQueue, &scheduler.QueueCommand{Name: req.GetName(), Weight: uint16(req.GetWeight())})
	if err != nil {
		return nil, err
	}
	return &yardmasterv1.ConfigureResponse{Queue: queue}, nil
}

// Pause stops grants.
func (q *queueService) Pause(ctx context.Context, req *yardmasterv1.QueueServicePauseRequest) (*yardmasterv1.QueueServicePauseResponse, error) {
	queue, err := q.do(ctx, scheduler.OpPauseQueue, &scheduler.QueueCommand{Name: req.GetName()})
	if err != nil {
		return nil, err
	}
	return &yardmasterv1.QueueServicePauseResponse{Queue: queue}, nil
}

// Resume ends a pause.
func (q *queueService) Resume(ctx context.Context, req *yardmasterv1.QueueServiceResumeRequest) (*yardmasterv1.QueueServiceResumeResponse, error) {
	queue, err := q.do(ctx, scheduler.OpResumeQueue, &scheduler.QueueCommand{Name: req.GetName()})
	if err != nil {
		return nil, err
	}
	return &yardmasterv1.QueueServiceResumeResponse{Queue: queue}, nil
}

func (q *queueService) do(ctx context.Context, op scheduler.Op, c *scheduler.QueueCommand) (*yardmasterv1.Queue, error) {
	if err := queueName(c.Name); err != nil {
		return nil, err
	}
	res, err := q.s.engine.Do(ctx, scheduler.Command{Op: op, Queue: c})
	if err != nil {
		return nil, q.s.fail("change a queue", err)
	}
	if err := codeError(res.Code, c.Name); err != nil {
		return nil, err
	}
	return q.find(c.Name)
}

func (q *queueService) find(name string) (*yardmasterv1.Queue, error) {
	for _, info := range q.s.engine.Queues() {
		if info.Name == name {
			return queueProto(&info), nil
		}
	}
	return nil, refuse(codes.NotFound, ReasonUnknownQueue, 0, "no queue "+quote(name))
}

func queueName(name string) error {
	var v violations
	v.name("name", name)
	return v.err()
}

func queueProto(q *scheduler.QueueInfo) *yardmasterv1.Queue {
	return &yardmasterv1.Queue{
		Name: q.Name, Paused: q.Paused, Weight: uint32(q.Weight), Scheduled: q.Scheduled, Pending: q.Pending, Leased: q.Leased,
		Dead: q.Dead, DepthLimit: q.DepthLimit, Shapes: uint32(q.Shapes),
	}
}
