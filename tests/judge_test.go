//go:build e2e

package tests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/client"
)

// verdict is what the judge found.
type verdict struct {
	acked, runs, again, fenced int // runs beyond the one that counts; answers that were FENCED or GONE
	problems                   []string
}

const problemsMax = 20

func (v *verdict) problem(format string, args ...any) {
	if len(v.problems) < problemsMax {
		v.problems = append(v.problems, fmt.Sprintf(format, args...))
	}
}

// judge compares the ledger with what the coordinator says in the end. What makes each claim conclusive:
//
//   - nothing lost: every acknowledged id has succeeded.
//   - nothing stored twice: every id that the coordinator lists was acknowledged, although broken submits were repeated.
//   - the outcome is that of a run: its token is one that ran, and the result names task and token.
//   - one outcome accepted: of all answers on the workers' streams, "accepted" to a success was said for one token of a
//     task, the one that the outcome names; and Await told the same outcome at the time, before later kills, as now.
//   - no token ran twice.
func judge(records []record, final []*client.Outcome, listed []uint64) verdict {
	var v verdict
	acked, ends := map[uint64]bool{}, map[uint64]*client.Outcome{}
	for _, out := range final {
		ends[out.ID] = out
	}
	ran := map[uint64]uint64{}     // token → task
	won := map[uint64][]uint64{}   // task → tokens whose success was accepted
	answers := map[answer]string{} // how it was answered, since repeats are answered alike
	refused := map[uint64]string{} // token → verdict, of those that were refused at some time
	told := map[uint64][]record{}  // task → what Await told
	runsOf := map[uint64]int{}     // task → runs
	for _, r := range records {
		switch r.Kind {
		case recordAck:
			if acked[r.Task] {
				v.problem("task %d was acknowledged to two submits", r.Task)
			}
			acked[r.Task] = true
		case recordRun:
			v.runs++
			if _, again := ran[r.Token]; again {
				v.problem("task %d: token %d ran twice", r.Task, r.Token)
			}
			ran[r.Token] = r.Task
			runsOf[r.Task]++
		case recordAnswer:
			v.answered(r, answers, refused, won)
		case recordOutcome:
			told[r.Task] = append(told[r.Task], r)
		}
	}
	v.acked = len(acked)
	for _, id := range listed {
		if !acked[id] {
			v.problem("task %d is stored, but no submit was told of it", id)
		}
	}
	for id := range acked {
		out := ends[id]
		if out == nil || out.Err() != nil {
			v.problem("task %d was acknowledged and is lost: %+v", id, out)
			continue
		}
		v.again += runsOf[id] - 1
		if ran[out.Token] != id {
			v.problem("task %d: the accepted token %d never ran for it", id, out.Token)
		}
		if want := fmt.Sprintf("%d/%d", id, out.Token); string(out.Result) != want {
			v.problem("task %d: the result is %q, of the accepted token it is %q", id, out.Result, want)
		}
		if tokens := won[id]; len(tokens) > 1 || len(tokens) == 1 && tokens[0] != out.Token {
			v.problem("task %d: successes of tokens %d were accepted, its outcome names %d", id, tokens, out.Token)
		}
		if refused[out.Token] == fenced {
			v.problem("task %d: the worker of token %d was told that it isn't the current one, and it is", id, out.Token)
		}
		for _, r := range told[id] {
			if now := outcomeRecord(out); r != now {
				v.problem("task %d: Await told %+v, and now %+v", id, r, now)
			}
		}
	}
	return v
}

// answer names an outcome of a session. The coordinator keeps answers as long as the session.
type answer struct{ session, token uint64 }

// answered takes one answer. In one session repeats are answered alike. A worker that lost its session before it had the
// answer reports again in the next one, and is told GONE: the task has ended, by this very outcome. So accepted may be
// followed by a refusal, and a refusal never by accepted.
func (v *verdict) answered(r record, answers map[answer]string, refused map[uint64]string, won map[uint64][]uint64) {
	key := answer{r.Session, r.Token}
	if before, again := answers[key]; again {
		if before != r.Verdict {
			v.problem("task %d: token %d was answered %s, then %s, in one session", r.Task, r.Token, before, r.Verdict)
		}
		return
	}
	answers[key] = r.Verdict
	switch {
	case r.Verdict != accepted:
		v.fenced++
		refused[r.Token] = r.Verdict
	case refused[r.Token] != "":
		v.problem("task %d: token %d was answered %s, and accepted later", r.Task, r.Token, refused[r.Token])
	case r.Outcome == "Succeeded" && !slices.Contains(won[r.Task], r.Token):
		won[r.Task] = append(won[r.Task], r.Token)
	}
}

