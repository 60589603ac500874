package sim

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// Spans and bounds of the real shells.
const (
	tickPeriod     = 250 * millisecond
	stallMin       = 2 * tickPeriod
	sendBlockedMax = 5 * second
	helloMax       = 10 * second
)

// registry knows this term's sessions: what the log doesn't say of them. It mirrors internal/rpc's.
type registry struct {
	c       *coordinator
	opts    session.Options
	entries []*entry // by session
	claims  map[string]claim
	streams []*stream // all, from their begin on
	lastID  session.StreamID
	tickAt  int64 // of the last tick
	touched []*entry
	sight   registrySight
}

// claim is a Hello in flight for a name: until it is applied no other process may take the name for free.
type claim struct {
	incarnation scheduler.Hash128
	hellos      int
}

// entry is a session of this term: its machine and its stream.
type entry struct {
	r           *registry
	id          scheduler.SessionID
	name        string
	incarnation scheduler.Hash128
	m           *session.Machine
	acts        session.Actions
	st          *stream // nil: none
	touched     bool

	finished map[scheduler.Token]bool // tokens that the last Hello named as finished
	openedAt uint64                   // entry that the last Hello's answer came with; 0: none in this term
}

func newRegistry(c *coordinator) *registry {
	p := &c.w.plan
	return &registry{
		c: c, claims: map[string]claim{}, sight: registrySight{sent: map[scheduler.Token]bool{}},
		opts: session.Options{TTL: p.TTL, Heartbeat: p.TTL / 3, KillGrace: p.KillGrace},
	}
}

// now is the coordinator's monotonic clock. It is never 0.
func (r *registry) now() int64 { return r.c.w.now + second }

func (r *registry) newEntry(id scheduler.SessionID, name string, incarnation scheduler.Hash128, attach uint64) *entry {
	e := &entry{r: r, id: id, name: name, incarnation: incarnation, m: session.New(r.opts, id, attach, r.now())}
	i, _ := slices.BinarySearchFunc(r.entries, id, func(e *entry, id scheduler.SessionID) int { return int(e.id) - int(id) })
	r.entries = slices.Insert(r.entries, i, e)
	e.watchTrust()
	return e
}

func (r *registry) find(id scheduler.SessionID) *entry {
	i, ok := slices.BinarySearchFunc(r.entries, id, func(e *entry, id scheduler.SessionID) int { return int(e.id) - int(id) })
	if !ok {
		return nil
	}
	return r.entries[i]
}

// termBegan registers all sessions, detached, each with a full TTL.
func (r *registry) termBegan() {
	for _, s := range r.c.state.Sessions() {
		if !s.Ending {
			r.newEntry(s.ID, s.Worker.Name, s.Worker.Incarnation, s.Attach)
		}
	}
}

// applied hands a step's grants and cancels to their sessions. A Resume's grants come before the cancels for them, so that
// a cancel finds its grant in the mailbox.
func (r *registry) applied(eff *scheduler.Effects) {
	if !r.c.leading {
		return
	}
	for from := 0; from < len(eff.Grants); {
		to := from + 1
		for to < len(eff.Grants) && eff.Grants[to].Session == eff.Grants[from].Session {
			to++
		}
		if e := r.find(eff.Grants[from].Session); e != nil {
			e.m.Granted(eff.Grants[from:to], &e.acts)
			r.touch(e)
		}
		from = to
	}
	for i := range eff.Cancels {
		if e := r.find(eff.Cancels[i].Session); e != nil {
			e.m.Cancelled(eff.Cancels[i], &e.acts)
			r.touch(e)
		}
	}
	for _, e := range r.touched {
		e.touched = false
		e.perform()
	}
	r.touched = r.touched[:0]
	r.meanwhileGranted(eff)
	for _, x := range eff.Sessions {
		if x.Kind == scheduler.SessionEnded {
			r.ended(x.Session)
		}
	}
}

func (r *registry) touch(e *entry) {
	if !e.touched {
		e.touched = true
		r.touched = append(r.touched, e)
	}
}

// ended forgets a session and ends its stream.
func (r *registry) ended(id scheduler.SessionID) {
	e := r.find(id)
	if e == nil {
		return
	}
	r.entries = slices.DeleteFunc(r.entries, func(o *entry) bool { return o == e })
	r.c.w.note("coordinator: session %d is over", int64(id))
	e.m.Ended(&e.acts)
	e.perform()
}

