package rpc

import (
	"sync"
	"sync/atomic"

	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/watch"
)

// Bounds of what is known of started and progressing tasks.
const (
	SoftEventsKept     = 4096 // for watchers that lag; older ones are dropped
	ProgressMessageMax = 256  // bytes; longer ones are cut
)

// softEvent is a STARTED or PROGRESS event. Its position is that of the last logged event before it.
type softEvent struct {
	engine.Event
	permille uint32
	message  string
}

// softEvents hands STARTED and PROGRESS events to watchers that asked for them. They are this leader's knowledge: neither
// logged nor replayed, and a watcher that lags misses the oldest without a word. While nobody has asked, nothing is done
// for one but a look at a counter. Its methods read the state, so they aren't called under an entry's lock.
type softEvents struct {
	engine   Engine
	watchers atomic.Int64

	mu   sync.Mutex // orders positions within the ring
	ring *watch.Ring[softEvent]
}

func newSoftEvents(e Engine) *softEvents {
	return &softEvents{engine: e, ring: watch.NewRing[softEvent](SoftEventsKept, 0)}
}

// watch says that a watcher has come, and returns the number of the last event before.
func (s *softEvents) watch() (after uint64, stop func()) {
	s.watchers.Add(1)
	return s.ring.Last(), func() { s.watchers.Add(-1) }
}

// started says that a worker has started a token.
func (s *softEvents) started(now scheduler.Time, session scheduler.SessionID, worker string, token scheduler.Token, task scheduler.TaskID) {
	if s.watchers.Load() > 0 {
		s.publish(now, scheduler.Event{Type: scheduler.EventStarted, Task: task, Token: token, Session: session, Worker: worker}, 0, "")
	}
}

// progress says what a handler has reported of a token: 0 to 1,000 thousandths, and free text.
func (s *softEvents) progress(now scheduler.Time, session scheduler.SessionID, worker string, token scheduler.Token, task scheduler.TaskID,
	permille uint32, message string) {
	if s.watchers.Load() > 0 {
		s.publish(now, scheduler.Event{Type: scheduler.EventProgress, Task: task, Token: token, Session: session, Worker: worker},
			permille, cut(message, ProgressMessageMax))
	}
}

// publish completes an event by what the state says of the task. One whose lease is over by now is dropped.
func (s *softEvents) publish(now scheduler.Time, e scheduler.Event, permille uint32, message string) {
	x, err := s.engine.Explain(e.Task)
	if err != nil || x.Task.State != scheduler.Leased || x.Task.Lease.Token != e.Token {
		return
	}
	e.Queue, e.Kind, e.Gen, e.Attempt = x.Task.Queue, x.Task.Kind, x.Task.Gen, uint32(x.Task.Attempts)+1
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Position = s.engine.Events().Last()
	s.ring.Append([]softEvent{{engine.Event{Event: e, At: now}, permille, message}})
}
