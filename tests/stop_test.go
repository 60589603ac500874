//go:build e2e

package tests

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// Exit codes.
const (
	exitClean      = 0
	exitFailure    = 1
	exitUsage      = 2
	exitStragglers = 6
)

// holding makes a handlers file whose program holds the pipe and doesn't end.
func holding(t *testing.T, pipe *fifo, kind, script string) string {
	t.Helper()
	return writeHandlers(t, fmt.Sprintf("handlers:\n- kind: %s\n  exec:\n    argv: [/bin/sh, -c, %q, sh, %s]\n", kind, `exec 9>"$1"; `+script, pipe.path))
}

// TestWorkerStops: SIGTERM in the midst of tasks hands them back uncharged, they run elsewhere, and the exit code is 0.
func TestWorkerStops(t *testing.T) {
	t.Parallel()
	const tasks = 3
	c := startCoordinator(t)
	cl := c.client()
	pipe := newFifo(t)
	w := startWorker(t, c.addr, "leaver", holding(t, pipe, "long", "trap '' TERM; echo up >&9; while :; do sleep 1000 & wait $!; done"),
		"--slots", "2", "--drain-timeout", "200ms", "--kill-grace", "300ms")
	ids := submit(t, cl, repeated(client.Task{Kind: "long"}, tasks)...)
	pipe.lines(t, 2)
	inState(t, cl, client.Running, ids[:2]...)
	began := time.Now()
	w.signal(syscall.SIGTERM)
	if code := w.exit(); code != exitClean {
		t.Errorf("exit code %d, want %d", code, exitClean)
	}
	t.Logf("a worker with two programs that ignore SIGTERM stopped in %s", time.Since(began).Round(time.Millisecond))
	pipe.ends(t)
	for _, task := range inState(t, cl, client.Pending, ids...) {
		if task.GetAttempts() != 0 || task.GetWorkerLosses() != 0 {
			t.Errorf("task %d was charged: %d attempts, %d losses", task.GetId(), task.GetAttempts(), task.GetWorkerLosses())
		}
	}
	startWorker(t, c.addr, "heir", writeHandlers(t, "handlers:\n- kind: long\n  exec: {argv: [/bin/echo, ok]}\n"), "--slots", "2")
	for _, out := range outcomes(t, cl, ids) {
		if out.State != client.Succeeded || out.Attempts != 1 || out.Worker != "heir" {
			t.Errorf("task %d ended %+v", out.ID, out)
		}
	}
}

// TestWorkerDrains: tasks that end within the drain timeout count, and nothing new is taken.
func TestWorkerDrains(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	gate := filepath.Join(t.TempDir(), "gate")
	w := sdkWorker{Coordinator: c.addr, Name: "leaver", Ledger: book.socket, Slots: 2, Gate: gate, Drain: time.Minute}.start(t)
	ids := submit(t, cl, repeated(client.Task{Kind: "gated"}, 2)...)
	inState(t, cl, client.Running, ids...)
	w.signal(syscall.SIGTERM)
	w.says("stopping")
	late := submit(t, cl, client.Task{Kind: "gated"})
	open(t, gate)
	for _, out := range outcomes(t, cl, ids) {
		if out.State != client.Succeeded || out.Attempts != 1 {
			t.Errorf("task %d ended %+v", out.ID, out)
		}
	}
	if code := w.exit(); code != exitClean {
		t.Errorf("exit code %d, want %d", code, exitClean)
	}
	if task := get(t, cl, late[0]); task.GetState() != client.Pending || task.GetAttempts() != 0 {
		t.Errorf("a task submitted during the drain is %v, %d attempts", task.GetState(), task.GetAttempts())
	}
}

