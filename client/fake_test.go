package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// window is the coordinator's memory of one producer, as DESIGN 4 states it.
type window struct {
	lowest  uint64
	answers map[uint64][]uint64
}

// fake is a coordinator in memory: it knows producers' windows and stores specs, and each call passes through a script.
type fake struct {
	yardmasterv1.UnimplementedTaskServiceServer

	mu        sync.Mutex
	producers map[string]*window
	stored    []*yardmasterv1.TaskSpec
	seen      []*yardmasterv1.SubmitRequest // every attempt that arrived

	// Scripts, called without the lock; nil: nothing special.
	onSubmit func(n int, req *yardmasterv1.SubmitRequest) error // before the execution; n counts attempts from 1
	afterRun func(n int, req *yardmasterv1.SubmitRequest) error // after it, in place of the answer
	onAwait  func(n int, ids []uint64, stream grpc.ServerStreamingServer[yardmasterv1.AwaitResponse]) error
	onCall   func(n int, method string) error // other unary calls
	calls    int
	awaits   int
	pages    [][]*yardmasterv1.Task

	noStream bool // an older coordinator, without SubmitStream
	streams  int  // SubmitStreams that were opened
	watched  []*yardmasterv1.TaskServiceWatchRequest
	onWatch  func(n int, req *yardmasterv1.TaskServiceWatchRequest, stream watchStream) error
	tasks    []*yardmasterv1.Task // what List, Cancel, Retry and Delete work on, if there are any, in order of id
	onList   func(*yardmasterv1.TaskServiceListRequest)
	lastTask uint64     // the highest id assigned
	commands [][]uint64 // ids of each Cancel, Retry and Delete that was carried out
}

func newFake() *fake { return &fake{producers: map[string]*window{}} }

func (f *fake) Submit(_ context.Context, req *yardmasterv1.SubmitRequest) (*yardmasterv1.SubmitResponse, error) {
	f.mu.Lock()
	f.seen = append(f.seen, proto.CloneOf(req))
	n := len(f.seen)
	f.mu.Unlock()
	if f.onSubmit != nil {
		if err := f.onSubmit(n, req); err != nil {
			return nil, err
		}
	}
	resp, err := f.execute(req)
	if err == nil && f.afterRun != nil {
		err = f.afterRun(n, req)
	}
	return resp, err
}

func (f *fake) execute(req *yardmasterv1.SubmitRequest) (*yardmasterv1.SubmitResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := req.GetProducer()
	id, number, lowest := string(p.GetId()), p.GetNumber(), p.GetLowestUnanswered()
	w := f.producers[id]
	outside := len(id) != 16 || lowest == 0 || lowest > number || number-lowest > 255
	if outside || w == nil && lowest != 1 || w != nil && number < w.lowest {
		return nil, refusal(codes.FailedPrecondition, "the request number is outside the producer's window", "PRODUCER_WINDOW", 0)
	}
	if w == nil {
		w = &window{lowest: 1, answers: map[uint64][]uint64{}}
		f.producers[id] = w
	}
	w.lowest = max(w.lowest, lowest)
	maps.DeleteFunc(w.answers, func(n uint64, _ []uint64) bool { return n < w.lowest })
	if ids, ok := w.answers[number]; ok {
		return &yardmasterv1.SubmitResponse{TaskIds: ids}, nil
	}
	ids := make([]uint64, len(req.GetTasks()))
	for i, spec := range req.GetTasks() {
		f.stored = append(f.stored, spec)
		ids[i] = uint64(len(f.stored))
	}
	w.answers[number] = ids
	return &yardmasterv1.SubmitResponse{TaskIds: ids}, nil
}

// forget loses every producer, as the coordinator does after an hour.
func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.producers)
}

func (f *fake) Await(req *yardmasterv1.AwaitRequest, stream grpc.ServerStreamingServer[yardmasterv1.AwaitResponse]) error {
	f.mu.Lock()
	f.awaits++
	n := f.awaits
	f.mu.Unlock()
	if f.onAwait != nil {
		return f.onAwait(n, req.GetTaskIds(), stream)
	}
	return sendOutcomes(stream, req.GetTaskIds())
}

