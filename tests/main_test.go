//go:build e2e

package tests

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds every wait for a process; it is only used up by a failing test.
const patience = 30 * time.Second

// binaries is where TestMain built the programs.
var binaries string

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	flag.Parse()
	os.Exit(mainCode(m))
}

// mainCode runs the tests, and says what they leave behind.
func mainCode(m *testing.M) int {
	dir, err := os.MkdirTemp("", "yard-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	began := time.Now()
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("programs built in %s\n", time.Since(began).Round(10*time.Millisecond))
	if err := startKeeper(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	stopKeeper()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// build makes the programs from the sources beside these tests.
func build(dir string) error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", dir+"/", "./cmd/coordinator", "./cmd/worker", "./cmd/yardctl")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

// program is the path of a program that build made.
func program(name string) string { return filepath.Join(binaries, name) }

// environment is that of every child: the tests' own settings, which the programs would take for theirs, left out.
func environment(more ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "YARD_") {
			env = append(env, kv)
		}
	}
	return append(env, more...)
}

// workDir is a directory for one test's data and logs.
func workDir(t *testing.T) string {
	t.Helper()
	keep := os.Getenv("YARD_KEEP")
	if keep == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(keep, strings.ReplaceAll(t.Name(), "/", "-")+"-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
