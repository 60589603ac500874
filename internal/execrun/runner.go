//go:build linux

package execrun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

const (
	// helperTries is how many helpers one Run starts or loses, before its task
	// was sent to one, until it gives up.
	helperTries = 3
	// helperPause is the pause before the second try; it doubles.
	helperPause = 50 * time.Millisecond
)

// runnerCount keeps the markers of one process's Runners apart.
var runnerCount atomic.Uint64

// Runner runs exec tasks as children of a helper process. Its methods may be
// called from many goroutines.
type Runner struct {
	opt    Options
	log    hclog.Logger
	number uint64
	// patience is answerWait, but in tests.
	patience time.Duration
	stopped  chan struct{} // closed by Close

	gate    chan struct{} // holds one token: who has it owns the fields below
	link    *link         // the last helper; nil before the first Run
	helpers int           // started so far
	closed  bool

	helper struct { // what reapOthers must leave alone
		sync.Mutex
		pid int
	}
	reaping sync.WaitGroup
}

// New returns a Runner. The helper is started by the first Run, which also
// makes this process a child subreaper. The program must call MaybeHelper first
// in main.
func New(opt Options) *Runner {
	r := &Runner{opt: opt, log: opt.Logger, number: runnerCount.Add(1), patience: answerWait, stopped: make(chan struct{}), gate: make(chan struct{}, 1)}
	if r.log == nil {
		r.log = hclog.NewNullLogger()
	}
	if opt.OwnsChildren {
		children := make(chan os.Signal, 1)
		signal.Notify(children, unix.SIGCHLD)
		r.reaping.Go(func() {
			defer signal.Stop(children)
			r.reapLoop(children)
		})
	}
	return r
}

// Run executes a task and returns when it has ended and so has everything that
// it started. The error is nil if the task ended by itself, with whatever exit
// code or signal; a *StartError if it could not be executed; the cause of ctx
// if it was stopped because ctx ended, ErrKillNow if KillNow closed;
// ErrHelperDied, ErrUnended or ErrClosed. Beside those the Result has what is known.
//
// When ctx ends the task's group gets SIGTERM and after KillGrace SIGKILL, with
// everything else that the task started; with ErrKillNow as ctx's cause SIGKILL
// at once. Memory is bounded by StdoutMax, StderrTail and 64 KiB,
// and 36 KiB more for progress.
func (r *Runner) Run(ctx context.Context, spec Spec) (Result, error) {
	none := Result{ExitCode: -1}
	spec, err := spec.filled()
	if err != nil {
		return none, err
	}
	path, err := lookPath(spec)
	if err != nil {
		return none, err
	}
	for try := 1; ; try++ {
		l, err := r.acquire(ctx)
		if err != nil {
			return none, err
		}
		res, err := l.run(ctx, spec, path)
		if !errors.Is(err, errUnsent) {
			return res, err
		}
		if try == helperTries {
			return none, fmt.Errorf("%w before the task was sent, %d times", ErrHelperDied, try)
		}
	}
}

