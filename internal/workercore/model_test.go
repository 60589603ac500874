package workercore

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world is a core, the shell round it and a coordinator that plays its side of the contract, each with queues of messages
// between them that may be cut at any time. It checks at every step what DESIGN promises of a worker.
type world struct {
	t    *rapid.T
	core *Core
	act  Actions
	now  Time

	// The shell.
	running map[Token]*handler
	started map[Token]bool // ever
	shellUp bool
	inSend  int
	end     End

	// The network of the present stream.
	toWorker []func()
	toCoord  []Message
	owes     bool   // a Recall has arrived, and no Recalled was sent after it
	version  uint32 // of the protocol, as the Welcome will say

	coord coordinator
}

type handler struct {
	lease         *lease
	asked, killed bool
}

type lease struct {
	token   Token
	weight  int
	pool    string
	live    bool // its outcome would be accepted
	sent    bool // handed to the present stream
	timeout Duration
}

type coordinator struct {
	lastToken   Token
	lastSession uint64
	session     uint64 // 0: none, or expired
	attached    bool
	heard       Time
	leases      map[Token]*lease // of the session, live or revoked
	occupied    map[Token]*lease // tokens that take a slot
	answers     []answer         // by number - 1
	answered    map[Token]bool   // in this session
	confirmed   uint64
	grantSeq    uint64
	grantTold   uint64 // confirmed by the worker
	draining    bool
	goodbye     bool
	acceptedOf  map[Token]bool
	asked       map[Token]bool // on this stream, by a Recall
	givenUp     map[Token]bool // ever: Recalled was read, the lease released
	recalls     int            // sent on this stream and not known as answered: one answer may do for several
}

type answer struct {
	token  Token
	fenced bool
}

var modelPools = []Pool{{Name: "cpu", Slots: 3}, {Name: "io", Slots: 5, Prefetch: 4}}

func newWorld(t *rapid.T) *world {
	core, err := New(Config{Pools: modelPools, DrainTimeout: 20 * second, KillGrace: 3 * second})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, core: core, now: Time(second), running: map[Token]*handler{}, started: map[Token]bool{}}
	w.coord = coordinator{leases: map[Token]*lease{}, occupied: map[Token]*lease{}, acceptedOf: map[Token]bool{}, givenUp: map[Token]bool{}}
	return w
}

// settle carries out one step.
func (w *world) settle() {
	w.core.Settle(w.now, &w.act)
	if err := w.core.Check(); err != nil {
		w.t.Fatal(err)
	}
	for _, s := range w.act.Start {
		w.start(s)
	}
	for _, s := range w.act.Stop {
		h := w.running[s.Token]
		if h == nil || h.killed || h.asked && !s.Kill {
			w.t.Fatalf("stop %+v of %+v", s, h)
		}
		h.asked, h.killed = true, s.Kill
	}
	for _, m := range w.act.Send {
		if m.Kind == Recalled {
			w.owes = false
		}
		m.Started, m.Outcomes = slices.Clone(m.Started), slices.Clone(m.Outcomes)
		w.toCoord = append(w.toCoord, m)
		w.inSend++
	}
	if w.inSend > InFlightMax {
		w.t.Fatalf("%d messages in flight", w.inSend)
	}
	w.end = w.act.End
	reconnect, wake := w.act.Reconnect, w.act.NextWake
	w.act.Reset()
	if wake <= w.now && !w.end.Ended {
		w.t.Fatalf("wants to be woken at %d, now is %d", wake, w.now)
	}
	w.act.NextWake = wake
	if reconnect != "" {
		if reconnect != "heartbeats are not answered" && reconnect != "Hello not answered in 10 s" {
			w.t.Fatalf("gave up the stream: %s", reconnect)
		}
		w.cut()
	}
	w.checkPermits()
}

