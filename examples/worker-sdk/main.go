// Command worker-sdk is a worker with three handlers. Ctrl-C stops it in order: it takes nothing more and lets what runs
// come to its end, for up to 25 s.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/yardmaster/yardmaster/worker"
)

func main() {
	addr := flag.String("addr", worker.CoordinatorDefault, "the coordinator's `address`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *addr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string) error {
	w, err := worker.New(worker.Config{
		Coordinators: []string{addr},
		Slots:        16, // handlers that wait more than they compute
		// Those that compute have as many slots as there are processors, so that they hold up neither each other nor the rest.
		Pools:  []worker.Pool{{Name: "cpu", Slots: runtime.GOMAXPROCS(0)}},
		Logger: hclog.New(&hclog.LoggerOptions{Name: "worker-sdk", Level: hclog.Info}),
	})
	if err != nil {
		return err
	}
	worker.Handle(w, "slow-square", square)
	worker.Handle(w, "primes", primes, worker.InPool("cpu"))
	worker.Handle(w, "divide", divide)
	fmt.Println("runs the kinds slow-square, primes and divide; Ctrl-C stops it")
	return w.Run(ctx)
}

// square waits for something, and heeds its context: context.Cause(ctx) says why it should stop.
func square(ctx context.Context, n int) (int, error) {
	select {
	case <-time.After(100 * time.Millisecond):
		return n * n, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// primes computes, so it looks at its context now and then. What it logs names the task.
func primes(ctx context.Context, below int) (int, error) {
	count := 0
	for n := 2; n < below; n++ {
		if isPrime(n) {
			count++
		}
		if n%100_000 == 0 {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			worker.Logger(ctx).Info("going on", "at", n, "below", below)
		}
	}
	return count, nil
}

func isPrime(n int) bool {
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}

// fraction is the payload of a divide: {"A": 6, "B": 3}.
type fraction struct{ A, B int }

// divide fails for good where another attempt could only fail as well: the task is a dead letter at once.
func divide(_ context.Context, f fraction) (int, error) {
	if f.B == 0 {
		return 0, worker.Permanent(errors.New("division by zero: want another B"))
	}
	return f.A / f.B, nil
}
