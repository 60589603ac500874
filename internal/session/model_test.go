package session

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestModel runs random histories of one session against the real core, then lets everything go well, and checks that no
// grant was lost: every task ends.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.w.speaks = rapid.Uint32Range(1, VersionRecall).Draw(t, "version")
		w.connect()
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { w.check() },
			"submit": func(t *rapid.T) {
				w.submit(rapid.IntRange(1, 6).Draw(t, "n"), rapid.SampledFrom([]uint32{0, 1 << 20}).Draw(t, "bytes"))
			},
			"apply":     func(t *rapid.T) { w.apply(rapid.IntRange(0, len(w.line)).Draw(t, "n")) },
			"take":      func(t *rapid.T) { w.take(rapid.IntRange(0, 5).Draw(t, "gone")) },
			"send":      func(*rapid.T) { w.send() },
			"workerGet": func(*rapid.T) { w.workerGet() },
			"leaderGet": func(*rapid.T) { w.leaderGet() },
			"work":      func(t *rapid.T) { w.work(t) },
			"say":       func(t *rapid.T) { w.say(rapid.Bool().Draw(t, "beat")) },
			"break": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "often") == 0 {
					w.breakStream()
				}
			},
			"connect": func(t *rapid.T) {
				if w.w.stream == 0 || rapid.IntRange(0, 4).Draw(t, "often") == 0 {
					w.w.speaks = rapid.Uint32Range(1, VersionRecall).Draw(t, "version")
					w.connect()
				}
			},
			"recall": func(t *rapid.T) { w.recall(t) },
			"late":   func(*rapid.T) { w.pass(ReceiptTime + second) },
			"cancel": func(t *rapid.T) { w.cancel(t) },
			"pass":   func(t *rapid.T) { w.pass(rapid.Int64Range(0, 8*second).Draw(t, "d")) },
			"stall":  func(t *rapid.T) { w.stall(rapid.Int64Range(0, 60*second).Draw(t, "d")) },
		})
		w.settle()
	})
}

func (w *world) submit(n int, bytes uint32) {
	c := &scheduler.Submit{}
	for range n {
		p := scheduler.DefaultPolicy()
		p.AttemptTimeout, p.MaxLosses, p.MaxAttempts, p.Backoff = 20*scheduler.Second, 100, 1000, 0
		c.Tasks = append(c.Tasks, scheduler.TaskSpec{Kind: "k", Queue: "default", Weight: 1, Policy: p, PayloadBytes: bytes})
	}
	w.propose(scheduler.Command{Op: scheduler.OpSubmit, Submit: c}, nil)
}

// take lets the leader's sender send control messages and take grants into its hand. gone 0: the first one's task has
// ended; 1: its payload and that of the last can't be read.
func (w *world) take(gone int) {
	for stream := range w.dead {
		var c Control
		if w.m != nil && (w.m.TakeControl(stream, &c) || len(w.m.TakeGrants(stream, nil)) > 0) {
			w.t.Fatalf("stream %d has ended and is given something to send", stream)
		}
	}
	k := &w.w
	if w.m == nil || k.stream == 0 {
		return
	}
	c := &Control{}
	if w.m.TakeControl(k.stream, c) {
		k.in = append(k.in, wire{control: c})
	}
	if len(w.hand) > 0 {
		return
	}
	w.hand, w.handOf = w.m.TakeGrants(k.stream, nil), k.stream
	if len(w.hand) == 0 || gone > 1 {
		return
	}
	first, last := w.hand[0], w.hand[len(w.hand)-1]
	w.hand = w.hand[1:]
	if gone == 0 {
		w.m.Skip(k.stream, first.Token, &w.acts)
	} else {
		w.m.Unreadable(k.stream, []scheduler.Token{first.Token, last.Token}, &w.acts)
		if len(w.hand) > 0 {
			w.hand = w.hand[:len(w.hand)-1]
		}
	}
	w.perform()
}

