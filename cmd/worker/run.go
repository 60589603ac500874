package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
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

// namingMax is what a worker that is forced to stop may take beyond the kill grace to find and name what still runs.
const namingMax = 3 * time.Second

// run is the program: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	c := &config{}
	fs := flagSet(c)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "worker runs tasks for a Yardmaster coordinator: what its handlers file lists, nothing else.\n\n"+
			"Usage: worker --handlers FILE [flags]\n\n%s\n"+
			"Each flag may also be set in the environment, as YARD_CPU_SLOTS for --cpu-slots, or in a --config file; a flag beats the\n"+
			"environment, and that the file.\n\nExit codes: 0 clean, 1 failure, 2 bad usage or configuration, 6 stopped with stragglers.\n", fs.FlagUsages())
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
	if err := c.check(); err != nil {
		return usage(err)
	}
	logger := c.log.Logger("worker", stderr)
	w, runner, err := build(c, logger)
	if err != nil {
		return usage(err)
	}
	printConfig, _ := fs.GetBool("print-config")
	if only, _ := fs.GetBool("check-config"); only || printConfig {
		_ = runner.Close(context.Background()) // it has run nothing, so it has nothing to wait for
		return show(fs, printConfig, stdout, stderr)
	}
	var lis net.Listener
	if c.adminListen != "" { // before anything runs that would have to be stopped
		if lis, err = settings.Listen("admin-listen", c.adminListen); err != nil {
			_ = runner.Close(context.Background())
			if c.log.JSON() {
				logger.Error("cannot start", "error", err)
			} else {
				fmt.Fprintf(stderr, "worker: cannot start: %v\n", err)
			}
			return 1
		}
	}
	return serve(c, w, runner, lis, logger)
}

// show prints settings that have been checked, or that they are good.
func show(fs *pflag.FlagSet, all bool, stdout, stderr io.Writer) int {
	if !all {
		fmt.Fprintln(stdout, "the settings are good")
		return 0
	}
	if err := settings.Print(fs, stdout); err != nil {
		fmt.Fprintf(stderr, "worker: %v\n", err)
		return 1
	}
	return 0
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
	cfg := c.worker(f, logger)
	if cfg.CPUSlots == 0 && f.wantsCPU() {
		cfg.CPUSlots = runtime.GOMAXPROCS(0) // said outright, so that the SDK checks it with the rest
	}
	w, err := worker.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	runner := execrun.New(execrun.Options{Logger: logger, OwnsChildren: true})
	client := newHTTPClient(max(c.slots, 16))
	for i := range f.Handlers {
		h := &f.Handlers[i]
		var opts []worker.Option
		switch {
		case h.CPU:
			opts = append(opts, worker.CPU())
		case h.Pool != "":
			opts = append(opts, worker.InPool(h.Pool))
		}
		if h.Exec != nil {
			e := newExecHandler(h.Exec, runner, c.killGrace, os.LookupEnv)
			e.progress = h.Progress
			w.HandleRaw(h.Kind, e.Run, opts...)
		} else {
			w.HandleRaw(h.Kind, (&httpHandler{spec: h.HTTP, client: client}).Run, opts...)
		}
	}
	return w, runner, nil
}

// serve runs the worker until a signal or a refusal, and stops it in order: first the tasks, then the helper process.
func serve(c *config, w *worker.Worker, runner *execrun.Runner, lis net.Listener, logger hclog.Logger) int {
	took := c.drainTimeout + c.killGrace + goodbyeMax
	stop := shutdown.New(time.Now, shutdown.Options{Logger: logger, HardTimeout: took + 20*time.Second, AbortGrace: c.killGrace + namingMax})
	signals, release := shutdown.NotifySignals()
	defer release()
	stop.OnSignals(signals)
	tasks, helper := stop.AddPhase("tasks", took), stop.AddPhase("helper", 15*time.Second)
	if err := helper.OnStop("exec helper", runner.Close); err != nil {
		stop.Fail(err)
	}
	if lis != nil {
		if err := serveAdmin(lis, w, helper, logger); err != nil {
			stop.Fail(err)
		}
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
