package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/yardmaster/yardmaster/client"
)

// fileLabel is the label by which a task says which file it is of: its position, so that the coordinator's own record
// names the file even of a task that this process knows nothing of.
const fileLabel = "file"

// examplesMax is how many findings of one sort are told one by one.
const examplesMax = 5

// receipt is the acceptance of one outcome: a task's, by a lease's token.
type receipt struct{ task, token uint64 }

// ledger gathers what is known of each file from witnesses that can contradict each other, and gives the verdict:
//
//   - awaited: the outcomes as they came, some of them before a kill
//   - looked: the outcomes, asked for again after the end by another client
//   - recorded: every task in the coordinator's record after the end
//   - ran: what the handlers themselves noted of their runs, in processes of their own
//
// An outcome is accepted twice if for one file there is evidence of two different receipts. The outcome that was awaited
// is one. A task run again after its outcome was lost in a crash, or whose outcome a second one replaced, shows another
// token in what is looked up or recorded. A submit that was stored twice shows a further task with the file's label. And
// a worker that lived on and was told of no refusal believes that each of its finished runs was accepted: if fencing let
// a second outcome pass, without a trace in the coordinator, that is a receipt too.
//
// A ledger belongs to one goroutine.
type ledger struct {
	in      *input
	entries []entry
	byTask  map[uint64]int
	byPath  map[string]int

	strays    []string // what nobody submitted
	attempts  int
	finished  int       // runs that ended well
	failed    int       // runs that ended in an error
	refused   int       // outcomes that came too late, and whose worker was told so
	cut       []receipt // finished runs of workers that were killed: of some the outcome was accepted
	different []string
}

// entry is what is known of one file.
type entry struct {
	task     uint64
	outcome  *client.Outcome // as awaited; nil: none yet
	recorded bool
	receipts []witnessed
}

type witnessed struct {
	receipt
	by string
}

func newLedger(in *input) *ledger {
	l := &ledger{in: in, entries: make([]entry, len(in.paths)), byTask: make(map[uint64]int), byPath: make(map[string]int)}
	for i, path := range in.paths {
		l.byPath[path] = i
	}
	return l
}

// submitted takes the tasks' ids, in the order of the files.
func (l *ledger) submitted(ids []uint64) {
	for i, id := range ids {
		l.entries[i].task = id
		l.byTask[id] = i
	}
}

// awaited takes an outcome as it came.
func (l *ledger) awaited(out *client.Outcome) {
	i, known := l.byTask[out.ID]
	if !known {
		l.strays = append(l.strays, fmt.Sprintf("an outcome of task %d, which was not awaited", out.ID))
		return
	}
	l.entries[i].outcome = out
	l.accept(i, receipt{out.ID, out.Token}, "awaited")
}

// looked takes an outcome that was asked for again.
func (l *ledger) looked(out *client.Outcome) {
	i, known := l.byTask[out.ID]
	if !known {
		return
	}
	e := &l.entries[i]
	l.accept(i, receipt{out.ID, out.Token}, "looked up afterwards")
	if e.outcome == nil || e.outcome.Token != out.Token {
		return // lost or accepted twice, and told as such
	}
	if out.State != e.outcome.State || string(out.Result) != string(e.outcome.Result) || out.Attempts != e.outcome.Attempts {
		l.different = append(l.different, fmt.Sprintf("task %d (%s) was %s with result %.80q, and is %s with result %.80q",
			out.ID, l.in.paths[i], client.StateWord(e.outcome.State), e.outcome.Result, client.StateWord(out.State), out.Result))
	}
}

// recorded takes a task as the coordinator has it after the end.
func (l *ledger) recorded(t *client.TaskInfo) {
	i, known := l.byTask[t.GetId()]
	if !known {
		l.strays = append(l.strays, fmt.Sprintf("task %d (%s) in the coordinator's record", t.GetId(), client.StateWord(t.GetState())))
		var err error
		if i, err = strconv.Atoi(t.GetLabels()[fileLabel]); err != nil || i < 0 || i >= len(l.entries) {
			return
		}
	} else {
		l.entries[i].recorded = true
	}
	l.attempts += int(t.GetAttempts())
	if t.GetState() == client.Succeeded {
		l.accept(i, receipt{t.GetId(), t.GetOutcome().GetToken()}, "in the coordinator's record")
	}
}

// ran takes what a worker's handlers noted, and which of the tokens the worker was told are refused. Of a worker that was
// killed it isn't known which outcomes it was still able to report, so its runs are no receipts.
func (l *ledger) ran(worker string, killed bool, runs []handlerRun, refused map[uint64]bool) {
	for _, r := range runs {
		if !r.ok {
			l.failed++
			continue
		}
		l.finished++
		switch i, known := l.byPath[r.path]; {
		case refused[r.token]:
			l.refused++
		case !known:
			l.strays = append(l.strays, fmt.Sprintf("a run of %s for %q", worker, r.path))
		case killed:
			l.cut = append(l.cut, receipt{r.task, r.token})
		default:
			l.accept(i, receipt{r.task, r.token}, "run by "+worker+" and not refused")
		}
	}
}

// runsLost counts the finished runs whose outcome died with the worker.
func (l *ledger) runsLost() (lost int) {
	for _, r := range l.cut {
		if i, known := l.byTask[r.task]; !known || l.entries[i].outcome == nil || l.entries[i].outcome.Token != r.token {
			lost++
		}
	}
	return lost
}

// accept keeps a receipt, once for each that differs.
func (l *ledger) accept(i int, r receipt, by string) {
	if r.token == 0 {
		return // ended without an accepted outcome
	}
	e := &l.entries[i]
	if !slices.ContainsFunc(e.receipts, func(w witnessed) bool { return w.receipt == r }) {
		e.receipts = append(e.receipts, witnessed{r, by})
	}
}