// send lets the leader's sender send what it has in its hand.
func (w *world) send() {
	if len(w.hand) == 0 {
		return
	}
	bytes := 0
	for i := range w.hand {
		bytes += int(w.hand[i].PayloadBytes) + 100
	}
	v := Drop
	var seq uint64
	if w.m != nil {
		seq, v = w.m.Sent(w.now, w.handOf, len(w.hand), bytes)
	}
	if v == Hold {
		return
	}
	if v == Send && w.dead[w.handOf] {
		w.t.Fatalf("stream %d has ended and may send", w.handOf)
	}
	if v == Send {
		w.w.in = append(w.w.in, wire{seq: seq, grants: w.hand})
	}
	w.hand = nil
}

// workerGet delivers one message to the worker.
func (w *world) workerGet() {
	k := &w.w
	if len(k.in) == 0 {
		return
	}
	x := k.in[0]
	k.in = k.in[1:]
	if x.control == nil {
		k.through = x.seq
		for _, g := range x.grants {
			if k.cancelled[g.Token] {
				w.t.Fatalf("the cancel of token %d has overtaken its grant", g.Token)
			}
			if k.recalled[g.Token] {
				w.t.Fatalf("the recall of token %d has overtaken its grant", g.Token)
			}
			if _, known := k.tokens[g.Token]; !known {
				k.tokens[g.Token], k.tasks[g.Token] = scheduler.PhaseHeld, g.Task
			}
		}
		return
	}
	for _, n := range x.control.Cancels {
		k.cancelled[n.Token] = true
		switch phase, known := k.tokens[n.Token]; {
		case !known:
			k.tasks[n.Token] = n.Task
			k.finish(n.Token, scheduler.OutcomeInterrupted)
		case phase != scheduler.PhaseFinished:
			k.finish(n.Token, scheduler.OutcomeCancelled)
		}
	}
	if len(x.control.Recalls) > 0 {
		k.giveBack(w, x.control.Recalls)
	}
	if x.control.Ack && x.control.AckThrough > k.answers {
		n := int(x.control.AckThrough - k.answers)
		for _, o := range k.outbox[:n] {
			delete(k.tokens, o.Token)
			delete(k.tasks, o.Token)
		}
		k.outbox, k.answers = k.outbox[n:], x.control.AckThrough
		k.sent = max(0, k.sent-n)
	}
}