func (w *world) start(s Start) {
	l := s.Body.(*lease)
	if w.started[s.Token] {
		w.t.Fatalf("token %d runs twice", s.Token)
	}
	if w.coord.givenUp[s.Token] {
		w.t.Fatalf("token %d starts, which was given up", s.Token)
	}
	if w.coord.draining {
		w.t.Fatalf("token %d starts in a drain", s.Token)
	}
	// The coordinator can't have given it away: it expires a session only a TTL after it last heard of it.
	if w.now >= w.coord.heard.Add(testTTL) {
		w.t.Fatalf("token %d starts %d ns after the coordinator last heard of us", s.Token, w.now-w.coord.heard)
	}
	w.started[s.Token] = true
	w.running[s.Token] = &handler{lease: l}
}

// checkPermits counts what runs; a handler that was given up still has its weight, but its pool doesn't know it.
func (w *world) checkPermits() {
	for _, p := range modelPools {
		used := 0
		for _, h := range w.running {
			if h.lease.pool == p.Name {
				used += h.lease.weight
			}
		}
		if used > p.Slots {
			w.t.Fatalf("pool %s of %d slots runs a weight of %d", p.Name, p.Slots, used)
		}
	}
}

func (w *world) finish(token Token, kind OutcomeKind) {
	delete(w.running, token)
	w.core.Finished(w.now, token, Report{Kind: kind, Size: 100})
	w.settle()
}

func (w *world) connect() {
	w.shellUp, w.inSend = true, 0
	w.coord.grantSeq, w.coord.grantTold = 0, 0
	w.coord.asked, w.coord.recalls = map[Token]bool{}, 0
	w.owes = false
	w.version = rapid.SampledFrom([]uint32{0, 1, VersionRecall, VersionRecall}).Draw(w.t, "version")
	w.core.Connected(w.now)
	w.settle()
}

// cut breaks the stream. What was under way is lost, both ways.
func (w *world) cut() {
	if !w.shellUp {
		return
	}
	w.shellUp, w.inSend, w.toWorker, w.toCoord = false, 0, nil, nil
	w.coord.attached = false
	for token, l := range w.coord.leases {
		if !l.sent { // still in the mailbox: released at no cost
			delete(w.coord.leases, token)
			delete(w.coord.occupied, token)
		}
	}
	w.core.Disconnected(w.now)
	w.settle()
}

func (w *world) deliver() {
	do := w.toWorker[0]
	w.toWorker = w.toWorker[1:]
	do()
	w.settle()
}

func (w *world) sendDone() {
	w.inSend--
	w.core.Sent(1)
	w.settle()
}

// wait lets time go by in the steps that the core asks for.
func (w *world) wait(d Duration) {
	until := w.now.Add(d)
	for n := 0; w.act.NextWake <= until && !w.end.Ended; n++ {
		if n > 1000 {
			w.t.Fatal("woken without end")
		}
		w.now = max(w.now, w.act.NextWake)
		w.settle()
	}
	w.now = until
	w.settle()
}

// sortedKeys gives rapid an order that doesn't change between runs.
func sortedKeys[V any](m map[Token]V) []Token { return slices.Sorted(maps.Keys(m)) }

func TestCoreAgainstRandomCoordinator(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(w.actions())
		w.calm()
		w.finale()
	})
}

