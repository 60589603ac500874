//go:build linux

package execrun

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// helperWait is how long the helper may take for what it does at once:
	// to say that it is ready, to exit when it is idle.
	helperWait = 10 * time.Second
	// answerWait is how long the helper may take, beyond the grace, to report a
	// stopped run before it is taken for hung and killed: EndWait for the first
	// process, EndWait for what it left, and some more.
	answerWait = 2*EndWait + 5*time.Second
)

// link is one helper process as the worker sees it, from its start until it is
// dead and nothing that it left is.
type link struct {
	marker   string
	patience time.Duration
	proc     *os.Process
	wire     *wire
	out      chan frame    // to sendLoop, unbuffered: what is taken is sent or failed
	broken   chan struct{} // closed: nothing is received any more
	exited   chan struct{} // closed: the process is dead and reaped
	done     chan struct{} // closed: its orphans are dead too, err is set
	err      error

	mu      sync.Mutex
	closing bool
	lastRun uint64
	runs    map[uint64]*run
}

// run is one call of Run that waits on a link.
type run struct {
	ended  chan reply  // takes one
	unsent atomic.Bool // never reached the helper
	pid    int         // of the first process, once known; link.mu
	pipes  []pipeID    // those it writes to
}

// frame is a request on its way; files are closed once it is sent.
type frame struct {
	req   request
	files []int
	run   *run // of a start
}

// dial starts a helper and waits until it is ready.
func (r *Runner) dial(marker string) (*link, error) {
	// Before the helper is there: the tasks of one that dies come to us.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl(PR_SET_CHILD_SUBREAPER)", err)
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(ends[1]), "execrun-helper")
	defer theirs.Close()
	w, err := newWire(ends[0])
	if err != nil {
		return nil, err
	}
	proc, err := r.spawn(marker, theirs)
	if err != nil {
		_ = w.sock.Close()
		return nil, err
	}
	_ = theirs.Close() // now, or its death would not end our end
	l := &link{
		marker: marker, patience: r.patience, proc: proc, wire: w, out: make(chan frame), broken: make(chan struct{}),
		exited: make(chan struct{}), done: make(chan struct{}), runs: make(map[uint64]*run),
	}
	hung := time.AfterFunc(helperWait, l.kill)
	var ready reply
	_, err = w.recv(&ready)
	if hung.Stop() && err == nil && ready.Op == opReady {
		r.log.Info("exec helper started", "pid", proc.Pid)
		go l.sendLoop()
		go r.watch(l)
		return l, nil
	}
	_ = w.sock.Close()
	l.kill()
	state, _ := proc.Wait()
	r.sweep(l)
	return nil, fmt.Errorf("helper is not ready (%v); its message is on stderr", state)
}

