package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/settings"
	"github.com/yardmaster/yardmaster/internal/store"
)

// verb is a sub-command that works on the data directory of a stopped coordinator, and on a file.
type verb struct {
	name, help string
	file       fileUse
	run        func(dir, file string, stdout io.Writer) error
}

// fileUse says whether a verb takes the name of a backup file.
type fileUse int

const (
	fileNone fileUse = iota
	fileOptional
	fileRequired
)

var verbs = []verb{
	{"check", "read the checkpoint, or the backup FILE, whole and verify pages, checksums and counts; changes nothing", fileOptional, checkData},
	{"compact", "rewrite the checkpoint's file without its free pages", fileNone, compactData},
	{"restore", "put the backup FILE, once it is verified, into an empty or new data directory", fileRequired, restoreData},
}

// runVerb runs a sub-command; done is false if args don't name one.
func runVerb(args []string, stdout, stderr io.Writer) (code int, done bool) {
	if len(args) == 0 {
		return 0, false
	}
	for _, v := range verbs {
		if v.name == args[0] {
			return v.runArgs(args[1:], stdout, stderr), true
		}
	}
	return 0, false
}

// runArgs parses what follows the verb's name and runs it.
func (v *verb) runArgs(args []string, stdout, stderr io.Writer) (code int) {
	fs := pflag.NewFlagSet("coordinator "+v.name, pflag.ContinueOnError)
	fs.SetOutput(stderr)
	dir := fs.String("data-dir", "./yardmaster-data", "`DIR` of log and checkpoint")
	fs.Usage = func() {
		fmt.Fprintf(stderr, "coordinator %s: %s.\nThe coordinator must not be running.\n\n%s\n"+
			"The directory may also be set as YARD_DATA_DIR in the environment.\n", v.name+[...]string{"", " [FILE]", " FILE"}[v.file], v.help,
			fs.FlagUsages())
	}
	err := fs.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	files := 1
	if v.file == fileNone {
		files = 0
	}
	switch {
	case err != nil:
	case fs.NArg() > files:
		err = fmt.Errorf("unexpected argument %q: see --help", fs.Arg(files))
	case fs.NArg() == 0 && v.file == fileRequired:
		err = errors.New("FILE is missing: name a file that `yardctl cluster backup` wrote")
	default:
		err = settings.ApplyEnvironment(fs, os.LookupEnv) // YARD_DATA_DIR, as the coordinator itself does
	}
	if err != nil {
		fmt.Fprintf(stderr, "coordinator %s: %v\n", v.name, err)
		return settings.ExitUsage
	}
	if err := v.run(*dir, fs.Arg(0), stdout); err != nil {
		fmt.Fprintf(stderr, "coordinator %s: %v\n", v.name, err)
		return 1
	}
	return 0
}

func compactData(dir, _ string, stdout io.Writer) error {
	before, after, err := store.Compact(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "compacted: %d bytes before, %d after\n", before, after)
	return nil
}

// errDamaged ends `coordinator check` with exit code 1.
var errDamaged = errors.New("the checkpoint is damaged: restore a backup, or keep the directory and ask for help")

// errBackupDamaged is the same of a backup file.
var errBackupDamaged = errors.New("the backup was made of a damaged checkpoint: use another one, or keep it and ask for help")

func checkData(dir, file string, stdout io.Writer) error {
	if file == "" {
		r, err := store.Check(dir, nil)
		if err != nil {
			return err
		}
		return tellReport(&r, stdout, errDamaged)
	}
	h, r, err := store.CheckBackup(file, nil)
	if err != nil {
		return err
	}
	tellBackup(&h, stdout)
	return tellReport(&r, stdout, errBackupDamaged)
}

func restoreData(dir, file string, stdout io.Writer) error {
	h, r, err := store.Restore(dir, file, nil)
	if err != nil {
		return err
	}
	tellBackup(&h, stdout)
	fmt.Fprintf(stdout, "restored: %d tasks, %d finished, %d bytes in %s\nstart the coordinator with --data-dir %s\n",
		r.Rows[scheduler.TableTasks], r.Finished, r.Bytes, dir, dir)
	return nil
}

// tellBackup says what a backup is.
func tellBackup(h *store.BackupHeader, stdout io.Writer) {
	fmt.Fprintf(stdout, "backup of %s, by coordinator %s: format %d, logic version %d, log index %d; its checksum is right\n",
		time.Unix(0, h.Created).UTC().Format(time.RFC3339), h.Release, h.Format, h.Logic, h.Index)
}

// tellReport says what a check has found; damaged is the error if there is a problem.
func tellReport(r *store.Report, stdout io.Writer, damaged error) error {
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
		return damaged
	}
	fmt.Fprintln(stdout, "no problem found")
	return nil
}