func (w *world) actions() map[string]func(*rapid.T) {
	skipUnless := func(ok bool) {
		if !ok {
			w.t.Skip()
		}
	}
	return map[string]func(*rapid.T){
		"connect":  func(*rapid.T) { skipUnless(!w.shellUp); w.connect() },
		"cut":      func(*rapid.T) { skipUnless(w.shellUp); w.cut() },
		"deliver":  func(*rapid.T) { skipUnless(len(w.toWorker) > 0); w.deliver() },
		"deliverB": func(*rapid.T) { skipUnless(len(w.toWorker) > 0); w.deliver() },
		"sendDone": func(*rapid.T) { skipUnless(w.inSend > 0); w.sendDone() },
		"process":  func(*rapid.T) { skipUnless(len(w.toCoord) > 0); w.process() },
		"processB": func(*rapid.T) { skipUnless(len(w.toCoord) > 0); w.process() },
		"grant":    func(t *rapid.T) { skipUnless(w.coord.attached); w.grant(t) },
		"wait":     func(t *rapid.T) { w.wait(Duration(rapid.Int64Range(0, int64(4*second)).Draw(t, "wait"))) },
		"finish": func(t *rapid.T) {
			skipUnless(len(w.running) > 0)
			token := rapid.SampledFrom(sortedKeys(w.running)).Draw(t, "token")
			w.finish(token, rapid.SampledFrom([]OutcomeKind{Succeeded, Failed}).Draw(t, "kind"))
		},
		"cancel": func(t *rapid.T) {
			skipUnless(w.coord.attached && len(w.coord.leases) > 0)
			w.cancel(rapid.SampledFrom(sortedKeys(w.coord.leases)).Draw(t, "token"),
				rapid.SampledFrom([]CancelReason{ReasonCancelled, ReasonDeadline, ReasonRevoked}).Draw(t, "reason"))
		},
		"recall": func(t *rapid.T) {
			skipUnless(w.coord.attached && w.version >= VersionRecall && len(w.coord.leases) > 0)
			w.recall(t)
		},
		"progress": func(*rapid.T) { w.core.Progress(w.now); w.settle() },
		"expire": func(*rapid.T) {
			c := &w.coord
			skipUnless(c.session != 0)
			w.cut()
			w.wait(max(0, Duration(c.heard.Add(testTTL)-w.now)))
			for _, h := range w.running {
				if !h.killed {
					w.t.Fatalf("token %d runs on when the coordinator may give it away", h.lease.token)
				}
			}
			c.session = 0
			for _, l := range c.leases {
				l.live = false
			}
		},
		"": func(t *rapid.T) { w.settle() },
	}
}

// calm brings everything to rest: no chaos, all handlers return, all messages arrive.
func (w *world) calm() {
	if !w.shellUp {
		w.connect()
	}
	w.run(func() bool {
		return len(w.coord.leases) == 0 && len(w.coord.occupied) == 0 && w.core.Counts().Unanswered == 0
	})
	if n := w.core.Counts(); n.Held+n.Running+n.Unanswered != 0 {
		w.t.Fatalf("left over: %+v", n)
	}
	w.wait(ConfirmAfter)
	w.run(func() bool { return len(w.toCoord) == 0 && len(w.toWorker) == 0 })
	if w.owes {
		w.t.Fatal("a Recall without an answer")
	}
	if c := &w.coord; c.grantTold != c.grantSeq || c.confirmed != uint64(len(c.answers)) {
		w.t.Fatalf("grants through %d of %d confirmed, answers through %d of %d", c.grantTold, c.grantSeq, c.confirmed, len(c.answers))
	}
}

// run exchanges messages until done holds, and beyond that fails.
func (w *world) run(done func() bool) {
	for n := 0; ; n++ {
		for len(w.toWorker)+len(w.toCoord)+w.inSend+len(w.running) > 0 {
			switch {
			case w.inSend > 0:
				w.sendDone()
			case len(w.toCoord) > 0:
				w.process()
			case len(w.toWorker) > 0:
				w.deliver()
			default:
				w.finish(sortedKeys(w.running)[0], Succeeded)
			}
		}
		if done() {
			return
		}
		if n > 100 {
			w.t.Fatalf("no rest: coordinator %+v, worker %+v", w.coord, w.core.Counts())
		}
		if !w.shellUp {
			w.connect()
		}
		w.wait(second)
	}
}

// finale drains the worker, with work under way, over a stream that works.
func (w *world) finale() {
	w.grant(w.t)
	for len(w.toWorker) > 0 {
		w.deliver()
	}
	w.grant(w.t) // arrives after the drain has begun
	w.core.Drain(w.now)
	w.coord.draining = true
	w.settle()
	w.run(func() bool { return w.coord.goodbye })
	w.cut()
	if w.end != (End{Ended: true}) {
		w.t.Fatalf("end %+v", w.end)
	}
}

func (c *coordinator) String() string {
	return fmt.Sprintf("session %d attached %t leases %d occupied %d answers %d", c.session, c.attached, len(c.leases), len(c.occupied), len(c.answers))
}
