package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/session"
	"github.com/yardmaster/yardmaster/internal/wire"
)

// Bounds and defaults of the server.
const (
	SessionTTLDefault = 15 * time.Second
	SessionTTLMin     = 2 * time.Second
	SessionTTLMax     = 10 * time.Minute
	KillGraceDefault  = 5 * time.Second
	marginMax         = 2 * time.Second

	KeepaliveTime     = 10 * time.Second // an idle connection is pinged
	KeepaliveTimeout  = 5 * time.Second  // and closed without an answer
	KeepaliveMinTime  = 5 * time.Second  // clients may not ping more often
	RequestBytesMax   = 4<<20 + 64<<10   // a Submit of 4 MiB and what surrounds it
	messageBytesMax   = 8 << 20          // what gRPC takes at all: above RequestBytesMax, so that the refusal can say what to do
	ConnStreamsMax    = 1024             // calls at once on one connection
	ResponseBytesMax  = 2 << 20          // a page ends here, whatever its size in entries
	TickPeriod        = 250 * time.Millisecond
	stallMin          = 2 * TickPeriod // a tick later than this was a stall of this process
	connectionTimeout = 20 * time.Second
)

// Options configure a Server.
type Options struct {
	Engine     Engine           // required; New makes the server its Observer, so New comes before the engine's start
	Now        func() time.Time // required: the machine's clock, with its monotonic reading
	Logger     hclog.Logger     // default: none
	SessionTTL time.Duration    // 2 s to 10 min; default 15 s
	KillGrace  time.Duration    // workers' time between asking a handler to stop and killing it; default 5 s
	Version    string           // told by OperatorService.Status
	StartTime  time.Time        // likewise; default: now
	Reflection bool             // serve gRPC reflection
	Refusals   Refusals         // told of every refusal; nil: nobody
	Backups    Backups          // makes backup files; nil: Backup is UNIMPLEMENTED
	GRPC       []grpc.ServerOption
}

// Refusals counts what was refused. It must not block, and is called from many goroutines.
type Refusals interface {
	// Refused: a call of a full method name, or one request of a stream, was answered with an error of this reason (one of
	// the Reason constants; of an error that gRPC itself made, its code's name). Calls that their callers ended don't count.
	Refused(method, reason string)
}

// Server is the coordinator's gRPC server. To stop it: SetNotServing, EndStreams, then GracefulStop or Stop.
type Server struct {
	opts     Options
	engine   Engine
	logger   hclog.Logger
	grpc     *grpc.Server
	health   *health.Server
	registry *registry
	watchdog watchdog
	room     *room
	soft     *softEvents
	watchers atomic.Int64 // Watch calls
	backup   atomic.Bool  // one is under way
	base     time.Time    // of the monotonic clock
	loops    sync.WaitGroup
	ticking  sync.Once
	stopTick context.CancelFunc
	ticks    context.Context

	streamsEnd context.Context // ended by EndStreams
	endStreams context.CancelCauseFunc
	watchesEnd context.Context // likewise of Watch calls, ended by Stop or once they have had the last events
	endWatches context.CancelCauseFunc
	flush      chan struct{} // closed when no more events come: a Watch call sends what there is, and ends
	flushing   sync.Once
	calls      *inFlight // but for Watch calls
	watches    *inFlight // Watch calls

	mu        sync.Mutex
	leading   bool
	withdrawn bool                    // SetNotServing was called
	term      context.Context         // ended with leadership; nil: not leading
	endTerm   context.CancelCauseFunc // nil: not leading
}

// New makes a server and registers it as the engine's Observer.
func New(opts Options) (*Server, error) {
	if opts.Engine == nil || opts.Now == nil {
		return nil, errors.New("rpc: Engine and Now are required")
	}
	if opts.SessionTTL == 0 {
		opts.SessionTTL = SessionTTLDefault
	}
	if opts.SessionTTL < SessionTTLMin || opts.SessionTTL > SessionTTLMax {
		return nil, fmt.Errorf("rpc: session TTL %s: want %s to %s", opts.SessionTTL, SessionTTLMin, SessionTTLMax)
	}
	if opts.KillGrace == 0 {
		opts.KillGrace = KillGraceDefault
	}
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	s := &Server{opts: opts, engine: opts.Engine, logger: opts.Logger.Named("rpc"), base: opts.Now()}
	if opts.StartTime.IsZero() {
		s.opts.StartTime = s.base
	}
	s.watchdog.senders = map[*sender]struct{}{}
	s.room = newRoom(s)
	s.soft = newSoftEvents(s.engine)
	s.streamsEnd, s.endStreams = context.WithCancelCause(context.Background())
	s.watchesEnd, s.endWatches = context.WithCancelCause(context.Background())
	s.flush, s.calls, s.watches = make(chan struct{}), newInFlight(), newInFlight()
	s.ticks, s.stopTick = context.WithCancel(context.Background())
	heartbeat := opts.SessionTTL / 3
	s.registry = newRegistry(opts.Engine, s.logger, s.monotonic, session.Options{
		TTL: int64(opts.SessionTTL), Heartbeat: int64(heartbeat), KillGrace: int64(opts.KillGrace),
	}, min(marginMax, opts.SessionTTL/10))
	s.registry.leads = s.leads
	s.registry.events = s.soft
	opts.Engine.SetObserver(s.registry)
	s.register()
	return s, nil
}

