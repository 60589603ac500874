package workercore

import (
	"slices"
	"strings"
	"testing"
)

func TestGrantRunAnswer(t *testing.T) {
	r := live(t, Config{})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3})
	r.want("start 1", "start 2")
	r.finished(2, Succeeded)
	r.want("start 3", "[r1 a0] outcomes from 1: 2 succeeded")
	r.finished(1, Failed)
	r.finished(3, Succeeded)
	r.want("[r1 a0] outcomes from 2: 1 failed", "[r1 a0] outcomes from 3: 3 succeeded")
	r.answer(3, Rejection{Seq: 2, Token: 1}, Rejection{Seq: 3, Token: 3, Gone: true})
	r.want("fenced 1 gone=false", "fenced 3 gone=true")
	r.pass(ConfirmAfter, true)
	r.want("[r1 a3] receipt")
	if n := r.core.Counts(); n != (Counts{Session: 1, Live: true, Slots: 2}) {
		t.Errorf("left over: %+v", n)
	}
}

// Started waits a little, so that a short task costs only its outcome.
func TestStartedIsTold(t *testing.T) {
	r := live(t, Config{Pools: []Pool{{Name: "default", Slots: 3}}})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2})
	r.finished(2, Succeeded)
	r.pass(StartedAfter-1, true)
	r.grant(2, Lease{Token: 3})
	r.log = nil
	r.pass(1, true)
	if got := r.sent[len(r.sent)-1]; got.Kind != Started || !slices.Equal(got.Started, []Token{1, 3}) {
		t.Errorf("said %s", describe(got))
	}
	sent := len(r.sent)
	r.pass(StartedAfter, true)
	if len(r.sent) != sent {
		t.Errorf("said %s", describe(r.sent[sent]))
	}
}

func TestReceiptIsConfirmedWithinASecond(t *testing.T) {
	r := live(t, Config{Pools: []Pool{{Name: "default", Slots: 1}}})
	r.grant(1, Lease{Token: 1})
	r.want("start 1")
	r.pass(StartedAfter, true) // Started confirms the first
	r.grant(2, Lease{Token: 2})
	r.pass(ConfirmAfter-1, true)
	r.want()
	r.pass(1, true)
	r.want("[r2 a0] receipt")
	r.grant(3)
	r.pass(ConfirmAfter/2, true)
	r.grant(4)
	r.pass(ConfirmAfter/2, true)
	r.want("[r4 a0] receipt")
}

func TestResumeNamesWhatItKnowsAndSendsAgain(t *testing.T) {
	r := live(t, Config{})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3}, Lease{Token: 4})
	r.finished(1, Succeeded)
	r.finished(2, Succeeded)
	r.answer(1)
	r.log = nil
	r.cut()
	r.finished(3, Failed)
	r.connect()
	r.want("[r0 a1] hello session 1: 2f 3f 4r")
	r.finished(4, Succeeded)
	r.welcome(WelcomeMessage{Session: 1})
	r.want("[r0 a1] outcomes from 2: 2 succeeded 3 failed 4 succeeded")
	r.grant(1, Lease{Token: 2}, Lease{Token: 4}, Lease{Token: 5})
	r.want("start 5")
	r.answer(4, Rejection{Seq: 2, Token: 2})
	r.want("fenced 2 gone=false")
}

// An answer that was on its way when the stream broke may come on the next one before the outcome was sent there again.
func TestAnswerOfAnEarlierStreamsOutcome(t *testing.T) {
	r := live(t, Config{})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2})
	r.finished(1, Succeeded)
	r.finished(2, Succeeded)
	r.cut()
	r.core.Connected(r.now)
	r.core.Settle(r.now, &r.act)
	r.core.Welcome(r.now, WelcomeMessage{Session: 1, TTL: testTTL, Interval: testInterval, Margin: testMargin}, &r.act)
	r.log = nil
	r.act.Reset()
	r.core.Sent(1)
	r.answer(1)
	r.want("[r0 a1] outcomes from 2: 2 succeeded")
}

