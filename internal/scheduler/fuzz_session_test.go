package scheduler

import (
	"fmt"
	"slices"
	"testing"
)

// intruder makes session commands of any shape for one session, as a hostile worker's stream might propose them: any
// operation, tokens of everybody, attach numbers that were never given, lists where none belong.
type intruder struct {
	tape
	s  *State
	id SessionID
}

// number is one of few, or at an edge.
func (x *intruder) number(last uint64) uint64 {
	if x.n(8) == 0 {
		return (&gen{source: &x.tape}).extreme()
	}
	return uint64(x.n(int(min(last, 200)) + 3))
}

func (x *intruder) tokens() []Token {
	var list []Token
	for range x.n(5) {
		list = append(list, Token(x.number(uint64(x.s.globals.LastToken))))
	}
	return list
}

func (x *intruder) attach() uint64 {
	if own := x.s.sessions[x.id]; own != nil && x.n(3) > 0 {
		return own.Attach
	}
	return x.number(4)
}

func (x *intruder) known() []KnownToken {
	var list []KnownToken
	for _, t := range x.tokens() {
		list = append(list, KnownToken{Token: t, Task: TaskID(x.number(uint64(x.s.globals.LastTask))), Weight: uint16(x.number(4)),
			Pool: [...]string{"main", "cpu", ""}[x.n(3)], Phase: TokenPhase(x.n(6))})
	}
	return list
}

func (x *intruder) command() Command {
	switch op := [...]Op{OpAttach, OpDetach, OpRelease, OpExpireSession, OpDrainSession, OpCloseSession, OpTimeoutLeases, OpUnreadable,
		OpOutcomes, OpOutcomes, OpOpenSession, OpResumeSession}[x.n(12)]; op {
	case OpOutcomes:
		o := &Outcomes{Session: x.id, Attach: x.attach(), FirstSeq: x.number(6), AnswersThrough: x.number(6)}
		if own := x.s.sessions[x.id]; own != nil && x.n(3) > 0 {
			o.FirstSeq, o.AnswersThrough = own.nextSeq(), own.nextSeq()-1
		}
		for range x.n(4) {
			o.List = append(o.List, Outcome{Token: Token(x.number(uint64(x.s.globals.LastToken))), Task: TaskID(x.number(uint64(x.s.globals.LastTask))),
				Kind: OutcomeKind(x.n(7)), Cause: Cause(x.n(9)), Permanent: x.n(2) == 0, RetryAfter: Duration(x.number(5))})
		}
		return Command{Op: op, Outcomes: o}
	case OpOpenSession: // a name of its own, or the other's, which rpc knows to be taken
		w := worker("intruder", 1+x.n(4), genKinds...)
		w.Incarnation = Hash128{byte(2 + x.n(3))}
		c := &OpenSession{Worker: w, Tokens: x.known(), Live: x.n(4) == 0}
		if x.n(5) == 0 {
			c.Worker.Name, c.Live = "innocent", true
		}
		return Command{Op: op, Open: c}
	case OpResumeSession: // its own session, or the other's under an incarnation that it can't know
		c := &ResumeSession{Session: x.id, Incarnation: Hash128{2}, Tokens: x.known(), AnswersThrough: x.number(6)}
		if x.n(4) == 0 {
			c.Session = 1
		}
		return Command{Op: op, Resume: c}
	default:
		return onSession(op, SessionCommand{Session: x.id, Attach: x.attach(), Over: x.tokens(), Unconfirmed: x.tokens(),
			Started: x.tokens(), Tokens: x.tokens()})
	}
}

// leasesOf tells a session's leases and the states of their tasks.
func leasesOf(s *State, id SessionID) string {
	text := ""
	for _, l := range s.SessionLeases(id, 100) {
		t, _ := s.Task(l.Task)
		text += fmt.Sprintf("token %d of task %d, revoked %t, state %d, attempts %d, losses %d; ", l.Token, l.Task, l.Revoked, t.State, t.Attempts, t.Losses)
	}
	return text
}

// FuzzIntruder: whatever is proposed for one worker's session, in whatever order, the state stays right and another
// worker's leases are as they were: held, unrevoked, uncharged; and in the end that worker's outcomes are accepted.
func FuzzIntruder(f *testing.F) {
	for seed := range uint64(24) {
		r := newSeeded(seed)
		b := make([]byte, 300)
		for i := range b {
			b[i] = byte(r.n(256))
		}
		f.Add(b)
	}
	f.Add(slices.Repeat([]byte{3, 2, 1, 0}, 60))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 800 {
			return
		}
		h := newHarness(t)
		innocent := h.open(worker("innocent", 3, genKinds...)) // session 1
		h.submit(specs(3, "a")...)
		x := &intruder{tape: tape{data}, s: h.s, id: 2}
		h.open(worker("intruder", 2, genKinds...))
		h.submit(specs(6, "b")...)
		before := leasesOf(h.s, innocent)
		h.unchecked = true // but for every eighth step: the check takes most of the time
		for steps := 0; len(x.b) > 0; steps++ {
			c := x.command()
			eff := h.apply(c)
			if n := effectsSize(eff); n > fuzzEffectsMax {
				t.Fatalf("%d effects of one step", n)
			}
			if steps%8 == 0 || len(x.b) == 0 {
				if err := checkAll(h.s, eff); err != nil {
					t.Fatalf("step %d, %s: %v", steps, describe(h.log[len(h.log)-1]), err)
				}
			}
			if after := leasesOf(h.s, innocent); after != before {
				t.Fatalf("step %d, %s, changed another's leases\nfrom %s\nto   %s", steps, describe(h.log[len(h.log)-1]), before, after)
			}
			if r := &eff.Replies[0]; c.Op == OpOpenSession && r.Code == CodeOK {
				x.id = r.Session
			}
		}
		var ends []Outcome
		for _, l := range h.s.SessionLeases(innocent, 100) {
			ends = append(ends, Outcome{Token: l.Token, Task: l.Task, Kind: OutcomeSucceeded})
		}
		eff := h.apply(h.outcomes(innocent, ends...))
		for _, a := range eff.Answers {
			if a != AnswerAccepted {
				t.Fatalf("an innocent worker's outcomes were answered %v", eff.Answers)
			}
		}
		if len(eff.Answers) != 3 {
			t.Fatalf("%d answers to 3 outcomes", len(eff.Answers))
		}
	})
}
