package client_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

type submitStream = grpc.BidiStreamingServer[yardmasterv1.SubmitStreamRequest, yardmasterv1.SubmitStreamResponse]

// SubmitStream is the coordinator's as its comment in the proto says: each request passes the scripts of Submit; what they
// refuse is answered, and UNAVAILABLE ends the stream.
func (f *fake) SubmitStream(stream submitStream) error {
	f.mu.Lock()
	f.streams++
	none := f.noStream
	f.mu.Unlock()
	if none {
		return status.Error(codes.Unimplemented, "unknown method SubmitStream")
	}
	requests := make(chan *yardmasterv1.SubmitRequest, 62) // with the one in hand and the one held by the reader: 64
	ended := make(chan error, 1)
	go func() {
		defer close(requests)
		last := uint64(0)
		for {
			req, err := stream.Recv()
			if err == nil && req.GetSubmit().GetProducer().GetNumber() <= last {
				err = refusal(codes.InvalidArgument, "request numbers must grow", "INVALID_REQUEST", 0)
			}
			if err != nil {
				ended <- err
				return
			}
			last = req.GetSubmit().GetProducer().GetNumber()
			select {
			case requests <- req.GetSubmit():
			case <-stream.Context().Done():
				ended <- stream.Context().Err()
				return
			}
		}
	}()
	for req := range requests {
		resp, err := f.answer(req)
		if err == nil {
			err = stream.Send(resp)
		}
		if err != nil {
			return err
		}
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// answer carries one request of a stream out. An error ends the stream.
func (f *fake) answer(req *yardmasterv1.SubmitRequest) (*yardmasterv1.SubmitStreamResponse, error) {
	f.mu.Lock()
	f.seen = append(f.seen, proto.CloneOf(req))
	n := len(f.seen)
	f.mu.Unlock()
	var resp *yardmasterv1.SubmitResponse
	var err error
	if f.onSubmit != nil {
		err = f.onSubmit(n, req)
	}
	if err == nil {
		resp, err = f.execute(req)
	}
	if err == nil && f.afterRun != nil {
		err = f.afterRun(n, req)
	}
	if err == nil {
		return &yardmasterv1.SubmitStreamResponse{Answer: &yardmasterv1.SubmitStreamResponse_Stored{Stored: resp}}, nil
	}
	st := status.Convert(err).Proto()
	if codes.Code(st.GetCode()) == codes.Unavailable {
		return nil, err
	}
	return &yardmasterv1.SubmitStreamResponse{Answer: &yardmasterv1.SubmitStreamResponse_Error{
		Error: &yardmasterv1.SubmitError{Code: st.GetCode(), Message: st.GetMessage(), Details: st.GetDetails()}}}, nil
}

// withIndex is a refusal that names a task by its index.
func withIndex(code codes.Code, message, reason string, retryAfter time.Duration, index string) error {
	p := status.Convert(refusal(code, message, reason, retryAfter)).Proto()
	for i, detail := range p.GetDetails() {
		info := new(errdetails.ErrorInfo)
		if detail.UnmarshalTo(info) != nil {
			continue
		}
		info.Metadata = map[string]string{"index": index}
		if err := detail.MarshalFrom(info); err != nil {
			panic(err)
		}
		p.Details[i] = detail
	}
	return status.FromProto(p).Err()
}

// newSubmitter makes one that ends with the test.
func newSubmitter(t testing.TB, c *client.Client, cfg client.SubmitterConfig) *client.Submitter {
	t.Helper()
	s, err := client.NewSubmitter(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// closeSubmitter closes s and checks that it has told all and kept no room.
func closeSubmitter(t *testing.T, s *client.Submitter) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if tasks, bytes, room := s.Waiting(); tasks != 0 || bytes != 0 || room != 0 {
		t.Errorf("at the end there is room taken for %d tasks of %d bytes, and %d wait for some", tasks, bytes, room)
	}
}
