package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yardmaster/yardmaster/internal/workercore"
)

// Why a handler's context ended: context.Cause(ctx) is one of these, and each of them is ErrStopped.
var (
	// ErrStopped is what all of them are: the handler shall stop.
	ErrStopped = errors.New("stopped")
	// ErrTimeout: the attempt timeout passed. The attempt has failed.
	ErrTimeout error = causeTimeout
	// ErrDeadline: the task's deadline passed.
	ErrDeadline error = causeDeadline
	// ErrCancelled: a caller cancelled the task.
	ErrCancelled error = stopCause("task cancelled")
	// ErrRevoked: the coordinator took the lease back; nothing that the handler reports counts.
	ErrRevoked error = stopCause("lease revoked")
	// ErrLeaseLost: without contact with the coordinator the lease can't be trusted any more; another worker may run the
	// task soon. There is no grace: Task.Killed is closed too.
	ErrLeaseLost error = stopCause("lease lost: no contact with the coordinator")
	// ErrDraining: the worker stops, and its drain timeout has passed. The task goes back without spending an attempt.
	ErrDraining error = stopCause("worker stops")
)

// Why Run returned.
var (
	// ErrStragglers is returned when handlers still run that were told to stop and killed.
	ErrStragglers = errors.New("handlers still run")
	// ErrUnanswered is returned when the coordinator didn't confirm how all leases ended: at the latest when the session's TTL
	// is over they end, and those tasks run again whose outcomes it hasn't had. The text says how long was waited, and for what.
	ErrUnanswered = errors.New("outcomes were not answered")
	// ErrRefused is returned when the coordinator refuses this worker in a way that trying again doesn't change.
	ErrRefused = errors.New("refused by the coordinator")
)

// stopCause is one way of ErrStopped.
type stopCause string

const (
	causeTimeout  stopCause = "attempt timeout passed"
	causeDeadline stopCause = "task deadline passed"
)

func (c stopCause) Error() string { return string(c) }

// Is makes every cause ErrStopped, and those that are about time context.DeadlineExceeded.
func (c stopCause) Is(target error) bool {
	return target == ErrStopped || target == context.DeadlineExceeded && c.timed()
}

func (c stopCause) timed() bool { return c == causeTimeout || c == causeDeadline }

func causeError(c workercore.Cause) error {
	switch c {
	case workercore.CauseTimeout:
		return ErrTimeout
	case workercore.CauseDeadline:
		return ErrDeadline
	case workercore.CauseCancelled:
		return ErrCancelled
	case workercore.CauseRevoked:
		return ErrRevoked
	case workercore.CauseLost:
		return ErrLeaseLost
	case workercore.CauseDraining:
		return ErrDraining
	}
	return ErrStopped
}

// unanswered says of outcomes without an answer what was waited for, how long, and the cure.
func unanswered(end workercore.End) string {
	span := func(d workercore.Duration) time.Duration { return time.Duration(d).Round(time.Millisecond) }
	what := "there was no stream to a coordinator: see whether it runs and can be reached"
	if end.Live {
		what = "the stream was up: see the coordinator's log, and whether its disk is slow or full"
	}
	return fmt.Sprintf("%d, waited %v for them; %s; what it last answered was sent %v ago; those that it hasn't had run again after "+
		"the session's TTL, %v; a longer DrainTimeout waits longer", end.Unanswered, span(end.Waited), what, span(end.Silent), span(end.TTL))
}
