package sim

import (
	"fmt"
	"io"
	"strings"
)

// traceKept is how many of the last notes a run keeps for its trace.
const traceKept = 400

// note is one line of the trace, unrendered: most runs never show it.
type note struct {
	at   int64
	step int
	text string // a format for args, all of them %d
	args [5]int64
	n    int8
}

// trace keeps the last notes, and a hash of all of them: two runs of a seed must agree in it.
type trace struct {
	ring []note
	made int
	hash uint64
	live io.Writer // nil: nobody listens
}

func (t *trace) note(at int64, step int, text string, args ...int64) {
	n := note{at: at, step: step, text: text, n: int8(len(args))}
	copy(n.args[:], args)
	t.hash = mix(t.hash ^ uint64(at))
	t.hash = mix(t.hash ^ uint64(len(text))<<8 ^ uint64(text[0]))
	for _, a := range args {
		t.hash = mix(t.hash ^ uint64(a))
	}
	if len(t.ring) < traceKept {
		t.ring = append(t.ring, n)
	} else {
		t.ring[t.made%traceKept] = n
	}
	t.made++
	if t.live != nil {
		fmt.Fprintln(t.live, n.String())
	}
}

func (n *note) String() string {
	args := make([]any, n.n)
	for i := range args {
		args[i] = n.args[i]
	}
	return fmt.Sprintf("%12.6fs #%-5d %s", float64(n.at)/1e9, n.step, fmt.Sprintf(n.text, args...))
}

// last renders the last notes; what repeats at once is shortened.
func (t *trace) last(most int) string {
	var b strings.Builder
	from := max(0, t.made-min(most, len(t.ring)))
	repeated := 0
	for i := from; i < t.made; i++ {
		n := &t.ring[i%traceKept]
		if i > from {
			if p := &t.ring[(i-1)%traceKept]; p.text == n.text && p.args == n.args {
				repeated++
				continue
			}
		}
		if repeated > 0 {
			fmt.Fprintf(&b, "%*s (and %d like it)\n", 20, "", repeated)
			repeated = 0
		}
		b.WriteString(n.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// mix spreads a number's bits (the finisher of splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
