package rpc

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// entry is a session of this term: its machine and its stream.
type entry struct {
	r           *registry
	id          scheduler.SessionID
	name        string
	incarnation scheduler.Hash128
	wakeAt      atomic.Int64 // when its machine wants a Tick
	live        atomic.Bool  // it has a stream

	mu      sync.Mutex
	m       *session.Machine
	acts    session.Actions // what m asked for and wasn't performed
	st      *stream         // nil: none. Invariant: st.id is m.Stream()
	remote  string          // of the last stream
	version uint32          // likewise, of its protocol; 0: there was none in this term
	touched bool            // in registry.touched
}

func newEntry(r *registry, id scheduler.SessionID, name string, incarnation scheduler.Hash128, attach uint64, now int64) *entry {
	e := &entry{r: r, id: id, name: name, incarnation: incarnation, m: session.New(r.opts, id, attach, now)}
	e.wakeAt.Store(e.m.NextWake())
	return e
}

// perform carries out what the machine asked for and unlocks e.
func (e *entry) perform() {
	for _, end := range e.acts.End {
		if e.st != nil && e.st.id == end.Stream {
			e.st.end(endError(end.Reason))
			e.st = nil
		}
	}
	for i := range e.acts.Propose {
		e.propose(e.acts.Propose[i])
	}
	var notices []session.Notice
	if e.r.events != nil {
		notices = slices.Clone(e.acts.Notices)
	}
	if e.acts.Wake && e.st != nil {
		e.st.wake()
	}
	e.acts.Reset()
	e.live.Store(e.st != nil)
	e.wakeAt.Store(e.m.NextWake())
	e.mu.Unlock()
	if len(notices) > 0 {
		e.tell(notices)
	}
}

func (e *entry) propose(c scheduler.Command) {
	if o := c.Outcomes; o != nil {
		from := e.m.Stream()
		e.r.engine.Propose(c, func(res engine.Result, err error) { e.answered(from, o, res, err) })
		return
	}
	if c.Op == scheduler.OpExpireSession {
		e.r.logger.Warn("session expires: nothing was heard for its TTL", "session", e.id, "worker", e.name,
			"started", len(c.Session.Started))
	}
	e.r.engine.Propose(c, func(res engine.Result, err error) { e.applied(c, res, err) })
}

// applied tells the machine what became of a proposal. An error means that the term or the process ends.
func (e *entry) applied(c scheduler.Command, res engine.Result, err error) {
	if err != nil {
		e.failed(err)
		return
	}
	if c.Op == scheduler.OpDetach && len(c.Session.Unconfirmed) > 0 {
		e.r.logger.Warn("session detached: grants were not confirmed in time", "session", e.id, "worker", e.name,
			"unconfirmed", len(c.Session.Unconfirmed))
	}
	e.mu.Lock()
	e.m.Applied(c.Session, c.Op, res.Code, res.Attach, &e.acts)
	e.perform()
}

func (e *entry) answered(from session.StreamID, o *scheduler.Outcomes, res engine.Result, err error) {
	if err != nil {
		e.failed(err)
		return
	}
	e.mu.Lock()
	e.m.Answered(from, o, res.Code, res.Through, res.Answers, &e.acts)
	e.perform()
}

// failed ends the stream: what it waits for doesn't come.
func (e *entry) failed(err error) {
	e.mu.Lock()
	st := e.st
	e.mu.Unlock()
	if st != nil {
		_, mapped := engineError(err)
		st.end(mapped)
	}
}

// forget ends the session's life here, because the term is over.
func (e *entry) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.m.Ended(&e.acts)
	e.acts.Reset()
	e.st = nil
	e.live.Store(false)
}

// opened installs a stream whose Open or Resume was applied.
func (e *entry) opened(st *stream, version uint32, attach uint64, known []session.Known) {
	now := e.r.now()
	e.mu.Lock()
	if old := e.st; old != nil && old != st {
		old.end(endError(session.EndReplaced))
	}
	e.m.Opened(now, st.id, version, attach, known, &e.acts)
	e.st, e.remote, e.version = st, st.remote, version
	if !st.bind(e) { // it has ended while the Hello was in flight
		e.st = nil
		e.m.StreamBroken(st.id, &e.acts)
	}
	e.perform()
}

// replace ends the session's stream, because a newer one of the same process has said Hello.
func (e *entry) replace() {
	e.mu.Lock()
	e.m.Replace(&e.acts)
	e.perform()
}

// broken says that a stream has ended.
func (e *entry) broken(st *stream) {
	e.mu.Lock()
	if e.st == st {
		e.st = nil
	}
	e.m.StreamBroken(st.id, &e.acts)
	e.perform()
}
