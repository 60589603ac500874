package rpc

import (
	"context"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// countUnary tells Options.Refusals of calls that end with an error, and a stop of those under way.
func (s *Server) countUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	s.calls.begin()
	defer s.calls.end()
	res, err := next(ctx, req)
	s.refused(info.FullMethod, err)
	return res, err
}

func (s *Server) countStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	err := next(srv, ss)
	s.refused(info.FullMethod, err)
	return err
}

// refused counts one refusal.
func (s *Server) refused(method string, err error) {
	if err == nil || s.opts.Refusals == nil {
		return
	}
	if reason := refusalReason(err); reason != ReasonCallEnded {
		s.opts.Refusals.Refused(method, reason)
	}
}

// refusalReason is the ErrorInfo's, or the name of the code if there is none.
func refusalReason(err error) string {
	st := status.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info.GetReason()
		}
	}
	return st.Code().String()
}
