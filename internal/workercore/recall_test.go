package workercore

import (
	"slices"
	"testing"
)

func TestRecallGivesUpWhatIsHeld(t *testing.T) {
	r := liveAt(t, Config{Pools: []Pool{{Name: "default", Slots: 2, Prefetch: 4}}}, VersionRecall)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3}, Lease{Token: 4, StartWithin: second}, Lease{Token: 5})
	r.finished(2, Succeeded)
	r.want("start 1", "start 2", "start 3", "[r1 a0] outcomes from 1: 2 succeeded")
	r.recall(1, 2, 3, 4, 99)
	r.want("[r1 a0] recalled [4]")
	if n := r.core.Counts(); n.Held != 1 || n.Used != 2 || n.Running != 2 {
		t.Errorf("counts %+v", n)
	}
	r.finished(1, Succeeded)
	r.finished(3, Succeeded)
	r.want("start 5", "[r1 a0] outcomes from 2: 1 succeeded", "[r1 a0] outcomes from 3: 3 succeeded")
	r.pass(2*second, true) // the start-by of 4 is nobody's business any more
	r.want()
	r.recall(7)
	r.want("[r1 a0] recalled []")
	r.cancel(4, ReasonRevoked) // the coordinator may have sent it before it read the answer
	r.want("[r1 a0] outcomes from 4: 4 interrupted (this worker doesn't know the token)")
	r.grant(2, Lease{Token: 6})
	r.want("start 6")
}

// A heavy lease at the head that is given up lets those behind it in.
func TestRecallOfTheHeadOfTheLine(t *testing.T) {
	r := liveAt(t, Config{}, VersionRecall)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2, Weight: 2}, Lease{Token: 3})
	r.want("start 1")
	r.recall(2)
	r.want("start 3", "[r1 a0] recalled [2]")
}

func TestRecallsAreAnsweredTogether(t *testing.T) {
	r := liveAt(t, Config{Pools: []Pool{{Name: "default", Slots: 1, Prefetch: 4}}}, VersionRecall)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3})
	r.log = nil
	r.core.Recall(r.now, []Token{2}, &r.act)
	r.core.Recall(r.now, []Token{3, 2}, &r.act)
	r.settle()
	r.want("[r1 a0] recalled [2 3]")
}

func TestRecallWhoseAnswerIsLost(t *testing.T) {
	r := liveAt(t, Config{Pools: []Pool{{Name: "default", Slots: 1, Prefetch: 4}}}, VersionRecall)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2})
	r.core.Recall(r.now, []Token{2}, &r.act)
	r.core.Disconnected(r.now)
	r.log = nil
	r.connect()
	r.want("[r0 a0] hello session 1: 1r")
	r.welcome(WelcomeMessage{Session: 1, Version: VersionRecall})
	r.want() // no answer to what was asked on another stream
	r.grant(1, Lease{Token: 2})
	r.finished(1, Succeeded)
	r.want("start 2", "[r1 a0] outcomes from 1: 1 succeeded")
}

func TestRecallInADrain(t *testing.T) {
	r := liveAt(t, Config{Pools: []Pool{{Name: "default", Slots: 1, Prefetch: 4}}, DrainTimeout: 20 * second}, VersionRecall)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2})
	r.log = nil
	r.drain()
	r.recall(2) // handed back already
	r.want("[r1 a0] draining 1 1", "[r1 a0] outcomes from 1: 2 interrupted (the worker stops)", "[r1 a0] recalled []")
}

func TestRecallAgainstTheRules(t *testing.T) {
	r := live(t, Config{})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3})
	r.log = nil
	r.recall(3)
	r.want("reconnect: protocol violation: Recall in protocol version 1")
	if r.core.Counts().Held != 1 {
		t.Error("it was given up all the same")
	}
	r = liveAt(t, Config{}, VersionRecall)
	r.recall(make([]Token, RecallMax+1)...)
	r.want("reconnect: protocol violation: Recall of 10001 tokens, the most is 10000")
}

func TestProgressGoesWithAHeartbeat(t *testing.T) {
	beats := func(r *rig) (times []Time) {
		for _, m := range r.sent {
			if m.Kind == Heartbeat && m.Progress {
				times = append(times, m.SendTime)
			}
		}
		return times
	}
	r := liveAt(t, Config{}, VersionRecall)
	began := r.now
	r.core.Progress(r.now)
	r.settle()
	r.pass(10*second, true)
	if got := beats(r); !slices.Equal(got, []Time{began.Add(ProgressAfter)}) {
		t.Errorf("told at %v, began at %d", got, began)
	}
	r.core.Progress(r.now) // the last heartbeat is long enough ago
	r.settle()
	r.core.Progress(r.now)
	r.settle()
	second := r.now
	r.pass(3*ProgressAfter, true)
	if got := beats(r)[1:]; !slices.Equal(got, []Time{second, second.Add(ProgressAfter)}) {
		t.Errorf("told at %v, wished at %d", got, second)
	}

	r = live(t, Config{})
	r.core.Progress(r.now)
	r.settle()
	r.pass(30*testInterval, true)
	if got := beats(r); len(got) != 0 {
		t.Error("progress for a coordinator that doesn't know it")
	}
}

func TestRunTimeOfAnOutcome(t *testing.T) {
	r := live(t, Config{})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2})
	r.cancel(1, ReasonCancelled)
	r.core.Finished(r.now, 1, Report{Kind: Failed, Ran: 7})
	r.core.Finished(r.now, 2, Report{Kind: Succeeded, Ran: 8})
	r.settle()
	got := r.sent[len(r.sent)-1].Outcomes
	if len(got) != 2 || got[0].Kind != Cancelled || got[0].Ran != 7 || got[1].Ran != 8 {
		t.Errorf("outcomes %+v", got)
	}
}

func TestStragglersAreToldOnce(t *testing.T) {
	r := draining(t)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2})
	r.cut()
	r.log = nil
	r.core.Force(r.now)
	r.settle()
	r.finished(2, Failed)
	r.pass(KillWait-1, false)
	r.want("stop 1: draining", "stop 2: draining", "kill 1: draining", "kill 2: draining")
	r.pass(30*second, false)
	r.want("stragglers")
}

func TestPrefetchIsBounded(t *testing.T) {
	for _, test := range []struct {
		pools []Pool
		want  string
	}{
		{[]Pool{{Name: "a", Slots: SlotsMax, Prefetch: SlotsTotalMax - SlotsMax}}, ""},
		{[]Pool{{Name: "a", Slots: SlotsMax, Prefetch: SlotsTotalMax - SlotsMax + 1}}, "slots and prefetch of all pools: 15905, the most is 15904"},
		{[]Pool{{Name: "a", Slots: 1, Prefetch: PrefetchMax + 1}}, `prefetch of pool "a": 10001, want 0 to 10000`},
		{[]Pool{{Name: "a", Slots: 1, Prefetch: -1}}, `prefetch of pool "a": -1, want 0 to 10000`},
	} {
		text := ""
		if _, err := New(Config{Pools: test.pools}); err != nil {
			text = err.Error()
		}
		if text != test.want {
			t.Errorf("%+v: error %q, want %q", test.pools, text, test.want)
		}
	}
}
