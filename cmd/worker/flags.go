package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"
	"github.com/yardmaster/yardmaster/internal/settings"
	"github.com/yardmaster/yardmaster/worker"
)

// config is what the flags say.
type config struct {
	coordinators            []string
	name, handlers          string
	slots, cpuSlots         int
	prefetch                int
	queues, labels          []string
	drainTimeout, killGrace time.Duration
	adminListen             string
	insecureListen          bool
	log                     settings.Log
}

func flagSet(c *config) *pflag.FlagSet {
	fs := pflag.NewFlagSet("worker", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.StringSliceVar(&c.coordinators, "coordinator", []string{worker.CoordinatorDefault}, "`ADDRESS` of a coordinator; repeatable, or a comma list")
	fs.StringVar(&c.name, "name", "", "the worker's `NAME`, unique in the cluster (default hostname-pid)")
	fs.IntVar(&c.slots, "slots", 0, "tasks that run at a time in the default pool (default GOMAXPROCS)")
	fs.IntVar(&c.cpuSlots, "cpu-slots", 0, "tasks that run at a time in the pool cpu, of handlers with cpu: true (default GOMAXPROCS)")
	fs.IntVar(&c.prefetch, "prefetch", 0, "short tasks that the default pool is sent beyond its slots")
	fs.StringSliceVar(&c.queues, "queue", nil, "a `QUEUE` to serve; repeatable (default all)")
	fs.StringArrayVar(&c.labels, "label", nil, "a label `K=V` that tasks may require; repeatable")
	fs.StringVar(&c.handlers, "handlers", "", "YAML `FILE` that says what runs for which kind; required")
	fs.DurationVar(&c.drainTimeout, "drain-timeout", worker.DrainTimeoutDefault, "how long tasks may go on after SIGTERM")
	fs.DurationVar(&c.killGrace, "kill-grace", worker.KillGraceDefault, "between SIGTERM and SIGKILL of a program")
	fs.StringVar(&c.adminListen, "admin-listen", "", "`ADDRESS` for HTTP: /metrics, /healthz, /readyz, /debug/pprof; empty: none")
	fs.BoolVar(&c.insecureListen, "insecure-listen", false, "allow --admin-listen beyond loopback, without TLS")
	c.log.AddFlags(fs)
	fs.Bool("version", false, "print the version, then exit")
	settings.AddConfig(fs)
	return fs
}

// check reports settings that the SDK doesn't check itself.
func (c *config) check() error {
	var errs []error
	if c.handlers == "" {
		errs = append(errs, errors.New("--handlers is missing: name the file that says what runs for which kind"))
	}
	for _, address := range c.coordinators {
		errs = append(errs, settings.CheckTarget("--coordinator", address))
	}
	for _, l := range c.labels {
		if k, _, ok := strings.Cut(l, "="); !ok || k == "" {
			errs = append(errs, fmt.Errorf("--label %q: want K=V", l))
		}
	}
	if c.slots < 0 || c.slots > worker.SlotsMax {
		errs = append(errs, fmt.Errorf("--slots is %d: choose 1 to %d", c.slots, worker.SlotsMax))
	}
	if c.cpuSlots < 0 || c.cpuSlots > worker.SlotsMax {
		errs = append(errs, fmt.Errorf("--cpu-slots is %d: choose 1 to %d", c.cpuSlots, worker.SlotsMax))
	}
	if c.prefetch < 0 || c.prefetch > worker.PrefetchMax {
		errs = append(errs, fmt.Errorf("--prefetch is %d: choose 0 to %d", c.prefetch, worker.PrefetchMax))
	}
	if c.adminListen != "" {
		if err := settings.CheckAddress("admin-listen", c.adminListen, c.insecureListen); err != nil {
			errs = append(errs, err)
		}
	}
	if c.drainTimeout < 0 || c.killGrace < 0 {
		errs = append(errs, errors.New("--drain-timeout and --kill-grace can't be negative"))
	}
	errs = append(errs, c.log.Check())
	return errors.Join(errs...)
}

func (c *config) worker(f *handlersFile, logger hclog.Logger) worker.Config {
	w := worker.Config{
		Coordinators: c.coordinators, Name: c.name, Slots: c.slots, CPUSlots: c.cpuSlots, Prefetch: c.prefetch, Queues: c.queues, Labels: map[string]string{},
		DrainTimeout: orNone(c.drainTimeout), KillGrace: orNone(c.killGrace), Logger: logger,
	}
	if w.Prefetch == 0 {
		w.Prefetch = -1 // none: the SDK takes zero for its default
	}
	for _, l := range c.labels {
		k, v, _ := strings.Cut(l, "=")
		w.Labels[k] = v
	}
	for name, p := range f.Pools {
		w.Pools = append(w.Pools, worker.Pool{Name: name, Slots: p.Slots, Prefetch: p.Prefetch})
	}
	return w
}

// orNone passes a zero span on as none: the SDK takes zero for its default.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// source is the process's environment and files.
func source() settings.Source {
	return settings.Source{LookupEnv: os.LookupEnv, ReadFile: os.ReadFile}
}
