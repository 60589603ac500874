package session

import (
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// newRecallRig is a rig whose worker speaks VersionRecall, on stream 2 with attach number 2.
func newRecallRig(t *testing.T) *rig {
	r := newRig(t)
	r.m.Opened(r.now, 2, VersionRecall, 2, nil, &r.acts)
	r.did()
	return r
}

func (r *rig) recall(tokens ...scheduler.Token) { r.m.Recall(r.now, 2, tokens, &r.acts) }

// beats lets time pass, heartbeat by heartbeat.
func (r *rig) beats(d, step int64, through uint64) {
	for ; d > 0; d -= step {
		r.pass(min(d, step))
		r.recv(2, through)
	}
}

func TestRecallAsksForTheUnstartedOnly(t *testing.T) {
	r := newRecallRig(t)
	r.grant(2, 10, 1, 2, 3, 4)
	r.wantSent(2, "grants#1 [1 2 3 4]")
	r.recv(2, 1)
	r.m.Begun(r.now, []uint64{2}, &r.acts)
	r.m.Cancelled(scheduler.CancelNote{Session: 7, Token: 3, Reason: scheduler.CancelRevoked}, &r.acts)
	r.did()
	r.m.Beat(9, &r.acts)
	r.m.Recall(r.now, 1, []scheduler.Token{4}, &r.acts) // attached anew since
	r.recall(99, 1, 2, 3, 4)
	if !r.acts.Wake {
		t.Fatal("the sender isn't woken")
	}
	r.grant(2, 10, 5)
	r.wantSent(2, "beat 9; cancel 3:3; recall [1 4]; grants#2 [5]")
	r.m.Recalled([]uint64{1, 99}, &r.acts)
	r.want("release@2 over=[1]")
	r.m.Begun(r.now, []uint64{4}, &r.acts)
	r.want("begun 4 of 4")
	if r.m.Leases() != 4 {
		t.Fatalf("%d leases", r.m.Leases())
	}
}

func TestRecallTakesAGrantOutOfTheMailbox(t *testing.T) {
	r := newRecallRig(t)
	r.grant(2, 10, 1, 2, 3)
	r.recall(1, 3)
	r.want("release@2 over=[1 3]")
	r.wantSent(2, "grants#1 [2]")
	r = newRig(t) // a worker that doesn't know Recall has none to do with it
	r.grant(1, 10, 1, 2)
	r.m.Recall(r.now, 1, []scheduler.Token{2}, &r.acts)
	r.want("release@1 over=[2]")
}

func TestRecallFollowsAGrantInHand(t *testing.T) {
	r := newRecallRig(t)
	r.grant(2, 10, 1, 2)
	r.m.TakeGrants(2, nil)
	r.recall(1, 2)
	r.want("")
	r.wantSent(2, "")
	r.m.Skip(2, 2, &r.acts)
	r.want("release@2 over=[2]")
	r.m.Sent(r.now, 2, 1, 10)
	r.wantSent(2, "recall [1]")
}

func TestRecallIsAskedOnceInTenSeconds(t *testing.T) {
	r := newRecallRig(t)
	r.grant(2, 10, 1)
	r.wantSent(2, "grants#1 [1]")
	r.recv(2, 1)
	r.recall(1)
	r.wantSent(2, "recall [1]")
	r.pass(RecallAfter - 1)
	r.recall(1)
	r.wantSent(2, "")
	r.pass(1)
	r.wantSent(2, "recall [1]")
	r.recall(1)
	r.wantSent(2, "")
}

func TestUnstartedLeaseIsAskedBack(t *testing.T) {
	r := newRecallRig(t)
	r.grant(2, 10, 1, 2)
	r.wantSent(2, "grants#1 [1 2]")
	r.recv(2, 1)
	r.m.Begun(r.now, []uint64{1}, &r.acts)
	r.beats(RecallAfter-1, 4*second, 1)
	r.wantSent(2, "")
	if at := r.m.NextWake(); at != r.now+1 {
		t.Fatalf("wakes in %d", at-r.now)
	}
	r.pass(1)
	r.wantSent(2, "recall [2]")
	r.beats(RecallAfter, 4*second, 1)
	r.wantSent(2, "recall [2]")
	r.now += 60 * second
	r.m.StallGap(r.now, 60*second)
	r.pass(0)
	r.recall(2) // it was asked for a moment ago
	r.wantSent(2, "")
}

func TestOldWorkerIsNeverAskedBack(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.m.Recall(r.now, 1, []scheduler.Token{1}, &r.acts)
	for range 10 {
		r.recv(1, 1)
		r.pass(5 * second)
		r.m.Recall(r.now, 1, []scheduler.Token{1}, &r.acts)
		r.wantSent(1, "")
	}
	r.want("")
}

func TestRecalledAgainstTheRulesEndsTheStream(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(*rig)
		want string
	}{
		{"not asked for", func(r *rig) { r.recall(1) }, "end 2:7; detach@2"},
		{"started", func(r *rig) { r.recall(1, 2); r.m.Begun(r.now, []uint64{2}, &r.acts) }, "end 2:7; detach@2; begun 2 of 2"},
		{"of an earlier stream", func(r *rig) {
			r.recall(1, 2)
			r.m.Opened(r.now, 3, VersionRecall, 3, []Known{{Token: 1}, {Token: 2}}, &r.acts)
			r.recv(3, 0)
		}, "end 2:2; end 3:7; detach@3"},
	} {
		r := newRecallRig(t)
		r.grant(2, 10, 1, 2)
		r.send(2)
		r.recv(2, 1)
		test.do(r)
		r.m.Recalled([]uint64{1, 2}, &r.acts)
		if got := r.did(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		if r.m.Leases() != 2 {
			t.Errorf("%s: %d leases", test.name, r.m.Leases())
		}
	}
}

// What is asked for survives no stream: the worker may have given it up, and then the Resume grants it again.
func TestRecalledIsLostWithItsStream(t *testing.T) {
	r := newRecallRig(t)
	r.grant(2, 10, 1)
	r.wantSent(2, "grants#1 [1]")
	r.recv(2, 1)
	r.recall(1)
	r.m.StreamBroken(2, &r.acts)
	r.want("detach@2")
	r.m.Opened(r.now, 3, VersionRecall, 3, nil, &r.acts)
	r.grant(3, 10, 1) // by the Resume
	r.wantSent(3, "grants#1 [1]")
}

func TestUnconfirmedAndRecalled(t *testing.T) {
	r := newRecallRig(t)
	r.grant(2, 10, 1)
	r.wantSent(2, "grants#1 [1]")
	r.recall(1)
	r.wantSent(2, "recall [1]")
	r.pass(ReceiptTime + second)
	r.want("detach@2 unconfirmed=[1]")
	r.recv(2, 1)
	r.m.Recalled([]uint64{1}, &r.acts) // settled already
	r.want("attach@2")
}

func TestRecallsAreSplitAndBounded(t *testing.T) {
	r := newRecallRig(t)
	const leases = 2*RecallMax + 100
	for i := range leases {
		r.grant(2, 0, scheduler.Token(i+1))
	}
	for grants := r.m.TakeGrants(2, nil); len(grants) > 0; grants = r.m.TakeGrants(2, nil) {
		seq, _ := r.m.Sent(r.now, 2, len(grants), 10)
		r.recv(2, seq)
	}
	for range 3 { // the sender is stuck
		for i := range leases {
			r.recall(scheduler.Token(i + 1))
		}
		r.beats(RecallAfter, 4*second, 1)
	}
	var c Control
	for i, want := range []int{RecallMax, RecallMax, 100, 0} {
		r.m.TakeControl(2, &c)
		if len(c.Recalls) != want {
			t.Fatalf("message %d asks for %d, want %d", i, len(c.Recalls), want)
		}
	}
}

func TestProgress(t *testing.T) {
	r := newRecallRig(t)
	r.grant(2, 10, 1, 2)
	r.wantSent(2, "grants#1 [1 2]")
	r.grant(2, 10, 3)
	r.recv(2, 1)
	for _, tok := range []scheduler.Token{1, 3, 99} { // 3 wasn't sent
		r.m.Progressed(r.now, tok, 250, "a quarter", &r.acts)
	}
	r.want("begun 1 of 1; progress 1 of 1: 250 a quarter")
	r.m.Progressed(r.now+1, 1, 500, "half", &r.acts)
	r.want("progress 1 of 1: 500 half")
	if p := r.m.Progress(1); p == nil || *p != (Progress{500, "half", r.now + 1}) || !r.m.Started(1) {
		t.Fatalf("progress %+v", p)
	}
	r.m.Opened(r.now, 3, VersionRecall, 3, []Known{{Token: 1, Started: true}, {Token: 2}}, &r.acts)
	if r.m.Progress(1) == nil || r.m.Progress(2) != nil || r.m.Progress(3) != nil {
		t.Fatal("what was said is kept with the lease, and nothing else")
	}
	r.m.Arrived(1, &r.acts)
	r.m.Outcomes(3, &scheduler.Outcomes{FirstSeq: 1, List: []scheduler.Outcome{{Token: 1}}}, &r.acts)
	if r.m.Progress(1) != nil {
		t.Fatal("it outlives the lease")
	}
}
