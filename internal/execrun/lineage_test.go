//go:build linux

package execrun

import (
	"fmt"
	"strings"
	"testing"
)

// look is one step of a story: the processes below the helper (pid 1), as
// "pid ppid pgid sid start", the tasks, and the marks.
type lookStep struct {
	procs  []process
	claims []claim
	marks  map[int]uint64
	want   string // "pid=owner …"; ? for a stray
}

func proc(pid, ppid, pgid, sid int, start uint64) process {
	return process{pid: pid, ppid: ppid, pgid: pgid, sid: sid, start: start, state: 'S'}
}

func TestLineage(t *testing.T) {
	a, b := claim{run: 1, pid: 10, start: 100}, claim{run: 2, pid: 20, start: 200}
	endedA, endedB := a, b
	endedA.ended, endedB.ended = true, true
	firstA, firstB := proc(10, 1, 10, 10, 100), proc(20, 1, 20, 20, 200)
	for _, c := range []struct {
		name  string
		steps []lookStep
	}{
		{"group, session and parent", []lookStep{{
			procs:  []process{firstA, firstB, proc(11, 1, 10, 99, 110), proc(12, 1, 12, 10, 110), proc(13, 10, 13, 13, 110), proc(14, 13, 14, 14, 110)},
			claims: []claim{a, b}, want: "10=1 20=2 11=1 12=1 13=1 14=1",
		}}},
		{"marker", []lookStep{{
			procs:  []process{firstA, firstB, proc(30, 1, 30, 30, 300), proc(31, 30, 31, 31, 300)},
			claims: []claim{a, b}, marks: map[int]uint64{30: 2}, want: "10=1 20=2 30=2 31=2",
		}}},
		{"parent lost after a look", []lookStep{
			{procs: []process{firstA, firstB, proc(30, 10, 30, 30, 300)}, claims: []claim{a, b}, want: "10=1 20=2 30=1"},
			{procs: []process{firstA, firstB, proc(30, 1, 30, 30, 300)}, claims: []claim{a, b}, want: "10=1 20=2 30=1"},
		}},
		{"pid with another start is another process", []lookStep{
			{procs: []process{firstA, firstB, proc(30, 10, 30, 30, 300)}, claims: []claim{a, b}, want: "10=1 20=2 30=1"},
			{procs: []process{firstA, firstB, proc(30, 1, 30, 30, 301)}, claims: []claim{a, b}, want: "10=1 20=2 30=?"},
		}},
		{"stray older than the other task", []lookStep{{
			procs: []process{firstA, firstB, proc(30, 1, 30, 30, 150)}, claims: []claim{a, b}, want: "10=1 20=2 30=1",
		}}},
		{"stray dies with the last of its suspects", []lookStep{
			{procs: []process{firstA, firstB, proc(30, 1, 30, 30, 300), proc(31, 30, 31, 31, 300)}, claims: []claim{a, b}, want: "10=1 20=2 30=? 31=?"},
			{procs: []process{firstA, firstB, proc(30, 1, 30, 30, 300), proc(31, 30, 31, 31, 300)}, claims: []claim{endedA, b}, want: "10=1 20=2 30=2 31=2"},
			{procs: []process{firstB, proc(30, 1, 30, 30, 300)}, claims: []claim{endedB}, want: "20=2 30=2"},
		}},
		{"stray of tasks that ended together", []lookStep{{
			procs: []process{firstA, firstB, proc(30, 1, 30, 30, 300)}, claims: []claim{endedA, endedB}, want: "10=1 20=2 30=nobody",
		}}},
		{"a later task is no suspect", []lookStep{
			{procs: []process{firstA, firstB, proc(30, 1, 30, 30, 300)}, claims: []claim{a, b}, want: "10=1 20=2 30=?"},
			{procs: []process{proc(30, 1, 30, 30, 300)}, claims: []claim{{run: 3}}, want: "30=nobody"},
		}},
		{"straggler of a task given up", []lookStep{
			{procs: []process{firstA, proc(11, 10, 11, 11, 110)}, claims: []claim{a}, want: "10=1 11=1"},
			{procs: []process{proc(11, 1, 11, 11, 110)}, claims: []claim{b}, want: "11=nobody"},
		}},
		{"before exec", []lookStep{
			{procs: []process{proc(20, 1, 20, 20, 200)}, claims: []claim{{run: 2}}, marks: map[int]uint64{20: helperRun}, want: "20=?"},
			{procs: []process{proc(20, 1, 20, 20, 200)}, claims: []claim{{run: 2}}, marks: map[int]uint64{20: 2}, want: "20=2"},
		}},
		{"forged marker", []lookStep{{
			procs: []process{firstA, proc(30, 1, 30, 30, 300)}, claims: []claim{a}, marks: map[int]uint64{30: 77}, want: "10=1 30=1",
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l lineage
			for i, s := range c.steps {
				l.update(1, s.procs, s.claims, func(pid int) (uint64, bool) { run, ok := s.marks[pid]; return run, ok })
				if got := l.describe(s.procs); got != s.want {
					t.Errorf("look %d:\n got %s\nwant %s", i, got, s.want)
				}
			}
		})
	}
}

func (l *lineage) describe(procs []process) string {
	var words []string
	for _, p := range procs {
		switch run, ok := l.owners[p.id()]; {
		case !ok:
			words = append(words, fmt.Sprintf("%d=?", p.pid))
		case run == nobody:
			words = append(words, fmt.Sprintf("%d=nobody", p.pid))
		default:
			words = append(words, fmt.Sprintf("%d=%d", p.pid, run))
		}
	}
	return strings.Join(words, " ")
}
