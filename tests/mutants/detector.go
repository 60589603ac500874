package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Detector notices a bug, or doesn't.
type Detector interface {
	// Build makes the detector's program in dir. overlay is a file, or empty for the product as it is.
	Build(ctx context.Context, overlay, dir string) (Program, error)
	// String names it in the report.
	String() string
}

// Program is a detector with a bug in it.
type Program interface {
	// Try runs once. Seeds says how many differ.
	Try(ctx context.Context, seed uint64) (Verdict, error)
	// Seeded reports whether the seed makes a difference.
	Seeded() bool
}

// Verdict is what one run of a detector says. The zero one: nothing was noticed.
type Verdict struct {
	Caught bool
	By     string // the invariant by its number, "panic", "hang" or "test"
	Text   string // the line that says so
}

// errBuild says that the program doesn't compile.
var errBuild = errors.New("it doesn't compile")

// goTool runs the go tool in the repository.
func goTool(ctx context.Context, root string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%w: go %s: %w\n%s", errBuild, strings.Join(args, " "), err, tail(out, 2000))
	}
	return nil
}

// overlayFlag is the flag for an overlay, if there is one.
func overlayFlag(overlay string) []string {
	if overlay == "" {
		return nil
	}
	return []string{"-overlay", overlay}
}

// Tests are the tests of a mutant.
type Tests struct {
	Root string
	Test Test
	Hang time.Duration // a run that takes longer hangs
}

func (d Tests) String() string { return "test" }

// Build implements Detector.
func (d Tests) Build(ctx context.Context, overlay, dir string) (Program, error) {
	p := &testProgram{path: filepath.Join(dir, "tests.bin"), dir: filepath.Join(d.Root, d.Test.Package), run: d.Test.Run, args: strings.Fields(d.Test.Args), hang: d.Hang}
	args := append([]string{"test", "-c", "-o", p.path}, overlayFlag(overlay)...)
	return p, goTool(ctx, d.Root, append(args, d.Test.Package)...)
}

type testProgram struct {
	path, dir, run string
	args           []string
	hang           time.Duration
}

func (p *testProgram) Seeded() bool { return false }

// Try implements Program.
func (p *testProgram) Try(ctx context.Context, _ uint64) (Verdict, error) {
	r := start(ctx, p.hang, p.dir, p.path, append([]string{"-test.run=" + p.run, "-test.count=1", "-test.failfast"}, p.args...)...)
	if r.status == 0 && strings.Contains(r.text, "no tests to run") {
		return Verdict{}, fmt.Errorf("no test of %s is called %s", p.dir, p.run)
	}
	v, err := r.verdict()
	if v.By == "" && v.Caught {
		v.By = "test"
	}
	return v, err
}

// Simulator is the program of internal/sim.
type Simulator struct {
	Root    string
	Package string
	Steps   int
	Hang    time.Duration // a seed that takes longer hangs
}

func (d Simulator) String() string { return "sim" }

// Build implements Detector.
func (d Simulator) Build(ctx context.Context, overlay, dir string) (Program, error) {
	p := &simProgram{path: filepath.Join(dir, "sim.bin"), steps: d.Steps, hang: d.Hang, dir: dir}
	args := append([]string{"build", "-ldflags=-s -w", "-o", p.path}, overlayFlag(overlay)...)
	return p, goTool(ctx, d.Root, append(args, d.Package)...)
}

type simProgram struct {
	path, dir string
	steps     int
	hang      time.Duration
}

func (p *simProgram) Seeded() bool { return true }

// Try implements Program.
func (p *simProgram) Try(ctx context.Context, seed uint64) (Verdict, error) {
	r := start(ctx, p.hang, p.dir, p.path, "-seed", strconv.FormatUint(seed, 10), "-steps", strconv.Itoa(p.steps))
	v, err := r.verdict()
	if v.By == "" && v.Caught {
		v.By = "sim"
	}
	return v, err
}

func tail(out []byte, most int) string {
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return strings.TrimSpace(string(out))
}
