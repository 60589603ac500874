package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
)

const (
	// timeoutDefault bounds calls that are answered at once. Waiting for tasks has no bound unless --timeout is given.
	timeoutDefault = 10 * time.Second
	// reachTimeout is how long a coordinator that was never reached is tried. A wrong address is told soon, and a
	// coordinator that is just restarting is still met.
	reachTimeout = 3 * time.Second
)

// app is one run of yardctl.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	withTimeout    func(context.Context, time.Duration) (context.Context, context.CancelFunc)
	pause          func(context.Context, time.Duration) error // waits, or tells why ctx ended first
	isTerminal     func(stream any) bool
	reachTimeout   time.Duration

	flags struct {
		addr, context string
		output        string
		timeout       time.Duration
	}
	timeoutGiven bool
	running      bool     // flags and arguments were in order; what fails from here on is no bad usage
	target       []string // the addresses in use, for messages
}

// run is the whole program: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr,
		now: time.Now, withTimeout: context.WithTimeout, pause: pause, isTerminal: isTerminal, reachTimeout: reachTimeout}
	return a.run(ctx, args)
}

// pause waits until d has passed or ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *app) run(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(append([]string{}, args...)) // never nil, for which cobra takes the process's own
	cmd, err := root.ExecuteContextC(ctx)
	return a.report(cmd, err)
}

// connect makes a client for the addresses that flags, environment and contexts file name.
func (a *app) connect() (*client.Client, error) {
	addresses, err := a.addresses()
	if err != nil {
		return nil, err
	}
	a.target = addresses
	c, err := client.New(client.Config{Addresses: addresses, ReachTimeout: a.reachTimeout})
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// withClient runs a verb that is answered at once: under --timeout, or its default.
func (a *app) withClient(cmd *cobra.Command, verb func(ctx context.Context, c *client.Client) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := a.bounded(cmd.Context())
	defer cancel()
	return verb(ctx, c)
}

// bounded adds --timeout. 0 is no bound.
func (a *app) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.flags.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return a.withTimeout(ctx, a.flags.timeout)
}

// waiting adds --timeout only if it was given: for verbs that wait for tasks, or send as many as they are told to.
func (a *app) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	if !a.timeoutGiven {
		return context.WithCancel(ctx)
	}
	return a.bounded(ctx)
}
