//go:build linux

package execrun

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	MaybeHelper()
	if role := os.Getenv("EXECRUN_TEST_WORKER"); role != "" {
		fakeWorker(role)
	}
	// The race detector lets each process linger for a second otherwise.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// bound is how long anything here may take before the test fails.
const bound = 30 * time.Second

func testEnv() []string { return []string{"PATH=" + os.Getenv("PATH")} }

func sh(script string, args ...string) Spec {
	return Spec{Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...), Env: testEnv()}
}

// newRunner returns a Runner that is closed, and checked to have left nothing,
// at the test's end.
func newRunner(t *testing.T, opt Options) *Runner {
	t.Helper()
	r := New(opt)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		for range 2 {
			if err := r.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		noneLeft(t, fmt.Sprintf("%s-%d-", selfID(), r.number))
	})
	return r
}

// noneLeft fails if a process carries a marker that begins with prefix.
func noneLeft(t *testing.T, prefix string) {
	t.Helper()
	pids, err := listPids()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if v := environValue(pid, markerName); strings.HasPrefix(v, prefix) {
			cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			p, _, _ := readProcess(pid)
			t.Errorf("left behind: %+v %q %s", p, cmd, v)
		}
	}
}

func mustRun(t *testing.T, r *Runner, spec Spec) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	res, err := r.Run(ctx, spec)
	if err != nil {
		t.Fatalf("run: %v, %+v", err, res)
	}
	if res.Stragglers != 0 || res.OutputCut {
		t.Fatalf("stragglers %d, output cut %t", res.Stragglers, res.OutputCut)
	}
	return res
}

// fifo is held open for writing by the processes under test. Its end of file
// proves, without looking at any pid, that they are all gone.
type fifo struct {
	path string
	r    *os.File
	in   *bufio.Reader
	hold *os.File // lets processes come and go until the test waits for the end
}

func newFifo(t *testing.T) *fifo {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	hold, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := &fifo{path: path, r: r, in: bufio.NewReader(r), hold: hold}
	t.Cleanup(func() { _ = r.Close(); _ = hold.Close() })
	return f
}

// await reads n lines: that many processes are up, and hold the fifo open.
func (f *fifo) await(t *testing.T, n int) (lines []string) {
	t.Helper()
	late := time.AfterFunc(bound, func() { _ = f.r.SetReadDeadline(time.Unix(1, 0)) })
	defer late.Stop()
	for range n {
		line, err := f.in.ReadString('\n')
		if err != nil {
			t.Fatalf("after %d of %d lines: %v", len(lines), n, err)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// gone fails if the processes don't end.
func (f *fifo) gone(t *testing.T) {
	t.Helper()
	_ = f.hold.Close()
	late := time.AfterFunc(bound, func() { _ = f.r.SetReadDeadline(time.Unix(1, 0)) })
	defer late.Stop()
	for {
		if _, err := f.in.ReadString('\n'); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a process still holds the fifo")
		} else if err != nil {
			return
		}
	}
}

// already fails unless the processes are gone by now: no waiting.
func (f *fifo) already(t *testing.T) {
	t.Helper()
	_ = f.hold.Close()
	fd, err := unix.Open(f.path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	poll := []unix.PollFd{{Fd: int32(f.raw(t)), Events: unix.POLLIN}}
	if _, err := unix.Poll(poll, 0); err != nil || poll[0].Revents&unix.POLLHUP == 0 {
		t.Fatalf("a process still holds the fifo (events %#x, %v)", poll[0].Revents, err)
	}
}

func (f *fifo) raw(t *testing.T) (fd uintptr) {
	t.Helper()
	conn, err := f.r.SyscallConn()
	if err == nil {
		err = conn.Control(func(v uintptr) { fd = v })
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// zoo starts one of each kind of descendant; each writes "up" to the fifo $1
// and keeps it open. The first process goes on as zooSize-th of them.
const zoo = `
exec 9>"$1"
export S='echo up >&9; exec sleep 1000'
sh -c "$S" &
sh -c "trap '' TERM HUP INT; echo up >&9; while :; do sleep 1000; done" &
setsid sh -c "$S" &
setsid sh -c 'setsid sh -c "$S" & exit 0' &
setsid sh -c "trap '' TERM; (echo up >&9; while :; do sleep 1000; done) & exit 0" &
env -i PATH="$PATH" S="$S" sh -c "$S" &
env -i PATH="$PATH" S="$S" setsid sh -c "$S" &
env -i PATH="$PATH" S="$S" setsid sh -c 'setsid sh -c "$S" & exit 0' >/dev/null 2>&1 &
`

const zooSize = 8

func itoa(n int) string { return strconv.Itoa(n) }
