package main

import (
	"flag"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/yardmaster/yardmaster/internal/sim"
)

// settings are the flags.
type settings struct {
	seed  uint64
	seeds uint64
	from  uint64
	steps int
	last  time.Duration
	jobs  int
	trace bool
}

// Exit codes.
const (
	exitClean   = 0
	exitFailure = 1
	exitUsage   = 2
)

// progressEvery is how often a long run says how far it is.
const progressEvery = 10 * time.Second

// run is the program.
func run(args []string, out, errs io.Writer) int {
	var s settings
	f := flag.NewFlagSet("yardsim", flag.ContinueOnError)
	f.SetOutput(errs)
	f.Uint64Var(&s.seed, "seed", 0, "run this seed alone (with -trace: tell all that happens)")
	f.Uint64Var(&s.seeds, "seeds", 1000, "how many seeds to run; 0 with -for: as many as there is time for")
	f.Uint64Var(&s.from, "from", 1, "the first of them")
	f.IntVar(&s.steps, "steps", sim.StepsDefault, "steps of each seed's safety phase")
	f.DurationVar(&s.last, "for", 0, "begin no further seed after this time; 0: run all")
	f.IntVar(&s.jobs, "j", runtime.GOMAXPROCS(0), "seeds to run at a time")
	f.BoolVar(&s.trace, "trace", false, "with -seed: write the whole trace")
	if f.Parse(args) != nil {
		return exitUsage
	}
	if f.NArg() > 0 || s.steps < 1 || s.jobs < 1 {
		fmt.Fprintln(errs, "yardsim: -steps and -j want at least 1, and there are no arguments")
		return exitUsage
	}
	if s.seed != 0 {
		return one(&s, out)
	}
	return many(&s, out)
}

// one runs a single seed.
func one(s *settings, out io.Writer) int {
	opts := sim.Options{Steps: s.steps}
	if s.trace {
		opts.Trace = out
	}
	r := sim.Run(s.seed, opts)
	sum := newSummary()
	sum.add(&r)
	if r.Failure != nil {
		tell(&r, s, out)
	}
	return sum.finish(s, out)
}

// many runs seeds in parallel, each in a world of its own, and stops handing them out at the first failure.
func many(s *settings, out io.Writer) int {
	sum := newSummary()
	var mu sync.Mutex
	next, began, told := s.from, time.Now(), time.Now()
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		done := s.seeds > 0 && next-s.from >= s.seeds || s.last > 0 && time.Since(began) >= s.last
		if done || len(sum.failures) >= failuresMost {
			return 0, false
		}
		next++
		return next - 1, true
	}
	var jobs sync.WaitGroup
	for range s.jobs {
		jobs.Go(func() {
			for {
				seed, ok := take()
				if !ok {
					return
				}
				r := sim.Run(seed, sim.Options{Steps: s.steps})
				mu.Lock()
				sum.add(&r)
				if r.Failure != nil {
					tell(&r, s, out)
				}
				if time.Since(told) >= progressEvery {
					told = time.Now()
					fmt.Fprintf(out, "... %s\n", sum.line(time.Since(began)))
				}
				mu.Unlock()
			}
		})
	}
	jobs.Wait()
	return sum.finish(s, out)
}