func TestStopTokensAtResume(t *testing.T) {
	r := live(t, Config{KillGrace: second})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3})
	r.cut()
	r.connect()
	r.log = nil
	r.welcome(WelcomeMessage{Session: 1, Stop: []Token{2, 3, 99}})
	r.want("stop 2: revoked", "[r0 a0] outcomes from 1: 3 interrupted (lease revoked)")
	r.finished(2, Failed)
	r.finished(1, Failed)
	r.want("[r0 a0] outcomes from 2: 2 interrupted (lease revoked)", "[r0 a0] outcomes from 3: 1 failed")
}

// A new session: everything of the old one is fenced, named by Welcome or not, and is reported under numbers from 1.
func TestNewSessionRenumbers(t *testing.T) {
	r := live(t, Config{KillGrace: second})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3}, Lease{Token: 4})
	r.finished(1, Succeeded)
	r.answer(1)
	r.finished(2, Succeeded)
	r.cut()
	r.connect()
	r.log = nil
	r.welcome(WelcomeMessage{Session: 7, NewSession: true, Stop: []Token{2, 3}})
	r.want("stop 3: revoked", "stop 4: revoked", "[r0 a0] outcomes from 1: 2 succeeded")
	r.finished(4, Succeeded)
	r.want("[r0 a0] outcomes from 2: 4 succeeded")
	r.answer(2, Rejection{Seq: 1, Token: 2}, Rejection{Seq: 2, Token: 4})
	r.want("fenced 2 gone=false", "fenced 4 gone=false")
	r.pass(ConfirmAfter, true)
	r.cut()
	r.log = nil
	r.connect()
	r.want("[r0 a2] hello session 7: 3r")
}

// The trust runs from the send time of the last answered heartbeat. Then handlers are killed without grace, and nothing
// is started until a Welcome.
func TestTrustedDeadline(t *testing.T) {
	r := live(t, Config{Pools: []Pool{{Name: "default", Slots: 1}}})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2})
	r.pass(testInterval, true)
	r.cut()
	r.log = nil
	r.pass(testTTL-testMargin-1, false)
	r.want()
	r.pass(1, false)
	r.want("kill 1: lost")
	r.finished(1, Failed)
	r.want() // 2 isn't started
	r.connect()
	r.welcome(WelcomeMessage{Session: 1})
	r.want("[r0 a0] hello session 1: 1f 2h", "start 2", "[r0 a0] outcomes from 1: 1 interrupted (no contact with the coordinator)")
}

func TestLateHeartbeatAckShortensNothing(t *testing.T) {
	r := live(t, Config{})
	r.pass(testInterval, true)
	trusted := r.core.session.trustedUntil()
	r.core.HeartbeatAck(r.now, r.now-1, &r.act)
	r.settle()
	if got := r.core.session.trustedUntil(); got != trusted {
		t.Errorf("trusted until %d, then until %d", trusted, got)
	}
}

// A process that was stopped past its trust must not start what came in before.
func TestStalledProcessStartsNothing(t *testing.T) {
	r := live(t, Config{Pools: []Pool{{Name: "default", Slots: 1}}})
	r.grant(1, Lease{Token: 1})
	r.log = nil
	r.now = r.now.Add(testTTL)
	r.core.Finished(r.now, 1, Report{Kind: Succeeded})
	r.grant(2, Lease{Token: 2})
	if log := strings.Join(r.log, "\n"); strings.Contains(log, "start 2") || !strings.Contains(log, "reconnect: heartbeats are not answered") {
		t.Errorf("did %s", log)
	}
}

func TestSilentStreamIsGivenUpInTime(t *testing.T) {
	r := live(t, Config{})
	r.grant(1, Lease{Token: 1})
	r.log = nil
	r.pass(testTTL-testMargin-1, false)
	r.want("reconnect: heartbeats are not answered")
	if r.core.Counts().Live {
		t.Error("the stream still counts as live")
	}

	r = newRig(t, Config{})
	r.connect()
	r.log = nil
	r.pass(WelcomeWait, false)
	r.want("reconnect: Hello not answered in 10 s")
}

