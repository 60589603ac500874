package shutdown

import (
	"errors"
	"fmt"
	"time"
)

// Exit codes of a process that was stopped by a Sequence.
const (
	ExitClean      = 0
	ExitFailure    = 1
	ExitStragglers = 6
)

// Result tells how a stop went.
type Result struct {
	// Reason says what began the stop.
	Reason string

	// Cause is the failure that began the stop; nil if it was asked for.
	Cause error

	// Cut says why the remaining phases got no more time, and wraps ErrAborted;
	// nil if every phase got its own.
	Cut error

	// Duration is the time from the beginning of the stop to its end.
	Duration time.Duration

	// Phases in the order in which they stop.
	Phases []PhaseResult

	// Errors of tasks and stop functions during the stop, and of Fail, in the
	// order in which they came; at most ErrorsMax. Cause and what stragglers
	// returned aren't among them. Those of tasks are *TaskError.
	Errors []error

	// ErrorsDropped counts the errors above ErrorsMax.
	ErrorsDropped int

	// Stragglers in the order of phases, within a phase of registration.
	Stragglers []Straggler

	// Skipped names, as phase/function, the stop functions that were never
	// called because the stop was cut before.
	Skipped []string
}

// PhaseResult tells how one phase stopped.
type PhaseResult struct {
	Name     string
	Reached  bool          // false: the stop was cut before
	Duration time.Duration // until it drained, or until it was left or cut
}

// Straggler is a task, or a stop function, that had to be aborted.
type Straggler struct {
	Phase string
	Task  string
	Age   time.Duration // from its start to the abort

	// Returned says that it heeded the abort before the stop was over. A
	// goroutine that doesn't runs on until the process exits.
	Returned bool

	// Err is what it returned after the abort, unless that was only the
	// cancellation of its context.
	Err error
}

// TaskError is the failure of one task or stop function.
type TaskError struct {
	Phase string
	Task  string
	Err   error
}

// Error implements error.
func (e *TaskError) Error() string {
	return fmt.Sprintf("phase %s: task %s: %v", e.Phase, e.Task, e.Err)
}

// Unwrap returns Err.
func (e *TaskError) Unwrap() error { return e.Err }

// Failed reports whether something went wrong other than taking too long: the
// stop was begun by a failure, or met an error that isn't a straggler's.
func (r Result) Failed() bool {
	return r.Cause != nil || len(r.Errors) > 0
}

// ExitCode is the code for the process to exit with. A failure outweighs
// stragglers: whoever tolerates ExitStragglers must not miss it. A stop that was
// cut counts as one with stragglers, even if nothing ran any more.
func (r Result) ExitCode() int {
	switch {
	case r.Failed():
		return ExitFailure
	case r.Cut != nil, len(r.Stragglers) > 0, len(r.Skipped) > 0:
		return ExitStragglers
	}
	return ExitClean
}

// Err joins all that went wrong: Cause, Errors, the count of those dropped, Cut,
// and an error that wraps ErrAborted for each straggler. Nil after a clean stop.
func (r Result) Err() error {
	errs := []error{r.Cause}
	errs = append(errs, r.Errors...)
	if r.ErrorsDropped > 0 {
		errs = append(errs, fmt.Errorf("%d more errors", r.ErrorsDropped))
	}
	errs = append(errs, r.Cut)
	for _, g := range r.Stragglers {
		err := fmt.Errorf("%w after %s", ErrAborted, g.Age)
		switch {
		case !g.Returned:
			err = fmt.Errorf("%w, and it ignores that", err)
		case g.Err != nil:
			err = fmt.Errorf("%w: %w", err, g.Err)
		}
		errs = append(errs, &TaskError{Phase: g.Phase, Task: g.Task, Err: err})
	}
	for _, name := range r.Skipped {
		errs = append(errs, fmt.Errorf("stop function %s was skipped", name))
	}
	return errors.Join(errs...)
}
