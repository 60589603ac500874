package shutdown_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/yardmaster/yardmaster/internal/shutdown"
)

// A server with a listener, an engine and a store, stopped in that order by a
// signal. The real program takes its signals from NotifySignals, and its main
// ends in os.Exit(result.ExitCode()).
func Example() {
	stop := shutdown.New(time.Now, shutdown.Options{HardTimeout: 30 * time.Second})
	intake := stop.AddPhase("intake", 5*time.Second)
	engine := stop.AddPhase("engine", 10*time.Second)
	store := stop.AddPhase("store", 10*time.Second)

	err := store.OnStop("close", func(context.Context) error {
		fmt.Println("store closed")
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = engine.Go("loop", func(ctx context.Context) error {
		<-ctx.Done() // stop taking; WorkContext(ctx) tells when to stop working
		fmt.Println("loop ended:", context.Cause(ctx))
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = intake.OnStop("listener", func(context.Context) error {
		fmt.Println("listener closed")
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	signals := make(chan os.Signal, 2)
	stop.OnSignals(signals)
	signals <- syscall.SIGTERM

	result := stop.Run(context.Background())
	fmt.Println("exit code", result.ExitCode())

	// Output:
	// listener closed
	// loop ended: shutting down: signal: terminated
	// store closed
	// exit code 0
}
