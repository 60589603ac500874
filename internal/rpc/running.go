package rpc

import (
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// ProgressMax is how many tasks' progress one Heartbeat may carry.
const ProgressMax = 1000

// progress takes what handlers have said. Values beyond their bounds come from a handler, which must not cost its worker
// the stream: they are brought into them.
func progress(m *session.Machine, now int64, list []*yardmasterv1.TaskProgress, acts *session.Actions) error {
	if len(list) > ProgressMax {
		return invalid("heartbeat.progress", "want at most %d, got %d", ProgressMax, len(list))
	}
	if m.Version() < session.VersionRecall {
		return nil // that version doesn't have it
	}
	for _, p := range list {
		m.Progressed(now, scheduler.Token(p.GetToken()), min(p.GetPermille(), 1000), cut(p.GetMessage(), session.ProgressMessageMax), acts)
	}
	return nil
}

// softHooks hear what a worker says of tasks that run, in order for each session. They may ask the engine, and are called
// without a session's lock.
type softHooks interface {
	started(now scheduler.Time, session scheduler.SessionID, worker string, token scheduler.Token, task scheduler.TaskID)
	progress(now scheduler.Time, session scheduler.SessionID, worker string, token scheduler.Token, task scheduler.TaskID,
		permille uint32, message string)
}

// tell passes on what is newly known of running tasks. Only the Welcome and after it the stream's recvLoop come here, so
// the order of a session's notices is that in which the worker spoke.
func (e *entry) tell(notices []session.Notice) {
	now := e.r.engine.Now()
	for _, n := range notices {
		if p := n.Progress; p != nil {
			e.r.events.progress(now, e.id, e.name, n.Token, n.Task, p.Permille, p.Message)
		} else {
			e.r.events.started(now, e.id, e.name, n.Token, n.Task)
		}
	}
}

// progress is what the handler of a session's token last said of its progress, and when the coordinator heard of it.
// !ok: nothing is known.
func (r *registry) progress(id scheduler.SessionID, token scheduler.Token) (permille uint32, message string, at scheduler.Time, ok bool) {
	e := r.find(id)
	if e == nil {
		return 0, "", 0, false
	}
	e.mu.Lock()
	p := e.m.Progress(token)
	e.mu.Unlock()
	if p == nil {
		return 0, "", 0, false
	}
	ago := max(0, r.now()-p.At)
	return p.Permille, p.Message, r.engine.Now() - scheduler.Time(ago), true
}
