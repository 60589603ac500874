package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"
	"github.com/yardmaster/yardmaster/internal/execrun"
	"github.com/yardmaster/yardmaster/internal/settings"
	"github.com/yardmaster/yardmaster/internal/shutdown"
	"github.com/yardmaster/yardmaster/internal/version"
	"github.com/yardmaster/yardmaster/worker"
)

// goodbyeMax is what the worker may take beyond drain timeout and kill grace to tell the coordinator how its leases ended.
const goodbyeMax = 10 * time.Second

// run is the program: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	c := &config{}
	fs := flagSet(c)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "worker runs tasks for a Yardmaster coordinator: what its handlers file lists, nothing else.\n\n"+
			"Usage: worker --handlers FILE [flags]\n\n%s\n"+
			"Each flag may also be set as YARD_NAME in the environment, or in a --config file.\n", fs.FlagUsages())
	}
	usage := func(err error) int {
		fmt.Fprintf(stderr, "worker: %v\n", err)
		return settings.ExitUsage
	}
	if err := settings.Apply(fs, args, source()); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return 0
		}
		return usage(err)
	}
	if on, _ := fs.GetBool("version"); on {
		fmt.Fprintln(stdout, "worker", version.String())
		return 0
	}
	if on, _ := fs.GetBool("print-config"); on {
		if err := settings.Print(fs, stdout); err != nil {
			fmt.Fprintf(stderr, "worker: %v\n", err)
			return 1
		}
		return 0
	}
	if err := c.check(); err != nil {
		return usage(err)
	}
	logger := c.logger(stderr)
	w, runner, err := build(c, logger)
	if err != nil {
		return usage(err)
	}
	if on, _ := fs.GetBool("check-config"); on {
		_ = runner.Close(context.Background()) // it has run nothing, so it has nothing to wait for
		fmt.Fprintln(stdout, "the settings are good")
		return 0
	}
	return serve(c, w, runner, logger)
}

// build makes the worker and its handlers.
func build(c *config, logger hclog.Logger) (*worker.Worker, *execrun.Runner, error) {
	data, err := os.ReadFile(c.handlers)
	if err != nil {
		return nil, nil, fmt.Errorf("--handlers: %w", err)
	}
	f, err := parseHandlers(data)
	if err != nil {
		return nil, nil, fmt.Errorf("--handlers %s: %w", c.handlers, err)
	}
	w, err := worker.New(c.worker(f, logger))
	if err != nil {
		return nil, nil, err
	}
	runner := execrun.New(execrun.Options{Logger: logger, OwnsChildren: true})
	client := newHTTPClient(max(c.slots, 16))
	for i := range f.Handlers {
		h := &f.Handlers[i]
		var opts []worker.Option
		if h.Pool != "" {
			opts = append(opts, worker.InPool(h.Pool))
		}
		if h.Exec != nil {
			w.HandleRaw(h.Kind, newExecHandler(h.Exec, runner, c.killGrace, os.LookupEnv).Run, opts...)
		} else {
			w.HandleRaw(h.Kind, (&httpHandler{spec: h.HTTP, client: client}).Run, opts...)
		}
	}
	return w, runner, nil
}

// serve runs the worker until a signal or a refusal, and stops it in order: first the tasks, then the helper process.
func serve(c *config, w *worker.Worker, runner *execrun.Runner, logger hclog.Logger) int {
	took := c.drainTimeout + c.killGrace + goodbyeMax
	stop := shutdown.New(time.Now, shutdown.Options{Logger: logger, HardTimeout: took + 20*time.Second, AbortGrace: c.killGrace + time.Second})
	signals, release := shutdown.NotifySignals()
	defer release()
	stop.OnSignals(signals)
	tasks, helper := stop.AddPhase("tasks", took), stop.AddPhase("helper", 15*time.Second)
	if err := helper.OnStop("exec helper", runner.Close); err != nil {
		stop.Fail(err)
	}
	if err := tasks.Go("worker", func(ctx context.Context) error { return w.Run(ctx) }); err != nil {
		stop.Fail(err)
	}
	logger.Info("worker started", "name", w.Name(), "coordinators", c.coordinators, "version", version.String())
	r := stop.Run(context.Background())
	if err := r.Err(); err != nil {
		logger.Error("stopped with errors", "error", err)
	}
	return exitCode(r)
}

// exitCode is 6 where handlers were left running, as for every straggler.
func exitCode(r shutdown.Result) int {
	if code := r.ExitCode(); code != shutdown.ExitFailure || !errors.Is(r.Err(), worker.ErrStragglers) {
		return code
	}
	return shutdown.ExitStragglers
}
