package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"
)

// errInterrupted is the cause of the end of a context by a signal.
var errInterrupted = errors.New("interrupted")

// errUnread is the same, when nobody reads the output any more.
var errUnread = fmt.Errorf("%w: the output is no longer read", errInterrupted)

// errNotRight says that the report names something that isn't right.
var errNotRight = errors.New("not everything is right")

// errBlind says that the checker missed what was planted.
var errBlind = errors.New("a duplicate was planted, and was not found")

// run is the program: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 2
	}
	ends, release := onSignals()
	defer release()
	work := demonstrate
	if o.play {
		work = play
	}
	if err := work(ends.ctx, ends.force, o, newScreen(stdout, func() { ends.stop(errUnread) })); err != nil {
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 1
	}
	return 0
}

// stops are the two ends of a run: the first request ends ctx, which begins the orderly stop, and the second ends force,
// which cuts it short.
type stops struct {
	ctx, force context.Context
	stop, cut  context.CancelCauseFunc
}

// onSignals lets signals ask for the end. A write to a pipe whose reader went away (demo | head) must not kill this process,
// which has others to stop: SIGPIPE is caught and dropped, and the screen asks for the end when it meets the error.
func onSignals() (*stops, func()) {
	s := &stops{}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.force, s.cut = context.WithCancelCause(context.Background())
	signals, pipes := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(pipes, syscall.SIGPIPE)
	over := make(chan struct{})
	go func() {
		for _, act := range []context.CancelCauseFunc{s.stop, s.cut} {
			select {
			case <-signals:
				act(errInterrupted)
			case <-over:
				return
			}
		}
	}()
	return s, func() {
		signal.Stop(signals)
		signal.Stop(pipes)
		close(over)
		s.stop(nil)
		s.cut(nil)
	}
}

// programs finds the directory of the programs, which is this program's own, and checks that they are there.
func programs() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the programs: %w", err)
	}
	dir := filepath.Dir(self)
	for _, name := range []string{coordinatorName, "worker", "demo-hash"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("the programs must lie together, make build puts them there: %w", err)
		}
	}
	return dir, nil
}
