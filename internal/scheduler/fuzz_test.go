package scheduler

import (
	"bytes"
	"testing"
)

// tape is a source of choices that reads a fuzzer's bytes; at its end it gives zeros.
type tape struct{ b []byte }

func (s *tape) n(limit int) int {
	n := 0
	for span := 1; span < limit && len(s.b) > 0; span <<= 8 {
		n = n<<8 | int(s.b[0])
		s.b = s.b[1:]
	}
	return n % limit
}

// fuzzEffectsMax bounds what one step of the fuzzer's few commands may do to a cluster of at most forty tasks.
const fuzzEffectsMax = 5000

// FuzzApply turns bytes into commands, many of them hostile: tokens of others, wrong attach numbers, values out of bounds,
// any order. Whatever comes, Apply doesn't panic, every index stays right, and the effects of a step are bounded. The
// only inputs left out are the two that halt a replica by design: an unknown command and a term that doesn't grow.
func FuzzApply(f *testing.F) {
	for seed := range byte(24) {
		r := newSeeded(uint64(seed))
		b := make([]byte, 600)
		for i := range b {
			b[i] = byte(r.n(256))
		}
		f.Add(append([]byte{seed * 4}, b...))
	}
	f.Add(bytes.Repeat([]byte{0}, 200))
	f.Add(bytes.Repeat([]byte{255}, 400))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4000 {
			return
		}
		src := &tape{data}
		g := &gen{source: src, s: New(), now: testEpoch, hostile: src.n(100), deadly: 30 * src.n(2)}
		var eff Effects
		b := g.first()
		for len(src.b) > 0 {
			g.s.Apply(b, &eff)
			if err := checkAll(g.s, &eff); err != nil {
				t.Fatalf("%v\n%s", err, describe(b))
			}
			if n := effectsSize(&eff); n > fuzzEffectsMax {
				t.Fatalf("%d effects of one step\n%s", n, describe(b))
			}
			b = g.step()
		}
		d := checkpointOf(t, g.s)
		if got, want := d.load(t).Hash(), g.s.Hash(); got != want {
			t.Fatalf("loaded state has hash %x, want %x", got, want)
		}
	})
}

func effectsSize(e *Effects) int {
	return len(e.IDs) + len(e.Items) + len(e.Tokens) + len(e.Answers) + len(e.Grants) + len(e.Cancels) + len(e.Staged) +
		len(e.Finished) + len(e.Failed) + len(e.Revived) + len(e.Forgotten) + len(e.Sessions) + len(e.Events)
}

// TestHalts shows the inputs that halt a replica.
func TestHalts(t *testing.T) {
	entry := func(logic uint32, c Command) *Batch { return &Batch{Logic: logic, Commands: []Command{c}} }
	rules := func(logic uint32) Command { return Command{Op: OpSetLogic, SetLogic: &SetLogic{Logic: logic}} }
	tick := Command{Op: OpTick}
	for name, log := range map[string][]*Batch{ // the last entry halts
		"unknown command":           {entry(LogicVersion, Command{Op: opMax + 1})},
		"command 0":                 {entry(LogicVersion, Command{})},
		"unknown logic version":     {entry(LogicVersion+1, tick)},
		"no logic version":          {entry(0, tick)},
		"later rules than in force": {entry(1, tick), entry(2, tick)},
		"older rules than in force": {entry(1, rules(2)), entry(1, tick)},
		"rules that stand":          {entry(2, rules(2))},
		"rules of old":              {entry(2, rules(1))},
		"unknown rules":             {entry(1, rules(LogicVersion+1))},
		"command from later rules":  {entry(1, Command{Op: OpDelete, Delete: &Delete{Items: make([]DeleteItem, 1)}})},
		"restore by rules of old":   {entry(2, Command{Op: OpRestored})},
		"unreadable by old rules":   {entry(2, Command{Op: OpUnreadable, Session: &SessionCommand{}})},
		"term that stands":          {entry(LogicVersion, Command{Op: OpBeginTerm, BeginTerm: &BeginTerm{}})},
	} {
		func() {
			s := New()
			for _, b := range log[:len(log)-1] {
				s.Apply(b, &Effects{})
			}
			defer func() {
				if recover() == nil {
					t.Errorf("%s: applied", name)
				}
			}()
			s.Apply(log[len(log)-1], &Effects{})
		}()
	}
}
