package shutdown

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// HardTimeoutDefault bounds a whole stop, unless Options says otherwise.
	HardTimeoutDefault = 60 * time.Second

	// AbortGraceDefault is how long aborted stragglers are waited for, unless
	// Options says otherwise.
	AbortGraceDefault = time.Second

	// ErrorsMax is how many errors of one stop are kept; the rest is counted.
	ErrorsMax = 100

	// StragglersLoggedMax is how many stragglers are logged by name each time
	// some are aborted; the Result names all of them.
	StragglersLoggedMax = 100
)

var (
	// ErrStopping is returned when work is registered after the stop has begun,
	// and is the cause with which the contexts of tasks end when their phase
	// begins to stop.
	ErrStopping = errors.New("shutting down")

	// ErrAborted is the cause with which work contexts, and the contexts of stop
	// functions, end when a deadline passes or the stop is forced.
	ErrAborted = errors.New("shutdown aborted the task")

	// ErrReturned is the failure of a task of Phase.Go that returned nil
	// although the process was serving.
	ErrReturned = errors.New("returned while serving")

	// ErrExited is the failure of a task that ended without returning, by
	// runtime.Goexit.
	ErrExited = errors.New("ended without returning")
)

// Options of a Sequence. The zero value is good.
type Options struct {
	// Logger gets the progress of the stop and the stragglers' names, under the
	// name "shutdown". Default: no log.
	Logger hclog.Logger

	// HardTimeout bounds the phases taken together. Default (zero or less):
	// HardTimeoutDefault.
	HardTimeout time.Duration

	// AbortGrace is how long aborted stragglers are waited for before the
	// sequence moves on. Default (zero): AbortGraceDefault. Less than zero: they
	// aren't waited for.
	AbortGrace time.Duration
}

// Sequence is the ordered stop of one process. See the package's documentation.
// Its methods may be called from any goroutine.
type Sequence struct {
	// Set by New.
	now         func() time.Time
	log         hclog.Logger
	hardTimeout time.Duration
	abortGrace  time.Duration

	stopping chan struct{}   // closed when the stop begins
	done     chan struct{}   // closed when result is final
	force    context.Context // ends when the stop is forced
	cutShort context.CancelCauseFunc

	mu sync.Mutex

	// Guarded by mu. Invariant: phases, reason and cause don't change once begun
	// is true; drive then reads them without mu.
	phases []*Phase
	begun  bool
	reason string
	cause  error

	// Guarded by mu. Invariant: unchanged once sealed is true.
	sealed        bool
	tasks         uint64 // tasks registered so far; orders them
	errs          []error
	errorsDropped int
	stragglers    []*Straggler
	skipped       []string

	// Written by drive before it closes done; read only after.
	result Result
}

// New returns a serving Sequence without phases. now tells the time for ages and
// durations; it is called from many goroutines and must not call the Sequence.
func New(now func() time.Time, opts Options) *Sequence {
	if now == nil {
		panic("shutdown: New needs a clock")
	}
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	if opts.HardTimeout <= 0 {
		opts.HardTimeout = HardTimeoutDefault
	}
	if opts.AbortGrace == 0 {
		opts.AbortGrace = AbortGraceDefault
	}
	s := &Sequence{
		now:         now,
		log:         opts.Logger.Named("shutdown"),
		hardTimeout: opts.HardTimeout,
		abortGrace:  opts.AbortGrace,
		stopping:    make(chan struct{}),
		done:        make(chan struct{}),
	}
	s.force, s.cutShort = context.WithCancelCause(context.Background())
	return s
}

// AddPhase adds a phase that stops after those added before, within timeout. A
// timeout of zero or less leaves it no time: what then runs is aborted at once.
// Added after the stop has begun, a phase takes no part in it and refuses all
// work with ErrStopping. It panics if the name is empty or taken.
func (s *Sequence) AddPhase(name string, timeout time.Duration) *Phase {
	p := newPhase(s, name, timeout)
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" {
		panic("shutdown: a phase needs a name")
	}
	for _, other := range s.phases {
		if other.name == name {
			panic(fmt.Sprintf("shutdown: phase %q added twice", name))
		}
	}
	if !s.begun {
		s.phases = append(s.phases, p)
	}
	return p
}

// Begin begins the orderly stop and returns at once. It reports whether this
// call began it; only the first reason counts. A tracked task that wants the
// process to end well calls Begin and returns nil.
func (s *Sequence) Begin(reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beginLocked(reason, nil)
}

// Fail begins the orderly stop because of a failure and returns at once. It
// reports whether this call began it; if not, cause joins the errors collected,
// and is dropped if the stop is over.
func (s *Sequence) Fail(cause error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.beginLocked(cause.Error(), cause) {
		return true
	}
	s.collectLocked(cause)
	return false
}

// Force leaves the remaining phases no more time, and begins the stop first if
// nothing has. Only the first call matters, and none after the stop has ended.
func (s *Sequence) Force(reason string) {
	// In this order: a stop begun here must not reach its first phase.
	s.cutShort(fmt.Errorf("%w: forced: %s", ErrAborted, reason))
	s.Begin(reason)
}

// Run waits until something begins the stop, if only the end of ctx, and then
// until it is over. The end of ctx is a request and not a failure.
func (s *Sequence) Run(ctx context.Context) Result {
	select {
	case <-s.done:
	case <-ctx.Done():
		s.Begin("context ended: " + context.Cause(ctx).Error())
	}
	return s.Wait()
}

// Stop begins the stop, if nothing has, and waits until it is over. If ctx ends
// first the stop is forced, so Stop returns at the latest Options.AbortGrace
// after the end of ctx or the hard deadline. Every call returns the same Result.
// A task or stop function must not call Stop, it would wait for itself: see
// Begin.
func (s *Sequence) Stop(ctx context.Context) Result {
	s.Begin("stop called")
	select {
	case <-s.done:
	case <-ctx.Done():
		s.Force("stop's context ended: " + context.Cause(ctx).Error())
	}
	return s.Wait()
}

// Wait waits until the stop, begun by somebody else, is over. The caller doesn't
// change the Result's slices: every caller gets the same.
func (s *Sequence) Wait() Result {
	<-s.done
	return s.result
}

// Stopping is closed when the stop begins, before its first phase.
func (s *Sequence) Stopping() <-chan struct{} { return s.stopping }

// Done is closed when the stop is over.
func (s *Sequence) Done() <-chan struct{} { return s.done }

// beginLocked leaves the serving state, once.
func (s *Sequence) beginLocked(reason string, cause error) bool {
	if s.begun {
		return false
	}
	s.begun, s.reason, s.cause = true, reason, cause
	close(s.stopping)
	go s.drive()
	return true
}

// collectLocked keeps an error for the Result and reports whether there still is
// one to keep it for.
func (s *Sequence) collectLocked(err error) bool {
	switch {
	case s.sealed:
		return false
	case len(s.errs) < ErrorsMax:
		s.errs = append(s.errs, err)
	default:
		s.errorsDropped++
	}
	return true
}
