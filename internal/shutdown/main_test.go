package shutdown_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/yardmaster/yardmaster/internal/shutdown"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal collects what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) want(t *testing.T, lines ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.lines, lines) {
		t.Errorf("journal:\n got %q\nwant %q", j.lines, lines)
	}
}

// logBook is a logger's output, read back as JSON.
type logBook struct{ buf bytes.Buffer }

func (b *logBook) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: &b.buf, JSONFormat: true, Level: hclog.Trace})
}

// tasks returns phase/task of each line with the message. Call it only once the
// stop is over.
func (b *logBook) tasks(t *testing.T, message string) []string {
	t.Helper()
	var names []string
	decoder := json.NewDecoder(bytes.NewReader(b.buf.Bytes()))
	for {
		var line map[string]any
		if err := decoder.Decode(&line); err == io.EOF {
			return names
		} else if err != nil {
			t.Fatalf("read log: %v", err)
		}
		if line["@module"] != "shutdown" {
			t.Errorf("log line of module %v", line["@module"])
		}
		if line["@message"] != message {
			continue
		}
		if _, ok := line["age"]; !ok {
			t.Errorf("%q names no age: %v", message, line)
		}
		names = append(names, line["phase"].(string)+"/"+line["task"].(string))
	}
}

func newSequence(opts shutdown.Options) *shutdown.Sequence {
	return shutdown.New(time.Now, opts)
}

// mustGo fails the test if the registration is refused.
func mustGo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("registration: %v", err)
	}
}

// untilStopped heeds the first context.
func untilStopped(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// untilAborted ignores the first context and heeds the second.
func untilAborted(ctx context.Context) error {
	work := shutdown.WorkContext(ctx)
	<-work.Done()
	return context.Cause(work)
}

// until ignores both contexts until release is closed.
func until(release <-chan struct{}) func(context.Context) error {
	return func(context.Context) error {
		<-release
		return nil
	}
}

// takes ignores its context for a while.
func takes(d time.Duration, j *journal, line string) func(context.Context) error {
	return func(context.Context) error {
		<-time.After(d)
		j.add(line)
		return nil
	}
}

func wantCode(t *testing.T, r shutdown.Result, code int) {
	t.Helper()
	if got := r.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d; result %+v", got, code, r)
	}
}

// stragglerNames returns phase/task, with ! after those that ignored the abort.
func stragglerNames(r shutdown.Result) []string {
	var names []string
	for _, g := range r.Stragglers {
		name := g.Phase + "/" + g.Task
		if !g.Returned {
			name += "!"
		}
		names = append(names, name)
	}
	return names
}
