package rpc

import (
	"context"
	"errors"
	"runtime/debug"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errPanicked is what a loop that panicked returns; the log has the rest.
var errPanicked = refuse(codes.Internal, ReasonInternal, 0, "internal error; the coordinator's log has it")

// beside runs a loop of a stream beside its handler, which must be free to return when the peer doesn't read: SendMsg
// blocks without limit and returns only once the handler has. The handler returns the loop's error, or why ctx ended.
func (s *Server) beside(ctx context.Context, doing string, loop func() error) error {
	done := make(chan error, 1)
	s.loops.Go(func() { done <- s.guarded(doing, loop) })
	select {
	case err := <-done:
		return s.fail(doing, err)
	case <-ctx.Done():
		return s.fail(doing, context.Cause(ctx))
	}
}

// guarded calls loop and turns a panic into INTERNAL. The stack goes to the log and nowhere else.
func (s *Server) guarded(doing string, loop func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.logger.Error("panic in a stream's loop", "doing", doing, "panic", p, "stack", string(debug.Stack()))
			err = errPanicked
		}
	}()
	return loop()
}

// broken names the error of a Send or Recv: why ctx ended, if it has.
func broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if _, ok := status.FromError(err); ok || errors.Is(err, context.Canceled) {
		return err
	}
	return refuse(codes.Unavailable, ReasonCallEnded, 0, "the stream broke")
}
