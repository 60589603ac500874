package rpc

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// fuzzedCall is a call with one request: unary, or a server's stream.
type fuzzedCall struct {
	service *grpc.ServiceDesc
	method  *grpc.MethodDesc
	stream  *grpc.StreamDesc
}

func (c *fuzzedCall) name() string {
	if c.method != nil {
		return c.service.ServiceName + "/" + c.method.MethodName
	}
	return c.service.ServiceName + "/" + c.stream.StreamName
}

// fuzzedCalls lists all of them, in the order of the services.
func fuzzedCalls() []fuzzedCall {
	var all []fuzzedCall
	for _, s := range []*grpc.ServiceDesc{&yardmasterv1.TaskService_ServiceDesc, &yardmasterv1.QueueService_ServiceDesc, &yardmasterv1.OperatorService_ServiceDesc} {
		for i := range s.Methods {
			all = append(all, fuzzedCall{service: s, method: &s.Methods[i]})
		}
		for i := range s.Streams {
			if !s.Streams[i].ClientStreams {
				all = append(all, fuzzedCall{service: s, stream: &s.Streams[i]})
			}
		}
	}
	return all
}

// oneRequest is the server's side of a call with one request.
type oneRequest struct {
	grpc.ServerStream
	ctx    context.Context
	decode func(any) error
}

func (o *oneRequest) Context() context.Context { return o.ctx }

func (o *oneRequest) RecvMsg(m any) error { return o.decode(m) }

func (o *oneRequest) SendMsg(m any) error {
	_, err := proto.Marshal(m.(proto.Message))
	return err
}

// do makes the call on a server, through no interceptor: a panic fails the test.
func (c *fuzzedCall) do(ctx context.Context, s *Server, decode func(any) error) error {
	var impl any
	switch {
	case strings.HasSuffix(c.service.ServiceName, ".TaskService"):
		impl = &taskService{s: s}
	case strings.HasSuffix(c.service.ServiceName, ".QueueService"):
		impl = &queueService{s: s}
	default:
		impl = &operatorService{s: s}
	}
	if c.stream != nil {
		return c.stream.Handler(impl, &oneRequest{ctx: ctx, decode: decode})
	}
	res, err := c.method.Handler(impl, ctx, decode, nil)
	if err != nil {
		return err
	}
	_, err = proto.Marshal(res.(proto.Message))
	return err
}

// callWait bounds a call; it is fake time, and longer than any wait of the server's own.
const callWait = 2 * time.Minute

// FuzzCalls: any bytes as the request of any call are answered, or refused with a status that isn't the server's own
// fault; INVALID_ARGUMENT names the field. Whatever was done, the core's state is right.
func FuzzCalls(f *testing.F) {
	all := fuzzedCalls()
	for i := range all {
		f.Add(uint8(i), []byte{})
		var data []byte
		stop := status.Error(codes.Aborted, "the request's type is known now")
		_ = all[i].do(f.Context(), nil, func(m any) error {
			data = sampled(f, m.(proto.Message), 3)
			return stop
		})
		f.Add(uint8(i), data)
		f.Add(uint8(i), append(data, data...))
		for seed := range uint64(4) {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			damaged := append([]byte{}, data...)
			for range 3 {
				if len(damaged) > 0 {
					damaged[r.IntN(len(damaged))] = byte(r.IntN(256))
				}
			}
			f.Add(uint8(i), damaged)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		if len(data) > 16<<10 {
			return
		}
		call := all[int(which)%len(all)]
		inBubble(t, func(r *rig) {
			p := serveStream(r, (&workerService{s: r.s}).Session)
			p.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Hello{Hello: helloOf("w1", 1, 1)}})
			r.submit(3, 10)
			synctest.Wait()
			ctx, cancel := context.WithTimeout(r.ctx, callWait)
			defer cancel()
			decoded := true
			err := call.do(ctx, r.s, func(m any) error {
				if err := decode(data, m); err != nil {
					decoded = false
					return status.Error(codes.Internal, err.Error()) // as gRPC does, before the server sees it
				}
				return nil
			})
			if decoded {
				innocuous(r.t, call.name(), err)
			}
			p.end()
			<-p.over
			r.e.mu.Lock()
			defer r.e.mu.Unlock()
			if err := r.e.core.Check(); err != nil {
				r.t.Fatal(err)
			}
		})
	})
}

