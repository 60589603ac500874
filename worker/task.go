package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Task is one attempt of a task, as its handler sees it. It is valid until the handler returns.
type Task struct {
	ID          uint64
	Token       uint64 // the fence: pass it to outside stores, which can refuse what comes with a lower one
	Kind, Queue string
	Payload     []byte // the handler's own; it may change it
	Attempt     int    // from 1
	MaxAttempts int
	Generation  int // from 1; one more for each retry of a dead letter
	Weight      int
	Pool        string
	Labels      map[string]string
	Deadline    time.Time // when the attempt's time is over: attempt timeout or task deadline, the earlier; zero: none

	worker *Worker
	board  *board

	over atomic.Bool            // its handler has returned
	said atomic.Pointer[saying] // nil: nothing was said of its progress

	context taskContext     // its handler's
	base    context.Context // what that is made of, once the handler begins
	stopped atomic.Bool     // cause isn't nil

	mu      sync.Mutex
	inner   context.Context         // nil: nobody has asked context for what needs one
	cancel  context.CancelCauseFunc // of inner
	cause   error                   // not nil: it was asked to stop before it returned
	killed  bool
	killedC chan struct{} // nil: nobody has asked for it
	logger  hclog.Logger  // nil: likewise
}

// Logger returns a logger that names the task.
func (t *Task) Logger() hclog.Logger {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.logger == nil {
		t.logger = t.worker.log.Named("task").With("task", t.ID, "kind", t.Kind, "attempt", t.Attempt, "token", t.Token)
	}
	return t.logger
}

// Killed returns a channel that is closed when the time to stop in good order is over: Config.KillGrace after the end of
// the handler's context, or together with it if the lease was lost. A handler that holds something that can be ended by
// force, such as a process, ends it then.
func (t *Task) Killed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.killedC == nil {
		t.killedC = make(chan struct{})
		if t.killed {
			close(t.killedC)
		}
	}
	return t.killedC
}

// stop ends the handler's context, and if kill is set closes Killed after it: who has seen Killed finds the context ended.
func (t *Task) stop(cause error, kill bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause == nil && !t.over.Load() {
		t.cause = cause
		t.stopped.Store(true)
		if t.cancel != nil {
			t.cancel(cause)
		}
	}
	if kill && !t.killed {
		t.killed = true
		if t.killedC != nil {
			close(t.killedC)
		}
	}
}

// begin returns the handler's context. end must be called once the handler has returned.
func (t *Task) begin(base context.Context) context.Context {
	t.base, t.context.task = base, t
	return &t.context
}

// end ends the handler's context, if nothing else has, and what is told of its progress.
func (t *Task) end() {
	t.mu.Lock()
	t.over.Store(true)
	if t.cancel != nil {
		t.cancel(nil)
	}
	t.mu.Unlock()
	t.fallSilent()
}

// taskContext is a handler's context: a cancellable one that knows its task. It has a deadline but no timer; the worker's
// core enforces the deadlines of all tasks with one. The cancellable context inside is made when somebody first asks for
// what only that can give: many handlers never do.
type taskContext struct{ task *Task }

type taskKey struct{}

func (c *taskContext) Deadline() (time.Time, bool) {
	return c.task.Deadline, !c.task.Deadline.IsZero()
}

func (c *taskContext) Done() <-chan struct{} { return c.cancellable().Done() }

func (c *taskContext) Err() error {
	t := c.task
	if !t.stopped.Load() && !t.over.Load() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if cause, ok := errors.AsType[stopCause](t.cause); ok && cause.timed() {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

func (c *taskContext) Value(key any) any {
	if key == (taskKey{}) {
		return c.task
	}
	return c.cancellable().Value(key) // among the keys is one by which package context finds the one inside
}

// cancellable returns the context inside.
func (c *taskContext) cancellable() context.Context {
	t := c.task
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inner == nil {
		t.inner, t.cancel = context.WithCancelCause(t.base)
		if t.cause != nil || t.over.Load() {
			t.cancel(t.cause)
		}
	}
	return t.inner
}

// TaskFrom returns the task whose handler was given ctx, or nil.
func TaskFrom(ctx context.Context) *Task {
	t, _ := ctx.Value(taskKey{}).(*Task)
	return t
}

// Token returns the fencing token of the task whose handler was given ctx, or 0.
func Token(ctx context.Context) uint64 {
	if t := TaskFrom(ctx); t != nil {
		return t.Token
	}
	return 0
}

// Logger returns the logger of the task whose handler was given ctx, or one that drops everything.
func Logger(ctx context.Context) hclog.Logger {
	if t := TaskFrom(ctx); t != nil {
		return t.Logger()
	}
	return hclog.NewNullLogger()
}
