package shutdown

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Phase is one step of a Sequence: tasks and stop functions that stop together.
// Its methods may be called from any goroutine.
type Phase struct {
	seq     *Sequence
	name    string
	timeout time.Duration

	// serve is what tasks get; it ends when the phase begins to stop. It is a
	// child of work, which ends only at the abort. Both are shared by all tasks
	// of the phase, so that a task costs no context. Neither is cancelled when
	// the phase stops cleanly: context.AfterFunc on work is an abort hook.
	serve     context.Context
	endServe  context.CancelCauseFunc
	work      context.Context
	endWork   context.CancelCauseFunc
	drained   chan struct{} // closed when stopping and nothing is running
	isDrained bool          // guarded by seq.mu

	// Guarded by seq.mu. Invariant: once stopping is true, running only shrinks.
	stopping bool
	running  map[*task]struct{}
	stops    []stopFunc // not yet called

	// Owned by the Sequence's drive.
	report PhaseResult
}

type stopFunc struct {
	name string
	fn   func(context.Context) error
}

// task is one tracked goroutine: one of Go, of GoFinite, or a stop function
// being called.
type task struct {
	phase  *Phase
	name   string
	number uint64 // order of registration within the Sequence
	began  time.Time

	// serves says that a return while serving is a failure even without error.
	serves bool

	// straggler is set, under the Sequence's mu, before the task is aborted.
	straggler *Straggler
}

type workKey struct{}

// WorkContext returns the work context of the task that was given ctx: it ends
// only when the task is aborted, with cause ErrAborted, and not yet when the
// task is asked to stop. It knows nothing of deadlines and values that were
// added to ctx since. For any other context, the one of a stop function
// included, it returns ctx.
func WorkContext(ctx context.Context) context.Context {
	if work, ok := ctx.Value(workKey{}).(context.Context); ok {
		return work
	}
	return ctx
}

func newPhase(s *Sequence, name string, timeout time.Duration) *Phase {
	p := &Phase{
		seq:     s,
		name:    name,
		timeout: timeout,
		drained: make(chan struct{}),
		running: make(map[*task]struct{}),
		report:  PhaseResult{Name: name},
	}
	p.work, p.endWork = context.WithCancelCause(context.Background())
	p.serve, p.endServe = context.WithCancelCause(context.WithValue(p.work, workKey{}, p.work))
	return p
}

// Go runs fn in a goroutine that is meant to live until its context ends. An
// error of it, or its mere return, while the process serves begins the stop.
// Returns ErrStopping, and doesn't call fn, once the stop has begun.
func (p *Phase) Go(name string, fn func(context.Context) error) error {
	return p.spawn(name, true, fn)
}

// GoFinite runs fn in a goroutine that may end by itself: returning nil is no
// event, an error while the process serves begins the stop. Returns ErrStopping,
// and doesn't call fn, once the stop has begun.
func (p *Phase) GoFinite(name string, fn func(context.Context) error) error {
	return p.spawn(name, false, fn)
}

// OnStop registers fn to be called when the phase begins to stop, at the same
// time as the phase's other stop functions. Its context ends at the abort; it
// must then let go at once. Returns ErrStopping once the stop has begun: fn will
// not be called, and the caller releases what fn would have.
func (p *Phase) OnStop(name string, fn func(context.Context) error) error {
	s := p.seq
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return fmt.Errorf("register stop function %s of phase %s: %w", name, p.name, ErrStopping)
	}
	p.stops = append(p.stops, stopFunc{name, fn})
	return nil
}

func (p *Phase) spawn(name string, serves bool, fn func(context.Context) error) error {
	s := p.seq
	t := &task{phase: p, name: name, began: s.now(), serves: serves}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return fmt.Errorf("start task %s of phase %s: %w", name, p.name, ErrStopping)
	}
	p.trackLocked(t)
	go p.run(p.serve, t, fn)
	return nil
}

func (p *Phase) trackLocked(t *task) {
	p.seq.tasks++
	t.number = p.seq.tasks
	p.running[t] = struct{}{}
}

func (p *Phase) run(ctx context.Context, t *task, fn func(context.Context) error) {
	err := ErrExited
	defer func() { p.finish(t, err) }()
	err = fn(ctx)
}

// finish takes note that t has ended with err.
func (p *Phase) finish(t *task, err error) {
	s := p.seq
	s.mu.Lock()
	delete(p.running, t)
	if p.stopping && onlyCancelled(err) {
		err = nil
	}
	told := true
	switch {
	case t.straggler != nil:
		if !s.sealed {
			t.straggler.Returned, t.straggler.Err = true, err
		} else {
			told = err == nil
		}
	case !s.begun && (err != nil || t.serves):
		cause := &TaskError{Phase: p.name, Task: t.name, Err: cmp.Or(err, ErrReturned)}
		s.beginLocked(cause.Error(), cause)
	case err != nil:
		told = s.collectLocked(&TaskError{Phase: p.name, Task: t.name, Err: err})
	}
	p.settleLocked()
	s.mu.Unlock()
	if !told {
		s.log.Warn("task failed after the stop", "phase", p.name, "task", t.name, "error", err)
	}
}

// settleLocked closes drained when nothing is left to wait for.
func (p *Phase) settleLocked() {
	if p.stopping && len(p.running) == 0 && !p.isDrained {
		p.isDrained = true
		close(p.drained)
	}
}

// runningLocked returns the running tasks in order of registration.
func (p *Phase) runningLocked() []*task {
	return slices.SortedFunc(maps.Keys(p.running), func(a, b *task) int {
		return cmp.Compare(a.number, b.number)
	})
}

// onlyCancelled reports whether err says nothing but that a context was
// cancelled. It doesn't look with errors.Is, which would take a real error joined
// with a cancellation for one.
func onlyCancelled(err error) bool {
	if err == nil {
		return false
	}
	for _, cancelled := range []error{context.Canceled, ErrStopping, ErrAborted} {
		if err == cancelled { //nolint:errorlint // see above
			return true
		}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return !onlyCancelled(e) })
	}
	return onlyCancelled(errors.Unwrap(err))
}
