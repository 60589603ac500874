package main

import (
	"strings"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// TestKillsInTurn: each at its share, one after the other, none when there is nothing left to come back to.
func TestKillsInTurn(t *testing.T) {
	kills := planKills(2)
	first, second := kills[0], kills[1]
	if first.name != "worker-2" || second.name != coordinatorName {
		t.Fatalf("planned: %s, %s", first.name, second.name)
	}
	ask := func(done int, want *kill) {
		t.Helper()
		if got := due(kills, done, 10); got != want {
			t.Errorf("with %d of 10 done: due is %+v, want %+v", done, got, want)
		}
	}
	ask(0, nil)
	ask(2, nil)
	ask(3, first)
	ask(10, nil)
	first.take(killStep{killedAt: time.Unix(1, 0)})
	ask(9, nil) // not back yet
	first.take(killStep{killedAt: time.Unix(1, 0), back: true})
	ask(5, nil)
	ask(6, second)
	second.take(killStep{killedAt: time.Unix(1, 0), back: true})
	ask(9, nil)
}

func TestRecoveryIsMeasured(t *testing.T) {
	killed := time.Unix(1000, 0)
	dead := killed.Add(4 * time.Millisecond)
	out := func(id uint64, worker string, finished time.Duration) *client.Outcome {
		return &client.Outcome{ID: id, Worker: worker, FinishTime: killed.Add(finished)}
	}
	heard := func(ms int) time.Time { return killed.Add(time.Duration(ms) * time.Millisecond) }

	w := &kill{name: "worker-2"}
	w.note(out(1, "worker-2", 0), heard(0)) // not killed yet
	if w.workAfter != 0 {
		t.Errorf("before the kill: %+v", w)
	}
	w.take(killStep{killedAt: killed, deadAt: dead, held: []uint64{7, 8}})
	w.note(out(2, "worker-1", time.Second), heard(5))          // another's
	w.note(out(3, "worker-2", 6*time.Millisecond), heard(8))   // sent before it died
	w.note(out(4, "worker-2", 60*time.Millisecond), heard(61)) // this is it
	w.note(out(5, "worker-2", 70*time.Millisecond), heard(71)) // a later one
	w.take(killStep{killedAt: killed, deadAt: dead, held: []uint64{7, 8}, back: true, backAfter: 5 * time.Millisecond})
	w.note(out(8, "worker-1", 3*time.Second), heard(3000))
	if got := w.String(); !strings.HasSuffix(got, "again after 5ms, its next outcome after 61ms") {
		t.Errorf("with a lease open it says %q", got)
	}
	w.note(out(7, "worker-1", 3*time.Second), heard(3100))
	w.note(out(9, "worker-1", 4*time.Second), heard(4000))
	if got := w.String(); !strings.HasSuffix(got, "again after 5ms, its next outcome after 61ms, 2 tasks it held done after 3.1s") {
		t.Errorf("says %q", got)
	}

	c := &kill{name: coordinatorName}
	c.take(killStep{killedAt: killed, deadAt: dead})
	c.note(out(1, "worker-1", 2*time.Millisecond), heard(100)) // durable before, heard after
	if got := c.String(); !strings.Contains(got, "no outcome seen since") {
		t.Errorf("says %q", got)
	}
	c.note(out(2, "worker-1", 900*time.Millisecond), heard(1000))
	if got := c.String(); !strings.Contains(got, "next outcome after 1s") {
		t.Errorf("says %q", got)
	}
}
