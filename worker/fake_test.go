package worker

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// patience bounds every wait of a test for the other side; it is only used up by a failing test.
const patience = 10 * time.Second

// fakeCoordinator plays the coordinator's side of the protocol as a test tells it to, over real gRPC.
type fakeCoordinator struct {
	pb.UnimplementedWorkerServiceServer
	t       testing.TB
	address string
	streams chan *fakeStream
}

// fakeStream is one stream of a worker. The test's goroutine sends; what the worker says is read into said.
type fakeStream struct {
	t    testing.TB
	grpc grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]
	said chan *pb.SessionRequest
	over chan error    // the test ends the stream
	gone chan struct{} // the worker ended it
	seq  uint64
}

func startCoordinator(t testing.TB) *fakeCoordinator {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &fakeCoordinator{t: t, address: lis.Addr().String(), streams: make(chan *fakeStream, 16)}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(messageBytesMax))
	pb.RegisterWorkerServiceServer(server, c)
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(lis) }() //nolint:errcheck // ends with Stop
	t.Cleanup(func() { server.Stop(); <-served })
	return c
}

func (c *fakeCoordinator) Session(stream grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]) error {
	s := &fakeStream{t: c.t, grpc: stream, said: make(chan *pb.SessionRequest, 4096), over: make(chan error, 1), gone: make(chan struct{})}
	c.streams <- s
	go func() {
		defer close(s.gone)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			s.said <- m
		}
	}()
	select {
	case err := <-s.over:
		return err
	case <-s.gone:
		return nil
	}
}

// accept waits for the next stream and its Hello.
func (c *fakeCoordinator) accept() (*fakeStream, *pb.Hello) {
	c.t.Helper()
	s := within(c.t, "a stream", c.streams)
	hello := s.next().GetHello()
	if hello == nil {
		c.t.Fatal("the first message is no Hello")
	}
	return s, hello
}

// open accepts a stream and welcomes it.
func (c *fakeCoordinator) open(session uint64) *fakeStream {
	c.t.Helper()
	s, _ := c.accept()
	s.welcome(&pb.Welcome{SessionId: session})
	return s
}

func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("waited %s for %s", patience, what)
		panic("not reached")
	}
}

// next returns what the worker says next.
func (s *fakeStream) next() *pb.SessionRequest {
	s.t.Helper()
	return within(s.t, "a message", s.said)
}

// outcomes waits until the worker has reported n outcomes, and returns them and the first one's number.
func (s *fakeStream) outcomes(n int) (first uint64, list []*pb.AttemptOutcome) {
	s.t.Helper()
	for len(list) < n {
		m := s.next().GetOutcomes()
		if m == nil {
			continue
		}
		if len(list) == 0 {
			first = m.FirstSeq
		} else if m.FirstSeq != first+uint64(len(list)) {
			s.t.Fatalf("outcomes from %d after %d from %d", m.FirstSeq, len(list), first)
		}
		list = append(list, m.Outcomes...)
	}
	if len(list) != n {
		s.t.Fatalf("%d outcomes, want %d", len(list), n)
	}
	return first, list
}

// outcome waits for one outcome, answers it and returns it.
func (s *fakeStream) outcome() *pb.AttemptOutcome {
	s.t.Helper()
	first, list := s.outcomes(1)
	s.answer(first)
	return list[0]
}

// until reads what the worker says up to the first message that is what it looks for.
func until[T any](s *fakeStream, what func(*pb.SessionRequest) *T) *T {
	s.t.Helper()
	for {
		if m := what(s.next()); m != nil {
			return m
		}
	}
}

func (s *fakeStream) send(m *pb.SessionResponse) {
	s.t.Helper()
	if err := s.grpc.Send(m); err != nil {
		s.t.Fatalf("send to the worker: %v", err)
	}
}

