package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata with what yardctl prints now")

func TestMain(m *testing.M) {
	for _, name := range []string{"YARD_ADDR", "YARD_CONTEXT"} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// ran is what a run of yardctl left.
type ran struct {
	stdout, stderr string
	code           int
}

// runAt runs yardctl at testNow; each pause takes a second. --timeout passes when the coordinator is heard to hang, however fast or slow the machine.
func runAt(ctx context.Context, f *fake, stdin string, args ...string) ran {
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := strings.HasPrefix(stdin, "tty:")
	now := testNow
	a := &app{
		stdin: strings.NewReader(strings.TrimPrefix(stdin, "tty:")), stdout: &ending{&stdout, f, cancel}, stderr: &stderr,
		now: func() time.Time { return now }, reachTimeout: 50 * time.Millisecond,
		isTerminal: func(stream any) bool { _, in := stream.(*strings.Reader); return in && asked },
		pause: func(ctx context.Context, _ time.Duration) error {
			now = now.Add(time.Second)
			return ctx.Err()
		},
		withTimeout: func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
			return untilHung(ctx, f, d)
		},
	}
	code := a.run(ctx, args)
	return ran{stdout.String(), stderr.String(), code}
}

// ending is a run's stdout. It ends the run once a word that says so is printed.
type ending struct {
	*bytes.Buffer
	f         *fake
	interrupt func()
}

func (e *ending) Write(data []byte) (int, error) {
	if bytes.Contains(data, []byte(wordInterrupt)) {
		e.interrupt()
	}
	if bytes.Contains(data, []byte(wordTimeout)) {
		e.f.hung <- struct{}{}
	}
	return e.Buffer.Write(data)
}

// hangs is a context whose deadline passes when the coordinator is known to hang.
type hangs struct {
	context.Context
	deadline time.Time
	done     chan struct{}
	passed   bool // settled before done is closed
}

func untilHung(ctx context.Context, f *fake, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	h := &hangs{Context: ctx, deadline: time.Now().Add(d), done: make(chan struct{})}
	go func() {
		select {
		case <-f.hung:
			h.passed = true
		case <-ctx.Done():
		}
		close(h.done)
	}()
	return h, cancel
}

func (h *hangs) Deadline() (time.Time, bool) { return h.deadline, true }
func (h *hangs) Done() <-chan struct{}       { return h.done }

func (h *hangs) Err() error {
	select {
	case <-h.done:
		if h.passed {
			return context.DeadlineExceeded
		}
		return h.Context.Err()
	default:
		return nil
	}
}

// TestTranscripts replays the sessions in testdata: after each "$ yardctl …" stands what it prints to stdout, then to
// stderr (marked "! "), then its exit code unless that is 0. A last word <TEXT is stdin; <tty:TEXT is typed at a terminal.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f, address := serve(t)
			t.Setenv("YARD_ADDR", address)
			dir := t.TempDir()
			t.Setenv("XDG_CONFIG_HOME", dir)
			got := replay(t, f, string(want))
			got = strings.NewReplacer(address, "ADDRESS", dir, "CONFIG").Replace(got)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s is no longer what yardctl prints (go test -update rewrites it):\n%s", path, firstDifference(got, string(want)))
			}
		})
	}
}

func replay(t *testing.T, f *fake, transcript string) string {
	var out strings.Builder
	for line := range strings.Lines(transcript) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			fmt.Fprintln(&out, line)
		}
		command, ok := strings.CutPrefix(line, "$ yardctl ")
		if !ok {
			continue
		}
		words, stdin := split(t, command)
		r := runAt(t.Context(), f, stdin, words...)
		fmt.Fprintln(&out, line)
		out.WriteString(r.stdout)
		if r.stdout != "" && !strings.HasSuffix(r.stdout, "\n") {
			out.WriteString("[no newline]\n")
		}
		for said := range strings.Lines(r.stderr) {
			out.WriteString("! " + said)
		}
		if r.code != 0 {
			fmt.Fprintf(&out, "exit code %d\n", r.code)
		}
		out.WriteString("\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// split splits a command line at spaces outside of single quotes.
func split(t *testing.T, line string) (words []string, stdin string) {
	quoted := strings.Split(line, "'")
	if len(quoted)%2 == 0 {
		t.Fatalf("a quote is left open: %s", line)
	}
	word, open := "", false
	end := func() {
		if open {
			words = append(words, word)
		}
		word, open = "", false
	}
	for i, part := range quoted {
		if i%2 == 1 {
			word, open = word+part, true
			continue
		}
		for j, piece := range strings.Split(part, " ") {
			if j > 0 {
				end()
			}
			if piece != "" {
				word, open = word+piece, true
			}
		}
	}
	end()
	if last := len(words) - 1; last >= 0 && strings.HasPrefix(words[last], "<") {
		stdin = strings.ReplaceAll(words[last][1:], `\n`, "\n")
		words = words[:last]
	}
	return words, stdin
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(end)", "(end)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return fmt.Sprintf("line %d:\n  printed %q\n  want    %q", i+1, a, b)
		}
	}
	return "no difference"
}
