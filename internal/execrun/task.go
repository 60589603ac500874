//go:build linux

package execrun

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// task is one run, as the helper sees it: queued, started (pid), exited (a
// zombie that keeps its ids), cleaned up, reaped and reported, in that order.
type task struct {
	req       request
	files     []int    // its descriptors, from stdin, until it is started
	pipes     []pipeID // of those it writes to
	inFlight  bool     // startLoop has it
	pid       int      // 0 until it is started
	start     uint64
	stopAsked bool // before it was started: req.Grace is then the stop's
	exited    bool
	stopped   bool // sent SIGTERM or SIGKILL before it exited
	killed    bool // sent SIGKILL before it exited
	reported  bool // given up: the worker has been told, its exit is still awaited

	timer  *time.Timer
	turn   int           // alarms of earlier turns are stale
	pause  time.Duration // the next between two clean-ups
	waited time.Duration // for the clean-up so far
}

// alarm is a task's timer that went off.
type alarm struct {
	run  uint64
	turn int
}

const (
	cleanPauseMin = 5 * time.Millisecond
	cleanPauseMax = 100 * time.Millisecond
)

func (h *helper) arm(t *task, d time.Duration) {
	t.disarm()
	a := alarm{t.req.Run, t.turn}
	t.timer = time.AfterFunc(d, func() { h.fired <- a })
}

func (t *task) disarm() {
	t.turn++
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (h *helper) onAlarm(a alarm) {
	t := h.tasks[a.run]
	if t == nil || t.turn != a.turn {
		return
	}
	switch t.checkExit(); {
	case t.exited:
		h.clean()
		h.reapOrphans()
		h.sweepIdle()
	case !t.killed:
		h.kill(t)
	default: // SIGKILL was EndWait ago
		h.report(t, reply{Unended: true, Stragglers: h.countMembers(t) + 1})
	}
}

// stop asks t to end: with SIGTERM first if there is a grace. Once SIGKILL is
// out there is nothing to add; a stop during the grace may cut it short.
func (h *helper) stop(t *task, grace time.Duration) {
	t.checkExit()
	switch {
	case t.pid == 0 && !t.inFlight:
		h.queue = slices.DeleteFunc(h.queue, func(q *task) bool { return q == t })
		closeFDs(t.files)
		t.stopped = true
		h.end(t, reply{Unstarted: true})
	case t.pid == 0:
		if !t.stopAsked || grace < t.req.Grace {
			t.req.Grace = grace
		}
		t.stopAsked = true
	case t.exited || t.killed:
	case grace <= 0:
		h.kill(t)
	case !t.stopped:
		t.stopped = true
		h.glance()
		_ = unix.Kill(-t.pid, unix.SIGTERM)
		h.arm(t, grace)
	}
}

// kill sends SIGKILL to t's group and to whatever else it started. What
// appears meanwhile is found by clean once the first process has exited.
func (h *helper) kill(t *task) {
	if t.checkExit(); t.pid == 0 || t.exited {
		return
	}
	t.stopped, t.killed = true, true
	h.glance()
	_ = unix.Kill(-t.pid, unix.SIGKILL)
	for _, p := range h.members(t) {
		_ = killProcess(p)
	}
	h.arm(t, EndWait)
}

// checkExit notes that t's first process has ended. It stays a zombie, so that
// nobody else can get its group while that is being killed.
func (t *task) checkExit() {
	if t.pid == 0 || t.exited {
		return
	}
	if pid, err := peek(t.pid); err == nil && pid == 0 {
		return
	}
	t.exited = true
	t.disarm()
	t.pause = cleanPauseMin
}

// members returns the processes that are t's and were alive at the last look,
// but not its first.
func (h *helper) members(t *task) []process {
	var of []process
	for _, p := range h.found {
		if run, ok := h.kin.owners[p.id()]; ok && (run == t.req.Run || run == nobody) && p.live() && p.pid != t.pid {
			of = append(of, p)
		}
	}
	return of
}

func (h *helper) countMembers(t *task) int {
	if h.look() != nil {
		return 0
	}
	return len(h.members(t))
}

// clean kills what exited tasks left, and finishes those that left nothing, or
// nothing that dies within EndWait. One look serves all.
func (h *helper) clean() {
	var exited []*task
	for _, t := range h.tasks {
		if t.exited {
			exited = append(exited, t)
		}
	}
	if len(exited) == 0 {
		return
	}
	err := h.look()
	for _, t := range exited {
		left := h.members(t)
		switch {
		case err == nil && len(left) == 0:
			h.finish(t, 0)
		case err == nil && t.waited >= EndWait:
			h.finish(t, len(left))
		case t.waited >= EndWait:
			h.finish(t, -1)
		default:
			_ = unix.Kill(-t.pid, unix.SIGKILL)
			for _, p := range left {
				_ = killProcess(p)
			}
			h.arm(t, t.pause)
			t.waited += t.pause
			t.pause = min(2*t.pause, cleanPauseMax)
		}
	}
}

// finish reaps t's first process and reports.
func (h *helper) finish(t *task, stragglers int) {
	status, ok := reap(t.pid)
	h.end(t, reply{Status: uint32(status), Unended: !ok, Stragglers: stragglers})
}

// end reports t and forgets it.
func (h *helper) end(t *task, r reply) {
	h.report(t, r)
	t.disarm()
	delete(h.tasks, t.req.Run)
}

// report tells the worker once how t's run went.
func (h *helper) report(t *task, r reply) {
	if t.reported {
		return
	}
	t.reported = true
	r.Op, r.Run, r.Pid, r.Stopped, r.Killed = opEnded, t.req.Run, t.pid, t.stopped, t.killed
	h.tell(r)
}
