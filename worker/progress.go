package worker

import (
	"context"
	"sync"
	"sync/atomic"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Limits of what a handler may say of its progress.
const (
	// ProgressMessageMax is where the text is cut, in bytes.
	ProgressMessageMax = 256

	progressDone    = 1000 // permille
	progressListMax = 1000 // tasks told of in one heartbeat
)

// Progress says how far the task is, in thousandths (brought into 0 to 1,000), with a short text, cut at
// ProgressMessageMax. It is shown with the task, and told to those who watch it. It may be called as often as is
// convenient: the coordinator is told of the latest, about once a second; what was said last before the handler returns
// may never be told. A coordinator of the first release isn't told at all.
func (t *Task) Progress(permille int, message string) {
	if t.board != nil {
		t.board.post(t, uint32(min(max(permille, 0), progressDone)), cut(message, ProgressMessageMax))
	}
}

// Progress is Task.Progress for the task whose handler was given ctx; without one it does nothing.
func Progress(ctx context.Context, permille int, message string) {
	if t := TaskFrom(ctx); t != nil {
		t.Progress(permille, message)
	}
}

// board holds what handlers have said of their progress and the coordinator wasn't told: of each the latest, at most one
// for each handler that runs. Who has waited longest is told first.
type board struct {
	signal func()
	news   atomic.Bool // something was posted, and the loop hasn't seen it

	mu          sync.Mutex
	first, last *saying // guarded by mu
}

// saying is what one handler has said last. Guarded by its board's mu.
type saying struct {
	task       *Task
	permille   uint32
	message    string
	listed     bool
	prev, next *saying
}

func (b *board) post(t *Task, permille uint32, message string) {
	s := t.said.Load()
	if s == nil {
		s = &saying{task: t}
		if !t.said.CompareAndSwap(nil, s) {
			s = t.said.Load()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.over.Load() { // looked at after said was set: either this sees the end, or the end sees said
		return
	}
	s.permille, s.message = permille, message
	b.list(s)
}

// list puts s at the end of the line, if it isn't in it. Under mu.
func (b *board) list(s *saying) {
	if s.listed {
		return
	}
	s.listed, s.prev, s.next = true, b.last, nil
	if b.last == nil {
		b.first = s
	} else {
		b.last.next = s
	}
	b.last = s
	if !b.news.Swap(true) {
		b.signal()
	}
}

// unlist takes s out of the line. Under mu.
func (b *board) unlist(s *saying) {
	if !s.listed {
		return
	}
	if s.prev == nil {
		b.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		b.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.listed, s.prev, s.next = false, nil, nil
}

// fallSilent takes back what was said, once over is set.
func (t *Task) fallSilent() {
	if s := t.said.Load(); s != nil {
		t.board.mu.Lock()
		defer t.board.mu.Unlock()
		t.board.unlist(s)
	}
}

// again has a task's progress told once more: the coordinator may not know it.
func (b *board) again(t *Task) {
	s := t.said.Load()
	if s == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !t.over.Load() {
		b.list(s)
	}
}

// take returns what one heartbeat carries, and reports whether there is more.
func (b *board) take() (list []*pb.TaskProgress, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.first != nil && len(list) < progressListMax {
		s := b.first
		b.unlist(s)
		list = append(list, &pb.TaskProgress{Token: s.task.Token, Permille: s.permille, Message: s.message})
	}
	return list, b.first != nil
}
