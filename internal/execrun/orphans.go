//go:build linux

package execrun

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// traces are what orphans of a dead helper can be known by.
type traces struct {
	marker   string
	sessions map[int]bool // or groups
	pipes    map[pipeID]bool
}

func (l *link) traces() traces {
	l.mu.Lock()
	defer l.mu.Unlock()
	tr := traces{marker: l.marker + ".", sessions: map[int]bool{l.proc.Pid: true}, pipes: make(map[pipeID]bool)}
	for _, rn := range l.runs {
		if rn.pid != 0 {
			tr.sessions[rn.pid] = true
		}
		for _, id := range rn.pipes {
			tr.pipes[id] = true
		}
	}
	return tr
}

// left says whether p was a task's, or a task about to be executed.
func (tr traces) left(p process) bool {
	if tr.sessions[p.sid] || tr.sessions[p.pgid] || strings.HasPrefix(environValue(p.pid, markerName), tr.marker) {
		return true
	}
	held := heldPipes(p.pid)
	return tr.pipes[held[0]] || tr.pipes[held[1]]
}

// sweep kills and reaps what a dead helper left to this process, its subreaper,
// until nothing is found or EndWait has passed. It logs what it had to give up.
func (r *Runner) sweep(l *link) {
	tr := l.traces()
	ours := make(map[processID]bool)
	pause, waited := cleanPauseMin, time.Duration(0)
	for {
		if _, err := peek(0); err == unix.ECHILD {
			return // no child of any kind
		}
		left, err := r.killOrphans(tr, ours)
		if err == nil && left == 0 {
			return
		}
		if waited >= EndWait {
			r.log.Error("processes of a dead exec helper could not be ended", "helper", l.proc.Pid, "processes", left, "error", err)
			return
		}
		wait := time.NewTimer(pause)
		<-wait.C
		waited += pause
		pause = min(2*pause, cleanPauseMax)
	}
}

// killOrphans makes one pass of sweep and adds what it finds to ours: a zombie
// shows less of where it came from than it did alive.
func (r *Runner) killOrphans(tr traces, ours map[processID]bool) (left int, err error) {
	self := os.Getpid()
	found, err := descendants(self)
	if err != nil {
		return 0, err
	}
	byPid := make(map[int]processID, len(found))
	for _, p := range found {
		id := p.id()
		byPid[p.pid] = id
		if !ours[id] && !ours[byPid[p.ppid]] && !(r.opt.OwnsChildren && p.ppid == self) && !tr.left(p) {
			continue
		}
		ours[id] = true
		left++
		switch {
		case p.live():
			_ = killProcess(p)
		case p.ppid == self:
			if _, ok := reap(p.pid); ok {
				left--
			}
		}
	}
	return left, nil
}

// reapLoop reaps every child that is not the helper, for a process that owns
// its children: PID 1 gets the orphans of a whole container.
func (r *Runner) reapLoop(children <-chan os.Signal) {
	for {
		select {
		case <-children:
			r.reapOthers()
		case <-r.stopped:
			return
		}
	}
}

func (r *Runner) reapOthers() {
	r.helper.Lock()
	defer r.helper.Unlock()
	for {
		pid, err := peek(0)
		if err != nil || pid == 0 || pid == r.helper.pid {
			return // link.watch reaps the helper; its sweep what was behind it
		}
		reap(pid)
	}
}
