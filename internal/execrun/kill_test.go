//go:build linux

package execrun

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var errTest = errors.New("the test says stop")

type ended struct {
	res Result
	err error
}

// background runs spec and returns once n lines came through f.
func background(t *testing.T, r *Runner, ctx context.Context, spec Spec, f *fifo, n int) (end <-chan ended) {
	t.Helper()
	c := make(chan ended, 1)
	go func() {
		res, err := r.Run(ctx, spec)
		c <- ended{res, err}
	}()
	f.await(t, n)
	return c
}

func awaitEnd(t *testing.T, c <-chan ended) ended {
	t.Helper()
	late := time.NewTimer(bound)
	defer late.Stop()
	select {
	case e := <-c:
		return e
	case <-late.C:
		t.Fatal("Run doesn't return")
		return ended{}
	}
}

func TestStop(t *testing.T) {
	r := newRunner(t, Options{})
	for _, c := range []struct {
		name, script string
		grace        time.Duration
		cause        error
		killed       bool
		exit         int
	}{
		{"obeys", `trap 'exit 5' TERM; sleep 1000 & echo up >&9; while :; do wait; done`, time.Hour, errTest, false, 5},
		{"ignores", `trap '' TERM; echo up >&9; while :; do sleep 1000; done`, 50 * time.Millisecond, errTest, true, -1},
		{"no grace", `trap 'exit 5' TERM; echo up >&9; while :; do sleep 1000; done`, -1, errTest, true, -1},
		{"ErrKillNow", `trap 'exit 5' TERM; echo up >&9; while :; do sleep 1000; done`, time.Hour, ErrKillNow, true, -1},
		{"the zoo obeys", zoo + `cat; exec sleep 1000`, time.Hour, errTest, false, -1},
		{"the zoo is killed", zoo + `cat; exec sleep 1000`, time.Hour, ErrKillNow, true, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFifo(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			spec := sh(`exec 9>"$1"; `+c.script, f.path)
			spec.KillGrace = c.grace
			n := 1
			if strings.Contains(c.name, "zoo") {
				n = zooSize
			}
			end := background(t, r, ctx, spec, f, n)
			cancel(c.cause)
			e := awaitEnd(t, end)
			f.already(t)
			if !errors.Is(e.err, c.cause) || !e.res.Stopped || e.res.Killed != c.killed || e.res.ExitCode != c.exit || e.res.Stragglers != 0 {
				t.Errorf("%v, %+v", e.err, e.res)
			}
			if c.killed && e.res.Signal != "SIGKILL" {
				t.Errorf("signal %q", e.res.Signal)
			}
		})
	}
}

