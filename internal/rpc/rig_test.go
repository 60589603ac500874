package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// rig is a server on a fake engine, and a client connected to it, in a bubble of fake time.
type rig struct {
	t      *testing.T
	e      *fakeEngine
	s      *Server
	lis    *bufconn.Listener
	conn   *grpc.ClientConn
	tasks  yardmasterv1.TaskServiceClient
	queues yardmasterv1.QueueServiceClient
	ops    yardmasterv1.OperatorServiceClient
	ctx    context.Context
	skew   atomic.Int64           // by which the server's clock is ahead
	look   atomic.Pointer[func()] // called at the next look at the server's clock, on the goroutine that looks; nil: nothing is
	log    bytes.Buffer           // what the server logs; to be read while nothing runs

	backups *fakeBackups
}

// inBubble runs a test in fake time against a leading server.
func inBubble(t *testing.T, test func(*rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		test(r)
	})
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, e: newFakeEngine(), lis: bufconn.Listen(1 << 20)}
	ctx, cancel := context.WithCancel(context.Background())
	r.ctx = ctx
	var err error
	r.backups = newFakeBackups()
	r.s, err = New(Options{Engine: r.e, Now: r.clock, Version: "v-test", Backups: r.backups,
		Logger: hclog.New(&hclog.LoggerOptions{Output: &r.log})})
	if err != nil {
		t.Fatal(err)
	}
	go r.e.run(ctx)
	r.e.lead(1)
	served := make(chan error, 1)
	go func() { served <- r.s.Serve(r.lis) }()
	r.conn = r.dial()
	r.tasks, r.queues = yardmasterv1.NewTaskServiceClient(r.conn), yardmasterv1.NewQueueServiceClient(r.conn)
	r.ops = yardmasterv1.NewOperatorServiceClient(r.conn)
	t.Cleanup(func() {
		r.conn.Close()
		stop, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		if err := r.s.GracefulStop(stop); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		cancel()
		<-r.e.done
	})
	return r
}

func (r *rig) dial() *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///rig", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.lis.DialContext(ctx) }),
		grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<16))
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// submit stores n tasks of a kind and payload size, and returns the first id.
func (r *rig) submit(n, bytes int) uint64 {
	r.t.Helper()
	req := &yardmasterv1.SubmitRequest{}
	for range n {
		req.Tasks = append(req.Tasks, &yardmasterv1.TaskSpec{Kind: "k", Payload: make([]byte, bytes), Labels: map[string]string{"a": "b"}})
	}
	res, err := r.tasks.Submit(r.ctx, req)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(res.GetTaskIds()) != n {
		r.t.Fatalf("%d ids for %d tasks", len(res.GetTaskIds()), n)
	}
	return res.GetTaskIds()[0]
}

// testWorker is a worker in the test's hands.
type testWorker struct {
	r      *rig
	gs     grpc.BidiStreamingClient[yardmasterv1.SessionRequest, yardmasterv1.SessionResponse]
	cancel context.CancelFunc
	id     uint64 // session
}

func helloOf(name string, incarnation byte, slots uint32) *yardmasterv1.Hello {
	id := make([]byte, 16)
	id[0] = incarnation
	return &yardmasterv1.Hello{
		ProtocolVersion: 1, WorkerName: name, Incarnation: id, Kinds: []string{"k"},
		Pools: []*yardmasterv1.Pool{{Name: "main", Slots: slots}},
	}
}

// open opens a stream and says Hello.
func (r *rig) open(h *yardmasterv1.Hello) *testWorker {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	gs, err := yardmasterv1.NewWorkerServiceClient(r.conn).Session(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	p := &testWorker{r: r, gs: gs, cancel: cancel}
	r.t.Cleanup(cancel)
	p.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Hello{Hello: h}})
	return p
}

// welcomed opens a stream and expects a Welcome.
func (r *rig) welcomed(h *yardmasterv1.Hello) (*testWorker, *yardmasterv1.Welcome) {
	r.t.Helper()
	p := r.open(h)
	w := p.recv().GetWelcome()
	if w == nil {
		r.t.Fatal("the first message is no Welcome")
	}
	p.id = w.GetSessionId()
	return p, w
}

func (p *testWorker) send(m *yardmasterv1.SessionRequest) {
	p.r.t.Helper()
	if err := p.gs.Send(m); err != nil && !errors.Is(err, io.EOF) {
		p.r.t.Fatalf("send: %v", err)
	}
}

func (p *testWorker) recv() *yardmasterv1.SessionResponse {
	p.r.t.Helper()
	m, err := p.gs.Recv()
	if err != nil {
		p.r.t.Fatalf("recv: %v", err)
	}
	return m
}

// grants receives n leases.
func (p *testWorker) grants(n int) (all []*yardmasterv1.TaskLease, seq uint64) {
	p.r.t.Helper()
	for len(all) < n {
		g := p.recv().GetGrants()
		if g == nil {
			p.r.t.Fatal("another message than Grants")
		}
		all, seq = append(all, g.GetLeases()...), g.GetSeq()
	}
	return all, seq
}

func (p *testWorker) confirm(seq uint64) { p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq}) }

func (p *testWorker) beat(seq uint64, at int64) {
	p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, Message: &yardmasterv1.SessionRequest_Heartbeat{
		Heartbeat: &yardmasterv1.Heartbeat{SendTimeNanos: at}}})
}

func (p *testWorker) started(seq uint64, tokens ...uint64) {
	p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, Message: &yardmasterv1.SessionRequest_Started{
		Started: &yardmasterv1.Started{Tokens: tokens}}})
}

func (p *testWorker) succeed(seq, first uint64, leases ...*yardmasterv1.TaskLease) {
	o := &yardmasterv1.Outcomes{FirstSeq: first}
	for _, l := range leases {
		o.Outcomes = append(o.Outcomes, &yardmasterv1.AttemptOutcome{Token: l.GetToken(), TaskId: l.GetTaskId(),
			Kind: &yardmasterv1.AttemptOutcome_Succeeded{Succeeded: &yardmasterv1.Succeeded{Result: []byte("done")}}})
	}
	p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, AnswersThrough: first - 1, Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: o}})
}

// ends reads until the stream's end and returns its status.
func (p *testWorker) ends() *status.Status {
	p.r.t.Helper()
	for {
		if _, err := p.gs.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return status.New(codes.OK, "")
			}
			return status.Convert(err)
		}
	}
}

// wantStatus checks code and reason.
func wantStatus(t *testing.T, err error, code codes.Code, reason string) *status.Status {
	t.Helper()
	st := status.Convert(err)
	if got := reasonOf(st); st.Code() != code || got != reason {
		t.Fatalf("got %s %q (%s), want %s %q", st.Code(), got, st.Message(), code, reason)
	}
	return st
}

func reasonOf(st *status.Status) string {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info.GetReason()
		}
	}
	return ""
}

func protoIn(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(d)) }

// pass lets fake time pass.
func (r *rig) pass(d time.Duration) { <-time.After(d) }

// clock is the server's.
func (r *rig) clock() time.Time {
	if look := r.look.Swap(nil); look != nil {
		(*look)()
	}
	return time.Now().Add(time.Duration(r.skew.Load()))
}