func (r *Runner) spawn(marker string, socket *os.File) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r.helper.Lock() // reapOthers must not meet a child whose pid nobody knows yet
	defer r.helper.Unlock()
	// /proc/self/exe is this very binary, even if the file was replaced since.
	proc, err := os.StartProcess("/proc/self/exe", []string{helperName, marker}, &os.ProcAttr{
		Env:   helperEnv(marker),
		Files: []*os.File{null, null, os.Stderr, socket},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err == nil {
		r.helper.pid = proc.Pid
	}
	return proc, err
}

// helperEnv has none of the worker's secrets, only what the Go runtime reads.
// Its marker is that of a task between fork and exec.
func helperEnv(marker string) []string {
	env := []string{markerOf(marker, helperRun)}
	for _, name := range []string{"GODEBUG", "GOTRACEBACK", "GORACE", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// markerOf is the environment variable of one run.
func markerOf(marker string, run uint64) string {
	return markerName + "=" + marker + "." + strconv.FormatUint(run, 10)
}

// kill ends the helper; watch notices.
func (l *link) kill() { _ = l.proc.Kill() }

// close tells the helper to kill everything and exit; what it reports is still
// read. Like every wait for it this one has a bound.
func (l *link) close() {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	_ = l.wire.sock.CloseWrite()
	time.AfterFunc(EndWait+helperWait, l.kill) // does nothing once it is reaped
}

// watch is there from start to end of the helper's life.
func (r *Runner) watch(l *link) {
	var state *os.ProcessState
	go func() {
		state, _ = l.proc.Wait()
		r.helper.Lock()
		r.helper.pid = 0 // may become another's
		r.helper.Unlock()
		close(l.exited)
	}()
	go l.recvLoop()
	var bound *time.Timer
	select {
	case <-l.broken: // it closed its end, or we ours
		_ = l.wire.sock.Close()
		bound = time.AfterFunc(EndWait+helperWait, l.kill)
		<-l.exited
	case <-l.exited: // what it said last is still to be read
		bound = time.AfterFunc(drainWait, func() { _ = l.wire.sock.Close() })
		<-l.broken
	}
	bound.Stop()
	_ = l.wire.sock.Close()
	r.sweep(l)
	l.mu.Lock()
	if l.err = ErrClosed; !l.closing {
		l.err = fmt.Errorf("%w (pid %d, %v): its tasks were killed", ErrHelperDied, l.proc.Pid, state)
		r.log.Error("exec helper died; its tasks were killed", "pid", l.proc.Pid, "state", state.String(), "runs", len(l.runs))
	}
	l.mu.Unlock()
	close(l.done)
}

// recvLoop hands replies to their runs until the socket ends.
func (l *link) recvLoop() {
	defer close(l.broken)
	for {
		var r reply
		if _, err := l.wire.recv(&r); err != nil {
			return
		}
		l.mu.Lock()
		if rn := l.runs[r.Run]; rn != nil {
			rn.pid = max(rn.pid, r.Pid)
			if r.Op == opEnded {
				delete(l.runs, r.Run)
				rn.ended <- r
			}
		}
		l.mu.Unlock()
	}
}

// sendLoop alone writes to the socket.
func (l *link) sendLoop() {
	for {
		select {
		case f := <-l.out:
			err := l.wire.send(f.req, f.files)
			closeFDs(f.files)
			if err == nil {
				continue
			}
			if f.run != nil {
				f.run.unsent.Store(true) // a frame in part is no frame
			}
			// The helper kills what it has; after close it does so already,
			// and its reports are still wanted.
			l.mu.Lock()
			closing := l.closing
			l.mu.Unlock()
			if !closing {
				_ = l.wire.sock.Close()
			}
		case <-l.broken:
			return
		}
	}
}

// add enters a run; false if the link is no use any more.
func (l *link) add(pipes []pipeID) (id uint64, rn *run, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.broken:
		return 0, nil, false
	case <-l.exited:
		return 0, nil, false
	default:
	}
	if l.closing {
		return 0, nil, false
	}
	l.lastRun++
	rn = &run{ended: make(chan reply, 1), pipes: pipes}
	l.runs[l.lastRun] = rn
	return l.lastRun, rn, true
}

// drop takes out a run that was never sent.
func (l *link) drop(id uint64) {
	l.mu.Lock()
	delete(l.runs, id)
	l.mu.Unlock()
}

// await returns the report of a run that was sent. It asks the helper to stop
// it when ctx ends or spec.KillNow closes. Its wait is bounded from then on: a
// helper that doesn't answer is killed.
func (l *link) await(ctx context.Context, id uint64, rn *run, spec Spec) (reply, error) {
	var out chan frame // l.out while there is a stop to send
	stop := frame{req: request{Op: opStop, Run: id}}
	hung := time.NewTimer(0)
	hung.Stop()
	defer hung.Stop()
	done, now := ctx.Done(), spec.KillNow
	for {
		select {
		case r := <-rn.ended:
			return r, nil
		case <-l.done:
			select {
			case r := <-rn.ended: // was its last word
				return r, nil
			default:
				return reply{}, l.err
			}
		case <-done:
			done, out, stop.req.Grace = nil, l.out, spec.grace(ctx)
			hung.Reset(stop.req.Grace + l.patience)
		case <-now:
			done, now, out, stop.req.Grace = nil, nil, l.out, 0
			hung.Reset(l.patience)
		case out <- stop:
			out = nil
		case <-hung.C:
			l.kill()
		}
	}
}

// environment returns spec's with the marker of run and, if the task is asked
// for progress, where to report it; in place of any others.
func (s Spec) environment(marker string, run uint64) []string {
	all := make([]string, 0, len(s.Env)+2)
	all = append(all, markerOf(marker, run))
	if s.Progress != nil {
		all = append(all, ProgressVariable+"="+strconv.Itoa(ProgressFD))
	}
	for _, kv := range s.Env {
		if !strings.HasPrefix(kv, markerName+"=") && !strings.HasPrefix(kv, ProgressVariable+"=") {
			all = append(all, kv)
		}
	}
	return all
}
