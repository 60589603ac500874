package session

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// world is the real core, one machine, and a model of a worker and of the wires between them.
type world struct {
	t     *rapid.T
	core  *scheduler.State
	eff   scheduler.Effects
	clock scheduler.Time // of the log
	now   int64          // of the leader

	m       *Machine // nil: no session is open
	acts    Actions
	line    []proposal // proposed, in order
	resumes int        // Opens and Resumes applied
	streams StreamID
	dead    map[StreamID]bool // streams that have ended
	hand    []scheduler.Grant // taken by the sender
	handOf  StreamID

	w worker
}

// proposal is a command and what is to be done with its reply.
type proposal struct {
	cmd  scheduler.Command
	done func(r scheduler.Reply)
}

// worker is the model of a worker process.
type worker struct {
	session scheduler.SessionID
	stream  StreamID // 0: none
	in      []wire   // to it
	out     []wire   // from it
	tokens  map[scheduler.Token]scheduler.TokenPhase
	tasks   map[scheduler.Token]scheduler.TaskID
	outbox  []scheduler.Outcome // unanswered, from number answered+1
	answers uint64              // through
	sent    int                 // of outbox, on this stream
	through uint64              // grants received on this stream

	cancelled map[scheduler.Token]bool // told on this stream
	recalled  map[scheduler.Token]bool // asked for on this stream
	speaks    uint32                   // version that the next Hello says
	version   uint32                   // of the stream
}

// wire is a message on its way.
type wire struct {
	seq     uint64 // Grants
	grants  []scheduler.Grant
	control *Control
	through uint64
	begun   []uint64
	report  *scheduler.Outcomes
	beat    bool

	givenUp  bool // answer to a Recall
	recalled []uint64
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, core: scheduler.New(), clock: 1_000_000, now: 1_000_000 * second, dead: map[StreamID]bool{}}
	w.w.reset()
	w.step([]proposal{{cmd: scheduler.Command{Op: scheduler.OpBeginTerm, BeginTerm: &scheduler.BeginTerm{
		Term: 1, Limits: scheduler.Limits{MaxTasks: 1 << 20, Depth: 1 << 20}}}}})
	return w
}

func (k *worker) reset() {
	*k = worker{tokens: map[scheduler.Token]scheduler.TokenPhase{}, tasks: map[scheduler.Token]scheduler.TaskID{}}
}

func (w *world) propose(c scheduler.Command, done func(scheduler.Reply)) {
	w.line = append(w.line, proposal{c, done})
}

// perform carries out the machine's actions.
func (w *world) perform() {
	for _, e := range w.acts.End {
		if e.Reason == EndBadRecalled || e.Reason == EndBadReceipt || e.Reason == EndBadOutcomes {
			w.t.Fatalf("stream %d is ended for reason %d", e.Stream, e.Reason)
		}
		w.dead[e.Stream] = true
		if w.w.stream == e.Stream {
			w.cut()
		}
	}
	for _, c := range slices.Clone(w.acts.Propose) {
		m, resumes := w.m, w.resumes
		if o := c.Outcomes; o != nil {
			stream := m.Stream()
			w.propose(c, func(r scheduler.Reply) {
				w.notStale(m, resumes, &c, r)
				answers := w.eff.Answers[r.Answers.From:r.Answers.To]
				m.Answered(stream, o, r.Code, r.Through, answers, &w.acts)
				w.perform()
			})
			continue
		}
		w.propose(c, func(r scheduler.Reply) {
			w.notStale(m, resumes, &c, r)
			m.Applied(c.Session, c.Op, r.Code, r.Attach, &w.acts)
			w.perform()
		})
	}
	w.acts.Reset()
}

// notStale checks that only a Resume or the session's end makes a proposal stale.
func (w *world) notStale(m *Machine, resumes int, c *scheduler.Command, r scheduler.Reply) {
	if r.Code != scheduler.CodeStale || resumes != w.resumes {
		return
	}
	if info, ok := w.core.Session(m.ID()); ok && !info.Ending {
		w.t.Fatalf("%s was stale, the attach number is %d", commandText(c), info.Attach)
	}
}

// step applies proposals as one batch.
func (w *world) step(batch []proposal) {
	b := &scheduler.Batch{Logic: scheduler.LogicVersion, Now: w.clock}
	for _, p := range batch {
		b.Commands = append(b.Commands, p.cmd)
	}
	w.core.Apply(b, &w.eff)
	for i, p := range batch {
		if p.done != nil {
			p.done(w.eff.Replies[i])
		}
	}
	for _, g := range slices.Clone(w.eff.Grants) {
		if w.m != nil && g.Session == w.m.ID() {
			w.m.Granted([]scheduler.Grant{g}, &w.acts)
		}
	}
	for _, n := range slices.Clone(w.eff.Cancels) {
		if w.m != nil && n.Session == w.m.ID() {
			w.m.Cancelled(n, &w.acts)
		}
	}
	ended := slices.Clone(w.eff.Sessions)
	w.perform()
	for _, c := range ended {
		if c.Kind == scheduler.SessionEnded && w.m != nil && c.Session == w.m.ID() {
			w.m.Ended(&w.acts)
			w.perform()
			w.m = nil
		}
	}
	if err := w.core.Check(); err != nil {
		w.t.Fatalf("the core: %v", err)
	}
	w.check()
}