// sendOutcomes answers for each id: a success whose result is the id.
func sendOutcomes(stream grpc.ServerStreamingServer[yardmasterv1.AwaitResponse], ids []uint64) error {
	for _, id := range ids {
		out := &yardmasterv1.Outcome{State: client.Succeeded, Result: fmt.Append(nil, id), Attempts: 1}
		if err := stream.Send(&yardmasterv1.AwaitResponse{TaskId: id, Outcome: out}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) call(method string) error {
	f.mu.Lock()
	f.calls++
	n := f.calls
	f.mu.Unlock()
	if f.onCall != nil {
		return f.onCall(n, method)
	}
	return nil
}

func (f *fake) Get(_ context.Context, req *yardmasterv1.TaskServiceGetRequest) (*yardmasterv1.TaskServiceGetResponse, error) {
	if err := f.call("Get"); err != nil {
		return nil, err
	}
	return &yardmasterv1.TaskServiceGetResponse{Task: &yardmasterv1.Task{Id: req.GetTaskId()}}, nil
}

// refusal makes a status with details as the coordinator's are.
func refusal(code codes.Code, message, reason string, retryAfter time.Duration, fields ...string) error {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Domain: "yardmaster", Reason: reason}}
	if retryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	if len(fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range fields {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: f, Description: "is at fault"})
		}
		details = append(details, bad)
	}
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// node serves a fake at one address and can cut its connections.
type node struct {
	*fake
	queues   *fakeQueues
	operator *fakeOperator
	health   *health.Server
	server   *grpc.Server

	mu    sync.Mutex
	lis   *bufconn.Listener
	conns map[net.Conn]struct{}
	down  bool // refuses new connections
	dials int
	gone  chan struct{} // for scripts that hang until the test closes it
}

func newNode(f *fake) *node {
	n := &node{fake: f, queues: &fakeQueues{f: f}, operator: &fakeOperator{f: f}, health: health.NewServer(), lis: bufconn.Listen(1 << 20), conns: map[net.Conn]struct{}{}, gone: make(chan struct{})}
	n.server = grpc.NewServer(grpc.MaxRecvMsgSize(4<<20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
	yardmasterv1.RegisterTaskServiceServer(n.server, f)
	yardmasterv1.RegisterQueueServiceServer(n.server, n.queues)
	yardmasterv1.RegisterOperatorServiceServer(n.server, n.operator)
	healthpb.RegisterHealthServer(n.server, n.health)
	go n.server.Serve(n.lis) //nolint:errcheck // ends with Stop
	return n
}

func (n *node) dial(ctx context.Context) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	conn, err := n.lis.DialContext(ctx)
	if err == nil {
		n.mu.Lock()
		n.conns[conn] = struct{}{}
		n.mu.Unlock()
	}
	return conn, err
}

// cut breaks every connection, as a kill or a cable would.
func (n *node) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for conn := range n.conns {
		conn.Close()
	}
	clear(n.conns)
}

func (n *node) setDown(down bool) {
	n.mu.Lock()
	n.down = down
	n.mu.Unlock()
	if down {
		n.cut()
	}
}

// bubble runs a test with a client and one node in fake time; every goroutine must have ended with it.
func bubble(t *testing.T, cfg client.Config, test func(t *testing.T, c *client.Client, n *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(newFake())
		c := dialNodes(t, cfg, map[string]*node{"a:1": n})
		defer n.server.Stop()
		defer c.Close()
		test(t, c, n)
	})
}

func dialNodes(t *testing.T, cfg client.Config, nodes map[string]*node) *client.Client {
	t.Helper()
	cfg.Addresses = append(cfg.Addresses, slices.Sorted(maps.Keys(nodes))...)
	cfg.DialOptions = append(cfg.DialOptions, grpc.WithContextDialer(
		func(ctx context.Context, address string) (net.Conn, error) { return nodes[address].dial(ctx) }))
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// payloads of n tasks, all different.
func someTasks(n int) []client.Task {
	tasks := make([]client.Task, n)
	for i := range tasks {
		tasks[i] = client.Task{Kind: "k", Payload: fmt.Appendf(nil, "p%d", i)}
	}
	return tasks
}

// storedOnce checks that exactly the n tasks of someTasks are stored, each once.
func storedOnce(t *testing.T, f *fake, n int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	count := map[string]int{}
	for _, spec := range f.stored {
		count[string(spec.GetPayload())]++
	}
	if len(f.stored) != n || len(count) != n {
		t.Fatalf("%d tasks stored, %d different ones; want %d of each", len(f.stored), len(count), n)
	}
}

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// serveExample serves a fake on the loopback, for examples.
func serveExample(f *fake) (address string, n *node) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	n = newNode(f)
	go n.server.Serve(lis) //nolint:errcheck // ends with Stop
	return lis.Addr().String(), n
}
