package scheduler

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// logic1 drives a state by the rules of logic 1, with its own choices only: it must never change, since the hashes below
// were taken when logic 1 was the only one.
type logic1 struct {
	seeded
	s    *State
	now  Time
	term uint64
	sum  uint64 // of all grants so far
	eff  Effects
}

func (d *logic1) step(cmds ...Command) {
	d.s.Apply(&Batch{Logic: 1, Now: d.now, Commands: cmds}, &d.eff)
	for _, g := range d.eff.Grants {
		b := binary.BigEndian.AppendUint64(nil, d.sum)
		b = binary.BigEndian.AppendUint64(b, uint64(g.Session))
		b = binary.BigEndian.AppendUint64(b, uint64(g.Task))
		d.sum = hashBytes(binary.BigEndian.AppendUint64(b, uint64(g.Token)))
	}
}

func (d *logic1) command() Command {
	kinds := [...]string{"a", "b", "c"}
	live := d.s.sortedSessions()
	switch p := d.n(20); {
	case p < 6:
		c := &Submit{}
		for range 1 + d.n(6) {
			t := spec(kinds[d.n(3)])
			t.Queue, t.Weight, t.Priority = [...]string{"q1", "q2"}[d.n(2)], uint16(1+d.n(4)), int8(d.n(3))
			t.Policy.MaxLosses = uint8(2 + d.n(4))
			c.Tasks = append(c.Tasks, t)
		}
		return Command{Op: OpSubmit, Submit: c}
	case p < 9 && len(live) < 8 || len(live) == 0:
		w := worker(fmt.Sprintf("w%d", d.n(12)), 1+d.n(6), "a", "b")
		w.Incarnation = Hash128{byte(d.n(200))}
		if d.n(3) == 0 {
			w.Kinds = append(w.Kinds, "c")
			w.Pools = append(w.Pools, Pool{Name: "cpu", Slots: 4, Kinds: []string{"c"}})
		}
		return Command{Op: OpOpenSession, Open: &OpenSession{Worker: w, Live: d.n(3) == 0}}
	case p < 10:
		ops := [...]Op{OpPauseQueue, OpResumeQueue, OpConfigureQueue}
		return Command{Op: ops[d.n(3)], Queue: &QueueCommand{Name: [...]string{"q1", "q2"}[d.n(2)], Weight: uint16(1 + d.n(3))}}
	}
	x := live[d.n(len(live))]
	tokens := d.s.tokensOf(x)
	tokens = tokens[:min(len(tokens), d.n(5))]
	c := SessionCommand{Session: x.ID, Attach: x.Attach}
	switch d.n(8) {
	case 0:
		c.Started = tokens
		return onSession(OpExpireSession, c)
	case 1:
		c.Unconfirmed = tokens
		return onSession(OpDetach, c)
	case 2:
		return onSession(OpAttach, c)
	case 3:
		c.Over = tokens
		return onSession(OpRelease, c)
	}
	o := &Outcomes{Session: x.ID, Attach: x.Attach, FirstSeq: x.nextSeq(), AnswersThrough: x.nextSeq() - 1}
	for _, token := range tokens {
		o.List = append(o.List, Outcome{Token: token, Kind: OutcomeKind(1 + d.n(4)), Cause: CauseError})
	}
	return Command{Op: OpOutcomes, Outcomes: o}
}

// TestLogic1 replays logs of logic 1: grants and states are those of the release that knew no other.
func TestLogic1(t *testing.T) {
	for i, want := range []string{
		"18f89ab3727af8d2 3386c435616dcfd6",
		"b55eea8c70ed4e0e 8b1e8d57cfd3ffdf",
		"f5b47292eeefb949 f86dc4691aa8d6c4",
		"c87249023cc30551 a64cbf60387092fb",
	} {
		seed := uint64(i) + 1
		d := &logic1{seeded: newSeeded(seed), s: New(), now: testEpoch}
		for i := range 1500 {
			if i%400 == 0 {
				d.term++
				d.step(Command{Op: OpBeginTerm, BeginTerm: &BeginTerm{Term: d.term, Limits: Limits{MaxTasks: 300, Depth: 200}}})
			}
			d.now = d.now.Add(Duration(d.n(3)) * 400 * Millisecond)
			d.step(d.command())
		}
		if got := fmt.Sprintf("%x %x", d.sum, d.s.Hash()); got != want {
			t.Errorf("seed %d: grants and state have the hashes %s, want %s", seed, got, want)
		}
	}
}
