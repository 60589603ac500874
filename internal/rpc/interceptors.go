package rpc

import (
	"context"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// recoverUnary turns a panic into INTERNAL. The stack goes to the log and nowhere else.
func (s *Server) recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (res any, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = nil, s.panicked(info.FullMethod, p)
		}
	}()
	return next(ctx, req)
}

func (s *Server) recoverStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicked(info.FullMethod, p)
		}
	}()
	return next(srv, ss)
}

func (s *Server) panicked(method string, p any) error {
	s.logger.Error("panic in a handler", "method", method, "panic", p, "stack", string(debug.Stack()))
	return refuse(codes.Internal, ReasonInternal, 0, "internal error; the coordinator's log has it")
}

// endableStream is a stream whose context EndStreams ends.
type endableStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *endableStream) Context() context.Context { return s.ctx }

// endable lets EndStreams end a stream's handler, health watches included: GracefulStop would wait for them without end.
// Those of Watch are ended later, see flushWatches.
func (s *Server) endable(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if cause := context.Cause(s.streamsEnd); cause != nil {
		_, err := engineError(cause)
		return err
	}
	calls, end := s.calls, s.streamsEnd
	if info.FullMethod == yardmasterv1.TaskService_Watch_FullMethodName {
		calls, end = s.watches, s.watchesEnd
	}
	calls.begin()
	defer calls.end()
	ctx, cancel := context.WithCancelCause(ss.Context())
	defer cancel(nil)
	stop := context.AfterFunc(end, func() { cancel(errEnded) })
	defer stop()
	return next(srv, &endableStream{ServerStream: ss, ctx: ctx})
}

// fail maps an error of the engine for the caller, and logs it if no caller can have caused it.
func (s *Server) fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	known, mapped := engineError(err)
	if !known {
		s.logger.Error("call failed", "doing", doing, "error", err)
	}
	return mapped
}