// TestSecondSignalForces: a second SIGTERM leaves no time; the exit code is 6 and says what was cut.
func TestSecondSignalForces(t *testing.T) {
	t.Parallel()
	c := startCoordinator(t)
	cl := c.client()
	pipe := newFifo(t)
	w := startWorker(t, c.addr, "stubborn", holding(t, pipe, "long", "trap '' TERM; echo up >&9; while :; do sleep 1000 & wait $!; done"),
		"--slots", "1", "--drain-timeout", "10m", "--kill-grace", "2s")
	id := submit(t, cl, client.Task{Kind: "long"})[0]
	pipe.lines(t, 1)
	inState(t, cl, client.Running, id)
	w.signal(syscall.SIGTERM)
	w.says("signal received")
	w.says("stopping")
	began := time.Now()
	w.signal(syscall.SIGTERM)
	if code := w.exit(); code != exitStragglers {
		t.Errorf("exit code %d, want %d", code, exitStragglers)
	}
	took := time.Since(began)
	pipe.ends(t)
	t.Logf("exit code 6 after %s; %s", took.Round(time.Millisecond), w.says("straggler"))
	if took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	task := inState(t, cl, client.Pending, id)[0]
	if task.GetAttempts() != 0 {
		t.Errorf("the task was charged: %d attempts", task.GetAttempts())
	}
}

// TestCoordinatorStops: SIGTERM ends it with code 0 while workers run tasks; all is there when it starts again, and the
// tasks go on.
func TestCoordinatorStops(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	gate := filepath.Join(t.TempDir(), "gate")
	w := sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 2, Gate: gate}.start(t)
	running := submit(t, cl, repeated(client.Task{Kind: "gated"}, 2)...)
	before := inState(t, cl, client.Running, running...)
	pending := submit(t, cl, client.Task{Kind: "nobody", Payload: []byte("kept"), Priority: 7, Labels: map[string]string{"a": "b"}})[0]
	delayed := submit(t, cl, client.Task{Kind: "nobody", Delay: time.Hour})[0]
	wait := make(chan *client.Outcome, 1)
	ctx := bounded(t)
	go func() {
		out, err := cl.Await(ctx, running[0]) // goes on over the restart
		if err != nil {
			t.Errorf("await over the restart: %v", err)
		}
		wait <- out
	}()
	if code := c.stop(); code != exitClean {
		t.Errorf("exit code %d, want %d", code, exitClean)
	}
	c.proc.says("stopped", "exit_code=0")
	if code, out := run(t, program("coordinator"), "check", "--data-dir", c.data); code != 0 {
		t.Errorf("coordinator check: exit code %d\n%s", code, out)
	}
	c.start()
	w.says("session resumed", "running=2")
	open(t, gate)
	for i, out := range outcomes(t, cl, running) {
		if out.State != client.Succeeded || out.Attempts != 1 || out.Token != before[i].GetLease().GetToken() {
			t.Errorf("task %d ended %+v", out.ID, out)
		}
	}
	received(t, "the outcome awaited before the restart", wait)
	task, err := cl.GetWithPayload(bounded(t), pending)
	if err != nil || task.GetState() != client.Pending || string(task.GetPayload()) != "kept" || task.GetPriority() != 7 || task.GetLabels()["a"] != "b" {
		t.Errorf("%v, %v", task, err)
	}
	if task := get(t, cl, delayed); task.GetState() != client.Scheduled {
		t.Errorf("the delayed task is %v", task.GetState())
	}
	judged(t, cl, book, running)
	w.signal(syscall.SIGTERM)
	if code := w.exit(); code != exitClean {
		t.Errorf("the worker's exit code is %d", code)
	}
}

