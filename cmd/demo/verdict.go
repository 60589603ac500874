package main

import (
	"fmt"
	"strings"

	"github.com/yardmaster/yardmaster/client"
)

// verdict is what the ledger comes to. Each list names findings; all empty means that everything is right.
type verdict struct {
	files, checked int
	lost           []string // acknowledged, and without an outcome, or gone from the record
	failed         []string // ended otherwise than by success
	wrong          []string // succeeded with a result that isn't the file's digest, or that changed afterwards
	twice          []string // accepted twice
	strays         []string // not ours
	unread         int      // files that this process could not read, and so could not check

	attempts, attemptsLost  int
	runs, runsLost, refused int
}

// right reports whether nothing is wrong.
func (v *verdict) right() bool {
	return len(v.lost)+len(v.failed)+len(v.wrong)+len(v.twice)+len(v.strays)+v.unread == 0
}

// verdict compares. want are the digests of the demo's own computing.
func (l *ledger) verdict(want digests) *verdict {
	v := &verdict{
		files: len(l.entries), wrong: l.different, strays: l.strays, runs: l.finished + l.failed, refused: l.refused, runsLost: l.runsLost(),
		attempts: l.attempts,
	}
	accepted := 0
	for i := range l.entries {
		e, path := &l.entries[i], l.in.paths[i]
		l.judge(v, e, path, want[i])
		if len(e.receipts) > 0 {
			accepted++
		}
		for _, more := range e.receipts[min(1, len(e.receipts)):] {
			first := e.receipts[0]
			v.twice = append(v.twice, fmt.Sprintf("%s: task %d by token %d (%s), and task %d by token %d (%s)",
				path, first.task, first.token, first.by, more.task, more.token, more.by))
			accepted++
		}
	}
	v.attemptsLost = max(0, l.attempts-accepted-l.failed)
	return v
}

// judge takes one file's outcome.
func (l *ledger) judge(v *verdict, e *entry, path, want string) {
	switch out := e.outcome; {
	case out == nil:
		v.lost = append(v.lost, fmt.Sprintf("%s: task %d has no outcome", path, e.task))
	case out.Lost != nil:
		v.lost = append(v.lost, fmt.Sprintf("%s: task %d: %v", path, e.task, out.Lost))
	case !e.recorded:
		v.lost = append(v.lost, fmt.Sprintf("%s: task %d is missing from the coordinator's record", path, e.task))
	case out.State != client.Succeeded:
		v.failed = append(v.failed, fmt.Sprintf("%s: %v", path, out.Err()))
	case want == "":
		v.unread++
	case string(out.Result) != want:
		v.wrong = append(v.wrong, fmt.Sprintf("%s: task %d says %.80q, it is %s", path, e.task, out.Result, want))
	default:
		v.checked++
	}
}

// findings tells the first few of each sort that isn't empty.
func (v *verdict) findings() string {
	var b strings.Builder
	for _, sort := range []struct {
		title string
		list  []string
	}{
		{"lost", v.lost}, {"failed", v.failed}, {"wrong", v.wrong}, {"accepted twice", v.twice}, {"submitted by nobody", v.strays},
	} {
		if len(sort.list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s:\n", sort.title)
		for _, line := range sort.list[:min(len(sort.list), examplesMax)] {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		if more := len(sort.list) - examplesMax; more > 0 {
			fmt.Fprintf(&b, "  and %s more\n", number(more))
		}
	}
	if v.unread > 0 {
		fmt.Fprintf(&b, "not checked: %s could no longer be read by the demo itself\n", plural(v.unread, "file", "files"))
	}
	return b.String()
}
