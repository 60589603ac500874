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
	ctx, force, release := onSignals()
	defer release()
	work := demonstrate
	if o.play {
		work = play
	}
	if err := work(ctx, force, o, newScreen(stdout)); err != nil {
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 1
	}
	return 0
}

// onSignals returns two contexts: the first signal ends ctx, which begins the orderly stop, and the second ends force,
// which cuts it short. A reader of the output that went away (demo | head) counts as a signal, but once: the processes
// must be ended then too, and in order.
func onSignals() (ctx, force context.Context, release func()) {
	ctx, stop := context.WithCancelCause(context.Background())
	force, cut := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	over := make(chan struct{})
	go func() {
		for {
			select {
			case sig := <-signals:
				if ctx.Err() == nil {
					stop(errInterrupted)
				} else if sig != syscall.SIGPIPE {
					cut(errInterrupted)
				}
			case <-over:
				return
			}
		}
	}()
	return ctx, force, func() {
		signal.Stop(signals)
		close(over)
		stop(nil)
		cut(nil)
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
