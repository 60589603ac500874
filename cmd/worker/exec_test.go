package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/internal/execrun"
	"github.com/yardmaster/yardmaster/worker"
)

func newRunner(t *testing.T) *execrun.Runner {
	t.Helper()
	r := execrun.New(execrun.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

func testTask(payload string) *worker.Task {
	return &worker.Task{ID: 12, Token: 34, Attempt: 2, Generation: 3, Kind: "k", Queue: "q", Payload: []byte(payload)}
}

// sh is a handler that runs a script.
func sh(t *testing.T, r *execrun.Runner, script string, spec execSpec) *execHandler {
	t.Helper()
	spec.Argv = []string{"/bin/sh", "-c", script}
	return newExecHandler(&spec, r, time.Second, os.LookupEnv)
}

func TestArgv(t *testing.T) {
	h := newExecHandler(&execSpec{Argv: []string{"{task}", "{task}", "a{token}b{attempt}", "{generation}{generation}", "{other}", "$TASK", "${task}"}},
		nil, 0, os.LookupEnv)
	task := testTask("{task} --flag $(payload)")
	want := []string{"{task}", "12", "a34b2", "33", "{other}", "$TASK", "${task}"}
	for range 2 { // the template is never changed
		if got := h.argv(task); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	have := map[string]string{"PATH": "/bin", "HOME": "/root", "SECRET": "s", "LANG": ""}
	lookup := func(name string) (string, bool) { v, ok := have[name]; return v, ok }
	own := []string{"YARD_TASK=12", "YARD_TOKEN=34", "YARD_ATTEMPT=2", "YARD_GENERATION=3", "YARD_KIND=k", "YARD_QUEUE=q"}
	for _, c := range []struct {
		name string
		spec execSpec
		want []string
	}{
		{"default", execSpec{}, []string{"HOME=/root", "LANG=", "PATH=/bin"}},
		{"none", execSpec{PassEnv: []string{}}, nil},
		{"named", execSpec{PassEnv: []string{"SECRET", "MISSING"}}, []string{"SECRET=s"}},
		{"added", execSpec{PassEnv: []string{"PATH"}, Env: map[string]string{"B": "2", "A": "$PATH"}}, []string{"A=$PATH", "B=2", "PATH=/bin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newExecHandler(&c.spec, nil, 0, lookup)
			for range 2 {
				if got, want := h.environment(testTask("")), append(slices.Clone(c.want), own...); !slices.Equal(got, want) {
					t.Errorf("%q\nwant %q", got, want)
				}
			}
		})
	}
}

func TestExec(t *testing.T) {
	r := newRunner(t)
	dir := t.TempDir()
	t.Run("stdin, stdout, directory, environment", func(t *testing.T) {
		h := sh(t, r, `cat; pwd; echo "$YARD_TASK $YARD_TOKEN $A"`, execSpec{Dir: dir, Env: map[string]string{"A": "b"}})
		got, err := h.Run(t.Context(), testTask("--version; reboot\n"))
		if want := "--version; reboot\n" + dir + "\n12 34 b\n"; err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	})
	for _, c := range []struct {
		name, script string
		want         worker.Failure
	}{
		{"exit code", "echo why >&2; exit 3", worker.Failure{Cause: worker.CauseExit, Message: "exit code 3", ExitCode: 3, Detail: "why\n"}},
		{"permanent exit code", "exit 64", worker.Failure{Cause: worker.CauseExit, Message: "exit code 64", ExitCode: 64, Permanent: true}},
		{"signal", "kill -9 $$", worker.Failure{Cause: worker.CauseExit, Message: "ended by signal SIGKILL", ExitCode: -1, Signal: "SIGKILL"}},
		{"stderr that is no text", `printf 'a\377b' >&2; exit 1`, worker.Failure{Cause: worker.CauseExit, Message: "exit code 1", ExitCode: 1, Detail: "a?b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sh(t, r, c.script, execSpec{PermanentCodes: []int{64}}).Run(t.Context(), testTask(""))
			f, ok := errors.AsType[*worker.Failure](err)
			if !ok || *f != c.want {
				t.Errorf("%+v (%v), want %+v", f, err, c.want)
			}
		})
	}
	t.Run("the largest result, and one byte more", func(t *testing.T) {
		got, err := sh(t, r, "head -c 1048576 /dev/zero", execSpec{}).Run(t.Context(), testTask(""))
		if err != nil || len(got) != worker.ResultBytesMax {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		_, err = sh(t, r, "head -c 1048577 /dev/zero", execSpec{}).Run(t.Context(), testTask(""))
		if err == nil || !strings.Contains(err.Error(), "1048577 bytes") {
			t.Errorf("%v", err)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		h := newExecHandler(&execSpec{Argv: []string{filepath.Join(dir, "none")}}, r, time.Second, os.LookupEnv)
		_, err := h.Run(t.Context(), testTask(""))
		if _, ok := errors.AsType[*execrun.StartError](err); !ok || !strings.Contains(err.Error(), "handlers file") {
			t.Errorf("%v", err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		pipe := filepath.Join(dir, "up")
		ctx, stop := context.WithCancelCause(t.Context())
		h := sh(t, r, `echo last words >&2; : >"$UP"; sleep 1000`, execSpec{Env: map[string]string{"UP": pipe}})
		go func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if _, err := os.Stat(pipe); err == nil {
					stop(worker.ErrCancelled)
					return
				}
			}
		}()
		_, err := h.Run(ctx, testTask(""))
		f, ok := errors.AsType[*worker.Failure](err)
		want := worker.Failure{Message: "ended by signal SIGTERM", ExitCode: -1, Signal: "SIGTERM", Detail: "last words\n"}
		if !ok || *f != want { // why it was stopped is the worker's to say
			t.Errorf("%v, %+v", err, f)
		}
	})
}
