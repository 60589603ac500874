package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"
	"github.com/yardmaster/yardmaster/internal/consensus"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/settings"
)

// Bounds of flags.
const (
	sessionTTLMin = 2 * time.Second
	sessionTTLMax = 10 * time.Minute
)

// config is what the flags say.
type config struct {
	dataDir, listen, adminListen, addressFile string
	insecureListen, reflection                bool
	sessionTTL, stopTimeout                   time.Duration
	maxTasks                                  uint64
	diskReserve                               uint64
	log                                       settings.Log
	segmentBytes                              int
}

func flagSet(c *config) *pflag.FlagSet {
	fs := pflag.NewFlagSet("coordinator", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.StringVar(&c.dataDir, "data-dir", "./yardmaster-data", "`DIR` of log and checkpoint; made with mode 0700")
	fs.StringVar(&c.listen, "listen", "127.0.0.1:7420", "`ADDRESS` for gRPC; port 0: any free one")
	fs.StringVar(&c.adminListen, "admin-listen", "127.0.0.1:7421", "`ADDRESS` for HTTP: /metrics, /healthz, /readyz, /debug/pprof; empty: none")
	fs.BoolVar(&c.insecureListen, "insecure-listen", false, "allow --listen and --admin-listen beyond loopback, without TLS: whoever reaches them may do everything")
	fs.BoolVar(&c.reflection, "reflection", false, "serve gRPC reflection on --listen")
	fs.StringVar(&c.addressFile, "address-file", "", "write the bound gRPC address to `FILE` once the server serves")
	fs.DurationVar(&c.sessionTTL, "session-ttl", 15*time.Second, "a worker not heard from for so long is lost (2s to 10m)")
	fs.Uint64Var(&c.maxTasks, "max-tasks", scheduler.MaxTasksDefault, "most non-terminal tasks; above it submits are refused")
	fs.Uint64Var(&c.diskReserve, "disk-reserve", 1<<30, "free `BYTES` of the data directory's disk below which submits are refused")
	fs.IntVar(&c.segmentBytes, "log-segment-bytes", 64<<20, "size of a preallocated log segment")
	fs.DurationVar(&c.stopTimeout, "stop-timeout", 30*time.Second, "an orderly stop may take so long")
	c.log.AddFlags(fs)
	fs.Bool("version", false, "print the version, then exit")
	settings.AddConfig(fs)
	return fs
}

// check reports every setting that can't be used.
func (c *config) check() error {
	var errs []error
	for _, a := range []struct{ flag, addr string }{{"listen", c.listen}, {"admin-listen", c.adminListen}} {
		if a.flag == "admin-listen" && a.addr == "" {
			continue
		}
		errs = append(errs, settings.CheckAddress(a.flag, a.addr, c.insecureListen))
	}
	if c.dataDir == "" {
		errs = append(errs, errors.New("--data-dir is empty: name a directory"))
	}
	if c.sessionTTL < sessionTTLMin || c.sessionTTL > sessionTTLMax {
		errs = append(errs, fmt.Errorf("--session-ttl is %s: choose 2s to 10m", c.sessionTTL))
	}
	if c.maxTasks < 1 || c.maxTasks > 1_000_000_000 {
		errs = append(errs, fmt.Errorf("--max-tasks is %d: choose 1 to 1000000000", c.maxTasks))
	}
	if c.segmentBytes < 64<<10 || c.segmentBytes > 1<<30 {
		errs = append(errs, fmt.Errorf("--log-segment-bytes is %d: choose 65536 to 1073741824", c.segmentBytes))
	}
	if c.stopTimeout < time.Second || c.stopTimeout > time.Hour {
		errs = append(errs, fmt.Errorf("--stop-timeout is %s: choose 1s to 1h", c.stopTimeout))
	}
	errs = append(errs, c.log.Check())
	return errors.Join(errs...)
}

// reserve is the free disk space that is held back for running tasks, in bytes.
func (c *config) reserve() uint64 {
	return max(c.diskReserve, uint64(consensus.SegmentsFreeMin*c.segmentBytes))
}

// source is the process's environment and files.
func source() settings.Source {
	return settings.Source{LookupEnv: os.LookupEnv, ReadFile: os.ReadFile}
}
