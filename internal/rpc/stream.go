package rpc

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// Bounds of a stream.
const (
	HelloMax   = 10 * time.Second // a new stream says Hello within this
	StartedMax = 10_000           // tokens in one Started
)

// workerService is WorkerService.
type workerService struct {
	yardmasterv1.UnimplementedWorkerServiceServer
	s *Server
}

// stream is one stream of a worker.
type stream struct {
	r      *registry
	gs     grpc.BidiStreamingServer[yardmasterv1.SessionRequest, yardmasterv1.SessionResponse]
	ctx    context.Context
	cancel context.CancelFunc
	id     session.StreamID
	remote string
	begun  atomic.Int64  // monotonic; 0 once Hello has come
	ready  chan struct{} // closed when bound
	woken  chan struct{} // of sendLoop
	arrive chan struct{} // of admitLoop
	sender sender

	mu       sync.Mutex
	finished bool   // the handler returns: it must not be bound any more
	ended    bool   // endErr is set
	entry    *entry // set by bind; read by the loops after ready
	welcome  *yardmasterv1.Welcome
	queue    []arrival // for admitLoop
	endErr   error

	goodbye bool // guarded by the entry's lock

	out outgoing // owned by sendLoop
}

// arrival is what has come and waits for admission: outcomes, or, behind them, a Goodbye.
type arrival struct {
	outcomes *scheduler.Outcomes
	goodbye  bool
}

// Session carries one stream of a worker. Its own goroutine admits outcomes, and returns at once when the stream is ended:
// only that unblocks the other two.
func (w *workerService) Session(gs grpc.BidiStreamingServer[yardmasterv1.SessionRequest, yardmasterv1.SessionResponse]) error {
	st := newStream(w.s.registry, gs)
	w.s.watchdog.add(&st.sender)
	defer w.s.watchdog.drop(&st.sender)
	st.r.addStream(st)
	defer st.finish()
	w.s.loops.Add(2)
	go func() { defer w.s.loops.Done(); st.guard("receive", st.recvLoop) }()
	go func() { defer w.s.loops.Done(); st.guard("send", st.sendLoop) }()
	st.admitLoop()
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.endErr
}

func newStream(r *registry, gs grpc.BidiStreamingServer[yardmasterv1.SessionRequest, yardmasterv1.SessionResponse]) *stream {
	st := &stream{r: r, gs: gs, ready: make(chan struct{}), woken: make(chan struct{}, 1), arrive: make(chan struct{}, 1)}
	st.ctx, st.cancel = context.WithCancel(gs.Context())
	if p, ok := peer.FromContext(gs.Context()); ok && p.Addr != nil {
		st.remote = p.Addr.String()
	}
	st.begun.Store(r.now())
	st.sender.end = st.end
	return st
}

// guard turns a panic of a loop into the stream's end.
func (st *stream) guard(loop string, run func()) {
	defer func() {
		if p := recover(); p != nil {
			st.r.logger.Error("panic in a stream", "loop", loop, "panic", p, "stack", string(debug.Stack()))
			st.end(refuse(codes.Internal, ReasonInternal, 0, "internal error; the coordinator's log has it"))
		}
	}()
	run()
}

// end ends the stream with a status; the first one counts. It doesn't block.
func (st *stream) end(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.ended {
		st.ended, st.endErr = true, err
		st.cancel()
	}
}

// finish tells the session that the stream is over.
func (st *stream) finish() {
	st.mu.Lock()
	st.finished = true
	e := st.entry
	st.mu.Unlock()
	st.cancel()
	if e != nil {
		e.broken(st)
	}
	st.r.dropStream(st)
}

// bind gives the stream its session. False: it is over already.
func (st *stream) bind(e *entry) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.finished {
		return false
	}
	st.entry = e
	close(st.ready)
	st.wake()
	return true
}

// welcomed sets the first message.
func (st *stream) welcomed(w *yardmasterv1.Welcome) {
	st.mu.Lock()
	st.welcome = w
	st.mu.Unlock()
}

// wake tells sendLoop that there may be something to send.
func (st *stream) wake() {
	select {
	case st.woken <- struct{}{}:
	default:
	}
}

// overdue reports whether the Hello hasn't come in time.
func (st *stream) overdue(now, gap int64) bool {
	begun := st.begun.Load()
	if begun != 0 && gap > 0 && st.begun.CompareAndSwap(begun, begun+gap) {
		begun += gap
	}
	return begun != 0 && now-begun >= int64(HelloMax)
}

// push queues what needs admission.
func (st *stream) push(a arrival) {
	st.mu.Lock()
	st.queue = append(st.queue, a)
	st.mu.Unlock()
	select {
	case st.arrive <- struct{}{}:
	default:
	}
}

// admitLoop proposes outcomes as the engine admits them, until the stream ends. Goodbye keeps its place behind them.
func (st *stream) admitLoop() {
	for {
		select {
		case <-st.ctx.Done():
			st.endedByPeer()
			return
		case <-st.arrive:
		}
		st.mu.Lock()
		queue := st.queue
		st.queue = nil
		st.mu.Unlock()
		for _, a := range queue {
			if a.outcomes != nil {
				if err := st.r.engine.Admit(st.ctx, len(a.outcomes.List)); err != nil && st.ctx.Err() == nil {
					_, mapped := engineError(err)
					st.end(mapped)
				}
				if st.ctx.Err() != nil {
					break
				}
			}
			e := st.entry
			e.mu.Lock()
			if a.goodbye {
				e.m.Goodbye(st.id, &e.acts)
			} else {
				e.m.Outcomes(st.id, a.outcomes, &e.acts)
			}
			e.perform()
		}
	}
}

// endedByPeer sets the status of a stream whose context ended from outside.
func (st *stream) endedByPeer() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if cause := context.Cause(st.gs.Context()); cause != nil && !st.ended {
		st.ended = true
		_, st.endErr = engineError(cause)
	}
}

// broke ends the stream after a failed Recv or Send.
func (st *stream) broke(err error) {
	if cause := context.Cause(st.gs.Context()); cause != nil {
		err = cause
	}
	if errors.Is(err, io.EOF) {
		st.end(nil)
		return
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.Unknown {
		st.end(err)
		return
	}
	known, mapped := engineError(err)
	if !known {
		mapped = refuse(codes.Unavailable, ReasonCallEnded, 0, "the stream broke")
	}
	st.end(mapped)
}