func (s *fakeStream) welcome(w *pb.Welcome) {
	s.t.Helper()
	if w.SessionTtl == nil {
		w.SessionTtl, w.HeartbeatInterval, w.Margin = durationpb.New(15*time.Second), durationpb.New(5*time.Second), durationpb.New(2*time.Second)
	}
	s.send(&pb.SessionResponse{Message: &pb.SessionResponse_Welcome{Welcome: w}})
}

func (s *fakeStream) grant(leases ...*pb.TaskLease) {
	s.t.Helper()
	for _, l := range leases {
		l.TaskId, l.Weight, l.Attempt, l.MaxAttempts, l.Generation = l.Token+1000, max(l.Weight, 1), 1, 20, 1
		if l.Pool == "" {
			l.Pool = DefaultPool
		}
	}
	s.seq++
	s.send(&pb.SessionResponse{Message: &pb.SessionResponse_Grants{Grants: &pb.Grants{Seq: s.seq, Leases: leases}}})
}

func (s *fakeStream) answer(through uint64, rejected ...*pb.Rejected) {
	s.t.Helper()
	s.send(&pb.SessionResponse{Message: &pb.SessionResponse_OutcomeAck{OutcomeAck: &pb.OutcomeAck{ThroughSeq: through, Rejected: rejected}}})
}

func (s *fakeStream) cancel(token uint64, reason pb.Cancel_Reason) {
	s.t.Helper()
	s.send(&pb.SessionResponse{Message: &pb.SessionResponse_Cancel{Cancel: &pb.Cancel{Token: token, TaskId: token + 1000, Reason: reason}}})
}

// end ends the stream with a status, and waits until the worker has noticed.
func (s *fakeStream) end(err error) {
	s.t.Helper()
	s.over <- err
	within(s.t, "the stream's end", s.gone)
}

// farewell answers what a stopping worker says until its Goodbye, and ends the stream.
func (s *fakeStream) farewell() (drained *pb.Drained) {
	s.t.Helper()
	for {
		m := s.next()
		switch {
		case m.GetOutcomes() != nil:
			o := m.GetOutcomes()
			s.answer(o.FirstSeq + uint64(len(o.Outcomes)) - 1)
		case m.GetDrained() != nil:
			drained = m.GetDrained()
		case m.GetGoodbye() != nil:
			s.end(nil)
			return drained
		}
	}
}

// runner is a worker that runs in a test.
type runner struct {
	*Worker
	t    testing.TB
	stop context.CancelFunc
	done chan error
}

// startWorker runs a worker against c; setup registers its handlers. It must have stopped, cleanly, at the test's end.
func startWorker(t testing.TB, c *fakeCoordinator, cfg Config, setup func(*Worker)) *runner {
	t.Helper()
	if c != nil {
		cfg.Coordinators = []string{c.address}
	}
	if cfg.Name == "" {
		cfg.Name = "test"
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	setup(w)
	return runWorker(t, w)
}

func runWorker(t testing.TB, w *Worker) *runner {
	ctx, stop := context.WithCancel(t.Context())
	r := &runner{Worker: w, t: t, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- w.Run(ctx) }()
	return r
}

// stopped stops the worker through its coordinator and wants a clean end.
func (r *runner) stopped(s *fakeStream) {
	r.t.Helper()
	r.stop()
	s.farewell()
	if err := within(r.t, "Run to return", r.done); err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

// echo is a handler that returns its payload.
func echo(_ context.Context, t *Task) ([]byte, error) { return t.Payload, nil }

func leakCheck(t *testing.T) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

// logBook keeps log lines.
type logBook struct{ lines chan string }

func newLogBook() *logBook { return &logBook{lines: make(chan string, 1000)} }

func (b *logBook) Write(p []byte) (int, error) {
	select {
	case b.lines <- string(p):
	default:
	}
	return len(p), nil
}

func (b *logBook) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: b, Level: hclog.Info, DisableTime: true})
}

// all returns the lines so far.
func (b *logBook) all() (lines []string) {
	for {
		select {
		case line := <-b.lines:
			lines = append(lines, line)
		default:
			return lines
		}
	}
}
