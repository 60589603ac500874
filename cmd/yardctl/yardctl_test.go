package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return lis.Addr().String()
}

func TestUnreachableCoordinatorNamesTheCure(t *testing.T) {
	address := closedPort(t)
	for _, args := range [][]string{{"submit", "ok"}, {"task", "get", "1"}, {"await", "1"}, {"cluster", "status"}, {"task", "retry", "1"},
		{"task", "cancel", "--all", "--yes"}, {"task", "watch"}, {"task", "watch", "1"}, {"task", "timeline", "1"},
		{"queue", "purge", "mail", "--yes"}, {"queue", "explain", "mail"}, {"top"}, {"top", "-o", "json"}} {
		r := runAt(t.Context(), new(fake), "", append(args, "--addr", address)...)
		const cure = "\n  Is it running there? Set --addr or YARD_ADDR.\n"
		if r.code != exitFailed || !strings.Contains(r.stderr, "cannot reach the coordinator at "+address) ||
			!strings.Contains(r.stderr, "connection refused") || !strings.HasSuffix(r.stderr, cure) || r.stdout != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestInterruptedWait(t *testing.T) {
	f, address := serve(t)
	t.Setenv("YARD_ADDR", address)
	runAt(t.Context(), f, "", "submit", "hang")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-f.hung
		cancel()
	}()
	r := runAt(ctx, f, "", "await", "1")
	if r.code != exitFailed || r.stderr != "yardctl: await task 1: interrupted\n" {
		t.Errorf("%+v", r)
	}
}

func TestContexts(t *testing.T) {
	_, address := serve(t)
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	path := filepath.Join(config, "yardmaster", "contexts.yaml")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	nobody := closedPort(t)
	write("current: dev\ncontexts:\n  dev:\n    addresses: [" + address + "]\n  prod:\n    addresses: [" + nobody + "]\n  none: {}\n")
	for _, test := range []struct {
		name          string
		addr, context string // environment
		args          []string
		code          int
		says          string
	}{
		{name: "the current context", code: exitDone},
		{name: "the environment before the file", addr: nobody, code: exitFailed, says: nobody},
		{name: "a context by the environment", context: "prod", code: exitFailed, says: nobody},
		{name: "a flag before the environment", addr: nobody, args: []string{"--context", "dev"}, code: exitDone},
		{name: "an address before all", addr: nobody, context: "prod", args: []string{"--addr", address}, code: exitDone},
		{name: "no such context", args: []string{"--context", "x"}, code: exitUsage, says: `has no context "x"; it has: dev, none, prod`},
		{name: "a context of nothing", args: []string{"--context", "none"}, code: exitUsage, says: "names no addresses"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("YARD_ADDR", test.addr)
			t.Setenv("YARD_CONTEXT", test.context)
			r := runAt(t.Context(), new(fake), "", append([]string{"queue", "list"}, test.args...)...)
			if r.code != test.code || !strings.Contains(r.stderr, test.says) {
				t.Errorf("%+v", r)
			}
		})
	}
	write("present: dev\n")
	if r := runAt(t.Context(), new(fake), "", "queue", "list"); r.code != exitUsage || !strings.Contains(r.stderr, "present") {
		t.Errorf("a misspelt field: %+v", r)
	}
}

