package rpc

import (
	"context"
	"errors"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	done := make(chan error, 1)
	t.s.loops.Go(func() { done <- t.await(ctx, x, ids, gs) })
	select {
	case err := <-done:
		return t.s.fail("await tasks", err)
	case <-ctx.Done():
		return t.s.fail("await tasks", context.Cause(ctx))
	}
}

func (t *taskService) await(ctx context.Context, x *sender, ids []scheduler.TaskID,
	gs grpc.ServerStreamingServer[yardmasterv1.AwaitResponse]) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.s.logger.Error("panic in an Await", "panic", p, "stack", string(debug.Stack()))
			err = refuse(codes.Internal, ReasonInternal, 0, "internal error; the coordinator's log has it")
		}
	}()
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
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			if _, ok := status.FromError(err); ok {
				return err
			}
			return refuse(codes.Unavailable, ReasonCallEnded, 0, "the stream broke")
		}
		return nil
	})
}
