package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// options are the flags.
type options struct {
	runner  Runner
	dir     string
	only    string
	format  string
	compile bool
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	o, err := parseFlags(args, errOut)
	if err != nil {
		fmt.Fprintln(errOut, "mutants:", err)
		return 2
	}
	all, err := LoadMutants(o.dir)
	if err != nil {
		fmt.Fprintln(errOut, "mutants:", err)
		return 1
	}
	report := NewReport(out, o.format)
	try := o.runner.Run
	if o.compile {
		try = o.runner.Compile
	}
	for _, m := range all {
		if ok, _ := path.Match(o.only, m.Name); !ok {
			continue
		}
		if res, ok := try(ctx, m); ok {
			report.Add(&res)
		}
		if ctx.Err() != nil {
			fmt.Fprintln(errOut, "mutants: stopped:", context.Cause(ctx))
			return 1
		}
	}
	if !report.End(errOut) {
		return 1
	}
	return 0
}

func parseFlags(args []string, errOut io.Writer) (*options, error) {
	o := &options{}
	r := &o.runner
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&r.Root, "root", "", "the repository (default: the one that holds this directory)")
	flags.StringVar(&o.dir, "dir", "", "the mutants (default tests/mutants/bugs of the repository)")
	flags.StringVar(&o.only, "only", "*", "the mutants of these names, as path.Match has them")
	flags.StringVar(&o.format, "o", "table", "table or json")
	flags.BoolVar(&o.compile, "compile", false, "only check that each still applies and compiles")
	flags.StringVar(&r.By, "by", "own", "what is to catch them: sim (those it can), test (those that have one), own (sim, or else the test)")
	flags.StringVar(&r.Sim.Package, "sim", "./internal/sim/yardsim", "the simulator's package")
	flags.IntVar(&r.Sim.Steps, "steps", 2000, "steps a seed")
	flags.IntVar(&r.Seeds, "seeds", 200, "the most seeds from each starting point")
	flags.DurationVar(&r.Limit, "for", 5*time.Minute, "the most time a mutant, its build aside")
	flags.DurationVar(&r.Sim.Hang, "hang", 2*time.Minute, "a run of a detector that takes longer hangs")
	flags.IntVar(&r.Jobs, "jobs", 2, "programs at once")
	from := flags.String("from", "1,100001,200001,300001,400001", "starting points: the first seed of each")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	for _, text := range strings.Split(*from, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("-from %q: want seeds, parted by commas", *from)
		}
		r.From = append(r.From, n)
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("%q: there are no arguments, only flags", flags.Arg(0))
	case r.By != "own" && r.By != "sim" && r.By != "test":
		return nil, fmt.Errorf("-by %q: want own, sim or test", r.By)
	case o.format != "table" && o.format != "json":
		return nil, fmt.Errorf("-o %q: want table or json", o.format)
	case r.Seeds < 1 || r.Sim.Steps < 1 || r.Jobs < 1 || r.Limit <= 0 || r.Sim.Hang <= 0:
		return nil, errors.New("-seeds, -steps, -jobs, -for and -hang: want more than 0")
	}
	err := o.findRoot()
	return o, err
}

// findRoot finds the repository from here upwards, and the mutants in it.
func (o *options) findRoot() error {
	r := &o.runner
	if r.Root == "" {
		here, err := os.Getwd()
		if err != nil {
			return err
		}
		if r.Root, err = repository(here); err != nil {
			return err
		}
	}
	var err error
	if r.Root, err = filepath.Abs(r.Root); err != nil {
		return err
	}
	r.Sim.Root = r.Root
	if o.dir == "" {
		o.dir = filepath.Join(r.Root, "tests", "mutants", "bugs")
	}
	return nil
}

// repository returns the directory of go.mod, from one of its directories upwards.
func repository(from string) (string, error) {
	for dir := from; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in %s or above: run this in the repository, or give -root", from)
		}
	}
}