func TestKillNowCutsTheGrace(t *testing.T) {
	r := newRunner(t, Options{})
	f := newFifo(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	now := make(chan struct{})
	spec := sh(`exec 9>"$1"; trap 'echo term >&9' TERM; echo up >&9; while :; do sleep 1000 & wait; done`, f.path)
	spec.KillGrace, spec.KillNow = time.Hour, now
	end := background(t, r, ctx, spec, f, 1)
	cancel(errTest)
	f.await(t, 1)
	close(now)
	e := awaitEnd(t, end)
	f.already(t)
	if !errors.Is(e.err, errTest) || !e.res.Killed {
		t.Errorf("%v, %+v", e.err, e.res)
	}
	if _, err := r.Run(t.Context(), spec); !errors.Is(err, ErrKillNow) {
		t.Errorf("with KillNow closed before: %v", err)
	}
	if _, err := r.Run(ctx, sh("exit 0")); !errors.Is(err, errTest) {
		t.Errorf("with ctx ended before: %v", err)
	}
}

// TestStrays: two tasks run; the escapees of the one that is stopped either
// bear a sign and die with it, or die with the other one at the latest.
func TestStrays(t *testing.T) {
	r := newRunner(t, Options{})
	f, marked := newFifo(t), newFifo(t)
	ctxA, cancelA := context.WithCancelCause(t.Context())
	ctxB, cancelB := context.WithCancelCause(t.Context())
	b := background(t, r, ctxB, sh(`echo up >"$1"; exec sleep 1000`, f.path), f, 1)
	a := background(t, r, ctxA, sh(zoo+`cat; exec sleep 1000`, f.path), f, zooSize)
	c := background(t, r, ctxA, sh(`exec 9>"$1"; setsid sh -c 'setsid sh -c "echo up >&9; exec sleep 1000" & exit 0'; exec sleep 1000`, marked.path), marked, 1)
	cancelA(ErrKillNow)
	for _, end := range []<-chan ended{a, c} {
		if e := awaitEnd(t, end); !errors.Is(e.err, ErrKillNow) {
			t.Errorf("%v, %+v", e.err, e.res)
		}
	}
	marked.already(t)
	cancelB(ErrKillNow)
	awaitEnd(t, b)
	f.already(t)
}

func TestCloseKills(t *testing.T) {
	r := newRunner(t, Options{})
	f := newFifo(t)
	end := background(t, r, t.Context(), sh(zoo+`cat; exec sleep 1000`, f.path), f, zooSize)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.already(t)
	if e := awaitEnd(t, end); !errors.Is(e.err, ErrClosed) || !e.res.Killed || e.res.Signal != "SIGKILL" {
		t.Errorf("%v, %+v", e.err, e.res)
	}
}

// TestHelperKilled: its tasks come to this process and are killed; the next
// Run has a new helper; a child of our own is left alone and can be waited for.
func TestHelperKilled(t *testing.T) {
	r := newRunner(t, Options{})
	own := exec.Command("/bin/sh", "-c", "read x; exit 9")
	stdin, err := own.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f := newFifo(t)
		end := background(t, r, t.Context(), sh(zoo+`cat; exec sleep 1000`, f.path), f, zooSize)
		pidOf(t, r, unix.SIGKILL)
		e := awaitEnd(t, end)
		if !errors.Is(e.err, ErrHelperDied) || !strings.Contains(e.err.Error(), "signal: killed") {
			t.Errorf("%v, %+v", e.err, e.res)
		}
		killUnknown(t, own.Process.Pid, f)
		mustRun(t, r, sh("exit 0"))
	}
	_ = stdin.Close()
	var exit *exec.ExitError
	if err := own.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Errorf("own child: %v", err)
	}
}

// pidOf sends sig to r's helper.
func pidOf(t *testing.T, r *Runner, sig syscall.Signal) {
	t.Helper()
	r.gate <- struct{}{}
	err := r.link.proc.Signal(sig)
	<-r.gate
	if err != nil {
		t.Fatal(err)
	}
}

