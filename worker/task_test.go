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

// Whatever is asked of a handler's context first, it behaves as a cancellable one that was there from the beginning.
func TestContextIsMadeWhenAskedFor(t *testing.T) {
	type key struct{}
	base := context.WithValue(context.Background(), key{}, "value")
	firsts := map[string]func(context.Context){
		"nothing": func(context.Context) {},
		"done":    func(ctx context.Context) { ctx.Done() },
		"value":   func(ctx context.Context) { ctx.Value(key{}) },
		"cause":   func(ctx context.Context) { _ = context.Cause(ctx) },
	}
	ends := map[string]struct {
		end        func(*Task)
		err, cause error
	}{
		"stopped":             {func(task *Task) { task.stop(ErrCancelled, false) }, context.Canceled, ErrCancelled},
		"timed out":           {func(task *Task) { task.stop(ErrTimeout, true) }, context.DeadlineExceeded, ErrTimeout},
		"stopped and ended":   {func(task *Task) { task.stop(ErrDeadline, false); task.end() }, context.DeadlineExceeded, ErrDeadline},
		"ended":               {(*Task).end, context.Canceled, context.Canceled},
		"ended, then stopped": {func(task *Task) { task.end(); task.stop(ErrTimeout, true) }, context.Canceled, context.Canceled},
	}
	for first, ask := range firsts {
		for how, want := range ends {
			task := &Task{}
			ctx := task.begin(base)
			if ctx.Err() != nil {
				t.Errorf("%s: ended before its time: %v", how, ctx.Err())
			}
			ask(ctx)
			if first == "done" {
				if done := ctx.Done(); context.Cause(ctx) != nil || done != ctx.Done() {
					t.Errorf("%s: ended before its time by %v, or its channels differ", how, context.Cause(ctx))
				}
			}
			var child context.Context
			if first != "nothing" {
				var cancel context.CancelFunc
				child, cancel = context.WithCancel(ctx)
				t.Cleanup(cancel)
			}
			want.end(task)
			for what, ctx := range map[string]context.Context{"context": ctx, "child": child} {
				if ctx == nil {
					continue
				}
				<-ctx.Done()
				if err := ctx.Err(); what == "context" && !errors.Is(err, want.err) {
					t.Errorf("%s first, %s: error %v, want %v", first, how, err, want.err)
				}
				if cause := context.Cause(ctx); !errors.Is(cause, want.cause) {
					t.Errorf("%s first, %s: the %s's cause is %v, want %v", first, how, what, cause, want.cause)
				}
				if ctx.Value(key{}) != "value" || TaskFrom(ctx) != task {
					t.Errorf("%s first, %s: the %s has lost its values", first, how, what)
				}
			}
		}
	}
}

// A handler that asks nothing of its context pays nothing for it.
func TestContextCostsNothingUnasked(t *testing.T) {
	task := &Task{}
	if n := testing.AllocsPerRun(100, func() {
		ctx := task.begin(context.Background())
		if TaskFrom(ctx) != task || Token(ctx) != 0 {
			t.Error("the task isn't found")
		}
		task.end()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
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