// tick does what is due, after moving every deadline by the time that this process stood still.
func (r *registry) tick() {
	w := r.c.w
	gap := w.now - r.tickAt - tickPeriod
	if gap < stallMin {
		gap = 0
	} else {
		w.note("coordinator: stood still for %d ms", gap/millisecond)
	}
	r.tickAt = w.now
	now := r.now()
	for _, st := range slices.Clone(r.streams) {
		st.watch(now, gap)
	}
	for _, e := range slices.Clone(r.entries) {
		if gap > 0 {
			e.m.StallGap(now, gap)
		}
		if gap > 0 || e.m.NextWake() <= now {
			w.step()
			e.m.Tick(now, &e.acts)
			e.perform()
		}
	}
	r.recall(now)
	r.c.w.oracle.inAgreement(r)
	r.c.w.oracle.dueInTime(r, gap)
	r.c.w.oracle.allWelcome(r)
	r.c.after(tickPeriod, r.tick)
}

// recall asks workers for leases that the core would rather have elsewhere.
func (r *registry) recall(now int64) {
	if !r.c.leading {
		return
	}
	items := r.c.state.Recallable(session.RecallMax, nil)
	var tokens []scheduler.Token
	for i := range items {
		x := &items[i]
		tokens = append(tokens, x.Token)
		if i+1 < len(items) && items[i+1].Session == x.Session && items[i+1].Attach == x.Attach {
			continue
		}
		if e := r.find(x.Session); e != nil {
			r.c.w.cover.Recalls++
			e.m.Recall(now, x.Attach, tokens, &e.acts)
			e.perform()
		}
		tokens = tokens[:0]
	}
}

// endStreams ends every worker's stream: the coordinator stops.
func (r *registry) endStreams() {
	for _, st := range slices.Clone(r.streams) {
		st.end()
	}
}

// perform carries out what the machine asked for.
func (e *entry) perform() {
	for _, end := range e.acts.End {
		e.r.c.w.oracle.streamEnds(e, end)
		if e.st != nil && e.st.id == end.Stream {
			e.st.end()
			e.st = nil
		}
	}
	for i := range e.acts.Propose {
		e.propose(e.acts.Propose[i])
	}
	for i := range e.acts.Notices {
		e.r.c.w.oracle.heard(e.acts.Notices[i].Token)
	}
	if e.acts.Wake && e.st != nil {
		e.st.wake()
	}
	e.acts.Reset()
}

func (e *entry) propose(cmd scheduler.Command) {
	if o := cmd.Outcomes; o != nil {
		from := e.m.Stream()
		e.meanwhileReported()
		e.r.c.propose(cmd, func(res *result, err error) {
			if err != nil {
				e.failed()
				return
			}
			if e.st != nil && e.st.id == from && res.Code == scheduler.CodeOK {
				e.st.answered = max(e.st.answered, o.FirstSeq+uint64(len(o.List))-1)
			}
			e.m.Answered(from, o, res.Code, res.Through, res.answers, &e.acts)
			e.perform()
		})
		return
	}
	if cmd.Op == scheduler.OpExpireSession {
		e.meanwhileExpired()
	}
	e.r.c.propose(cmd, func(res *result, err error) {
		if err != nil {
			e.failed()
			return
		}
		e.m.Applied(cmd.Session, cmd.Op, res.Code, res.Attach, &e.acts)
		e.perform()
	})
}

// failed ends the stream: what it waits for doesn't come.
func (e *entry) failed() {
	if e.st != nil {
		e.st.end()
	}
}

// opened installs a stream whose Open or Resume was applied.
func (e *entry) opened(st *stream, version uint32, attach uint64, known []session.Known) {
	if old := e.st; old != nil && old != st {
		old.end()
	}
	e.m.Opened(e.r.now(), st.id, version, attach, known, &e.acts)
	e.st = st
	if !st.bind(e) { // it has ended while the Hello was in flight
		e.st = nil
		e.m.StreamBroken(st.id, &e.acts)
	}
	e.perform()
	if e.st == st {
		e.r.c.w.oracle.knowsStarted(known)
	}
}

// broken says that a stream has ended.
func (e *entry) broken(st *stream) {
	if e.st == st {
		e.st = nil
	}
	e.m.StreamBroken(st.id, &e.acts)
	e.perform()
}
