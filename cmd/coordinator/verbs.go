package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/settings"
	"github.com/yardmaster/yardmaster/internal/store"
)

// verb is a sub-command that works on the data directory of a stopped coordinator.
type verb struct {
	name, help string
	run        func(dir string, stdout io.Writer) error
}

var verbs = []verb{
	{"check", "read the checkpoint whole and verify pages, checksums and counts; changes nothing", checkData},
	{"compact", "rewrite the checkpoint's file without its free pages", compactData},
}

// runVerb runs a sub-command; done is false if args don't name one.
func runVerb(args []string, stdout, stderr io.Writer) (code int, done bool) {
	if len(args) == 0 {
		return 0, false
	}
	for _, v := range verbs {
		if v.name != args[0] {
			continue
		}
		fs := pflag.NewFlagSet("coordinator "+v.name, pflag.ContinueOnError)
		fs.SetOutput(stderr)
		dir := fs.String("data-dir", "./yardmaster-data", "`DIR` of log and checkpoint")
		fs.Usage = func() {
			fmt.Fprintf(stderr, "coordinator %s: %s.\nThe coordinator must not be running.\n\n%s\n"+
				"The directory may also be set as YARD_DATA_DIR in the environment.\n", v.name, v.help, fs.FlagUsages())
		}
		if err := fs.Parse(args[1:]); err != nil {
			if errors.Is(err, pflag.ErrHelp) {
				return 0, true
			}
			fmt.Fprintf(stderr, "coordinator %s: %v\n", v.name, err)
			return settings.ExitUsage, true
		}
		if fs.NArg() > 0 {
			fmt.Fprintf(stderr, "coordinator %s: unexpected argument %q: see --help\n", v.name, fs.Arg(0))
			return settings.ExitUsage, true
		}
		if err := settings.ApplyEnvironment(fs, os.LookupEnv); err != nil { // YARD_DATA_DIR, as the coordinator itself does
			fmt.Fprintf(stderr, "coordinator %s: %v\n", v.name, err)
			return settings.ExitUsage, true
		}
		if err := v.run(*dir, stdout); err != nil {
			fmt.Fprintf(stderr, "coordinator %s: %v\n", v.name, err)
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func compactData(dir string, stdout io.Writer) error {
	before, after, err := store.Compact(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "compacted: %d bytes before, %d after\n", before, after)
	return nil
}

// errDamaged ends `coordinator check` with exit code 1.
var errDamaged = errors.New("the checkpoint is damaged: restore a backup, or keep the directory and ask for help")

func checkData(dir string, stdout io.Writer) error {
	r, err := store.Check(dir, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %d bytes, format %d, log index %d\n", r.Path, r.Bytes, r.Format, r.Index)
	for _, t := range scheduler.Tables() {
		fmt.Fprintf(stdout, "  %-10s %d\n", t, r.Rows[t])
	}
	fmt.Fprintf(stdout, "  %-10s %d\n  %-10s %d\n  %-10s %d, %d of them dead letters\n",
		"bodies", r.Bodies, "failures", r.Failures, "finished", r.Finished, r.Dead)
	for _, p := range r.Problems {
		fmt.Fprintln(stdout, "problem:", p)
	}
	if r.Omitted > 0 {
		fmt.Fprintf(stdout, "and %d more problems\n", r.Omitted)
	}
	if !r.OK() {
		return errDamaged
	}
	fmt.Fprintln(stdout, "no problem found")
	return nil
}
