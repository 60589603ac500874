package session

import (
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestExpiry(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 2, 1)
	r.wantSent(1, "grants#1 [2 1]")
	r.recv(1, 1)
	r.m.Begun(r.now, []uint64{1, 2}, &r.acts)
	r.pass(testTTL - 1)
	r.want("begun 1 of 1; begun 2 of 2")
	r.recv(1, 1)
	r.pass(testTTL - 1)
	r.want("")
	r.pass(1)
	r.want("expire@1 started=[1 2]")
	if r.recv(1, 1) {
		t.Fatal("a message was taken in while expiring")
	}
	r.m.Beat(1, &r.acts)
	r.wantSent(1, "")
	r.m.Ended(&r.acts)
	r.want("end 1:3")
	r.m.Opened(r.now, 5, 1, 9, nil, &r.acts)
	r.want("end 5:3")
}

func TestStaleExpiryGoesOn(t *testing.T) {
	r := newRig(t)
	r.pass(testTTL)
	r.want("expire@1")
	r.applied(scheduler.CodeStale, 0)
	if !r.recv(1, 0) {
		t.Fatal("messages are dropped for ever")
	}
}

func TestStallMovesDeadlines(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.now += 60 * second
	r.m.StallGap(60 * second)
	r.pass(0)
	r.want("")
	r.pass(ReceiptTime + second)
	r.want("detach@1 unconfirmed=[1]")
}

// A worker that was heard right after the leader stood still, before it noticed, has a TTL from then on, and not the gap on
// top of that.
func TestStallGivesNoTimeToCome(t *testing.T) {
	r := newRig(t)
	r.now += 60 * second
	r.recv(1, 0)
	r.m.StallGap(60 * second)
	r.pass(0)
	r.pass(testTTL - 1)
	r.want("")
	r.pass(1)
	r.want("expire@1")
}

func TestBackstop(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1, 2)
	r.wantSent(1, "grants#1 [1 2]")
	r.recv(1, 1)
	r.m.Begun(r.now, []uint64{1}, &r.acts)
	alive := func(d int64) {
		for ; d > 0; d -= 5 * second {
			r.pass(5 * second)
			r.recv(1, 1)
		}
	}
	alive(70 * second) // timeout 60 s, grace 5 s, two heartbeats 10 s
	r.want("begun 1 of 1")
	alive(5 * second)
	r.want("timeout@1 tokens=[1]")
	r.m.Cancelled(scheduler.CancelNote{Session: 7, Token: 1, Reason: scheduler.CancelRevoked}, &r.acts)
	r.wantSent(1, "cancel 1:3")
	alive(60 * second)
	r.want("") // revoked: not again; 2 was never started
}

func TestTimeoutsOfAnotherTermsLeases(t *testing.T) {
	r := newRig(t)
	r.m.Opened(r.now, 2, 1, 2, []Known{{Token: 1, Started: true}, {Token: 2}}, &r.acts)
	r.did()
	if !r.m.NeedTimeouts() {
		t.Fatal("nothing is asked for")
	}
	r.m.Timeouts([]scheduler.LeaseInfo{
		{LeaseRow: scheduler.LeaseRow{Token: 1, Task: 31}, AttemptTimeout: scheduler.Second}, {LeaseRow: scheduler.LeaseRow{Token: 3}, AttemptTimeout: 1},
	}, &r.acts)
	r.want("begun 1 of 31")
	for range 4 {
		r.recv(2, 0)
		r.pass(4 * second)
	}
	r.want("timeout@2 tokens=[1]")
}
