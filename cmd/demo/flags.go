package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/pflag"
)

// Bounds of flags.
const (
	workersMax = 16
	slotsMax   = 256
)

// options is what the flags say.
type options struct {
	dir            string
	workers, slots int
	kill           bool
	plantDuplicate bool
	keep           bool

	play                         bool
	dataDir, listen, adminListen string
}

func flagSet(o *options) *pflag.FlagSet {
	fs := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.StringVar(&o.dir, "dir", "", "one task for each regular file under `DIR` (default: $DEMO_DIR, else the Go toolchain's src)")
	fs.IntVar(&o.workers, "workers", 2, "start so many workers, 1 to 16")
	fs.IntVar(&o.slots, "slots", runtime.GOMAXPROCS(0), "tasks that a worker runs at a time, 1 to 256")
	fs.BoolVar(&o.kill, "kill", true, "kill a worker and the coordinator midway, and start them again")
	fs.BoolVar(&o.plantDuplicate, "plant-duplicate", false,
		"store one file's task a second time behind the checker's back: it must find one outcome accepted twice and exit 1")
	fs.BoolVar(&o.keep, "keep", false, "keep the temporary data, and say where it is")
	fs.BoolVar(&o.play, "play", false, "no demo: start a coordinator and workers to play with, until Ctrl-C")
	fs.StringVar(&o.dataDir, "data-dir", "", "with --play: the coordinator's `DIR`, kept at the end (default: a temporary one)")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:7420", "with --play: the coordinator's `ADDRESS`; port 0: any free one")
	fs.StringVar(&o.adminListen, "admin-listen", "127.0.0.1:7421", "with --play: its `ADDRESS` for HTTP; empty: none")
	return fs
}

// parse reads the arguments; help has been printed if the error is pflag.ErrHelp.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	fs := flagSet(o)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "demo runs the whole of Yardmaster on real files and checks every result.\n\n"+
			"Usage: demo [flags]\n       demo --play [flags]\n\n%s", fs.FlagUsages())
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: see --help", fs.Arg(0))
	}
	if err := o.check(fs); err != nil {
		return nil, err
	}
	return o, nil
}

// check reports every flag that can't be used.
func (o *options) check(fs *pflag.FlagSet) error {
	var errs []error
	if o.workers < 1 || o.workers > workersMax {
		errs = append(errs, fmt.Errorf("--workers is %d: choose 1 to %d", o.workers, workersMax))
	}
	if o.slots < 1 || o.slots > slotsMax {
		errs = append(errs, fmt.Errorf("--slots is %d: choose 1 to %d", o.slots, slotsMax))
	}
	of := map[bool][]string{
		false: {"data-dir", "listen", "admin-listen"},
		true:  {"dir", "kill", "plant-duplicate"},
	}
	for _, name := range of[o.play] {
		if fs.Changed(name) {
			errs = append(errs, fmt.Errorf("--%s has no meaning %s --play", name, map[bool]string{true: "with", false: "without"}[o.play]))
		}
	}
	return errors.Join(errs...)
}

// inputDir is the directory whose files are submitted, absolute and without symbolic links.
func (o *options) inputDir() (string, error) {
	dir := o.dir
	if dir == "" {
		dir = os.Getenv("DEMO_DIR")
	}
	if dir == "" {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return "", fmt.Errorf("name a directory with --dir or DEMO_DIR: the Go toolchain's can't be asked for: %w", err)
		}
		dir = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// environment is what the programs get of this process's: no YARD_ variable may change what the demo shows.
func environment(all []string) []string {
	var env []string
	for _, kv := range all {
		if !strings.HasPrefix(kv, "YARD_") {
			env = append(env, kv)
		}
	}
	return env
}
