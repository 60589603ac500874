package workercore

import (
	"math"
	"math/rand/v2"
	"testing"
)

// feed reads a fuzzer's bytes as choices; at its end it gives zeros.
type feed struct{ b []byte }

func (f *feed) n(limit int) int {
	if len(f.b) == 0 {
		return 0
	}
	v := int(f.b[0])
	f.b = f.b[1:]
	return v % limit
}

// number is small, or at an edge of its type.
func (f *feed) number() uint64 {
	if f.n(4) > 0 {
		return uint64(f.n(12))
	}
	return [...]uint64{math.MaxUint64, 1 << 63, math.MaxInt64, 1 << 32, math.MaxUint32, 1 << 20}[f.n(6)]
}

func (f *feed) tokens() []Token {
	var list []Token
	for range f.n(6) {
		list = append(list, Token(f.number()))
	}
	return list
}

// span is any duration, below zero too: what the shell makes of a hostile coordinator's.
func (f *feed) span() Duration {
	if f.n(3) > 0 {
		return Duration(f.n(30)) * second
	}
	return Duration(f.number())
}

// hostile is a worker's core with a coordinator that sends anything, and the shell between them, which keeps to the
// contract: what it is told to start runs until it is reported, and messages are sent in order.
type hostile struct {
	*feed
	t       *testing.T
	core    *Core
	now     Time
	act     Actions
	pending int            // messages composed and not sent
	runs    map[Token]bool // handlers; true: told to stop
	up      bool
	ended   bool
}

// FuzzHostileCoordinator: whatever a coordinator sends, in any order and with any numbers, the worker's core keeps its
// invariants and its bounds, runs nothing twice at a time, starts nothing but what it was granted, and tells of every
// handler that it started.
func FuzzHostileCoordinator(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := make([]byte, 1500)
		for i := range b {
			b[i] = byte(r.IntN(256))
			if i%3 == 0 {
				b[i] = byte(r.IntN(14))
			}
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 3000 {
			return
		}
		core, err := New(Config{Pools: []Pool{{Name: "default", Slots: 2, Prefetch: 2}, {Name: "cpu", Slots: 1}}, DrainTimeout: 3 * second, KillGrace: second})
		if err != nil {
			t.Fatal(err)
		}
		h := &hostile{feed: &feed{data}, t: t, core: core, now: Time(second), runs: map[Token]bool{}}
		for len(h.b) > 0 && !h.ended {
			h.step()
			h.settle()
		}
	})
}

func (h *hostile) step() {
	if !h.up {
		h.core.Connected(h.now)
		h.up = true
		h.settle() // Hello
		if h.n(4) > 0 {
			h.core.Welcome(h.now, WelcomeMessage{Session: 1 + uint64(h.n(2)), TTL: testTTL, Interval: testInterval, Margin: testMargin,
				Stop: h.tokens(), NewSession: h.n(4) == 0, Version: uint32(1 + h.n(2))}, &h.act)
		}
		return
	}
	if h.core.stream.state == streamBroken && h.n(8) > 0 { // the shell ends it soon
		h.core.Disconnected(h.now)
		h.up, h.pending = false, 0
		return
	}
	switch h.n(14) {
	case 0:
		h.core.Welcome(h.now, WelcomeMessage{Session: h.number(), TTL: h.span(), Interval: h.span(), Margin: h.span(), Stop: h.tokens(),
			NewSession: h.n(2) == 0, Version: uint32(h.number())}, &h.act)
	case 1, 2, 3:
		seq := h.core.stream.received + 1
		if h.n(8) == 0 {
			seq = h.number()
		}
		var leases []Lease
		for range h.n(5) {
			l := Lease{Token: Token(1 + h.n(12)), Task: TaskID(h.number()), Pool: [...]string{"default", "cpu", "?"}[h.n(8)%3], Weight: uint32(1 + h.n(2))}
			if h.n(8) == 0 {
				l.Token, l.Weight, l.AttemptTimeout = Token(h.number()), uint32(h.number()), h.span()
				l.DeadlineIn, l.StartWithin = h.span(), h.span()
			}
			leases = append(leases, l)
		}
		h.core.Grants(h.now, seq, leases, &h.act)
	case 4, 5:
		through := h.core.outbox.answered + uint64(h.n(3))
		if h.n(6) == 0 {
			through = h.number()
		}
		var rejected []Rejection
		for range h.n(3) {
			rejected = append(rejected, Rejection{Seq: h.number(), Token: Token(h.number()), Gone: h.n(2) == 0})
		}
		h.core.Answers(h.now, through, rejected, &h.act)
	case 6:
		at := h.core.stream.heartbeatSent
		if h.n(4) == 0 {
			at = Time(h.number())
		}
		h.core.HeartbeatAck(h.now, at, &h.act)
	case 7:
		h.core.Cancel(h.now, Token(h.number()), TaskID(h.number()), CancelReason(h.n(6)), &h.act)
	case 8:
		tokens := h.tokens()
		if first := h.first(); h.n(2) == 0 && first != 0 {
			tokens = append(tokens, first) // it runs: it must go on
		}
		h.core.Recall(h.now, tokens, &h.act)
	case 9:
		h.core.Disconnected(h.now)
		h.up, h.pending = false, 0
	case 10:
		h.now += Time(h.n(8)) * Time(second) / 2
	case 11, 12:
		h.report()
	default:
		switch h.n(12) {
		case 0:
			h.core.Drain(h.now)
		case 1:
			h.core.Force(h.now)
		case 2:
			h.core.Resize("default", h.n(4))
		default:
			h.core.Progress(h.now)
		}
	}
}

// first is the handler of the lowest token, 0 if none runs.
func (h *hostile) first() (first Token) {
	for token := range h.runs {
		if first == 0 || token < first {
			first = token
		}
	}
	return first
}

// report ends the first handler.
func (h *hostile) report() {
	if first := h.first(); first != 0 {
		delete(h.runs, first)
		h.core.Finished(h.now, first, Report{Kind: OutcomeKind(1 + h.n(2)), Size: h.n(200)})
	}
}

// settle carries out a step, and what its messages make possible.
func (h *hostile) settle() {
	for range 100 {
		h.core.Settle(h.now, &h.act)
		if err := h.core.Check(); err != nil {
			h.t.Fatal(err)
		}
		for _, s := range h.act.Start {
			if _, twice := h.runs[s.Token]; twice || s.Token == 0 {
				h.t.Fatalf("token %d is started while it runs", s.Token)
			}
			h.runs[s.Token] = false
		}
		for _, s := range h.act.Stop {
			if _, runs := h.runs[s.Token]; !runs {
				h.t.Fatalf("token %d is stopped and doesn't run", s.Token)
			}
			h.runs[s.Token] = true
		}
		h.pending += len(h.act.Send)
		if h.pending > InFlightMax {
			h.t.Fatalf("%d messages at a time", h.pending)
		}
		if n := h.core.Counts(); n.Held+n.Running+n.Unanswered > TokensMax || n.Used > n.Slots+3 || n.Running+len(h.core.drain.ghosts) != len(h.runs) {
			h.t.Fatalf("%+v with %d handlers and %d given up", n, len(h.runs), len(h.core.drain.ghosts))
		}
		h.ended = h.ended || h.act.End.Ended
		sent := h.pending
		h.act.Reset()
		if sent == 0 || !h.up {
			return
		}
		h.core.Sent(sent)
		h.pending = 0
	}
	h.t.Fatal("the core has something to say without end")
}