func TestAttemptTimeout(t *testing.T) {
	r := live(t, Config{KillGrace: 5 * second})
	r.grant(1, Lease{Token: 1, AttemptTimeout: 3 * second}, Lease{Token: 2, DeadlineIn: 2 * second, AttemptTimeout: 3 * second})
	r.log = nil
	r.pass(2*second, true)
	r.want("stop 2: deadline")
	r.pass(1*second, true)
	r.want("stop 1: timeout")
	r.finished(1, Succeeded)
	r.want("[r1 a0] outcomes from 1: 1 timed out (attempt timeout passed)")
	r.pass(4*second, true)
	r.want("kill 2: deadline")
	r.pass(60*second, true)
	r.want() // it keeps its permit and its token until it returns
	r.finished(2, Failed)
	r.want("[r1 a0] outcomes from 2: 2 timed out (task deadline passed)")
}

func TestStartWithinAndDeadlineOfHeld(t *testing.T) {
	r := live(t, Config{Pools: []Pool{{Name: "default", Slots: 1}}})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2, StartWithin: second}, Lease{Token: 3, DeadlineIn: 2 * second}, Lease{Token: 4})
	r.log = nil
	r.pass(second, true)
	r.want("[r1 a0] outcomes from 1: 2 interrupted (its start-by passed before it could start)")
	r.pass(second, true)
	r.want("[r1 a0] outcomes from 2: 3 interrupted (its deadline passed before it could start)")
	r.finished(1, Succeeded)
	r.want("start 4", "[r1 a0] outcomes from 3: 1 succeeded")
}

func TestCancel(t *testing.T) {
	r := live(t, Config{KillGrace: second})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3}, Lease{Token: 4})
	r.log = nil
	r.cancel(3, ReasonCancelled)
	r.cancel(4, ReasonRevoked)
	r.cancel(9, ReasonRevoked)
	r.want("[r1 a0] outcomes from 1: 3 cancelled", "[r1 a0] outcomes from 2: 4 interrupted (lease revoked)",
		"[r1 a0] outcomes from 3: 9 interrupted (this worker doesn't know the token)")
	r.cancel(1, ReasonCancelled)
	r.cancel(1, ReasonCancelled)
	r.cancel(2, ReasonDeadline)
	r.want("stop 1: cancelled", "stop 2: deadline")
	r.finished(1, Succeeded)
	r.pass(second, true)
	r.want("[r1 a0] outcomes from 4: 1 succeeded", "kill 2: deadline")
	r.finished(2, Failed)
	r.want("[r1 a0] outcomes from 5: 2 cancelled")
	r.cancel(2, ReasonRevoked)
	r.grant(2, Lease{Token: 9})
	r.want()
}

func TestFullOutboxStartsNothing(t *testing.T) {
	r := live(t, Config{Pools: []Pool{{Name: "default", Slots: 6000}}})
	leases := make([]Lease, 6000)
	for i := range leases {
		leases[i].Token = Token(i + 1)
	}
	r.grant(1, leases...)
	for i := range leases {
		r.core.Finished(r.now, Token(i+1), Report{Kind: Succeeded})
	}
	r.sent = nil
	r.grant(2, Lease{Token: 10_001})
	total := 0
	for _, m := range r.sent {
		total += len(m.Outcomes)
	}
	if n := r.core.Counts(); total != OutboxMax || n.Held != 1 || n.Running != 0 {
		t.Fatalf("%d outcomes sent unanswered, %+v; want %d, and the new one held", total, n, OutboxMax)
	}
	r.log = nil
	r.answer(1905)
	if n := r.core.Counts(); n.Running != 1 || n.Unanswered != 4095 {
		t.Fatalf("%+v after 1,905 answers", n)
	}
}

