package session

import "github.com/yardmaster/yardmaster/internal/scheduler"

// Progress is what a handler has said of its task's progress.
type Progress struct {
	Permille uint32 // 0 to 1,000
	Message  string // at most ProgressMessageMax bytes
	At       int64  // when this leader heard of it
}

// Progressed takes what a handler has said; the latest is kept until its lease ends. It can only come from a task that
// runs, so it is word of the start too.
func (m *Machine) Progressed(now int64, token scheduler.Token, permille uint32, message string, acts *Actions) {
	l, ok := m.leases[token]
	if !ok || l.phase < isSent {
		return
	}
	if !l.started {
		m.start(now, token, &l, acts)
	}
	l.progress = &Progress{Permille: permille, Message: message, At: now}
	m.leases[token] = l
	if l.task != 0 {
		acts.Notices = append(acts.Notices, Notice{Token: token, Task: l.task, Progress: l.progress})
	}
}

// Progress returns what the handler of a token last said, or nil.
func (m *Machine) Progress(t scheduler.Token) *Progress { return m.leases[t].progress }
