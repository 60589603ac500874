package rpc

import (
	"context"
	"fmt"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Explain says why a queue's tasks don't go on.
func (q *queueService) Explain(_ context.Context, req *yardmasterv1.QueueServiceExplainRequest) (*yardmasterv1.QueueServiceExplainResponse, error) {
	if err := queueName(req.GetName()); err != nil {
		return nil, err
	}
	x, ok := q.s.engine.ExplainQueue(req.GetName())
	if !ok {
		return nil, unknownQueue(req.GetName())
	}
	now := q.s.engine.Now()
	res := &yardmasterv1.QueueServiceExplainResponse{
		Queue:   queueProto(&x.Queue),
		Reasons: reasons(&situation{task: &scheduler.TaskInfo{Queue: x.Queue.Name}, queue: &x.Queue, now: now}, x.Reasons),
	}
	held := uint64(0)
	for i := range x.Shapes {
		sh := &x.Shapes[i]
		if len(sh.Reasons) > 0 {
			held += sh.Pending
		}
		res.Shapes = append(res.Shapes, &yardmasterv1.ShapeExplanation{
			Kind: sh.Kind, Require: labelMap(sh.Require), Weight: uint32(sh.Weight), Pending: sh.Pending, Suspects: sh.Suspect,
			NextTaskId: uint64(sh.Next.ID), NextSubmitTime: at(sh.Next.Submitted),
			Reasons: reasons(&situation{task: &sh.Next, queue: &x.Queue, now: now}, sh.Reasons),
		})
	}
	res.Summary = queueSummary(&x, res, held)
	return res, nil
}

// queueSummary is one sentence: what holds the whole queue back, else the shape with most tasks that are held back.
func queueSummary(x *scheduler.QueueExplanation, res *yardmasterv1.QueueServiceExplainResponse, held uint64) string {
	where := fmt.Sprintf("queue %s has %s", x.Queue.Name, counted(x.Queue.Pending, "pending task"))
	if n := len(x.Shapes); n > 1 {
		where += fmt.Sprintf(" of %d shapes", n)
	}
	if len(res.GetReasons()) > 0 || held == 0 {
		return summary(where, res.GetReasons(), "nothing holds them back, they are granted next.")
	}
	for _, sh := range res.GetShapes() {
		if len(sh.GetReasons()) > 0 {
			return fmt.Sprintf("%s, %d held back: kind %s, %s", where, held, sh.GetKind(), sh.GetReasons()[0].GetDetail())
		}
	}
	return where + "."
}

// counted is a number and what it counts.
func counted(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
