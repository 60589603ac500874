//go:build linux

package execrun

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// helperName is the helper's argv[0] and, cut by the kernel to 15 bytes,
	// the name that ps and killall see.
	helperName = "yard-exec"
	// helperSocket is the descriptor by which the helper talks to the worker.
	helperSocket = 3
	// lookEvery is how old a look may be that a signal is based on.
	lookEvery = 10 * time.Millisecond
)

// MaybeHelper must be the first call in main, and in TestMain of tests that use
// a Runner. In a process that a Runner started as its helper it doesn't return:
// it serves until the worker is gone and exits. In any other it does nothing.
func MaybeHelper() {
	if len(os.Args) != 2 || os.Args[0] != helperName {
		return
	}
	if domain, err := unix.GetsockoptInt(helperSocket, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || domain != unix.AF_UNIX {
		fmt.Fprintf(os.Stderr, "%s is started by a Yardmaster worker only: descriptor %d is no unix socket\n", helperName, helperSocket)
		os.Exit(2)
	}
	if err := serveHelper(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "%s %s: %v\n", helperName, os.Args[1], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// helper is the process whose children the tasks are. One goroutine, in serve,
// owns everything here; readLoop and startLoop only hand over.
type helper struct {
	wire   *wire
	self   int
	marker string // of this helper, before the run number
	tasks  map[uint64]*task
	kin    lineage
	found  []process // by the last look

	queue    []*task        // not started yet, in order
	starting bool           // startLoop has one
	starts   chan *task     // to startLoop
	started  chan startDone // from startLoop
	requests chan arrival   // from readLoop; closed at the socket's end
	children chan os.Signal // SIGCHLD
	fired    chan alarm     // from the tasks' timers
	aged     chan struct{}  // from glance's timer
	glanced  bool           // that timer is set
	sweep    chan struct{}  // from sweepIdle's timer
	sweeping bool           // that timer is set
	pause    time.Duration  // its next
}

type arrival struct {
	req   request
	files []int
}

// serveHelper runs until the socket ends and no child is left.
func serveHelper(marker string) error {
	// Nothing but 0, 1 and 2 may reach a task, least of all the socket: it
	// would not end with this process.
	unix.CloseOnExec(helperSocket)
	_ = unix.CloseRange(helperSocket, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11; Go's own descriptors are so anyway
	_ = os.WriteFile("/proc/self/comm", []byte(helperName), 0)            // cosmetic
	// Caught, not ignored: a task must find the default. A supervisor's
	// SIGTERM to all processes must not end the helper while the worker drains.
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGTSTP)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_CHILD_SUBREAPER)", err)
	}
	if _, _, err := readProcess(os.Getpid()); err != nil {
		return fmt.Errorf("exec handlers need /proc: %w", err)
	}
	w, err := newWire(helperSocket)
	if err != nil {
		return err
	}
	h := &helper{
		wire: w, self: os.Getpid(), marker: marker, tasks: make(map[uint64]*task),
		starts: make(chan *task, 1), started: make(chan startDone, 1), requests: make(chan arrival),
		children: make(chan os.Signal, 1), fired: make(chan alarm), sweep: make(chan struct{}, 1), aged: make(chan struct{}, 1), pause: sweepPauseMin,
	}
	signal.Notify(h.children, unix.SIGCHLD)
	go h.readLoop()
	go h.startLoop()
	h.tell(reply{Op: opReady})
	h.serve()
	h.killAll()
	return nil
}

func (h *helper) serve() {
	for {
		select {
		case a, ok := <-h.requests:
			if !ok {
				return
			}
			h.onRequest(a)
		case d := <-h.started:
			h.onStarted(d)
		case <-h.children:
			h.onChildren()
		case a := <-h.fired:
			h.onAlarm(a)
		case <-h.aged:
			h.glanced = false
		case <-h.sweep:
			h.sweeping = false
			h.sweepIdle()
		}
	}
}

// readLoop hands over requests until the socket ends, for whatever reason.
func (h *helper) readLoop() {
	defer close(h.requests)
	for {
		var a arrival
		var err error
		if a.files, err = h.wire.recv(&a.req); err != nil {
			return
		}
		h.requests <- a
	}
}

// tell sends a reply. It may wait for a stopped worker; a dead one is noticed
// by readLoop.
func (h *helper) tell(r reply) { _ = h.wire.send(r, nil) }

func (h *helper) onRequest(a arrival) {
	switch {
	case a.req.Op == opStart && len(a.files) >= standardFiles && h.tasks[a.req.Run] == nil:
		t := &task{req: a.req, files: a.files, pipes: pipesOf(a.files[1:])}
		h.tasks[t.req.Run] = t
		h.queue = append(h.queue, t)
		h.startNext()
	case a.req.Op == opStop && len(a.files) == 0:
		if t := h.tasks[a.req.Run]; t != nil { // else its end and the request crossed
			h.stop(t, a.req.Grace)
		}
	default:
		panic(fmt.Sprintf("execrun: request %d for run %d with %d descriptors", a.req.Op, a.req.Run, len(a.files)))
	}
}

// onChildren notices ended tasks, reaps orphans and goes on with clean-ups.
func (h *helper) onChildren() {
	for _, t := range h.tasks {
		t.checkExit()
	}
	h.clean()
	h.reapOrphans()
	h.sweepIdle()
}

// reapOrphans reaps what ended and is no task's first process. While a task is
// being started such a process may be that task: it waits.
func (h *helper) reapOrphans() {
	for !h.starting {
		pid, err := peek(0)
		if err != nil || pid == 0 || h.isFirst(pid) {
			return // behind a first process, orphans are reaped after its clean-up
		}
		reap(pid)
	}
}

func (h *helper) isFirst(pid int) bool {
	for _, t := range h.tasks {
		if t.pid == pid {
			return true
		}
	}
	return false
}

// look brings kin and found up to date with all descendants.
func (h *helper) look() error {
	found, err := descendants(h.self)
	h.found = found
	if err != nil {
		return err
	}
	claims := make([]claim, 0, len(h.tasks))
	for _, t := range h.tasks {
		if t.files == nil || t.inFlight {
			claims = append(claims, claim{run: t.req.Run, pid: t.pid, start: t.start, ended: t.exited})
		}
	}
	h.kin.update(h.self, found, claims, h.markOf)
	return nil
}

// glance is a look at most lookEvery old: to learn whose children are whose
// before their parents are signalled, and quick enough for a thousand stops at once.
func (h *helper) glance() {
	if h.glanced || h.look() != nil {
		return // without a look the group is signalled all the same
	}
	h.glanced = true
	time.AfterFunc(lookEvery, func() { h.aged <- struct{}{} })
}

// markOf says whose pid is by what it still has of its task: the marker in its
// environment, or the task's stdout or stderr as its own.
func (h *helper) markOf(pid int) (uint64, bool) {
	if id, run, ok := strings.Cut(environValue(pid, markerName), "."); ok && id == h.marker {
		n, err := strconv.ParseUint(run, 10, 64)
		return n, err == nil
	}
	held := heldPipes(pid)
	for _, t := range h.tasks {
		if t.pid != 0 && (held[0] != pipeID{} && slices.Contains(t.pipes, held[0]) || held[1] != pipeID{} && slices.Contains(t.pipes, held[1])) {
			return t.req.Run, true
		}
	}
	return 0, false
}
