package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/yardmaster/yardmaster/internal/execrun"
	"github.com/yardmaster/yardmaster/worker"
)

// execHandler runs a program for each task.
type execHandler struct {
	spec   *execSpec
	runner *execrun.Runner
	grace  time.Duration
	env    []string // what is the same for every task
	// progress: the programs report it.
	progress bool
}

func newExecHandler(spec *execSpec, runner *execrun.Runner, grace time.Duration, lookup func(string) (string, bool)) *execHandler {
	h := &execHandler{spec: spec, runner: runner, grace: grace}
	pass := spec.PassEnv
	if pass == nil {
		pass = passEnvDefault
	}
	for _, name := range pass {
		if v, ok := lookup(name); ok {
			h.env = append(h.env, name+"="+v)
		}
	}
	for name, v := range spec.Env {
		h.env = append(h.env, name+"="+v)
	}
	slices.Sort(h.env)
	if h.grace == 0 {
		h.grace = -1 // none
	}
	return h
}

// Run implements worker.HandlerFunc.
func (h *execHandler) Run(ctx context.Context, t *worker.Task) ([]byte, error) {
	spec := execrun.Spec{
		Argv: h.argv(t), Dir: h.spec.Dir, Env: h.environment(t), Stdin: t.Payload, StdoutMax: worker.ResultBytesMax,
		KillGrace: h.grace, KillNow: t.Killed(),
	}
	if h.progress {
		spec.Progress = (&reporter{say: t.Progress, warn: func(line []byte, why error) {
			t.Logger().Warn("a line of progress was ignored, as all like it will be", "line", strconv.Quote(string(line)), "why", why)
		}}).line
	}
	res, err := h.runner.Run(ctx, spec)
	if res.Stragglers != 0 {
		t.Logger().Warn("processes could not be ended", "left", res.Stragglers)
	}
	if err != nil {
		return nil, h.failed(err, &res)
	}
	switch {
	case res.Signal != "":
		return nil, exitFailure("ended by signal "+res.Signal, &res)
	case res.ExitCode != 0:
		f := exitFailure(fmt.Sprintf("exit code %d", res.ExitCode), &res)
		f.Permanent = slices.Contains(h.spec.PermanentCodes, res.ExitCode)
		return nil, f
	case res.StdoutTruncated:
		return nil, worker.Permanent(fmt.Errorf("stdout has %d bytes, a result at most %d (1 MiB): store it elsewhere and print where it is",
			res.StdoutSize, worker.ResultBytesMax))
	}
	return res.Stdout, nil
}

func exitFailure(message string, res *execrun.Result) *worker.Failure {
	return &worker.Failure{
		Cause: worker.CauseExit, Message: message, ExitCode: res.ExitCode, Signal: res.Signal,
		Detail: strings.ToValidUTF8(string(res.StderrTail), "?"),
	}
}

// failed is a run that didn't end by itself, or didn't begin. A program that isn't there is worth a retry: it may be
// installed, or be there on another worker.
func (h *execHandler) failed(err error, res *execrun.Result) error {
	var start *execrun.StartError
	if errors.As(err, &start) {
		return fmt.Errorf("%w: does the handlers file name the right program?", err)
	}
	f := exitFailure(err.Error(), res)
	f.Cause = worker.CauseError
	if res.Stopped { // why is the worker's to say
		f.Message = fmt.Sprintf("exit code %d", res.ExitCode)
		if res.Signal != "" {
			f.Message = "ended by signal " + res.Signal
		}
	}
	return f
}

// argv fills in the template. What is filled in are numbers given by the coordinator.
func (h *execHandler) argv(t *worker.Task) []string {
	values := map[string]string{
		"{task}": strconv.FormatUint(t.ID, 10), "{token}": strconv.FormatUint(t.Token, 10),
		"{attempt}": strconv.Itoa(t.Attempt), "{generation}": strconv.Itoa(t.Generation),
	}
	argv := slices.Clone(h.spec.Argv)
	for i := 1; i < len(argv); i++ {
		argv[i] = placeholder.ReplaceAllStringFunc(argv[i], func(p string) string {
			if v, ok := values[p]; ok {
				return v
			}
			return p
		})
	}
	return argv
}

func (h *execHandler) environment(t *worker.Task) []string {
	return append(slices.Clip(h.env),
		"YARD_TASK="+strconv.FormatUint(t.ID, 10), "YARD_TOKEN="+strconv.FormatUint(t.Token, 10),
		"YARD_ATTEMPT="+strconv.Itoa(t.Attempt), "YARD_GENERATION="+strconv.Itoa(t.Generation),
		"YARD_KIND="+t.Kind, "YARD_QUEUE="+t.Queue)
}
