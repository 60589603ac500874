package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// scripted is a program that is caught by some seeds.
type scripted struct {
	bad func(seed uint64) bool
	err error
}

func (s scripted) Seeded() bool { return true }

func (s scripted) Try(_ context.Context, seed uint64) (Verdict, error) {
	return Verdict{Caught: s.bad(seed), By: "6", Text: "said"}, s.err
}

func TestHunt(t *testing.T) {
	r := &Runner{From: []uint64{1, 101, 201}, Seeds: 50, Limit: time.Minute, Jobs: 2}
	var res Result
	caught := scripted{bad: func(seed uint64) bool { return seed == 4 || seed == 101 || seed == 250 || seed == 300 }}
	if err := r.hunt(t.Context(), caught, &res); err != nil {
		t.Fatal(err)
	}
	if !res.Good() || !slices.Equal(res.Seeds, []int{4, 1, 50}) || res.Looked != 54+1 || res.Median != 4 || res.Worst != 50 || !slices.Equal(res.By, []string{"6"}) {
		t.Errorf("caught everywhere: %+v", res)
	}
	res = Result{}
	some := scripted{bad: func(seed uint64) bool { return seed == 4 || seed == 251 }}
	if err := r.hunt(t.Context(), some, &res); err != nil || res.Good() || res.Caught != 1 || res.Tried != 3 {
		t.Errorf("caught from one starting point: %+v, %v", res, err)
	}
	broken := errors.New("broken")
	if err := r.hunt(t.Context(), scripted{caught.bad, broken}, &Result{}); !errors.Is(err, broken) {
		t.Errorf("a program that can't be run: %v", err)
	}
}

func TestHuntEndsInTime(t *testing.T) {
	r := &Runner{From: []uint64{1}, Seeds: 1 << 40, Limit: 20 * time.Millisecond, Jobs: 1}
	var res Result
	never := scripted{bad: func(uint64) bool { return false }}
	if err := r.hunt(t.Context(), never, &res); err != nil || res.Good() || res.Tried != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		ran  ran
		want Verdict
		err  string
	}{
		{ran{}, Verdict{}, ""},
		{ran{status: 1, text: "seed 7\nviolated: invariant 6 (fence): token 3\n"}, Verdict{true, "6", "violated: invariant 6 (fence): token 3"}, ""},
		{ran{status: 1, text: "--- FAIL: TestX\n"}, Verdict{true, "", "--- FAIL: TestX"}, ""},
		{ran{status: 2, text: "seed 7\npanic: scheduler: index misses a row\n\ngoroutine 1"}, Verdict{true, "panic", "panic: scheduler: index misses a row"}, ""},
		{ran{status: -1}, Verdict{true, "hang", "it doesn't end"}, ""},
		{ran{status: 2, text: "flag provided but not defined"}, Verdict{}, "not defined"},
		{ran{err: context.Canceled}, Verdict{}, "canceled"},
	} {
		got, err := c.ran.verdict()
		if got != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%+v: %+v, %v", c.ran, got, err)
		}
	}
}

// The house of a small simulator, which fails from seed 3 on if its limit isn't 5.
var house = map[string]string{
	"go.mod":     "module small\n\ngo 1.26\n",
	"lim/lim.go": "package lim\n\n// Max is the most.\nconst Max = 5\n",
	"yardsim/main.go": `package main

import (
	"os"

	"small/lim"
)

func main() {
	if lim.Max != 5 && os.Args[2] >= "3" || lim.Max == 9 {
		println("seed", os.Args[2], "violates invariant 10: too many")
		os.Exit(1)
	}
}
`,
	"bugs/caught.mutant":  "bug: a bug\nbreaks: 10\nsim: yes\n=== lim/lim.go\n--- find\nconst Max = 5\n--- put\nconst Max = 6\n--- end\n",
	"bugs/unseen.mutant":  "bug: no bug to this simulator\nbreaks: 10\nsim: yes\n=== lim/lim.go\n--- find\nconst Max = 5\n--- put\nconst Max = 4 + 1\n--- end\n",
	"bugs/unbuilt.mutant": "bug: an error\nbreaks: 10\nsim: yes\n=== lim/lim.go\n--- find\nconst Max = 5\n--- put\nconst Max = none\n--- end\n",
	"bugs/stale.mutant":   "bug: of an older product\nbreaks: 10\nsim: yes\n=== lim/lim.go\n--- find\nconst Max = 7\n--- put\nconst Max = 6\n--- end\n",
}

