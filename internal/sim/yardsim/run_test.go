package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/internal/sim"
)

func TestRun(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"-seeds 3 -from 5 -steps 200 -j 2", exitClean, "seeds=3 "},
		{"-seed 7 -steps 100", exitClean, "seeds=1 "},
		{"-seed 7 -steps 100 -trace", exitClean, "the world is calm"},
		{"-steps 0", exitUsage, "want at least 1"},
		{"-nonsense", exitUsage, "nonsense"},
	} {
		var out bytes.Buffer
		if code := run(strings.Fields(test.args), &out, &out); code != test.code || !strings.Contains(out.String(), test.want) {
			t.Errorf("yardsim %s: exit code %d, want %d with %q; it says\n%s", test.args, code, test.code, test.want, out.String())
		}
	}
}

// TestSummaryTellsFailures: a violation, and a seed that injected nothing though its plan had faults, end in exit code 1.
func TestSummaryTellsFailures(t *testing.T) {
	for name, r := range map[string]sim.Result{
		"violation": {Seed: 7, Failure: &sim.Violation{Invariant: sim.InvTokens, Text: "token 1 again"}},
		"invalid":   {Seed: 7, Faults: true},
	} {
		var out bytes.Buffer
		s := newSummary()
		s.add(&r)
		if code := s.finish(&settings{steps: 100}, &out); code != exitFailure {
			t.Errorf("%s: exit code %d; it says\n%s", name, code, out.String())
		}
	}
	var out bytes.Buffer
	tell(&sim.Result{Seed: 7, Failure: &sim.Violation{Invariant: sim.InvTokens}}, &settings{steps: 100}, &out)
	if !strings.Contains(out.String(), "make sim SEED=7 STEPS=100") {
		t.Errorf("a failure is told as %s", out.String())
	}
}
