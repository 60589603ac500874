package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/internal/workercore"
)

// A task may be stopped before its handler has begun, and asked for Killed only after that.
func TestStopBeforeBegin(t *testing.T) {
	task := &Task{Deadline: time.Unix(1000, 0)}
	task.stop(ErrLeaseLost, true)
	task.stop(ErrCancelled, false) // too late: the first cause stands
	ctx := task.begin(context.Background())
	defer task.end()
	select {
	case <-ctx.Done():
	default:
		t.Fatal("the context goes on")
	}
	if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), ErrLeaseLost) {
		t.Errorf("ended with %v, cause %v", ctx.Err(), context.Cause(ctx))
	}
	select {
	case <-task.Killed():
	default:
		t.Error("Killed isn't closed")
	}
	if d, ok := ctx.Deadline(); !ok || !d.Equal(time.Unix(1000, 0)) {
		t.Errorf("deadline %v, %t", d, ok)
	}
}

func TestStopThenKill(t *testing.T) {
	task := &Task{}
	ctx := task.begin(context.Background())
	defer task.end()
	killed := task.Killed()
	task.stop(ErrTimeout, false)
	select {
	case <-killed:
		t.Fatal("killed without grace")
	default:
	}
	if ctx.Err() != context.DeadlineExceeded || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		t.Errorf("ended with %v, cause %v", ctx.Err(), context.Cause(ctx))
	}
	task.stop(ErrTimeout, true)
	<-killed
	task.stop(ErrTimeout, true)
}

// A handler that waits for Killed and returns ctx.Err() must not succeed by that.
func TestKilledComesAfterTheContext(t *testing.T) {
	task := &Task{}
	killed := task.Killed()
	told := 0
	task.cancel = func(error) {
		told++
		select {
		case <-killed:
			t.Error("Killed was closed before the context ended")
		default:
		}
	}
	task.stop(ErrLeaseLost, true)
	if <-killed; told != 1 {
		t.Errorf("the context was ended %d times", told)
	}
}

func TestCauses(t *testing.T) {
	for cause, timed := range map[error]bool{
		ErrTimeout: true, ErrDeadline: true, ErrCancelled: false, ErrRevoked: false, ErrLeaseLost: false, ErrDraining: false,
	} {
		if !errors.Is(cause, ErrStopped) {
			t.Errorf("%v isn't ErrStopped", cause)
		}
		if errors.Is(cause, context.DeadlineExceeded) != timed {
			t.Errorf("%v is about time, or isn't", cause)
		}
	}
}

// However an attempt is reported, the time that its handler ran goes with it.
func TestRunTimeGoesWithEveryOutcome(t *testing.T) {
	for _, kind := range []workercore.OutcomeKind{workercore.TimedOut, workercore.Cancelled, workercore.Interrupted} {
		if o := outcome(&workercore.Outcome{Token: 1, Kind: kind, Ran: 5}); o.RunTime.AsDuration() != 5 {
			t.Errorf("%v", o)
		}
		if o := outcome(&workercore.Outcome{Token: 1, Kind: kind}); o.RunTime != nil {
			t.Errorf("%v: no handler ran", o)
		}
	}
}