// FuzzSubmitStream: a hostile client sends frames of any bytes in any order. Each is answered, in order, or the stream ends
// with the client's fault; what was stored has an id for each task; and nothing waits for ever.
func FuzzSubmitStream(f *testing.F) {
	for seed := range uint64(16) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		f.Add(b)
	}
	one := sampled(f, &yardmasterv1.SubmitStreamRequest{}, 1)
	f.Add(append([]byte{0, byte(len(one))}, one...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzBytesMax {
			return
		}
		inBubble(t, func(r *rig) { submitFrames(r, &feed{data}) })
	})
}

func submitFrames(r *rig, x *feed) {
	st := serveStream(r, (&taskService{s: r.s}).SubmitStream)
	var sent []*yardmasterv1.SubmitRequest
	var got []*yardmasterv1.SubmitStreamResponse
	for len(x.b) > 0 && !st.ended() && len(sent) < 200 {
		m := &yardmasterv1.SubmitStreamRequest{}
		switch x.n(6) {
		case 0:
			if decode(x.bytes(255), m) != nil {
				continue
			}
		case 1:
			r.pass(time.Duration(x.n(20)) * time.Second)
			continue
		default:
			m.Submit = submitFrame(x)
		}
		st.send(m)
		sent = append(sent, m.GetSubmit())
		synctest.Wait()
		got = append(got, st.taken()...)
	}
	close(st.in)
	r.pass(10 * time.Minute) // requests wait for room one after the other
	synctest.Wait()
	if !st.ended() {
		for range 200 {
			r.pass(time.Minute)
		}
		synctest.Wait()
	}
	if !st.ended() {
		r.t.Fatal("the stream goes on though all was said")
	}
	innocuous(r.t, "SubmitStream", st.err)
	got = append(got, st.taken()...)
	if len(got) > len(sent) || st.err == nil && len(got) != len(sent) {
		r.t.Fatalf("%d answers to %d requests: %v", len(got), len(sent), st.err)
	}
	for i, m := range got {
		if e := m.GetError(); e != nil {
			if c := codes.Code(e.GetCode()); c == codes.Internal || c == codes.Unknown || c == codes.OK {
				r.t.Fatalf("request %d was answered %v", i, e)
			}
			continue
		}
		if n := len(m.GetStored().GetTaskIds()); n != len(sent[i].GetTasks()) || n == 0 {
			r.t.Fatalf("request %d of %d tasks was given %d ids", i, len(sent[i].GetTasks()), n)
		}
	}
}

// submitFrame makes a request, of which most are good.
func submitFrame(x *feed) *yardmasterv1.SubmitRequest {
	m := &yardmasterv1.SubmitRequest{}
	if x.n(2) == 0 {
		id := make([]byte, 16)
		id[0] = byte(1 + x.n(2))
		m.Producer = &yardmasterv1.Producer{Id: id, Number: x.number(), LowestUnanswered: uint64(x.n(4))}
	}
	for range x.n(120) % 40 {
		t := &yardmasterv1.TaskSpec{Kind: "k", Queue: [...]string{"", "a", "b", "No"}[x.n(12)%4]}
		if x.n(8) == 0 {
			t.IdempotencyKey = string(x.bytes(2))
		}
		if x.n(8) == 0 {
			t.Payload, t.Weight, t.Priority = x.bytes(4), uint32(x.number()), int32(x.number())
		}
		m.Tasks = append(m.Tasks, t)
	}
	return m
}
