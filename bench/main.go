// Command bench measures Yardmaster beside the raw rates of the same machine in the same run: fsync, gRPC, and the log (a raft
// of one) without anything on top.
//
// It starts the real coordinator binary with temporary data on a loopback port, submits through the public client SDK and
// runs no-op tasks through the public worker SDK, both in this process; the load of ten thousand sessions runs in a process
// of its own. Every figure is the median of -runs runs, with the least and the greatest beside it, and its ratio to a
// ceiling where there is one. Load is bounded in tasks and time.
//
// Suites: rates, backlog (1,000,000 pending), huge (10,000,000), due, sessions, steady.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

type options struct {
	coordinator, dir, only, profile, out string
	suites                               []string
	runs, drain, e2e, idle               int
	payload, backlog, huge, sessions     int
	span, burst, sustained, steady       time.Duration
	profileFor                           time.Duration
	steadyRate, prefetch                 int
}

var allSuites = []string{"rates", "backlog", "huge", "due", "sessions", "steady"}

func main() {
	if len(os.Args) > 1 && os.Args[1] == sessionsRole {
		if err := sessionsMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench sessions:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.coordinator, "coordinator", "../bin/coordinator", "coordinator binary")
	flag.StringVar(&o.dir, "dir", "", "where to put temporary data (default: the system's)")
	flag.StringVar(&o.only, "only", "", "of the suite rates: run only figures whose name begins so; several: with ; between")
	flag.StringVar(&o.profile, "profile", "", "of the suite rates: write a CPU profile of the coordinator to this file")
	flag.DurationVar(&o.profileFor, "profile-for", 30*time.Second, "length of that profile, from the beginning")
	flag.StringVar(&o.out, "json", "", "write the figures as JSON to this file")
	flag.IntVar(&o.runs, "runs", 5, "runs of each figure")
	flag.IntVar(&o.drain, "drain", 400_000, "tasks to drain")
	flag.IntVar(&o.e2e, "e2e", 400_000, "tasks submitted and run end to end")
	flag.IntVar(&o.idle, "idle", 300, "single tasks on an idle system")
	flag.IntVar(&o.payload, "payload", 256, "bytes of a payload")
	flag.IntVar(&o.backlog, "backlog", 1_000_000, "pending tasks of the suites backlog and due")
	flag.IntVar(&o.huge, "huge", 10_000_000, "pending tasks of the suite huge")
	flag.IntVar(&o.sessions, "sessions", 10_000, "sessions of the suite sessions")
	flag.DurationVar(&o.span, "span", 3*time.Second, "length of a run that is bounded by time")
	flag.DurationVar(&o.burst, "burst", 10*time.Second, "length of a burst of submits")
	flag.DurationVar(&o.sustained, "sustained", time.Minute, "length of sustained submits")
	flag.DurationVar(&o.steady, "steady", 10*time.Minute, "length of the suite steady")
	flag.IntVar(&o.steadyRate, "steady-rate", 20_000, "tasks a second of the suite steady")
	flag.IntVar(&o.prefetch, "prefetch", 4096, "leases that the workers of drain and end to end are sent beyond their slots, together; both are measured with the SDK's default too")
	suites := flag.String("suite", strings.Join(allSuites, ","), "which suites, comma separated")
	cpu := flag.String("cpu", "", "write a CPU profile of this process, clients and worker, to this file")
	flag.Parse()
	o.suites = strings.Split(*suites, ",")
	if *cpu != "" {
		f, err := os.Create(*cpu)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
