package shutdown

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// drive stops the phases in order. It is the one goroutine that moves a begun
// Sequence on, and it ends when the Sequence has stopped.
func (s *Sequence) drive() {
	began := s.now()
	s.log.Info("stop began", "reason", s.reason, "failure", s.cause != nil,
		"phases", len(s.phases), "hard_timeout", s.hardTimeout)

	// Tasks never see this context: a straggler is recorded first, then aborted.
	overall, cancel := context.WithTimeoutCause(s.force, s.hardTimeout,
		fmt.Errorf("%w: the stop passed its hard deadline of %s", ErrAborted, s.hardTimeout))
	defer cancel()

	var cut error
	for i, p := range s.phases {
		if overall.Err() != nil || !s.stopPhase(overall, p) {
			cut = context.Cause(overall)
			s.cut(s.phases[i:], cut)
			break
		}
	}
	s.seal(s.now().Sub(began), cut)
	close(s.done)
}

// stopPhase stops one phase. It returns false, with the phase still running, when
// time for the whole stop has run out.
func (s *Sequence) stopPhase(overall context.Context, p *Phase) bool {
	began := s.now()
	p.report.Reached = true
	defer func() { p.report.Duration = s.now().Sub(began) }()

	ctx, cancel := context.WithTimeoutCause(overall, p.timeout,
		fmt.Errorf("%w: phase %s passed its deadline of %s", ErrAborted, p.name, p.timeout))
	defer cancel()
	deadline, _ := ctx.Deadline()
	running, stops := s.beginPhase(p, began, deadline)
	s.log.Debug("phase stopping", "phase", p.name, "tasks", running, "stop_functions", stops,
		"timeout", p.timeout)

	if p.awaitDrained(ctx) {
		s.log.Debug("phase stopped", "phase", p.name, "duration", s.now().Sub(began))
		return true
	}
	if overall.Err() != nil {
		return false
	}
	s.abort([]*Phase{p}, context.Cause(ctx))
	grace, cancelGrace := context.WithTimeout(overall, s.abortGrace)
	defer cancelGrace()
	if !p.awaitDrained(grace) {
		if overall.Err() != nil {
			return false
		}
		s.logUnstoppable([]*Phase{p})
	}
	s.log.Warn("phase stopped with stragglers", "phase", p.name, "duration", s.now().Sub(began))
	return true
}

// beginPhase asks the tasks of p to stop and calls its stop functions.
func (s *Sequence) beginPhase(p *Phase, now, deadline time.Time) (running, stops int) {
	ctx := deadlineContext{p.work, deadline}
	// Runs once stopping is set and mu free: a task that returns its cancellation
	// must find the phase stopping.
	defer p.endServe(fmt.Errorf("%w: %s", ErrStopping, s.reason))

	s.mu.Lock()
	defer s.mu.Unlock()
	p.stopping = true
	running, stops = len(p.running), len(p.stops)
	for _, stop := range p.stops {
		t := &task{phase: p, name: stop.name, began: now}
		p.trackLocked(t)
		go p.run(ctx, t, stop.fn)
	}
	p.stops = nil
	p.settleLocked()
	return running, stops
}

// cut gives the phases that are left no more time.
func (s *Sequence) cut(phases []*Phase, cause error) {
	s.log.Warn("stop cut short", "cause", cause)
	s.abort(phases, cause)
	grace, cancel := context.WithTimeout(context.Background(), s.abortGrace)
	defer cancel()
	for _, p := range phases {
		p.awaitDrained(grace)
	}
	s.logUnstoppable(phases)
}

// abort records what still runs in phases as stragglers, skips stop functions
// not yet called, and only then ends the contexts.
func (s *Sequence) abort(phases []*Phase, cause error) {
	now := s.now()
	var late []Straggler
	var skipped []string
	s.mu.Lock()
	for _, p := range phases {
		p.stopping = true
		for _, t := range p.runningLocked() {
			if t.straggler == nil {
				t.straggler = &Straggler{Phase: p.name, Task: t.name, Age: now.Sub(t.began)}
				s.stragglers = append(s.stragglers, t.straggler)
				late = append(late, *t.straggler)
			}
		}
		for _, stop := range p.stops {
			skipped = append(skipped, p.name+"/"+stop.name)
		}
		p.stops = nil
		p.settleLocked()
	}
	s.skipped = append(s.skipped, skipped...)
	s.mu.Unlock()

	s.logStragglers("aborting straggler", late)
	for _, name := range skipped {
		s.log.Warn("stop function skipped", "stop_function", name)
	}
	for _, p := range phases {
		p.endServe(cause)
		p.endWork(cause)
	}
}

// logUnstoppable names the tasks that ignore the abort.
func (s *Sequence) logUnstoppable(phases []*Phase) {
	now := s.now()
	var left []Straggler
	s.mu.Lock()
	for _, p := range phases {
		for _, t := range p.runningLocked() {
			left = append(left, Straggler{Phase: p.name, Task: t.name, Age: now.Sub(t.began)})
		}
	}
	s.mu.Unlock()
	s.logStragglers("straggler ignores the abort", left)
}

func (s *Sequence) logStragglers(message string, stragglers []Straggler) {
	shown := stragglers[:min(len(stragglers), StragglersLoggedMax)]
	for _, g := range shown {
		s.log.Warn(message, "phase", g.Phase, "task", g.Task, "age", g.Age)
	}
	if more := len(stragglers) - len(shown); more > 0 {
		s.log.Warn("more stragglers", "count", more)
	}
}

// seal makes the Result final.
func (s *Sequence) seal(duration time.Duration, cut error) {
	r := Result{Reason: s.reason, Cause: s.cause, Cut: cut, Duration: duration}
	for _, p := range s.phases {
		r.Phases = append(r.Phases, p.report)
	}
	s.mu.Lock()
	s.sealed = true
	r.Errors, r.ErrorsDropped = slices.Clone(s.errs), s.errorsDropped
	r.Skipped = slices.Clone(s.skipped)
	for _, g := range s.stragglers {
		r.Stragglers = append(r.Stragglers, *g)
	}
	s.mu.Unlock()
	s.result = r
	s.log.Info("stopped", "reason", r.Reason, "duration", duration, "errors", len(r.Errors)+r.ErrorsDropped,
		"stragglers", len(r.Stragglers), "skipped", len(r.Skipped), "exit_code", r.ExitCode())
}

// awaitDrained reports whether the phase has nothing left running before ctx
// ends; if both hold, it has.
func (p *Phase) awaitDrained(ctx context.Context) bool {
	select {
	case <-p.drained:
		return true
	case <-ctx.Done():
	}
	select {
	case <-p.drained:
		return true
	default:
		return false
	}
}

// deadlineContext shows the phase's deadline on the work context, which ends a
// moment later, once the stragglers are recorded. A context with that deadline
// itself would end by its own timer, and a stop function that then returns in
// haste would be taken for a failure rather than a straggler.
type deadlineContext struct {
	context.Context
	deadline time.Time
}

func (c deadlineContext) Deadline() (time.Time, bool) { return c.deadline, true }
