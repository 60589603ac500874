package rpc

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// AwaitMax is how many tasks one Await names.
const AwaitMax = 10_000

// Await streams the end of each task as it comes. The sending is done beside the handler, which must be free to return
// when the peer doesn't read.
func (t *taskService) Await(req *yardmasterv1.AwaitRequest, gs grpc.ServerStreamingServer[yardmasterv1.AwaitResponse]) error {
	var v violations
	ids := v.ids("task_ids", req.GetTaskIds(), AwaitMax)
	if v.any() {
		return v.err()
	}
	ctx, cancel := context.WithCancelCause(gs.Context())
	defer cancel(nil)
	x := &sender{end: func(err error) { cancel(err) }}
	t.s.watchdog.add(x)
	defer t.s.watchdog.drop(x)
	return t.s.beside(ctx, "await tasks", func() error { return t.await(ctx, x, ids, gs) })
}

func (t *taskService) await(ctx context.Context, x *sender, ids []scheduler.TaskID,
	gs grpc.ServerStreamingServer[yardmasterv1.AwaitResponse]) error {
	return t.s.engine.Await(ctx, ids, func(id scheduler.TaskID, f *storagev1.Finished, err error) error {
		m := &yardmasterv1.AwaitResponse{TaskId: uint64(id)}
		switch {
		case errors.Is(err, engine.ErrNoTask):
			m.MissingReason = ReasonUnknownTask
		case errors.Is(err, engine.ErrNotRetained):
			m.MissingReason = ReasonNotRetained
		case err != nil:
			return err
		default:
			m.Outcome = outcomeProto(f)
		}
		if err := x.send(t.s.monotonic, func() error { return gs.Send(m) }); err != nil {
			return broken(ctx, err)
		}
		return nil
	})
}
