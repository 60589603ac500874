package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"
	"github.com/yardmaster/yardmaster/internal/admin"
	"github.com/yardmaster/yardmaster/internal/metrics"
	"github.com/yardmaster/yardmaster/internal/rpc"
	"github.com/yardmaster/yardmaster/internal/settings"
	"github.com/yardmaster/yardmaster/internal/shutdown"
	"github.com/yardmaster/yardmaster/internal/version"
)

// startMax bounds the wait to lead after the log is replayed.
const startMax = 30 * time.Second

// run is the program: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	if code, done := runVerb(args, stdout, stderr); done {
		return code
	}
	c := &config{}
	fs := flagSet(c)
	fs.SetOutput(stderr)
	fs.Usage = func() { usage(fs, stderr) }
	if err := settings.Apply(fs, args, source()); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return 0
		}
		fmt.Fprintf(stderr, "coordinator: %v\n", err)
		return settings.ExitUsage
	}
	if on, _ := fs.GetBool("version"); on {
		fmt.Fprintln(stdout, "coordinator", version.String())
		return 0
	}
	if err := c.check(); err != nil {
		fmt.Fprintf(stderr, "coordinator: %v\n", err)
		return settings.ExitUsage
	}
	if on, _ := fs.GetBool("print-config"); on {
		if err := settings.Print(fs, stdout); err != nil {
			fmt.Fprintf(stderr, "coordinator: %v\n", err)
			return 1
		}
		return 0
	}
	if on, _ := fs.GetBool("check-config"); on {
		fmt.Fprintln(stdout, "the settings are good")
		return 0
	}
	return serve(c, c.log.Logger("coordinator", stderr), stderr)
}

func usage(fs *pflag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, "coordinator keeps Yardmaster's durable task queue and leases its tasks to workers.\n\n"+
		"Usage: coordinator [flags]\n       coordinator check|compact --data-dir DIR\n       coordinator check FILE\n"+
		"       coordinator restore --data-dir DIR FILE\n\n%s\n"+
		"Each flag may also be set in the environment, as YARD_DATA_DIR for --data-dir, or in a --config file; a flag beats the\n"+
		"environment, and that the file.\n\nExit codes: 0 clean, 1 failure, 2 bad usage or configuration, 6 stopped with stragglers.\n", fs.FlagUsages())
}

// serve runs the coordinator until a signal or a failure, and stops it in order.
func serve(c *config, logger hclog.Logger, stderr io.Writer) int {
	stop := shutdown.New(time.Now, shutdown.Options{Logger: logger, HardTimeout: c.stopTimeout})
	signals, release := shutdown.NotifySignals()
	defer release()
	stop.OnSignals(signals)
	s := &server{config: c, logger: logger, stop: stop, stderr: stderr}
	s.meter = metrics.NewCoordinator(s.figures, time.Now)
	failed := s.start()
	if errors.Is(failed, shutdown.ErrStopping) {
		failed = nil
	}
	if failed != nil && !s.opened { // nothing runs that would have to be stopped
		s.cannotStart(failed)
		return 1
	}
	if failed != nil {
		stop.Fail(failed)
	}
	r := stop.Run(context.Background())
	switch err := r.Err(); {
	case err != nil && failed != nil:
		s.cannotStart(err)
	case err != nil:
		logger.Error("stopped with errors", "error", err)
	}
	return r.ExitCode()
}

// cannotStart says why, in the one line that people look for; in the log if a program reads it.
func (s *server) cannotStart(err error) {
	if s.config.log.JSON() {
		s.logger.Error("cannot start", "error", err)
	} else {
		fmt.Fprintf(s.stderr, "coordinator: cannot start: %v\n", err)
	}
}

// server is the process's parts. They stop in the order of the phases.
type server struct {
	config *config
	logger hclog.Logger
	stop   *shutdown.Sequence
	node   *node
	admin  net.Listener // nil without --admin-listen; bound early, so that a taken port is told before anything is opened
	rpc    *rpc.Server
	meter  *metrics.Coordinator
	stderr io.Writer

	opened  bool // there is something to stop
	serving atomic.Bool

	intake     *shutdown.Phase // NOT_SERVING
	streams    *shutdown.Phase // end streams, finish calls
	checkpoint *shutdown.Phase // proposals in flight, last checkpoint
	close      *shutdown.Phase // log, then store
}