// TestRefusedStarts: what is wrong is told with the flag and the cure, and by the exit code.
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	c := startCoordinator(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	fresh := func() string { return filepath.Join(t.TempDir(), "data") }
	good := writeHandlers(t, "handlers:\n- kind: a\n  exec: {argv: [/bin/true]}\n")
	bad := writeHandlers(t, "handlers:\n- kind: A\n  exec: {argv: [\"/bin/{task}\"], shell: yes}\n")
	worse := writeHandlers(t, "handlers:\n- kind: A\n  exec: {argv: [\"/bin/{task}\"]}\n- kind: b\n")
	coordinator := func(args ...string) []string { return append([]string{program("coordinator")}, args...) }
	worker := func(args ...string) []string { return append([]string{program("worker")}, args...) }
	for _, x := range []struct {
		name string
		code int
		argv []string
		says []string
	}{
		{"unknown flag", exitUsage, coordinator("--wrong"), []string{"--wrong"}},
		{"an argument", exitUsage, coordinator("serve"), []string{`"serve"`, "--help"}},
		{"beyond loopback", exitUsage, coordinator("--data-dir", fresh(), "--listen", "0.0.0.0:0"), []string{"--listen", "127.0.0.1", "--insecure-listen"}},
		{"beyond loopback by name", exitUsage, coordinator("--data-dir", fresh(), "--listen", ":7420"), []string{"--listen", "--insecure-listen"}},
		{"admin beyond loopback", exitUsage, coordinator("--data-dir", fresh(), "--admin-listen", "[::]:0"), []string{"--admin-listen", "--insecure-listen"}},
		{"no port", exitUsage, coordinator("--listen", "127.0.0.1"), []string{"--listen", "HOST:PORT"}},
		{"all that is wrong at once", exitUsage, coordinator("--session-ttl", "1s", "--log-format", "xml", "--log-segment-bytes", "1"),
			[]string{"--session-ttl", "2s", "--log-format", "text or json", "--log-segment-bytes", "65536"}},
		{"not a duration", exitUsage, coordinator("--session-ttl", "soon"), []string{"--session-ttl"}},
		{"port taken", exitFailure, coordinator("--data-dir", fresh(), "--listen", taken.Addr().String()), []string{"--listen", "port 0"}},
		{"admin port taken", exitFailure, coordinator("--data-dir", fresh(), "--listen", "127.0.0.1:0", "--admin-listen", taken.Addr().String()),
			[]string{"--admin-listen", "choose another"}},
		{"data directory locked", exitFailure, coordinator("--data-dir", c.data, "--listen", "127.0.0.1:0", "--admin-listen", ""),
			[]string{"another coordinator"}},
		{"check of a directory in use", exitFailure, coordinator("check", "--data-dir", c.data), []string{"another coordinator"}},
		{"check of nothing", exitFailure, coordinator("check", "--data-dir", fresh()), []string{"coordinator check"}},
		{"worker: no handlers", exitUsage, worker(), []string{"--handlers", "name the file"}},
		{"worker: no such file", exitUsage, worker("--handlers", "/no/such"), []string{"--handlers", "/no/such"}},
		{"worker: unknown key", exitUsage, worker("--handlers", bad), []string{"--handlers", "shell", "line 3"}},
		{"worker: all that is wrong in the file", exitUsage, worker("--handlers", worse), []string{`kind "A"`, "exec.argv[0]", "say exec or http"}},
		{"worker: label", exitUsage, worker("--handlers", good, "--label", "x"), []string{"--label", "K=V"}},
		{"worker: name", exitUsage, worker("--handlers", good, "--name", "Big Name"), []string{"name", "Big Name"}},
		{"worker: slots", exitUsage, worker("--handlers", good, "--slots", "-1"), []string{"--slots"}},
		{"worker: unknown flag", exitUsage, worker("--exec", "sh"), []string{"--exec"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			code, out := run(t, x.argv...)
			if code != x.code {
				t.Errorf("exit code %d, want %d", code, x.code)
			}
			for _, want := range x.says {
				if !strings.Contains(out, want) {
					t.Errorf("no %q", want)
				}
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
	if code, out := c.yardctl("cluster", "status"); code != 0 { // unharmed by its neighbours
		t.Errorf("exit code %d: %s", code, out)
	}
}

// TestInsecureListen: beyond loopback only when asked to.
func TestInsecureListen(t *testing.T) {
	t.Parallel()
	code, out := run(t, program("coordinator"), "--listen", "0.0.0.0:0", "--insecure-listen", "--check-config")
	if code != exitClean {
		t.Errorf("exit code %d: %s", code, out)
	}
}
