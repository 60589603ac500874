package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

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
	c, err := configureCommand(req)
	if err != nil {
		return nil, err
	}
	queue, err := q.do(ctx, scheduler.OpConfigureQueue, c)
	if err != nil {
		return nil, err
	}
	return &yardmasterv1.ConfigureResponse{Queue: queue}, nil
}

// configureCommand checks every field of a Configure.
func configureCommand(req *yardmasterv1.ConfigureRequest) (*scheduler.QueueCommand, error) {
	var v violations
	v.name("name", req.GetName())
	c := &scheduler.QueueCommand{Name: req.GetName()}
	if req.Weight != nil {
		if w := req.GetWeight(); w < 1 || w > scheduler.QueueWeightMax {
			v.add("weight", "want 1 to %d, got %d: weights are shares, set the others' in proportion", scheduler.QueueWeightMax, w)
		}
		c.Weight = uint16(req.GetWeight())
	}
	if req.DepthLimit != nil {
		if n := req.GetDepthLimit(); n > scheduler.QueueDepthMax {
			v.add("depth_limit", "want 1 to %d, or 0 for the cluster's default, got %d: lower it, or spread tasks over queues", scheduler.QueueDepthMax, n)
		}
		c.Fields |= scheduler.QueueDepthSet
		c.Depth = uint64(req.GetDepthLimit())
	}
	if req.MaxLeases != nil {
		if n := req.GetMaxLeases(); n > scheduler.QueueLeasesMax {
			v.add("max_leases", "want 1 to %d, or 0 for no bound, got %d: lower it, or set 0", scheduler.QueueLeasesMax, n)
		}
		c.Fields |= scheduler.QueueMaxLeasesSet
		c.MaxLeases = req.GetMaxLeases()
	}
	if setting, given := retentionSetting(&v, "retention", req.GetRetention(), req.GetClearRetention()); given {
		c.Fields |= scheduler.QueueRetentionSet
		c.Retention = setting
	}
	if setting, given := retentionSetting(&v, "dead_retention", req.GetDeadRetention(), req.GetClearDeadRetention()); given {
		c.Fields |= scheduler.QueueDeadRetentionSet
		c.DeadRetention = setting
	}
	return c, v.err()
}

// retentionSetting is a queue's retention as it is stored: plus one, 0 for the default.
func retentionSetting(v *violations, field string, d *durationpb.Duration, unset bool) (setting scheduler.Duration, given bool) {
	switch {
	case unset && d != nil:
		v.add("clear_"+field, "want false when %s is given (%s), got true: leave one of them out", field, spellProto(d))
		return 0, false
	case unset:
		return 0, true
	case d == nil:
		return 0, false
	}
	return v.span(field, d, scheduler.RetentionMax, 0) + 1, true
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
	info, ok := q.s.engine.Queue(name)
	if !ok {
		return nil, unknownQueue(name)
	}
	return queueProto(&info), nil
}

func queueName(name string) error {
	var v violations
	v.name("name", name)
	return v.err()
}

func queueProto(q *scheduler.QueueInfo) *yardmasterv1.Queue {
	p := &yardmasterv1.Queue{
		Name: q.Name, Paused: q.Paused, Weight: uint32(q.Weight), Scheduled: q.Scheduled, Pending: q.Pending, Leased: q.Leased,
		Dead: q.Dead, DepthLimit: q.DepthLimit, Shapes: uint32(q.Shapes), MaxLeases: q.MaxLeases, OwnDepthLimit: q.OwnDepth,
		OldestPending: at(q.OldestPending), SubmittedTotal: q.Submitted, EndedTotal: q.Ended,
	}
	if q.Retention > 0 {
		p.Retention = span(q.Retention - 1)
	}
	if q.DeadRetention > 0 {
		p.DeadRetention = span(q.DeadRetention - 1)
	}
	return p
}