func (s *server) start() error {
	c := s.config
	share := c.stopTimeout / 6
	s.intake = s.stop.AddPhase("intake", share/2)
	s.streams = s.stop.AddPhase("streams", share)
	s.checkpoint = s.stop.AddPhase("checkpoint", 3*share)
	s.close = s.stop.AddPhase("close", share)
	if err := checkAddressFile(c.addressFile); err != nil {
		return err
	}
	lis, err := settings.Listen("listen", c.listen)
	if err != nil {
		return err
	}
	began := time.Now()
	if c.adminListen != "" {
		s.admin, err = settings.Listen("admin-listen", c.adminListen)
	}
	if err == nil {
		err = s.open(lis, began)
	}
	if err != nil {
		_ = lis.Close() // the servers have closed theirs already if they came to serve
		if s.admin != nil {
			_ = s.admin.Close()
		}
	}
	return err
}

// open opens the data directory, leads, and serves. Each part's end is registered as soon as it is open.
func (s *server) open(lis net.Listener, began time.Time) (err error) {
	c := s.config
	if s.node, err = openNode(c, s.logger, s.meter, s.fatal); err != nil {
		return err
	}
	err = s.close.OnStop("log and store", func(context.Context) error { s.node.close(); return nil })
	if err != nil {
		s.node.close()
		return err
	}
	s.opened = true
	s.rpc, err = rpc.New(rpc.Options{
		Engine: s.node.engine, Now: time.Now, Logger: s.logger, SessionTTL: c.sessionTTL, Version: version.String(),
		Reflection: c.reflection, Refusals: s.meter,
		Backups: &backups{store: s.node.store, free: func() (uint64, error) { return diskFree(c.dataDir) }, reserve: c.reserve()},
	})
	if err != nil {
		return err
	}
	if err := s.checkpoint.OnStop("engine", s.node.engine.Stop); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startMax)
	defer cancel()
	if err := s.node.start(ctx); err != nil {
		return err
	}
	s.serving.Store(true)
	return s.listen(lis, began)
}

// listen opens for business.
func (s *server) listen(lis net.Listener, began time.Time) error {
	c := s.config
	err := errors.Join(
		s.intake.OnStop("health", func(context.Context) error { s.rpc.SetNotServing(); return nil }),
		s.streams.OnStop("grpc", func(ctx context.Context) error { s.rpc.EndStreams(); return s.rpc.GracefulStop(ctx) }),
		s.streams.Go("grpc server", func(context.Context) error { return s.rpc.Serve(lis) }),
	)
	if err != nil {
		return err
	}
	if lis := s.admin; lis != nil {
		err := s.streams.Go("admin server", func(ctx context.Context) error {
			return admin.Serve(ctx, lis, admin.Handler(s.ready, s.meter.Handler()))
		})
		if err != nil {
			return err
		}
		s.logger.Info("admin listener", "address", lis.Addr().String())
	}
	s.logger.Info("serving", "address", lis.Addr().String(), "version", version.String(), "data", c.dataDir,
		"took", time.Since(began).Round(time.Millisecond))
	if c.addressFile != "" {
		return writeAddress(c.addressFile, lis.Addr().String())
	}
	return nil
}

func (s *server) ready() error {
	if !s.node.engine.Leading() {
		return errors.New("not leading")
	}
	select {
	case <-s.stop.Stopping():
		return errors.New("stopping")
	default:
		return nil
	}
}

// fatal ends the process at once: what log or store could not write must not be followed by anything.
func (s *server) fatal(err error) {
	if !s.serving.Load() { // most likely the log can't be replayed: nothing was written, and nobody is served yet
		s.cannotStart(err)
		os.Exit(1)
	}
	s.logger.Error("a write failed: ending at once, nothing more is acknowledged", "error", err)
	os.Exit(1)
}

// checkAddressFile looks, before anything is opened, whether the file can be there.
func checkAddressFile(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fmt.Errorf("--address-file is %q, and there is no directory %s: make it, or choose another", path, filepath.Dir(path))
	}
	return nil
}

// writeAddress puts the bound address in place whole, so that a reader never sees half of it.
func writeAddress(path, addr string) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(tmp, []byte(addr+"\n"), 0o644); err != nil {
		return fmt.Errorf("--address-file: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("--address-file: %w", err)
	}
	return nil
}