// The contexts file is for its user's eyes, and nothing else is left beside it.
func TestContextsFile(t *testing.T) {
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	for range 2 {
		if r := runAt(t.Context(), new(fake), "", "context", "set", "prod", "10.0.0.1:7420"); r.code != exitDone {
			t.Fatalf("%+v", r)
		}
	}
	files, err := os.ReadDir(filepath.Join(config, "yardmaster"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	info, err := files[0].Info()
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// Every verb has a summary and an example, and every flag says what it is for.
func TestEveryVerbIsExplained(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			return // cobra's own
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its Short is %q; write a summary without a full stop", cmd.CommandPath(), cmd.Short)
		}
		if !cmd.HasSubCommands() && !strings.HasPrefix(cmd.Example, "  yardctl ") {
			t.Errorf("%s: its Example is %q; show how it is used, indented by two", cmd.CommandPath(), cmd.Example)
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(newRoot(&app{}))
}

func TestHelpVersionAndCompletion(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{nil, "Nouns:"},
		{[]string{"task"}, "explain     Say why"},
		{[]string{"submit", "--help"}, "yardctl submit --batch tasks.jsonl --wait"},
		{[]string{"version"}, "yardctl "},
		{[]string{"--version"}, "yardctl "},
		{[]string{"completion", "bash"}, "bash completion"},
		{[]string{"completion", "fish"}, "fish completion"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(test.args, strings.NewReader(""), &stdout, &stderr); code != exitDone ||
			!strings.Contains(stdout.String(), test.says) || stderr.Len() > 0 {
			t.Errorf("%v: exit code %d, stderr %q, stdout %.200q", test.args, code, stderr.String(), stdout.String())
		}
	}
}

// Counting says nothing for its first second, and going through says of how many.
func TestProgressOfABulk(t *testing.T) {
	var stderr bytes.Buffer
	now := testNow
	a := &app{stderr: &stderr, now: func() time.Time { return now }, isTerminal: func(any) bool { return true }}
	counting := a.newProgress("counted")
	counting.quiet = bulkQuietUntil
	now = now.Add(999 * time.Millisecond)
	counting.add(1000)
	if stderr.Len() != 0 {
		t.Errorf("in its first second it says %q", stderr.String())
	}
	now = now.Add(time.Millisecond)
	counting.add(1000)
	counting.end()
	going := a.newProgress("cancelled")
	going.of = 2000
	now = now.Add(time.Second)
	going.add(500)
	going.end()
	const want = "\rcounted 2,000 tasks in 1s (2,000/s)\x1b[K\rcounted 2,000 tasks in 1s (2,000/s)\x1b[K\n" +
		"\rcancelled 500 of 2,000 tasks in 1s (500/s)\x1b[K\rcancelled 500 of 2,000 tasks in 1s (500/s)\x1b[K\n"
	if stderr.String() != want {
		t.Errorf("says %q, want %q", stderr.String(), want)
	}
}

// A purge or bulk of more than a request takes goes in requests of 1,000, and ends though new tasks come all the time.
func TestBulkInBoundedPages(t *testing.T) {
	f, address := serve(t)
	t.Setenv("YARD_ADDR", address)
	f.looks, f.growing = 5_000, true
	for range 2_500 {
		f.tasks = append(f.tasks, &yardmasterv1.TaskSpec{Kind: "wait"})
	}
	r := runAt(t.Context(), f, "", "task", "cancel", "--kind", "wait", "--yes")
	if r.code != exitDone || r.stdout != "RESULT  TASKS\ndone    2,500\n" || !strings.HasPrefix(r.stderr, "2,500 tasks match: ") {
		t.Errorf("%+v", r)
	}
	if want := []int{1000, 1000, 500}; !slices.Equal(f.requests, want) {
		t.Errorf("requests of %v tasks, want %v", f.requests, want)
	}
}

// A pipe that closes early is a failure, not a success.
func TestOutputThatCannotBeWritten(t *testing.T) {
	_, address := serve(t)
	for _, args := range [][]string{{"submit", "ok"}, {"queue", "list"}, {"queue", "list", "-o", "json"}, {"cluster", "status"}} {
		var stderr bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: brokenPipe{}, stderr: &stderr, now: time.Now,
			withTimeout: context.WithTimeout, isTerminal: isTerminal, reachTimeout: time.Second}
		if code := a.run(t.Context(), append(args, "--addr", address)); code != exitFailed || !strings.Contains(stderr.String(), "broken pipe") {
			t.Errorf("%v: exit code %d, stderr %q", args, code, stderr.String())
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestProgressOfALongSubmit(t *testing.T) {
	var stderr bytes.Buffer
	now := testNow
	a := &app{stderr: &stderr, now: func() time.Time { return now }, isTerminal: isTerminal}
	p := a.newProgress("submitted")
	p.add(1000)
	now = now.Add(time.Second)
	p.add(1000)
	if p.end(); stderr.Len() != 0 {
		t.Errorf("a short submit says %q", stderr.String())
	}
	now = now.Add(9 * time.Second)
	p.add(10_345)
	now = now.Add(2 * time.Second)
	p.add(1)
	p.end()
	const want = "submitted 12,345 tasks in 10s (1,234/s)\nsubmitted 12,346 tasks in 12s (1,028/s)\n"
	if stderr.String() != want {
		t.Errorf("says %q, want %q", stderr.String(), want)
	}
}

func TestWords(t *testing.T) {
	a := &app{now: func() time.Time { return testNow }}
	for got, want := range map[string]string{
		span(1500 * time.Microsecond):               "1ms",
		span(9999 * time.Millisecond):               "9.9s",
		span(59 * time.Second):                      "59s",
		span(60 * time.Second):                      "1m",
		span(3*time.Hour + 59*time.Minute + 1):      "3h59m",
		span(400 * 24 * time.Hour):                  "400d",
		a.ago(timestamppb.New(testNow)):             "0s ago",
		a.ago(ago(-90 * time.Minute)):               "in 1h30m",
		a.ago(nil):                                  "",
		size(1023):                                  "1023 B",
		size(1536):                                  "1.5 KiB",
		size(1 << 60):                               "1.0 EiB",
		number(999):                                 "999",
		number(uint64(1000)):                        "1,000",
		number(1234567):                             "1,234,567",
		glance([]byte("one\ntwo"), 10):              "one…",
		glance([]byte("ünïcödé"), 3):                "ünï…",
		glance([]byte{0xff}, 10):                    "1 B of data",
		glance([]byte("a\x1b[31mred"), 10):          "a…",
		plural(1, "task", "tasks"):                  "1 task",
		someIDs([]uint64{1, 2}):                     "1, 2",
		pairs(map[string]string{"b": "1", "a": ""}): "a=,b=1",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for text, want := range map[string]time.Duration{"7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "90s": 90 * time.Second, "-5m": -5 * time.Minute} {
		if d, err := parseDuration(text); err != nil || d != want {
			t.Errorf("%q is %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "7days", "-1d", "1d-12h", "9999999d", "abc"} {
		if d, err := parseDuration(text); err == nil {
			t.Errorf("%q is taken for %v", text, d)
		}
	}
}
