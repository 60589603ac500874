package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/yardmaster/yardmaster/internal/shutdown"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// Worker runs tasks. See the package's documentation.
type Worker struct {
	cfg         Config // filled
	log         hclog.Logger
	incarnation []byte
	dial        dialer

	drainOnce, forceOnce sync.Once
	drainC, forceC       chan struct{} // closed by Drain, Force

	mu       sync.Mutex
	handlers map[string]*handler // guarded by mu until ran; then unchanged
	ran      bool                // guarded by mu

	stats atomic.Pointer[Stats]
}

// Stats is what a worker holds and has done. Its counts only grow.
type Stats struct {
	Connected  bool   // there is a stream, and the coordinator has answered on it
	SessionID  uint64 // 0: none yet
	Slots      int    // of all pools
	Used       int    // the weights of those that run
	Held       int    // received, waiting for a slot
	Running    int
	Unanswered int // in the outbox: ended, their outcomes not answered
	// Since Run began.
	Started, Finished uint64 // handlers
	Sent              uint64 // outcomes, those included that were sent again on a later stream
	Fenced            uint64 // outcomes that were not accepted
	GivenUp           uint64 // leases not started that were given back because the coordinator asked for them
	Streams           uint64 // streams that were welcomed
	Reconnects        uint64 // those after the first
}

// New returns a worker without handlers. The error says all that is wrong with cfg.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, log: cfg.Logger.Named("worker"), incarnation: make([]byte, 16), dial: dialGRPC(cfg.DialOptions),
		drainC: make(chan struct{}), forceC: make(chan struct{}), handlers: map[string]*handler{},
	}
	rand.Read(w.incarnation)
	w.stats.Store(&Stats{})
	return w, nil
}

// Name is the worker's name.
func (w *Worker) Name() string { return w.cfg.Name }

// Stats returns the present figures. It is cheap, and may be called at any time by anyone.
func (w *Worker) Stats() Stats { return *w.stats.Load() }

// Drain begins the worker's stop, as the end of Run's context does: tasks not started are handed back, those that run have
// Config.DrainTimeout to end. It returns at once; Run returns when the stop is over.
func (w *Worker) Drain() { w.drainOnce.Do(func() { close(w.drainC) }) }

// Force begins the worker's stop, or leaves one that has begun no more time: handlers are killed, their tasks handed back.
// It returns at once.
func (w *Worker) Force() { w.forceOnce.Do(func() { close(w.forceC) }) }

// Run connects to a coordinator, runs tasks, and reconnects whenever it must. It blocks until the worker has stopped, which
// the end of ctx begins: in order, it
//
//  1. takes no more work and hands back what it hasn't started;
//  2. lets handlers go on for Config.DrainTimeout;
//  3. ends the contexts of those that are left, kills them after Config.KillGrace, and hands their tasks back;
//  4. waits until the coordinator has answered for all of them, says goodbye, and closes.
//
// Handlers' contexts have the values of ctx, but don't end with it. If ctx is that of a task of internal/shutdown, the
// abort of its phase is Force.
//
// The error is nil if every lease was answered for and no handler is left. Else it is ErrStragglers, ErrUnanswered or
// ErrRefused. Run may be called once.
func (w *Worker) Run(ctx context.Context) error {
	w.mu.Lock()
	ran, handlers := w.ran, len(w.handlers)
	w.ran = true
	w.mu.Unlock()
	switch {
	case ran:
		return errors.New("worker: Run was called before")
	case handlers == 0:
		return errors.New("worker: no handlers")
	}
	core, err := workercore.New(w.cfg.core())
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	l := newLoop(context.WithoutCancel(ctx), w, core)
	linkCtx, hangUp := context.WithCancel(l.base)
	var linked sync.WaitGroup
	linked.Go(func() { newLink(w, l).run(linkCtx) })

	var force <-chan struct{}
	if work := shutdown.WorkContext(ctx); work != ctx {
		force = work.Done()
	}
	end := l.run(ctx.Done(), force)

	hangUp()
	linked.Wait()
	l.dismiss(end.Left == 0)
	return l.result(end)
}

// kinds returns the kinds that have a handler, in order.
func (w *Worker) kinds() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	kinds := make([]string, 0, len(w.handlers))
	for kind := range w.handlers {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// elapsed is the time on a core whose clock began at epoch.
func elapsed(epoch time.Time) workercore.Time { return workercore.Time(time.Since(epoch)) }
