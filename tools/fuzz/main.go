package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// options are what the flags say.
type options struct {
	spent    time.Duration
	parallel int
	only     string
}

func main() {
	var o options
	flag.DurationVar(&o.spent, "time", 10*time.Second, "`span` that each target is fuzzed for")
	flag.IntVar(&o.parallel, "parallel", 2, "`N` inputs at a time")
	flag.StringVar(&o.only, "only", "", "only targets whose package or name holds this `word`")
	flag.Parse()
	if err := run(".", &o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// target is one fuzz function and what came of it.
type target struct {
	dir, name string

	inputs, kept uint64 // given; kept, as they widened the coverage, those of earlier runs included
	took         time.Duration
	failed       bool
	crashers     []string // files of inputs that failed
}

// declared is a fuzz function's declaration.
var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// find lists the targets of the module in root, by directory and name. Modules below it are left out.
func find(root, word string) ([]*target, error) {
	var list []*target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != root || d.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			t := &target{dir: filepath.Dir(path), name: string(m[1])}
			if strings.Contains(t.String(), word) {
				list = append(list, t)
			}
		}
		return err
	})
	slices.SortFunc(list, func(a, b *target) int { return strings.Compare(a.String(), b.String()) })
	return list, err
}

func (t *target) String() string { return filepath.ToSlash(t.dir) + " " + t.name }

// run fuzzes the targets and prints the table.
func run(root string, o *options, out io.Writer) error {
	list, err := find(root, o.only)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("no fuzz target holds %q", o.only)
	}
	bin, err := os.MkdirTemp("", "yard-fuzz-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(bin) }()
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env GOCACHE: %w", err)
	}
	began := time.Now()
	binary, built := "", ""
	for _, t := range list {
		if t.dir != built {
			binary, built = filepath.Join(bin, "fuzz.test"), t.dir
			build := exec.Command("go", "test", "-c", "-fuzz=^Fuzz", "-o", binary, ".")
			build.Dir = t.dir
			if text, err := build.CombinedOutput(); err != nil {
				return fmt.Errorf("build %s: %w\n%s", t.dir, err, text)
			}
		}
		fmt.Fprintf(out, "== %s\n", t)
		if err := t.fuzz(binary, filepath.Join(strings.TrimSpace(string(cache)), "fuzz", filepath.FromSlash(modulePath(root, t.dir))), o, out); err != nil {
			return err
		}
	}
	return table(list, time.Since(began), out)
}

// modulePath names a package as Go's own cache of inputs does.
func modulePath(root, dir string) string {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return dir
	}
	line, _, _ := strings.Cut(string(text), "\n")
	rel, err := filepath.Rel(root, dir)
	if err != nil {
		rel = dir
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "module ")) + "/" + filepath.ToSlash(rel)
}

// What a fuzzing test binary writes.
var (
	progressLine = regexp.MustCompile(`execs: (\d+) .*\(total: (\d+)\)`)
	crasherLine  = regexp.MustCompile(`Failing input written to (\S+)`)
	// endedLate is no failure: the time was over while an input was being tried, which Go's fuzzer takes for one.
	endedLate = regexp.MustCompile(`(?m)^--- FAIL: Fuzz\w+ .*\n    context deadline exceeded\nFAIL$`)
)

// minimizeTries is how many inputs a run spends on shortening one that widens the coverage or fails. Go's 60 s for each
// leave slow targets nothing.
const minimizeTries = "20x"

// fuzz runs one target. Its failure is noted; an error means that it couldn't be run at all.
func (t *target) fuzz(binary, cache string, o *options, out io.Writer) error {
	var text bytes.Buffer
	cmd := exec.Command(binary, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+o.spent.String(),
		"-test.parallel="+strconv.Itoa(o.parallel), "-test.fuzzminimizetime="+minimizeTries, "-test.fuzzcachedir="+cache)
	cmd.Dir, cmd.Stdout = t.dir, io.MultiWriter(&text, out)
	cmd.Stderr = cmd.Stdout
	began := time.Now()
	err := cmd.Run()
	t.took = time.Since(began)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("%s: %w", t, err)
	}
	t.read(text.Bytes())
	t.failed = err != nil && (len(t.crashers) > 0 || !endedLate.Match(text.Bytes()))
	return nil
}

// read takes the figures of a target's output.
func (t *target) read(text []byte) {
	for _, m := range progressLine.FindAllSubmatch(text, -1) {
		t.inputs, _ = strconv.ParseUint(string(m[1]), 10, 64) // digits
		t.kept, _ = strconv.ParseUint(string(m[2]), 10, 64)
	}
	for _, m := range crasherLine.FindAllSubmatch(text, -1) {
		t.crashers = append(t.crashers, filepath.ToSlash(filepath.Join(t.dir, string(m[1]))))
	}
}

// table prints what came of all, and returns an error if a target has failed.
func table(list []*target, took time.Duration, out io.Writer) error {
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PACKAGE\tTARGET\tINPUTS\tA SECOND\tKEPT\tRESULT")
	var inputs uint64
	failed := 0
	for _, t := range list {
		result := "ok"
		if t.failed {
			failed++
			result = "FAILED " + strings.Join(t.crashers, " ")
		}
		inputs += t.inputs
		fmt.Fprintf(w, "%s\t%s\t%d\t%.0f\t%d\t%s\n", filepath.ToSlash(t.dir), t.name, t.inputs, float64(t.inputs)/max(t.took.Seconds(), 1e-3), t.kept, result)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "fuzz: %d targets, %d inputs in %s, %d failed\n", len(list), inputs, took.Round(time.Second), failed)
	if failed > 0 {
		return fmt.Errorf("%d targets failed: go test runs their inputs again", failed)
	}
	return nil
}
