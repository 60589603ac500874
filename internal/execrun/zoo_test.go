//go:build linux

package execrun

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestExit(t *testing.T) {
	r := newRunner(t, Options{})
	for _, c := range []struct {
		name, script string
		want         Result
	}{
		{"normal", `cat; echo err >&2`, Result{Stdout: []byte("in"), StdoutSize: 2, StderrTail: []byte("err\n"), StderrSize: 4}},
		{"exit code", `exit 7`, Result{ExitCode: 7}},
		{"signal", `kill -SEGV $$`, Result{ExitCode: -1, Signal: "SIGSEGV"}},
		{"closed stdin", `exec <&-; echo ok`, Result{Stdout: []byte("ok\n"), StdoutSize: 3}},
		{"forker", `for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo ok`, Result{Stdout: []byte("ok\n"), StdoutSize: 3}},
		{"bad signal mask", `trap - TERM; kill -TERM $$`, Result{ExitCode: -1, Signal: "SIGTERM"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := sh(c.script)
			spec.Stdin = []byte("in")
			got := mustRun(t, r, spec)
			if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", c.want); a != b {
				t.Errorf("got %s\nwant %s", a, b)
			}
		})
	}
}

func TestEnvironmentDirectoryDescriptors(t *testing.T) {
	r := newRunner(t, Options{})
	dir := t.TempDir()
	got := mustRun(t, r, Spec{
		Argv: []string{"sh", "-c", `pwd; cat /proc/$PPID/comm; env | grep -v -e PWD -e SHLVL -e _=; ls -l /proc/self/fd | grep -c -e socket:`},
		Dir:  dir, Env: append(testEnv(), "A=b", markerName+"=forged.1"),
	})
	out := string(got.Stdout)
	for _, want := range []string{dir + "\n" + helperName + "\n", "A=b\n", markerName + "=" + selfID()} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	if strings.Contains(out, "forged") || strings.Contains(out, "HOME=") || !strings.HasSuffix(out, "\n0\n") {
		t.Errorf("environment or descriptors leak: %q", out)
	}
}

func TestOutput(t *testing.T) {
	r := newRunner(t, Options{})
	t.Run("256 MiB to both", func(t *testing.T) {
		const size = 256 << 20
		spec := sh(`head -c $1 /dev/zero | tr '\0' x >&2 & head -c $1 /dev/zero; wait; printf end >&2`, fmt.Sprint(size))
		spec.StdoutMax, spec.StderrTail = 1000, 100
		got := mustRun(t, r, spec)
		if got.StdoutSize != size || got.StderrSize != size+3 || !got.StdoutTruncated {
			t.Errorf("sizes %d, %d, truncated %t", got.StdoutSize, got.StderrSize, got.StdoutTruncated)
		}
		if !bytes.Equal(got.Stdout, make([]byte, 1000)) || string(got.StderrTail) != strings.Repeat("x", 97)+"end" {
			t.Errorf("kept %d bytes, %q", len(got.Stdout), got.StderrTail)
		}
	})
	t.Run("exactly the limit", func(t *testing.T) {
		spec := sh(`printf 12345`)
		spec.StdoutMax = 5
		if got := mustRun(t, r, spec); string(got.Stdout) != "12345" || got.StdoutTruncated {
			t.Errorf("%q, truncated %t", got.Stdout, got.StdoutTruncated)
		}
	})
	t.Run("none kept", func(t *testing.T) {
		spec := sh(`echo out; echo err >&2`)
		spec.StdoutMax, spec.StderrTail = -1, -1
		if got := mustRun(t, r, spec); len(got.Stdout)+len(got.StderrTail) != 0 || !got.StdoutTruncated {
			t.Errorf("%+v", got)
		}
	})
	t.Run("grandchildren hold stdout", func(t *testing.T) {
		if got := mustRun(t, r, sh(`sleep 1000 & setsid sleep 1000 & echo ok`)); string(got.Stdout) != "ok\n" {
			t.Errorf("%q", got.Stdout)
		}
	})
	t.Run("1 MiB of stdin unread", func(t *testing.T) {
		spec := sh(`exit 0`)
		spec.Stdin = make([]byte, 1<<20)
		if got := mustRun(t, r, spec); got.ExitCode != 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("1 MiB of stdin to a sleeper that leaves a holder", func(t *testing.T) {
		spec := sh(`sleep 1000 <&0 & exit 3`)
		spec.Stdin = make([]byte, 1<<20)
		if got := mustRun(t, r, spec); got.ExitCode != 3 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("1 MiB there and back", func(t *testing.T) {
		spec := sh(`cat`)
		spec.Stdin = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		if got := mustRun(t, r, spec); !bytes.Equal(got.Stdout, spec.Stdin) {
			t.Errorf("%d bytes differ", len(got.Stdout))
		}
	})
}

func TestStartError(t *testing.T) {
	r := newRunner(t, Options{})
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		spec Spec
		is   error
		text string
	}{
		{"no such file", Spec{Argv: []string{"/no/such/file"}}, fs.ErrNotExist, `exec "/no/such/file": no such file`},
		{"not in PATH", Spec{Argv: []string{"no-such-file"}, Env: testEnv()}, fs.ErrNotExist, `exec "no-such-file": no such file`},
		{"not executable", Spec{Argv: []string{plain}}, fs.ErrPermission, fmt.Sprintf("exec %q: permission denied", plain)},
		{"no such directory", Spec{Argv: []string{"/bin/sh"}, Dir: "/no/such"}, fs.ErrNotExist, `exec "/bin/sh": change to directory "/no/such": no such file`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.Run(t.Context(), c.spec)
			var start *StartError
			if !errors.As(err, &start) || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v", err)
			}
		})
	}
	for _, spec := range []Spec{{}, {Argv: []string{"a\x00"}}, {Argv: []string{"sh", strings.Repeat("x", ArgvEnvMax)}}} {
		if _, err := r.Run(t.Context(), spec); err == nil {
			t.Error("a bad spec ran")
		}
	}
}

// TestZooAtExit: what a task leaves is dead when Run returns, be it unmarked,
// in a session of its own and without a parent.
func TestZooAtExit(t *testing.T) {
	r := newRunner(t, Options{})
	f, gate := newFifo(t), newFifo(t)
	end := background(t, r, t.Context(), sh(zoo+`read go <"$2"`, f.path, gate.path), f, zooSize)
	if _, err := gate.hold.WriteString("go\n"); err != nil { // the first process waits for it
		t.Fatal(err)
	}
	e := awaitEnd(t, end)
	f.already(t)
	if e.err != nil || e.res.ExitCode != 0 || e.res.Stopped || e.res.Stragglers != 0 || e.res.OutputCut {
		t.Errorf("%v, %+v", e.err, e.res)
	}
}

func TestMany(t *testing.T) {
	r := newRunner(t, Options{})
	f := newFifo(t)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			spec := sh(`exec 9>"$1"; setsid sleep 1000 & sleep 1000 & env -i setsid sleep 1000 & cat; exit `+fmt.Sprint(i), f.path)
			spec.Stdin = fmt.Appendf(nil, "task %d", i)
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			got, err := r.Run(ctx, spec)
			if err != nil || got.ExitCode != i || string(got.Stdout) != string(spec.Stdin) {
				t.Errorf("%d: %v %+v", i, err, got)
			}
		})
	}
	wg.Wait()
	f.already(t)
}

func TestClosed(t *testing.T) {
	r := newRunner(t, Options{})
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), sh("exit 0")); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}
