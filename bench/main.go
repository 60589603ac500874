// Command bench measures Yardmaster beside the raw rates of the same machine in the same run: fsync and gRPC.
//
// It starts the real coordinator binary with temporary data on a loopback port, submits through the public client SDK and
// runs no-op tasks through the public worker SDK, both in this process. Every figure is the median of -runs runs, with the
// least and the greatest beside it. Load is bounded in tasks and time.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"time"
)

type options struct {
	coordinator, dir, only, profile, out string
	runs, drain, e2e, idle               int
	payload, slots                       int
	span                                 time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.coordinator, "coordinator", "../bin/coordinator", "coordinator binary")
	flag.StringVar(&o.dir, "dir", "", "where to put temporary data (default: the system's)")
	flag.StringVar(&o.only, "only", "", "run only figures whose name begins so")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of the coordinator during the figures to this file")
	flag.StringVar(&o.out, "json", "", "write the figures as JSON to this file")
	flag.IntVar(&o.runs, "runs", 5, "runs of each figure")
	flag.IntVar(&o.drain, "drain", 200_000, "tasks to drain")
	flag.IntVar(&o.e2e, "e2e", 300_000, "tasks submitted and run end to end")
	flag.IntVar(&o.idle, "idle", 300, "single tasks on an idle system")
	flag.IntVar(&o.payload, "payload", 256, "bytes of a payload")
	flag.IntVar(&o.slots, "slots", 256, "slots of the worker")
	flag.DurationVar(&o.span, "span", 3*time.Second, "length of a run that is bounded by time")
	cpu := flag.String("cpu", "", "write a CPU profile of this process, clients and worker, to this file")
	flag.Parse()
	if *cpu != "" {
		f, err := os.Create(*cpu)
		if err == nil {
			_ = pprof.StartCPUProfile(f)
			defer pprof.StopCPUProfile()
		}
	}
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// figure is one measured quantity.
type figure struct {
	Name string    `json:"name"`
	Unit string    `json:"unit"`
	Runs []float64 `json:"runs"`
}

func (f *figure) median() float64 {
	s := slices.Sorted(slices.Values(f.Runs))
	return s[len(s)/2]
}

// report gathers figures and prints each as it is complete.
type report struct {
	Figures []*figure `json:"figures"`
}

func (r *report) add(name, unit string, runs ...float64) {
	f := &figure{Name: name, Unit: unit, Runs: runs}
	r.Figures = append(r.Figures, f)
	fmt.Printf("%-44s %12.2f %-8s (%.2f to %.2f, %d runs)\n", f.Name, f.median(), f.Unit, slices.Min(runs), slices.Max(runs), len(runs))
}

func (r *report) write(path string) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