// killUnknown checks that of the zoo only the one process is left that bore no
// sign at all when the helper died, and ends it.
func killUnknown(t *testing.T, own int, f *fifo) {
	t.Helper()
	found, err := descendants(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	unknown := 0
	for _, p := range found {
		if p.ppid == os.Getpid() && p.pid != own {
			// Its stdout may be the fifo: a shell's is while it echoes there.
			if v, held := environValue(p.pid, markerName), heldPipes(p.pid); v != "" || held[1] != (pipeID{}) {
				t.Errorf("left: %+v, marked %q, holds %v", p, v, held)
			}
			unknown++
			_ = killProcess(p)
			_, _ = unix.Wait4(p.pid, nil, 0, nil)
		}
	}
	if unknown > 2 { // itself, and the shell between if that has not exited yet
		t.Errorf("%d escapees without any sign, the zoo has one", unknown)
	}
	f.already(t)
}

func TestHelperHangs(t *testing.T) {
	r := newRunner(t, Options{})
	r.patience = 100 * time.Millisecond
	f := newFifo(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	end := background(t, r, ctx, sh(`exec 9>"$1"; echo up >&9; sleep 1000 & setsid sleep 1000 & wait`, f.path), f, 1)
	pidOf(t, r, unix.SIGSTOP)
	cancel(ErrKillNow)
	if e := awaitEnd(t, end); !errors.Is(e.err, ErrHelperDied) {
		t.Errorf("%v, %+v", e.err, e.res)
	}
	f.already(t)
}

// worker starts this test binary as a worker that runs the zoo.
func worker(t *testing.T, role string, f *fifo) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", f.path)
	cmd.Args[0] = "fake-worker"
	cmd.Env = append(os.Environ(), "EXECRUN_TEST_WORKER="+role)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestWorkerKilled(t *testing.T) {
	// The orphaned helper shall come to us, not to init: its exit is awaited.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f := newFifo(t)
		cmd := worker(t, "run", f)
		f.await(t, 2*zooSize)
		below, err := descendants(cmd.Process.Pid)
		if err != nil || len(below) < 2*zooSize || below[0].ppid != cmd.Process.Pid {
			t.Fatalf("%v, %+v", err, below)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		f.gone(t)
		var status unix.WaitStatus
		if _, err := unix.Wait4(below[0].pid, &status, 0, nil); err != nil || status != 0 {
			t.Errorf("helper: %v, status %#x", err, status)
		}
		noneLeft(t, itoa(cmd.Process.Pid)+"-")
	}
}

// TestOwnsChildren: a worker that owns its children is left with none when its
// helper is killed, and reaps strangers' orphans.
func TestOwnsChildren(t *testing.T) {
	f := newFifo(t)
	cmd := worker(t, "own", f)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	f.already(t)
}

// TestFirstProcess is TestOwnsChildren as PID 1 of a namespace.
func TestFirstProcess(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a process namespace")
	}
	f := newFifo(t)
	cmd := exec.Command("/proc/self/exe", f.path)
	cmd.Env = append(os.Environ(), "EXECRUN_TEST_WORKER=init")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if err := cmd.Run(); errors.Is(err, unix.EPERM) {
		t.Skip("no process namespaces here")
	} else if err != nil {
		t.Error(err)
	}
	f.already(t)
}

// fakeWorker is the main function of this binary as a worker.
func fakeWorker(role string) {
	check := func(err error, what string) {
		if err != nil {
			_, _ = io.WriteString(os.Stderr, "fake worker: "+what+": "+err.Error()+"\n")
			os.Exit(1)
		}
	}
	if role == "init" {
		check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), "make mounts private")
		check(unix.Mount("proc", "/proc", "proc", 0, ""), "mount /proc")
	}
	r := New(Options{OwnsChildren: role != "run"})
	f := os.Args[1]
	if role == "run" {
		go func() { _, _ = r.Run(context.Background(), sh(zoo+`cat; exec sleep 1000`, f)) }()
		_, err := r.Run(context.Background(), sh(zoo+`cat; exec sleep 1000`, f))
		check(err, "run")
		os.Exit(0)
	}
	_, err := r.Run(context.Background(), sh(zoo+`cat; kill -9 $PPID; exec sleep 1000`, f))
	if !errors.Is(err, ErrHelperDied) {
		check(errors.Join(errors.New("not ErrHelperDied"), err), "run")
	}
	if _, err := peek(0); err != unix.ECHILD {
		check(errors.Join(errors.New("children are left"), err), "peek")
	}
	_, err = r.Run(context.Background(), sh("exit 0"))
	check(err, "run again")
	check(r.Close(context.Background()), "close")

	// A stranger's orphans: nobody calls Wait for these.
	r = New(Options{OwnsChildren: true})
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	_, err = syscall.ForkExec("/bin/sh", []string{"sh", "-c", "sh -c 'exit 1' & exit 0"}, &syscall.ProcAttr{Env: testEnv()})
	check(err, "fork")
	for err = nil; err != unix.ECHILD; _, err = peek(0) {
		<-children
		r.reapOthers()
	}
	check(r.Close(context.Background()), "close")
	os.Exit(0)
}
