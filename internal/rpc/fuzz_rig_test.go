package rpc

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/yardmaster/yardmaster/internal/wire"
)

// fuzzBytesMax bounds what a fuzzer's input may cost in time.
const fuzzBytesMax = 2 << 10

// feed reads a fuzzer's bytes as choices; at its end it gives zeros.
type feed struct{ b []byte }

func (f *feed) n(limit int) int {
	if len(f.b) == 0 {
		return 0
	}
	v := int(f.b[0])
	f.b = f.b[1:]
	return v % limit
}

// bytes takes at most so many.
func (f *feed) bytes(most int) []byte {
	n := min(f.n(most+1), len(f.b))
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

// number is small, or at an edge of its type.
func (f *feed) number() uint64 {
	if f.n(4) > 0 {
		return uint64(f.n(16))
	}
	return [...]uint64{0, math.MaxUint64, 1 << 63, math.MaxInt64, math.MaxUint32, 1 << 20}[f.n(6)]
}

// decode reads a message as the server's codec does.
func decode(data []byte, m any) error {
	return wire.New().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m)
}

// fakeStream is a stream in a test's hands, without a connection: what the peer sends is in, until it is closed; what the
// server sends is kept in out.
type fakeStream[Req, Res any] struct {
	grpc.ServerStream
	ctx  context.Context
	end  context.CancelFunc
	in   chan *Req
	over chan struct{} // closed once the handler has returned
	err  error         // of the handler

	mu  sync.Mutex
	out []*Res // guarded by mu
}

// serveStream runs a handler on a stream.
func serveStream[Req, Res any](r *rig, handler func(grpc.BidiStreamingServer[Req, Res]) error) *fakeStream[Req, Res] {
	st := &fakeStream[Req, Res]{in: make(chan *Req, 64), over: make(chan struct{})}
	st.ctx, st.end = context.WithCancel(r.ctx)
	go func() {
		defer close(st.over)
		defer st.end()
		st.err = handler(st)
	}()
	return st
}

func (s *fakeStream[Req, Res]) Context() context.Context { return s.ctx }

func (s *fakeStream[Req, Res]) Recv() (*Req, error) {
	select {
	case m, ok := <-s.in:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-s.ctx.Done():
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
}

// Send encodes, as gRPC would, and keeps what the bytes say: the server uses its memory again.
func (s *fakeStream[Req, Res]) Send(m *Res) error {
	if s.ctx.Err() != nil {
		return status.FromContextError(s.ctx.Err()).Err()
	}
	data, err := wire.New().Marshal(m)
	if err != nil {
		return err
	}
	copied := new(Res)
	if err := decode(data.Materialize(), copied); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = append(s.out, copied)
	return nil
}

// send hands over a message, if the stream lives and has room.
func (s *fakeStream[Req, Res]) send(m *Req) {
	if s.ended() {
		return
	}
	select {
	case s.in <- m:
	default:
	}
}

func (s *fakeStream[Req, Res]) ended() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// taken returns what came since the last call.
func (s *fakeStream[Req, Res]) taken() []*Res {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.out
	s.out = nil
	return out
}

// innocuous fails the test if a call's end tells of a fault of the server's own, or refuses without saying what.
func innocuous(t *testing.T, doing string, err error) {
	t.Helper()
	st := status.Convert(err)
	switch st.Code() {
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.Unimplemented:
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", doing, err)
		}
	case codes.InvalidArgument:
		for _, d := range st.Details() {
			if bad, ok := d.(*errdetails.BadRequest); ok && len(bad.GetFieldViolations()) > 0 && bad.GetFieldViolations()[0].GetDescription() != "" {
				return
			}
		}
		t.Fatalf("%s: refused without a field: %v, %v", doing, err, st.Details())
	}
}

// sample fills a message with values that are good in most places, to a depth.
func sample(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		value := func() protoreflect.Value {
			switch f.Kind() {
			case protoreflect.StringKind:
				return protoreflect.ValueOfString("k")
			case protoreflect.BytesKind:
				return protoreflect.ValueOfBytes([]byte("0123456789abcdef"))
			case protoreflect.BoolKind:
				return protoreflect.ValueOfBool(true)
			case protoreflect.EnumKind:
				return protoreflect.ValueOfEnum(1)
			case protoreflect.Int32Kind:
				return protoreflect.ValueOfInt32(1)
			case protoreflect.Int64Kind:
				return protoreflect.ValueOfInt64(1)
			case protoreflect.Uint32Kind:
				return protoreflect.ValueOfUint32(1)
			case protoreflect.Uint64Kind:
				return protoreflect.ValueOfUint64(1)
			}
			return protoreflect.Value{}
		}
		switch {
		case f.IsMap():
			if f.MapKey().Kind() == protoreflect.StringKind && f.MapValue().Kind() == protoreflect.StringKind {
				m.Mutable(f).Map().Set(protoreflect.ValueOfString("a").MapKey(), protoreflect.ValueOfString("b"))
			}
		case f.IsList() && f.Message() != nil:
			if depth > 0 {
				sample(m.Mutable(f).List().AppendMutable().Message(), depth-1)
			}
		case f.IsList():
			m.Mutable(f).List().Append(value())
		case f.Message() != nil:
			if depth > 0 {
				sample(m.Mutable(f).Message(), depth-1)
			}
		default:
			if v := value(); v.IsValid() {
				m.Set(f, v)
			}
		}
	}
}

// sampled is a sample's encoding.
func sampled(f *testing.F, m proto.Message, depth int) []byte {
	f.Helper()
	sample(m.ProtoReflect(), depth)
	data, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return data
}
