package rpc

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// registry knows this term's sessions: what the log doesn't say of them. It is the engine's Observer.
type registry struct {
	engine  Engine
	logger  hclog.Logger
	now     func() int64 // monotonic, nanoseconds
	opts    session.Options
	margin  time.Duration
	events  softHooks  // of what the log doesn't know; nil: nobody wants to hear
	leads   func(bool) // told when leadership comes and goes
	touched []*entry   // owned by the apply goroutine: entries with actions of the step under way

	mu      sync.RWMutex
	leading bool
	term    uint64
	entries map[scheduler.SessionID]*entry
	byName  map[string][]*entry
	claims  map[string]claim
	streams map[*stream]struct{} // all, from their begin on
	lastID  session.StreamID
}

// claim is a Hello in flight for a name: until it is applied no other process may take the name for free.
type claim struct {
	incarnation scheduler.Hash128
	hellos      int
}

func newRegistry(e Engine, logger hclog.Logger, now func() int64, opts session.Options, margin time.Duration) *registry {
	return &registry{
		engine: e, logger: logger, now: now, opts: opts, margin: margin, leads: func(bool) {},
		entries: map[scheduler.SessionID]*entry{}, byName: map[string][]*entry{}, claims: map[string]claim{},
		streams: map[*stream]struct{}{},
	}
}

// TermBegan registers all sessions, detached, each with a full TTL.
func (r *registry) TermBegan(term uint64, _ scheduler.Time, sessions []scheduler.SessionInfo) {
	now := r.now()
	r.mu.Lock()
	r.leading, r.term = true, term
	clear(r.entries)
	clear(r.byName)
	clear(r.claims)
	for i := range sessions {
		if s := &sessions[i]; !s.Ending {
			r.addLocked(newEntry(r, s.ID, s.Worker.Name, s.Worker.Incarnation, s.Attach, now))
		}
	}
	r.mu.Unlock()
	r.leads(true)
}

// TermEnded ends all streams.
func (r *registry) TermEnded() {
	r.leads(false)
	r.mu.Lock()
	r.leading = false
	entries := r.entries
	r.entries, r.byName = map[scheduler.SessionID]*entry{}, map[string][]*entry{}
	clear(r.claims)
	r.mu.Unlock()
	r.endStreams(notLeader())
	for _, e := range entries {
		e.forget()
	}
}

// endStreams ends every worker's stream.
func (r *registry) endStreams(why error) {
	r.mu.RLock()
	streams := make([]*stream, 0, len(r.streams))
	for st := range r.streams {
		streams = append(streams, st)
	}
	r.mu.RUnlock()
	for _, st := range streams {
		st.end(why)
	}
}

// Applied hands grants and cancels to their sessions. A Resume's grants come before the cancels for them, so that a
// cancel finds its grant in the mailbox.
func (r *registry) Applied(_ scheduler.Time, eff *scheduler.Effects) {
	if len(eff.Grants) == 0 && len(eff.Cancels) == 0 && len(eff.Sessions) == 0 && len(eff.Finished) == 0 {
		return
	}
	r.mu.RLock()
	leading := r.leading
	r.mu.RUnlock()
	if !leading {
		return
	}
	r.unreadable(eff)
	for from := 0; from < len(eff.Grants); {
		to := from + 1
		for to < len(eff.Grants) && eff.Grants[to].Session == eff.Grants[from].Session {
			to++
		}
		if e := r.find(eff.Grants[from].Session); e != nil {
			e.mu.Lock()
			e.m.Granted(eff.Grants[from:to], &e.acts)
			r.touch(e)
		}
		from = to
	}
	for i := range eff.Cancels {
		if e := r.find(eff.Cancels[i].Session); e != nil {
			e.mu.Lock()
			e.m.Cancelled(eff.Cancels[i], &e.acts)
			r.touch(e)
		}
	}
	for _, e := range r.touched {
		e.mu.Lock()
		e.touched = false
		e.perform()
	}
	r.touched = r.touched[:0]
	for _, c := range eff.Sessions {
		if c.Kind == scheduler.SessionEnded {
			r.ended(c.Session)
		}
	}
}

// unreadable says which tasks have ended because their payloads can't be read. It is said here, and not by the stream that
// finds the damage: that may end before it is applied, and then the next stream finds the same.
func (r *registry) unreadable(eff *scheduler.Effects) {
	for i := range eff.Finished {
		if f := &eff.Finished[i]; f.Cause == scheduler.CauseUnreadable {
			r.logger.Error("a payload is damaged and can't be read: its task is a dead letter", "task", f.Task, "kind", f.Kind,
				"queue", f.Queue, "cure", "run `coordinator check`, then restore a backup, or submit the task again")
		}
	}
}

// touch unlocks e and notes that its actions are to be performed at the end of the step.
func (r *registry) touch(e *entry) {
	if !e.touched {
		e.touched = true
		r.touched = append(r.touched, e)
	}
	e.mu.Unlock()
}

func (r *registry) find(id scheduler.SessionID) *entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.entries[id]
}

func (r *registry) addLocked(e *entry) {
	r.entries[e.id] = e
	r.byName[e.name] = append(r.byName[e.name], e)
}

// ended forgets a session and ends its stream.
func (r *registry) ended(id scheduler.SessionID) {
	r.mu.Lock()
	e := r.entries[id]
	if e == nil {
		r.mu.Unlock()
		return
	}
	delete(r.entries, id)
	list := slices.DeleteFunc(r.byName[e.name], func(o *entry) bool { return o == e })
	if len(list) == 0 {
		delete(r.byName, e.name)
	} else {
		r.byName[e.name] = list
	}
	r.mu.Unlock()
	e.mu.Lock()
	e.m.Ended(&e.acts)
	e.perform()
	r.logger.Info("session ended", "session", id, "worker", e.name)
}

// tick does what is due, after moving every deadline by the time that this process stood still.
func (r *registry) tick(now, gap int64) {
	var due []*entry
	var silent []*stream
	r.mu.RLock()
	for _, e := range r.entries {
		if gap > 0 || e.wakeAt.Load() <= now {
			due = append(due, e)
		}
	}
	for st := range r.streams {
		if st.overdue(now, gap) {
			silent = append(silent, st)
		}
	}
	r.mu.RUnlock()
	for _, e := range due {
		e.mu.Lock()
		if gap > 0 {
			e.m.StallGap(now, gap)
		}
		e.m.Tick(now, &e.acts)
		e.perform()
	}
	for _, st := range silent {
		st.end(noHello())
	}
	r.recall()
}

// addStream registers a new stream.
func (r *registry) addStream(st *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID++
	st.id = r.lastID
	r.streams[st] = struct{}{}
}

func (r *registry) dropStream(st *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streams, st)
}

// soft is what is known of a session outside the log.
type soft struct {
	heard   time.Duration // ago
	remote  string
	version uint32 // of the protocol; 0: not known in this term
}

func (r *registry) soft(id scheduler.SessionID) (soft, bool) {
	e := r.find(id)
	if e == nil {
		return soft{}, false
	}
	now := r.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	return soft{heard: time.Duration(max(0, now-e.m.Heard())), remote: e.remote, version: e.version}, true
}

// started reports whether the worker has said that it started a token.
func (r *registry) started(id scheduler.SessionID, token scheduler.Token) bool {
	e := r.find(id)
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.m.Started(token)
}

var _ engine.Observer = (*registry)(nil)
