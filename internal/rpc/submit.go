package rpc

import (
	"context"

	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Submit stores tasks. While the queue or the cluster is full it waits for room, up to the caller's deadline.
func (t *taskService) Submit(ctx context.Context, req *yardmasterv1.SubmitRequest) (*yardmasterv1.SubmitResponse, error) {
	x, err := t.submission(ctx, req)
	if err != nil {
		return nil, err
	}
	res, err := t.s.room.submit(ctx, x)
	return t.submitAnswer(x, &res, err)
}

// submission checks a request and makes it a command.
func (t *taskService) submission(ctx context.Context, req *yardmasterv1.SubmitRequest) (*submission, error) {
	bytes := sizeBound(req)
	if bytes > RequestBytesMax {
		if n := proto.Size(req); n > RequestBytesMax {
			return nil, invalid("tasks", "want a request of at most %d bytes, got %d: split the batch", RequestBytesMax, n)
		}
	}
	c, err := submitCommand(req)
	if err != nil {
		return nil, err
	}
	t.queueDefaults(req.GetTasks(), c.Tasks)
	return &submission{
		cmd: scheduler.Command{Op: scheduler.OpSubmit, Submit: c}, producer: producerKey(ctx, req.GetProducer()), bytes: bytes,
	}, nil
}

// sizeBound is at least the size of a request, at a fraction of what proto.Size costs: that walks every field of every task.
func sizeBound(req *yardmasterv1.SubmitRequest) int {
	const (
		perTask  = 256 // tags, lengths, numbers, times and the retry policy
		perLabel = 16  // tags and lengths
	)
	n := perTask // the producer
	for _, spec := range req.GetTasks() {
		n += perTask + len(spec.GetKind()) + len(spec.GetQueue()) + len(spec.GetPayload()) + len(spec.GetIdempotencyKey())
		for k, v := range spec.GetLabels() {
			n += perLabel + len(k) + len(v)
		}
		for k, v := range spec.GetRequire() {
			n += perLabel + len(k) + len(v)
		}
	}
	return n
}

// queueDefaults gives tasks that ask for no retention that of their queue, as it is now. It is no part of what an
// idempotency key stands for: the key's hash is of the request, so it doesn't change with the queue's settings.
func (t *taskService) queueDefaults(specs []*yardmasterv1.TaskSpec, tasks []scheduler.TaskSpec) {
	var q scheduler.QueueRow
	known := ""
	for i := range tasks {
		if specs[i].GetRetention() != nil && specs[i].GetDeadRetention() != nil {
			continue
		}
		if tasks[i].Queue != known { // a queue that doesn't exist has no settings
			q, _ = t.s.engine.QueueSettings(tasks[i].Queue)
			known = tasks[i].Queue
		}
		if q.Retention > 0 && specs[i].GetRetention() == nil {
			tasks[i].Policy.Retention = q.Retention - 1
		}
		if q.DeadRetention > 0 && specs[i].GetDeadRetention() == nil {
			tasks[i].Policy.DeadRetention = q.DeadRetention - 1
		}
	}
}

// producerKey tells producers apart for their turns: by id, else by the peer's address.
func producerKey(ctx context.Context, p *yardmasterv1.Producer) string {
	if p != nil {
		return string(p.GetId())
	}
	if from, ok := peer.FromContext(ctx); ok {
		return from.Addr.String()
	}
	return ""
}

// submitAnswer shows what became of a Submit.
func (t *taskService) submitAnswer(x *submission, res *engine.Result, err error) (*yardmasterv1.SubmitResponse, error) {
	if err != nil {
		return nil, t.s.fail("submit tasks", err)
	}
	if res.Code != scheduler.CodeOK {
		return nil, t.submitRefusal(x, res)
	}
	out := &yardmasterv1.SubmitResponse{TaskIds: make([]uint64, max(len(res.IDs), int(res.Count)))}
	for i := range out.TaskIds {
		if len(res.IDs) > 0 {
			out.TaskIds[i] = uint64(res.IDs[i])
		} else {
			out.TaskIds[i] = uint64(res.First) + uint64(i)
		}
	}
	for _, i := range res.Old {
		out.Existing = append(out.Existing, uint32(i))
	}
	return out, nil
}

// submitRefusal names the limit that a Submit met.
func (t *taskService) submitRefusal(x *submission, res *engine.Result) error {
	tasks := x.cmd.Submit.Tasks
	limits := t.s.engine.Status().Limits
	if i := int(res.Index); res.Code == scheduler.CodeLimitDepth && i < len(tasks) {
		_, limits.Depth = t.s.room.depth(tasks[i].Queue, limits.Depth)
	}
	return submitError(*res, tasks, limits)
}
