//go:build linux

package execrun

import (
	"errors"
	"os"
	"syscall"
)

// startDone says how a start went.
type startDone struct {
	task   *task
	pid    int
	badDir bool
	err    error
}

func (h *helper) startNext() {
	if h.starting || len(h.queue) == 0 {
		return
	}
	h.starting = true
	h.queue[0].inFlight = true
	h.starts <- h.queue[0]
	h.queue = h.queue[1:]
}

// startLoop starts one task after the other, apart from serve: a directory or
// program on a hung disk must not keep others from being killed.
func (h *helper) startLoop() {
	for t := range h.starts {
		d := startDone{task: t}
		files := make([]uintptr, 0, frameFiles)
		for _, fd := range t.files {
			files = append(files, uintptr(fd))
		}
		d.pid, d.err = syscall.ForkExec(t.req.Path, t.req.Argv, &syscall.ProcAttr{
			Dir:   t.req.Dir,
			Env:   t.req.Env,
			Files: files,
			// A session is a process group too, and harder to leave by accident.
			Sys: &syscall.SysProcAttr{Setsid: true},
		})
		if d.err != nil && t.req.Dir != "" {
			if info, err := os.Stat(t.req.Dir); err != nil || !info.IsDir() {
				d.badDir = true
			}
		}
		h.started <- d
	}
}

func (h *helper) onStarted(d startDone) {
	h.starting = false
	t := d.task
	t.inFlight = false
	closeFDs(t.files)
	t.files = nil
	if d.err != nil {
		var errno syscall.Errno
		if !errors.As(d.err, &errno) {
			errno = syscall.EIO
		}
		h.end(t, reply{Errno: int(errno), BadDir: d.badDir})
	} else {
		t.pid = d.pid
		if p, ok, err := readProcess(d.pid); err == nil && ok {
			t.start = p.start
		}
		h.tell(reply{Op: opStarted, Run: t.req.Run, Pid: t.pid})
		if t.stopAsked {
			h.stop(t, t.req.Grace)
		}
	}
	h.startNext()
	h.onChildren() // what ended meanwhile could not be told from a task's first process
}