// acquire returns a helper that was alive a moment ago.
func (r *Runner) acquire(ctx context.Context) (*link, error) {
	select {
	case r.gate <- struct{}{}:
		defer func() { <-r.gate }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	pause := helperPause
	for try := 1; ; try++ {
		if r.closed {
			return nil, ErrClosed
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if alive, err := r.settled(ctx); alive || err != nil {
			return r.link, err
		}
		r.helpers++
		l, err := r.dial(fmt.Sprintf("%s-%d-%d", selfID(), r.number, r.helpers))
		if err == nil {
			r.link = l
			return l, nil
		}
		if try == helperTries {
			return nil, fmt.Errorf("execrun: start helper: %w (tried %d times)", err, try)
		}
		r.log.Warn("exec helper did not start", "error", err, "try", try)
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		pause *= 2
	}
}

// settled says whether the helper lives. A dying one it waits for: its orphans
// must be gone before there is another to be mistaken for one.
func (r *Runner) settled(ctx context.Context) (alive bool, err error) {
	if r.link == nil {
		return false, nil
	}
	select {
	case <-r.link.broken:
	case <-r.link.exited:
	default:
		return true, nil
	}
	select {
	case <-r.link.done:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// Close kills what still runs, without grace, ends the helper and waits for it,
// until ctx ends. Runs that it ends return ErrClosed. It may be called again.
func (r *Runner) Close(ctx context.Context) error {
	select {
	case r.gate <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("close exec runner: %w", context.Cause(ctx))
	}
	if !r.closed {
		r.closed = true
		close(r.stopped)
		if r.link != nil {
			r.link.close()
		}
	}
	l := r.link
	<-r.gate
	r.reaping.Wait()
	if l == nil {
		return nil
	}
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close exec runner: helper (pid %d) is still ending tasks: %w", l.proc.Pid, context.Cause(ctx))
	}
}

// errUnsent is run's error if the helper went away before it had the task.
var errUnsent = errors.New("execrun: not sent")

// run executes one task by this helper.
func (l *link) run(ctx context.Context, spec Spec, path string) (Result, error) {
	none := Result{ExitCode: -1}
	s, err := newStreams(spec)
	if err != nil {
		return none, fmt.Errorf("exec %q: %w", spec.Argv[0], err)
	}
	id, rn, ok := l.add(pipesOf(s.theirs[1:]))
	if !ok {
		s.discard()
		return none, errUnsent
	}
	start := frame{run: rn, files: s.theirs, req: request{
		Op: opStart, Run: id, Path: path, Argv: spec.Argv, Dir: spec.Dir, Env: spec.environment(l.marker, id),
	}}
	select {
	case l.out <- start:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-spec.KillNow:
		err = ErrKillNow
	case <-l.broken:
		err = errUnsent
	}
	if err != nil {
		l.drop(id)
		s.discard()
		return none, err
	}
	s.pump(spec)
	r, err := l.await(ctx, id, rn, spec)
	res := none
	s.finish(&res)
	if err != nil {
		if rn.unsent.Load() && !errors.Is(err, ErrClosed) {
			err = errUnsent
		}
		return res, err
	}
	err = r.outcome(ctx, spec, &res)
	return res, err
}

// outcome fills res and returns Run's error.
func (r reply) outcome(ctx context.Context, spec Spec, res *Result) error {
	res.Stopped, res.Killed, res.Stragglers = r.Stopped, r.Killed, r.Stragglers
	if r.Errno != 0 {
		e := &StartError{Argv0: spec.Argv[0], Err: syscall.Errno(r.Errno)}
		if r.BadDir {
			e.Dir = spec.Dir
		}
		return e
	}
	if status := syscall.WaitStatus(r.Status); !r.Unended && !r.Unstarted {
		res.ExitCode = status.ExitStatus() // -1 beside a signal
		if status.Signaled() {
			res.Signal = unix.SignalName(status.Signal())
		}
	}
	switch {
	case r.Closing:
		return ErrClosed
	case r.Unended:
		return fmt.Errorf("%w: pid %d, %s after it", ErrUnended, r.Pid, EndWait)
	case r.Stopped && ctx.Err() != nil:
		return context.Cause(ctx)
	case r.Stopped:
		return ErrKillNow
	}
	return nil
}

// lookPath finds the file to execute.
func lookPath(spec Spec) (string, error) {
	name := spec.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := pathDefault
	for _, kv := range spec.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	err := error(syscall.ENOENT)
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // would depend on Dir, or on the worker's
		}
		file := filepath.Join(dir, name)
		if info, serr := os.Stat(file); serr != nil || info.IsDir() {
			continue
		}
		if unix.Access(file, unix.X_OK) == nil {
			return file, nil
		}
		err = syscall.EACCES
	}
	return "", &StartError{Argv0: name, Err: fmt.Errorf("%w (searched in %s)", err, path)}
}

// selfID names this process: its pid and when it started.
func selfID() string {
	p, _, _ := readProcess(os.Getpid()) // no start without /proc, and then no helper
	return fmt.Sprintf("%d-%d", p.pid, p.start)
}