// work starts or ends one token.
func (w *world) work(t *rapid.T) {
	k := &w.w
	var all []scheduler.Token
	for tok, phase := range k.tokens {
		if phase != scheduler.PhaseFinished {
			all = append(all, tok)
		}
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	tok := rapid.SampledFrom(all).Draw(t, "token")
	if k.tokens[tok] == scheduler.PhaseStarted {
		k.finish(tok, scheduler.OutcomeSucceeded)
		return
	}
	k.tokens[tok] = scheduler.PhaseStarted
	if k.stream != 0 && k.stream == w.stream() {
		k.out = append(k.out, wire{through: k.through, begun: []uint64{uint64(tok)}})
	}
}

// stream is the one that the leader has.
func (w *world) stream() StreamID {
	if w.m == nil {
		return 0
	}
	return w.m.Stream()
}

// say sends what the worker has to say.
func (w *world) say(beat bool) {
	k := &w.w
	if k.stream == 0 || k.stream != w.stream() {
		return // not welcomed yet
	}
	x := wire{through: k.through, beat: beat}
	if k.sent < len(k.outbox) {
		x.report = &scheduler.Outcomes{
			FirstSeq: k.answers + 1 + uint64(k.sent), AnswersThrough: k.answers, List: slices.Clone(k.outbox[k.sent:]),
		}
		k.sent = len(k.outbox)
	}
	k.out = append(k.out, x)
}

// leaderGet delivers one message to the leader.
func (w *world) leaderGet() {
	k := &w.w
	if len(k.out) == 0 || w.m == nil {
		return
	}
	x := k.out[0]
	k.out = k.out[1:]
	if w.m.Received(w.now, k.stream, x.through, &w.acts) {
		w.m.Begun(w.now, x.begun, &w.acts)
		if x.givenUp {
			w.m.Recalled(x.recalled, &w.acts)
		}
		if x.beat {
			w.m.Beat(1, &w.acts)
		}
		if x.report != nil && w.m.Arrived(len(x.report.List), &w.acts) {
			w.m.Outcomes(k.stream, x.report, &w.acts)
		}
	}
	w.perform()
}

// recall has the machine ask for tokens of the core's choice, here any, of the session or not.
func (w *world) recall(t *rapid.T) {
	if w.m == nil {
		return
	}
	attach := w.m.Attach() - uint64(rapid.IntRange(0, 4).Draw(t, "stale")/4)
	var tokens []scheduler.Token
	for range rapid.IntRange(1, 6).Draw(t, "tokens") {
		tokens = append(tokens, scheduler.Token(rapid.IntRange(1, 40).Draw(t, "token")))
	}
	if attach == w.m.Attach() {
		if last := w.core.SessionLeases(w.m.ID(), 1<<20); len(last) > 0 {
			tokens = append(tokens, last[len(last)-1].Token)
		}
	}
	w.m.Recall(w.now, attach, tokens, &w.acts)
	w.perform()
}

// giveBack answers a Recall as a worker does.
func (k *worker) giveBack(w *world, tokens []scheduler.Token) {
	if k.version < VersionRecall {
		w.t.Fatalf("a worker of version %d is asked for %v", k.version, tokens)
	}
	answer := wire{through: k.through, givenUp: true}
	for i, t := range tokens {
		if slices.Contains(tokens[:i], t) {
			w.t.Fatalf("token %d is asked for twice at once", t)
		}
		k.recalled[t] = true
		if k.tokens[t] == scheduler.PhaseHeld {
			delete(k.tokens, t)
			delete(k.tasks, t)
			answer.recalled = append(answer.recalled, uint64(t))
		}
	}
	k.out = append(k.out, answer)
}

// breakStream breaks the stream for both.
func (w *world) breakStream() {
	stream := w.w.stream
	if stream == 0 {
		return
	}
	w.cut()
	w.dead[stream] = true
	if w.m != nil {
		w.m.StreamBroken(stream, &w.acts)
		w.perform()
	}
}

func (w *world) cancel(t *rapid.T) {
	c := &scheduler.Cancel{Force: rapid.Bool().Draw(t, "force")}
	for range 3 {
		c.IDs = append(c.IDs, scheduler.TaskID(rapid.IntRange(1, 40).Draw(t, "task")))
	}
	w.propose(scheduler.Command{Op: scheduler.OpCancel, Cancel: c}, nil)
}

func (w *world) pass(d int64) {
	w.now += d
	w.clock += scheduler.Time(d)
	if w.m == nil {
		return
	}
	due := w.m.NextWake() <= w.now
	w.m.Tick(w.now, &w.acts)
	if !due && !w.acts.Empty() {
		w.t.Fatalf("a Tick before NextWake had something to do")
	}
	if w.m.NextWake() <= w.now {
		w.t.Fatalf("NextWake is not in the future after a Tick")
	}
	w.perform()
}

func (w *world) stall(d int64) {
	w.now += d
	if w.m != nil {
		w.m.StallGap(w.now, d)
	}
}

// settle lets everything go well and checks that all tasks end.
func (w *world) settle() {
	for range 400 {
		if w.w.stream == 0 || w.m != nil && w.m.Stream() != w.w.stream && len(w.line) == 0 {
			w.connect()
		}
		w.apply(len(w.line))
		w.take(2)
		w.send()
		for len(w.w.in) > 0 {
			w.workerGet()
		}
		for tok, phase := range w.w.tokens {
			if phase != scheduler.PhaseFinished {
				w.w.finish(tok, scheduler.OutcomeSucceeded)
			}
		}
		w.say(true)
		for len(w.w.out) > 0 && w.m != nil {
			w.leaderGet()
		}
		w.pass(100 * millisecond)
		c := w.core.Counts()
		if c.Leased+c.Pending+c.Scheduled == 0 && c.Leases == 0 && len(w.line) == 0 {
			if w.m != nil && w.m.Leases() != 0 {
				w.t.Fatalf("the machine still waits for %v: %s", w.m.leases, w.describe())
			}
			return
		}
	}
	w.t.Fatalf("tasks never end: %s", w.describe())
}
