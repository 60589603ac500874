package worker

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/wire"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

const (
	backoffMin       = 100 * time.Millisecond
	backoffMax       = 3 * time.Second
	openTimeout      = 5 * time.Second
	messageBytesMax  = 4 << 20
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
)

// session is one open stream as gRPC has it.
type session interface {
	Send(*pb.SessionRequest) error
	Recv() (*pb.SessionResponse, error)
}

// dialer opens a stream to one address. It ends with ctx; closer is called after.
type dialer func(ctx context.Context, address string) (s session, closer io.Closer, err error)

// dialGRPC makes a fresh connection for every stream: gRPC's own waiting between attempts would come on top of ours.
func dialGRPC(more []grpc.DialOption) dialer {
	opts := append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax), grpc.MaxCallSendMsgSize(messageBytesMax),
			grpc.ForceCodecV2(wire.New())),
		grpc.WithDisableRetry(),
	}, more...)
	return func(ctx context.Context, address string) (session, io.Closer, error) {
		conn, err := grpc.NewClient(address, opts...)
		if err != nil {
			return nil, nil, err
		}
		s, err := pb.NewWorkerServiceClient(conn).Session(ctx)
		if err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
		return s, conn, nil
	}
}

// stream is one stream as the loop knows it. Only its send goroutine sends.
type stream struct {
	address string
	version uint32                  // of the protocol, that Hello says
	out     chan *pb.SessionRequest // from the loop; holds what the core lets be in flight
	sent    atomic.Int64            // messages sent
	giveUp  context.CancelCauseFunc
}

// event is what the link tells the loop. The order of events is that in which they happened.
type event struct {
	opened   *stream
	message  *pb.SessionResponse
	closed   bool
	address  string // closed: of the coordinator
	err      error  // closed, or an attempt to connect that failed: why
	welcomed bool   // closed: the coordinator had answered Hello
	older    bool   // closed: it doesn't know the version that Hello said; the next Hello says 1
	refused  bool   // trying again doesn't help: the link has ended
}

// link is the goroutine that keeps a stream to some coordinator and reads it.
type link struct {
	w       *Worker
	in      chan<- event
	signal  func()
	next    int    // coordinator to try
	failure int    // attempts in a row without a Welcome
	version uint32 // that the next Hello says
}

func newLink(w *Worker, l *loop) *link {
	return &link{w: w, in: l.in, signal: l.signal, version: protocolVersion}
}

// run connects again and again until ctx ends or the coordinator refuses for good.
func (k *link) run(ctx context.Context) {
	for {
		address := k.w.cfg.Coordinators[k.next%len(k.w.cfg.Coordinators)]
		k.next++
		welcomed, err := k.session(ctx, address)
		if ctx.Err() != nil {
			return
		}
		if k.version > 1 && unknownVersion(err) { // an older coordinator: once more, with the version that all of them know
			if !k.tell(ctx, event{closed: true, address: address, err: err, older: true}) {
				return
			}
			k.next--
			k.version = 1
			continue
		}
		k.version = protocolVersion // whoever answers next may be a newer one
		k.failure++
		if welcomed {
			k.failure = 0
		}
		refused := refusal(err, welcomed)
		if !k.tell(ctx, event{closed: true, address: address, err: err, welcomed: welcomed, refused: refused}) || refused {
			return
		}
		if !pause(ctx, backoff(k.failure, rand.Float64())) {
			return
		}
	}
}

// session opens one stream and reads it to its end.
func (k *link) session(ctx context.Context, address string) (welcomed bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(openTimeout, func() { cancel(context.DeadlineExceeded) })
	s, conn, err := k.w.dial(ctx, address)
	if !patience.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return false, err
	}
	st := &stream{address: address, version: k.version, out: make(chan *pb.SessionRequest, workercore.InFlightMax), giveUp: cancel}
	if !k.tell(ctx, event{opened: st}) {
		return false, context.Cause(ctx)
	}
	var sender sync.WaitGroup
	sender.Go(func() { k.send(ctx, s, st) })
	defer sender.Wait()
	defer cancel(nil)
	for {
		m, err := s.Recv()
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return welcomed, err
		}
		welcomed = welcomed || m.GetWelcome() != nil
		if !k.tell(ctx, event{message: m}) {
			return welcomed, context.Cause(ctx)
		}
	}
}

// send is the only one that sends on s. An error is told by Recv.
func (k *link) send(ctx context.Context, s session, st *stream) {
	for {
		select {
		case m := <-st.out:
			if s.Send(m) != nil {
				return
			}
			st.sent.Add(1)
			k.signal()
		case <-ctx.Done():
			return
		}
	}
}

func (k *link) tell(ctx context.Context, ev event) bool {
	select {
	case k.in <- ev:
		return true
	case <-ctx.Done():
		return false
	}
}

// backoff is how long to wait before the next attempt, after so many failures in a row: full jitter above backoffMin.
func backoff(failures int, draw float64) time.Duration {
	top := min(backoffMax, 2*backoffMin<<min(failures, 10))
	return backoffMin + time.Duration(draw*float64(top-backoffMin))
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// unknownVersion reports whether a coordinator doesn't speak the version that Hello said.
func unknownVersion(err error) bool {
	s := status.Convert(err)
	return s.Code() == codes.FailedPrecondition && reason(s) == "PROTOCOL_VERSION"
}

// refusal reports whether trying again is of no use.
func refusal(err error, welcomed bool) bool {
	switch s := status.Convert(err); s.Code() {
	case codes.InvalidArgument:
		return !welcomed
	case codes.FailedPrecondition:
		return unknownVersion(err)
	}
	return false
}

// reason is the ErrorInfo's reason, or empty.
func reason(s *status.Status) string {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return ""
}
