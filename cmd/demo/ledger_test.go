package main

import (
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// evidence is a run of three files in which everything is right, for a test to change something in.
type evidence struct {
	awaited, looked []*client.Outcome
	recorded        []*client.TaskInfo
	runs            map[string][]handlerRun // by worker
	killed          map[string]bool
	refused         map[uint64]bool
	want            digests
}

const files = 3

func wellDone() *evidence {
	e := &evidence{runs: map[string][]handlerRun{}, killed: map[string]bool{}, refused: map[uint64]bool{}}
	for i := range files {
		id, token, sum := uint64(i+1), uint64(101+i), strings.Repeat("abc"[i:i+1], 64)
		e.awaited = append(e.awaited, outcome(id, token, sum))
		e.looked = append(e.looked, outcome(id, token, sum))
		e.recorded = append(e.recorded, record(id, token, "", 1))
		e.runs["worker-1"] = append(e.runs["worker-1"], handlerRun{true, id, token, path(i)})
		e.want = append(e.want, sum)
	}
	return e
}

func path(i int) string { return "dir/" + string(rune('a'+i)) }

func outcome(id, token uint64, result string) *client.Outcome {
	return &client.Outcome{ID: id, Token: token, State: client.Succeeded, Result: []byte(result), Attempts: 1, Worker: "worker-1"}
}

func record(id, token uint64, file string, attempts uint32) *client.TaskInfo {
	return &client.TaskInfo{
		Id: id, State: client.Succeeded, Attempts: attempts, Labels: map[string]string{fileLabel: file},
		Outcome: &yardmasterv1.Outcome{State: client.Succeeded, Token: token},
	}
}

func (e *evidence) verdict() *verdict {
	in := &input{root: "/root"}
	for i := range files {
		in.paths = append(in.paths, path(i))
	}
	l := newLedger(in)
	l.submitted([]uint64{1, 2, 3})
	for _, out := range e.awaited {
		l.awaited(out)
	}
	for _, t := range e.recorded {
		l.recorded(t)
	}
	for _, out := range e.looked {
		l.looked(out)
	}
	for _, worker := range []string{"worker-1", "worker-2"} {
		l.ran(worker, e.killed[worker], e.runs[worker], e.refused)
	}
	return l.verdict(e.want)
}

// counts are what a verdict says, in one comparable value.
type counts struct{ checked, lost, failed, wrong, twice, strays, unread, attemptsLost, runsLost, refused int }

func (v *verdict) counts() counts {
	return counts{v.checked, len(v.lost), len(v.failed), len(v.wrong), len(v.twice), len(v.strays), v.unread, v.attemptsLost, v.runsLost, v.refused}
}

func TestVerdict(t *testing.T) {
	cases := []struct {
		name   string
		change func(e *evidence)
		want   counts
		says   string // in the findings
	}{
		{"all right", func(*evidence) {}, counts{checked: 3}, ""},
		{"no outcome", func(e *evidence) { e.awaited = e.awaited[:2] }, counts{checked: 2, lost: 1}, "dir/c: task 3 has no outcome"},
		{"outcome not retained", func(e *evidence) {
			e.awaited[0] = &client.Outcome{ID: 1, Lost: client.ErrNotRetained}
		}, counts{checked: 2, lost: 1}, "no longer retained"},
		{"gone from the record", func(e *evidence) { e.recorded = e.recorded[1:] }, counts{checked: 2, lost: 1}, "missing from the coordinator's record"},
		{"dead letter", func(e *evidence) {
			dead := &client.Outcome{ID: 2, State: client.Dead, Attempts: 5, Token: 102}
			e.awaited[1], e.looked[1] = dead, dead
		}, counts{checked: 2, failed: 1}, "dir/b: task 2 is dead"},
		{"wrong result", func(e *evidence) {
			e.awaited[1].Result, e.looked[1].Result = []byte("x"), []byte("x")
		}, counts{checked: 2, wrong: 1}, `task 2 says "x"`},
		{"result changed afterwards", func(e *evidence) { e.looked[1].Result = []byte("x") }, counts{checked: 3, wrong: 1}, "task 2 (dir/b) was succeeded"},
		{"unreadable by the demo", func(e *evidence) { e.want[0] = "" }, counts{checked: 2, unread: 1}, "not checked: 1 file"},

		{"lost in a crash, run and accepted again", func(e *evidence) {
			e.recorded[0], e.looked[0].Token = record(1, 150, "", 2), 150
			e.runs["worker-1"] = append(e.runs["worker-1"], handlerRun{true, 1, 150, path(0)})
		}, counts{checked: 3, twice: 1}, "dir/a: task 1 by token 101 (awaited), and task 1 by token 150 (in the coordinator's record)"},
		{"a submit stored twice", func(e *evidence) {
			e.recorded = append(e.recorded, record(4, 104, "0", 1))
			e.runs["worker-2"] = []handlerRun{{true, 4, 104, path(0)}}
		}, counts{checked: 3, twice: 1, strays: 1}, "dir/a: task 1 by token 101 (awaited), and task 4 by token 104 (in the coordinator's record)"},
		{"a second outcome that nobody refused", func(e *evidence) {
			e.runs["worker-2"] = []handlerRun{{true, 1, 150, path(0)}}
			e.recorded[0].Attempts = 2
		}, counts{checked: 3, twice: 1}, "task 1 by token 150 (run by worker-2 and not refused)"},

		{"a second outcome that was refused", func(e *evidence) {
			e.runs["worker-2"] = []handlerRun{{true, 1, 150, path(0)}}
			e.refused[150] = true
			e.recorded[0].Attempts = 2
		}, counts{checked: 3, attemptsLost: 1, refused: 1}, ""},
		{"a run whose worker was killed", func(e *evidence) {
			e.runs["worker-2"], e.killed["worker-2"] = []handlerRun{{true, 1, 90, path(0)}, {true, 2, 102, path(1)}}, true
			e.recorded[0].Attempts = 2
		}, counts{checked: 3, attemptsLost: 1, runsLost: 1}, ""},
		{"a run that failed", func(e *evidence) {
			e.runs["worker-2"] = []handlerRun{{false, 1, 90, path(0)}}
			e.recorded[0].Attempts = 2
		}, counts{checked: 3}, ""},

		{"a task of somebody else", func(e *evidence) { e.recorded = append(e.recorded, record(4, 104, "none", 1)) }, counts{checked: 3, strays: 1}, "task 4 (succeeded)"},
		{"a run for no file", func(e *evidence) {
			e.runs["worker-1"] = append(e.runs["worker-1"], handlerRun{true, 9, 109, "elsewhere"})
		}, counts{checked: 3, strays: 1}, `a run of worker-1 for "elsewhere"`},
		{"an outcome not awaited", func(e *evidence) { e.awaited = append(e.awaited, outcome(9, 109, "x")) }, counts{checked: 3, strays: 1}, "task 9"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := wellDone()
			c.change(e)
			v := e.verdict()
			if got := v.counts(); got != c.want {
				t.Errorf("got  %+v\nwant %+v\n%s", got, c.want, v.findings())
			}
			if !strings.Contains(v.findings(), c.says) {
				t.Errorf("findings %q don't say %q", v.findings(), c.says)
			}
			fine := c.want
			fine.attemptsLost, fine.runsLost, fine.refused = 0, 0, 0
			if v.right() != (fine == counts{checked: 3}) {
				t.Errorf("right is %v", v.right())
			}
		})
	}
}

func TestFindingsAreFew(t *testing.T) {
	v := &verdict{lost: make([]string, 1000)}
	if got := v.findings(); strings.Count(got, "\n") != examplesMax+2 || !strings.Contains(got, "and 995 more") {
		t.Errorf("got %q", got)
	}
}