// outcomeRecord is an outcome as it stands in the ledger.
func outcomeRecord(out *client.Outcome) record {
	return record{
		Kind: recordOutcome, Task: out.ID, Token: out.Token, Worker: out.Worker, Outcome: client.StateWord(out.State),
		Attempts: out.Attempts, Finish: out.FinishTime.UnixNano(),
	}
}

// TestJudgeSeesFaults plants each fault that the judge is there for.
func TestJudgeSeesFaults(t *testing.T) {
	t.Parallel()
	good := func() ([]record, []*client.Outcome, []uint64) {
		out := &client.Outcome{ID: 1, State: client.Succeeded, Token: 7, Attempts: 1, Result: []byte("1/7"), Worker: "w"}
		return []record{
			{Kind: recordAck, Task: 1},
			{Kind: recordRun, Task: 1, Token: 5}, {Kind: recordRun, Task: 1, Token: 7},
			{Kind: recordAnswer, Task: 1, Token: 7, Outcome: "Succeeded", Verdict: accepted},
			{Kind: recordAnswer, Task: 1, Token: 7, Outcome: "Succeeded", Verdict: accepted}, // repeated
			{Kind: recordAnswer, Task: 1, Token: 5, Outcome: "Succeeded", Verdict: fenced},
			outcomeRecord(out),
		}, []*client.Outcome{out}, []uint64{1}
	}
	for _, c := range []struct {
		name, want string
		plant      func(r *[]record, f *[]*client.Outcome, listed *[]uint64)
	}{
		{"nothing", "", func(*[]record, *[]*client.Outcome, *[]uint64) {}},
		{"lost", "is lost", func(_ *[]record, f *[]*client.Outcome, _ *[]uint64) { *f = nil }},
		{"failed", "is lost", func(_ *[]record, f *[]*client.Outcome, _ *[]uint64) { (*f)[0].State = client.Dead }},
		{"stored twice", "no submit was told", func(_ *[]record, _ *[]*client.Outcome, l *[]uint64) { *l = append(*l, 2) }},
		{"one id for two submits", "to two submits", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) {
			*r = append(*r, record{Kind: recordAck, Task: 1})
		}},
		{"never ran", "never ran", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) {
			*r = slices.DeleteFunc(*r, func(x record) bool { return x.Kind == recordRun && x.Token == 7 })
		}},
		{"ran twice", "ran twice", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) {
			*r = append(*r, record{Kind: recordRun, Task: 1, Token: 7})
		}},
		{"another's result", "the result is", func(_ *[]record, f *[]*client.Outcome, _ *[]uint64) { (*f)[0].Result = []byte("1/5") }},
		{"accepted twice", "were accepted", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) { (*r)[5].Verdict = accepted }},
		{"accepted, told GONE by the next session", "", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) {
			(*r)[4].Verdict, (*r)[4].Session = gone, 2
		}},
		{"accepted, told FENCED by the next session", "isn't the current", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) {
			(*r)[4].Verdict, (*r)[4].Session = fenced, 2
		}},
		{"refused, then accepted", "accepted later", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) {
			(*r)[3].Verdict, (*r)[4].Session = gone, 2
		}},
		{"two answers", "in one session", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) { (*r)[4].Verdict = fenced }},
		{"accepted and fenced", "isn't the current", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) {
			(*r)[3].Verdict, (*r)[4].Verdict = fenced, fenced
		}},
		{"changed later", "Await told", func(r *[]record, _ *[]*client.Outcome, _ *[]uint64) { (*r)[6].Attempts = 2 }},
	} {
		records, final, listed := good()
		c.plant(&records, &final, &listed)
		v := judge(records, final, listed)
		switch text := strings.Join(v.problems, "; "); {
		case c.want == "" && text != "":
			t.Errorf("%s: %s", c.name, text)
		case !strings.Contains(text, c.want):
			t.Errorf("%s: want %q in %q", c.name, c.want, text)
		}
	}
}
