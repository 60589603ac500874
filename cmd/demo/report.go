package main

import (
	"fmt"
	"strings"
	"time"
)

// report is what the demo prints in the end.
type report struct {
	in         *input
	want       digests
	submitTook time.Duration
	workTook   time.Duration // from the submit to the last outcome
	done       int
	kills      []*kill
	verdict    *verdict
}

// text writes it: what was done, what came of the kills, and the counts that must be zero.
func (r *report) text(took time.Duration) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-24s "+format+"\n", append([]any{name}, args...)...)
	}
	v := r.verdict
	b.WriteByte('\n')
	row("files", "%s, %s", number(v.files), size(r.in.bytes))
	row("time", "%s from the submit to the last outcome, %s in all", span(r.workTook), span(took))
	row("throughput", "%s tasks/s, each a process of its own, kills included", number(perSecond(r.done, r.workTook)))
	row("attempts", "%s, of which lost to kills %s", number(v.attempts), number(v.attemptsLost))
	row("runs of the handler", "%s, of which lost with a killed worker %s, refused for coming too late %s",
		number(v.runs), number(v.runsLost), number(v.refused))
	done := 0
	for _, k := range r.kills {
		if k.backPID != 0 {
			done++
		}
	}
	if len(r.kills) > 0 {
		row("kills (SIGKILL)", "%d of %d planned", done, len(r.kills))
	}
	for _, k := range r.kills {
		if k.backPID != 0 {
			row("", "%s", k)
		}
	}
	row("checked", "%s against a computation of our own", plural(v.checked, "result", "results"))
	row("lost", "%s", number(len(v.lost)))
	row("wrong", "%s", number(len(v.wrong)))
	row("accepted twice", "%s", number(len(v.twice)))
	if n := len(v.failed); n > 0 {
		row("failed", "%s", number(n))
	}
	if n := len(v.strays); n > 0 {
		row("submitted by nobody", "%s", number(n))
	}
	b.WriteByte('\n')
	b.WriteString(v.findings())
	if v.right() {
		b.WriteString("Everything is right: nothing lost, nothing wrong, nothing accepted twice.\n")
	}
	return b.String()
}