// register makes the gRPC server and its services.
func (s *Server) register() {
	options := []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: KeepaliveTime, Timeout: KeepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: KeepaliveMinTime, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(messageBytesMax),
		grpc.ForceServerCodecV2(wire.New()),
		grpc.MaxConcurrentStreams(ConnStreamsMax),
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.WaitForHandlers(true),
		grpc.ChainUnaryInterceptor(s.countUnary, s.recoverUnary),
		grpc.ChainStreamInterceptor(s.countStream, s.recoverStream, s.endable),
	}
	s.grpc = grpc.NewServer(append(options, s.opts.GRPC...)...)
	yardmasterv1.RegisterTaskServiceServer(s.grpc, &taskService{s: s})
	yardmasterv1.RegisterWorkerServiceServer(s.grpc, &workerService{s: s})
	yardmasterv1.RegisterQueueServiceServer(s.grpc, &queueService{s: s})
	yardmasterv1.RegisterOperatorServiceServer(s.grpc, &operatorService{s: s})
	s.health = health.NewServer()
	healthv1.RegisterHealthServer(s.grpc, s.health)
	if s.opts.Reflection {
		reflection.Register(s.grpc)
	}
	s.showHealth()
}

// monotonic is the machine's monotonic clock in nanoseconds. It is never 0.
func (s *Server) monotonic() int64 { return int64(s.opts.Now().Sub(s.base) + time.Second) }

// Serve serves a listener until the server stops. It may be called for several.
func (s *Server) Serve(lis net.Listener) error {
	s.ticking.Do(func() { s.loops.Go(s.tickLoop) })
	if err := s.grpc.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC on %s: %w", lis.Addr(), err)
	}
	return nil
}

// tickLoop is the one timer of all sessions and streams.
func (s *Server) tickLoop() {
	ticker := time.NewTicker(TickPeriod)
	defer ticker.Stop()
	last := s.monotonic()
	for {
		select {
		case <-s.ticks.Done():
			return
		case <-ticker.C:
		}
		now := s.monotonic()
		gap := now - last - int64(TickPeriod)
		if gap < int64(stallMin) {
			gap = 0
		} else {
			s.logger.Warn("this process stood still; sessions get that time back", "gap", time.Duration(gap))
		}
		last = now
		s.watchdog.tick(now, gap)
		s.registry.tick(now, gap)
	}
}

// leads is told by the registry when leadership comes and goes.
func (s *Server) leads(yes bool) {
	s.mu.Lock()
	s.leading = yes
	if s.endTerm != nil {
		s.endTerm(engine.ErrNotLeader)
		s.term, s.endTerm = nil, nil
	}
	if yes {
		s.term, s.endTerm = context.WithCancelCause(context.Background())
	}
	s.mu.Unlock()
	s.showHealth()
}

// inTerm returns a context that ends with ctx or with this leader's term. Errors: ErrNotLeader.
func (s *Server) inTerm(ctx context.Context) (context.Context, context.CancelCauseFunc, error) {
	s.mu.Lock()
	term := s.term
	s.mu.Unlock()
	if term == nil {
		return nil, nil, engine.ErrNotLeader
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(term, func() { cancel(context.Cause(term)) })
	return ctx, func(err error) {
		stop()
		cancel(err)
	}, nil
}

// showHealth tells the health service what is so.
func (s *Server) showHealth() {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := healthv1.HealthCheckResponse_NOT_SERVING
	if s.leading && !s.withdrawn {
		is = healthv1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", is)
	for name := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(name, is)
	}
}