func TestOutcomesAreSplitBySize(t *testing.T) {
	r := live(t, Config{Pools: []Pool{{Name: "default", Slots: 4}}})
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3}, Lease{Token: 4})
	for i, size := range []int{1 << 20, 100 << 10, 150 << 10, 10 << 10} {
		r.core.Finished(r.now, Token(i+1), Report{Kind: Succeeded, Size: size})
	}
	r.log = nil
	r.settle()
	r.want("[r1 a0] outcomes from 1: 1 succeeded", "[r1 a0] outcomes from 2: 2 succeeded 3 succeeded", "[r1 a0] outcomes from 4: 4 succeeded")
}

func TestProtocolViolations(t *testing.T) {
	for name, do := range map[string]func(*rig){
		"Grants with seq 2 after 0":                                              func(r *rig) { r.grant(2, Lease{Token: 1}) },
		"OutcomeAck through 1, the last outcome sent is 0":                       func(r *rig) { r.answer(1) },
		"HeartbeatAck of a heartbeat that was never sent":                        func(r *rig) { r.core.HeartbeatAck(r.now, r.now, &r.act); r.settle() },
		"a second Welcome":                                                       func(r *rig) { r.welcome(WelcomeMessage{Session: 1}) },
		"lease with token 0 and weight 1":                                        func(r *rig) { r.grant(1, Lease{}) },
		"Cancel of token 0":                                                      func(r *rig) { r.cancel(0, ReasonRevoked) },
		"more than 20000 tokens at a time":                                       func(r *rig) { r.grant(1, tooMany()...) },
		"Cancel before Welcome":                                                  func(r *rig) { r.cut(); r.connect(); r.log = nil; r.cancel(1, ReasonRevoked) },
		"Welcome with session 0, TTL 1 ns, heartbeat interval 0 ns, margin 0 ns": func(r *rig) { r.cut(); r.connect(); r.log = nil; r.welcome(WelcomeMessage{TTL: 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			r := live(t, Config{})
			do(r)
			found := false
			for _, line := range r.log {
				found = found || line == "reconnect: protocol violation: "+name
			}
			if !found {
				t.Errorf("did %q", r.log)
			}
		})
	}
}

func tooMany() []Lease {
	leases := make([]Lease, TokensMax+1)
	for i := range leases {
		leases[i].Token = Token(i + 1)
	}
	return leases
}

func TestMisfits(t *testing.T) {
	r := live(t, Config{})
	r.grant(1, Lease{Token: 1, Weight: 3}, Lease{Token: 2, Pool: "gpu"}, Lease{Token: 3, Weight: 2}, Lease{Token: 4, Weight: 2})
	r.want("start 3", `[r1 a0] outcomes from 1: 1 interrupted (weighs 3, its pool at this worker has 2 slots) 2 failed (this worker has no pool "gpu")`)
	if !r.core.Resize("default", 1) || r.core.Resize("gpu", 1) || r.core.Resize("default", 0) {
		t.Fatal("Resize")
	}
	r.settle()
	r.want("[r1 a0] outcomes from 3: 4 interrupted (weighs 2, its pool at this worker has 1 slots)")
	r.grant(2, Lease{Token: 5})
	r.finished(3, Succeeded)
	r.want("start 5", "[r2 a0] outcomes from 4: 3 succeeded")
}

func TestConfig(t *testing.T) {
	for want, cfg := range map[string]Config{
		"pools: 0, want 1 to 16":                                    {},
		`slots of pool "a": 0, want 1 to 10000`:                     {Pools: []Pool{{Name: "a", Slots: 0}}},
		`pool "a" is there twice`:                                   {Pools: []Pool{{Name: "a", Slots: 1}, {Name: "a", Slots: 1}}},
		"slots and prefetch of all pools: 16000, the most is 15904": {Pools: []Pool{{Name: "a", Slots: 8000}, {Name: "b", Slots: 8000}}},
		"drain timeout and kill grace can't be negative":            {Pools: []Pool{{Name: "a", Slots: 1}}, KillGrace: -1},
	} {
		if _, err := New(cfg); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
