//go:build linux

package execrun

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// sweepPauseMin and sweepPauseMax bound the pause between two attempts to end
// what is left.
const (
	sweepPauseMin = 10 * time.Millisecond
	sweepPauseMax = time.Second
)

// sweepIdle holds the helper to this: without a task it has no children. What
// the looks missed, by whatever race, ends here.
func (h *helper) sweepIdle() {
	if len(h.tasks) > 0 || h.sweeping {
		return
	}
	if _, err := peek(0); err == unix.ECHILD {
		h.pause = sweepPauseMin
		return
	}
	if left, denied := h.killDescendants(); left == 0 && denied > 0 {
		return // not ours to kill: noticed again when something ends
	}
	h.sweeping = true
	time.AfterFunc(h.pause, func() { h.sweep <- struct{}{} })
	h.pause = min(2*h.pause, sweepPauseMax)
}

// killDescendants sends SIGKILL to everything below the helper. It returns how
// many live processes it found, those it may not signal apart.
func (h *helper) killDescendants() (left, denied int) {
	found, err := descendants(h.self)
	if err != nil {
		return 1, 0 // something may be there: look again
	}
	for _, p := range found {
		switch {
		case !p.live():
		case errors.Is(killProcess(p), unix.EPERM):
			denied++
		default:
			left++
		}
	}
	return left, denied
}

// killAll ends every task without grace, once the worker is gone: first the
// groups, which can't fork themselves out of it, then all descendants until
// the kernel says that there are none.
func (h *helper) killAll() {
	for _, t := range h.queue {
		closeFDs(t.files)
		h.end(t, reply{Unstarted: true, Closing: true})
	}
	h.queue = nil
	for _, t := range h.tasks {
		if t.checkExit(); t.pid != 0 {
			_ = unix.Kill(-t.pid, unix.SIGKILL)
		}
		if !t.exited {
			t.stopped, t.killed = true, true
		}
	}
	tick := time.NewTicker(sweepPauseMin)
	defer tick.Stop()
	for {
		left, denied := h.killDescendants()
		h.reapTasks()
		h.reapOrphans()
		if _, err := peek(0); !h.starting && (err == unix.ECHILD || left == 0 && denied > 0) {
			return
		}
		select {
		case d := <-h.started:
			h.starting = false
			if d.task.pid = d.pid; d.err != nil {
				h.end(d.task, reply{Unstarted: true, Closing: true})
			}
		case <-h.children:
		case <-h.fired:
		case <-h.sweep:
		case <-tick.C:
		}
	}
}

// reapTasks reports the tasks that killAll has ended.
func (h *helper) reapTasks() {
	for _, t := range h.tasks {
		if t.pid == 0 {
			continue
		}
		if status, ok := reap(t.pid); ok {
			h.end(t, reply{Status: uint32(status), Closing: true})
		}
	}
}