// apply applies the first n proposals.
func (w *world) apply(n int) {
	batch := slices.Clone(w.line[:n])
	w.line = slices.Delete(w.line, 0, n)
	w.step(batch)
}

// check compares the machine with the core while nothing is in flight between them, and its bounds always.
func (w *world) check() {
	if w.m == nil {
		return
	}
	if b := w.m.UnconfirmedBytes(); b > UnconfirmedBytesMax {
		w.t.Fatalf("%d bytes are unconfirmed", b)
	}
	if len(w.line) > 0 || len(w.m.held) > 0 {
		return
	}
	for _, l := range w.core.SessionLeases(w.m.ID(), 1<<20) {
		if _, ok := w.m.leases[l.Token]; !ok && !l.Revoked && w.w.tokens[l.Token] != scheduler.PhaseFinished {
			w.t.Fatalf("the machine has lost token %d", l.Token)
		}
	}
}

// cut breaks the worker's stream as it sees it: nothing on the wires arrives.
func (w *world) cut() { w.w.stream, w.w.in, w.w.out = 0, nil, nil }

// connect says Hello on a new stream.
func (w *world) connect() {
	w.cut()
	w.streams++
	stream := w.streams
	if w.m != nil {
		w.m.Replace(&w.acts)
		w.perform()
	}
	k := &w.w
	k.stream, k.sent, k.through, k.version = stream, 0, 0, k.speaks
	k.cancelled, k.recalled = map[scheduler.Token]bool{}, map[scheduler.Token]bool{}
	version := k.version
	w.hand = nil // its sender has ended
	var known []scheduler.KnownToken
	for t, phase := range k.tokens {
		known = append(known, scheduler.KnownToken{Token: t, Task: k.tasks[t], Weight: 1, Pool: "main", Phase: phase})
	}
	slices.SortFunc(known, func(a, b scheduler.KnownToken) int { return int(a.Token) - int(b.Token) })
	info := scheduler.WorkerInfo{Name: "w", Incarnation: scheduler.Hash128{1}, Kinds: []string{"k"}, Pools: []scheduler.Pool{{Name: "main", Slots: 8}}}
	open := func() {
		w.propose(scheduler.Command{Op: scheduler.OpOpenSession, Open: &scheduler.OpenSession{Worker: info, Tokens: known}},
			func(r scheduler.Reply) { w.welcome(stream, version, known, r, true) })
	}
	if k.session == 0 {
		open()
		return
	}
	w.propose(scheduler.Command{Op: scheduler.OpResumeSession, Resume: &scheduler.ResumeSession{
		Session: k.session, Incarnation: info.Incarnation, Tokens: known, AnswersThrough: k.answers,
	}}, func(r scheduler.Reply) {
		if r.Code == scheduler.CodeNotFound {
			open()
			return
		}
		w.welcome(stream, version, known, r, false)
	})
}

// welcome installs a stream, and delivers the Welcome if the worker still has it.
func (w *world) welcome(stream StreamID, version uint32, known []scheduler.KnownToken, r scheduler.Reply, fresh bool) {
	if r.Code != scheduler.CodeOK {
		w.t.Fatalf("hello: %s", r.Code)
	}
	w.resumes++
	stop := slices.Clone(w.eff.Tokens[r.Stop.From:r.Stop.To])
	if fresh {
		w.m = New(Options{TTL: testTTL, Heartbeat: 5 * second, KillGrace: second}, r.Session, r.Attach, w.now)
	}
	var live []Known
	for _, k := range known {
		if !slices.Contains(stop, k.Token) && k.Phase != scheduler.PhaseFinished {
			live = append(live, Known{k.Token, k.Phase == scheduler.PhaseStarted})
		}
	}
	w.m.Opened(w.now, stream, version, r.Attach, live, &w.acts)
	w.perform()
	k := &w.w
	if k.stream != stream {
		w.dead[stream] = true
		w.m.StreamBroken(stream, &w.acts)
		w.perform()
		return
	}
	k.session = r.Session
	if fresh {
		k.answers = 0 // all that stands in the outbox is reported again, numbered from 1
	}
	for _, t := range stop {
		if k.tokens[t] == scheduler.PhaseHeld || k.tokens[t] == scheduler.PhaseStarted {
			k.finish(t, scheduler.OutcomeInterrupted)
		}
	}
}

// finish ends a token at the worker.
func (k *worker) finish(t scheduler.Token, kind scheduler.OutcomeKind) {
	k.tokens[t] = scheduler.PhaseFinished
	k.outbox = append(k.outbox, scheduler.Outcome{Token: t, Task: k.tasks[t], Kind: kind})
}

func (w *world) describe() string {
	return fmt.Sprintf("line %d, tasks %+v, worker %+v", len(w.line), w.core.Counts(), w.w)
}