func furnish(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range house {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRun runs the program on a small repository, with the real go tool.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs; not with -short")
	}
	dir := furnish(t)
	program := func(args ...string) (status int, results map[string]Result, text string) {
		var out, errOut bytes.Buffer
		args = append([]string{"-root", dir, "-dir", filepath.Join(dir, "bugs"), "-sim", "./yardsim", "-from", "1,2", "-seeds", "4", "-o", "json"}, args...)
		status = run(t.Context(), args, &out, &errOut)
		results = map[string]Result{}
		for line := range bytes.Lines(out.Bytes()) {
			var r Result
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			results[r.Name] = r
		}
		return status, results, errOut.String()
	}

	status, results, text := program()
	if r := results["caught"]; status != 1 || !r.Good() || !slices.Equal(r.Seeds, []int{3, 2}) || !slices.Equal(r.By, []string{"10"}) {
		t.Errorf("caught: status %d, %+v, %s", status, r, text)
	}
	if r := results["unseen"]; r.Good() || r.Error != "" || r.Caught != 0 || r.Tried != 2 {
		t.Errorf("unseen: %+v", r)
	}
	for name, says := range map[string]string{"unbuilt": "doesn't compile", "stale": "stale"} {
		if r := results[name]; r.Good() || !strings.Contains(r.Error, says) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if status, results, _ := program("-only", "caught"); status != 0 || len(results) != 1 {
		t.Errorf("the one that is caught: status %d, %+v", status, results)
	}
	if status, results, _ := program("-only", "[cu]*", "-compile"); status != 1 || results["caught"].Error != "" || results["unbuilt"].Error == "" {
		t.Errorf("-compile: status %d, %+v", status, results)
	}
	sick := filepath.Join(dir, "lim", "lim.go")
	if err := os.WriteFile(sick, []byte("package lim\n\n// Max is the most.\nconst Max = 9\n\nconst other = 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, results, _ := program("-only", "stale"); status != 1 || !strings.Contains(results["stale"].Error, "unmutated product fails") {
		t.Errorf("a product that fails by itself: status %d, %+v", status, results)
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"-from x", "-from"},
		{"-by all", "-by"},
		{"-o yaml", "-o"},
		{"-seeds 0", "more than 0"},
		{"-steps -1", "more than 0"},
		{"more", "no arguments"},
	} {
		var errOut bytes.Buffer
		if status := run(t.Context(), strings.Fields(c.args), &bytes.Buffer{}, &errOut); status != 2 || !strings.Contains(errOut.String(), c.says) {
			t.Errorf("%s: status %d: %s", c.args, status, errOut.String())
		}
	}
}

func TestReport(t *testing.T) {
	var out, end bytes.Buffer
	r := NewReport(&out, "table")
	r.Add(&Result{Name: "good", Breaks: []Invariant{6, 14}, Detector: "sim", Caught: 2, Tried: 2, By: []string{"6"}, Median: 3, Worst: 9, Seconds: 1.25})
	if !r.End(&end) || !strings.Contains(end.String(), "1 of 1 well, the worst after 9 seeds: good") {
		t.Errorf("one good: %s", end.String())
	}
	r.Add(&Result{Name: "half", Bug: "a bug", Breaks: []Invariant{1}, Detector: "sim", Caught: 1, Tried: 2, By: []string{"6"}, Looked: 12})
	r.Add(&Result{Name: "failed", Breaks: []Invariant{1}, Detector: "test", Error: "why\nso"})
	if r.End(&end) {
		t.Error("two bad ones, and all is well")
	}
	for _, want := range []string{"good                           6,14     sim       yes      6                   3      9   1.2s",
		"half                           1        sim       1 of 2", "    not caught in 12 runs: a bug", "error", "    why\n    so"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
