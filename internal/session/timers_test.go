package session

import (
	"fmt"
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
	r.m.StallGap(r.now, 60*second)
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
	r.m.StallGap(r.now, 60*second)
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
	r.alive(1, 70*second) // timeout 60 s, grace 5 s, two heartbeats 10 s
	r.want("begun 1 of 1")
	r.alive(1, 5*second)
	r.want("timeout@1 tokens=[1]")
	r.m.Cancelled(scheduler.CancelNote{Session: 7, Token: 1, Reason: scheduler.CancelRevoked}, &r.acts)
	r.wantSent(1, "cancel 1:3")
	r.alive(1, 60*second)
	r.want("") // revoked: not again; 2 was never started
}

// hang has the worker start token 1 and say nothing more of it until its back-stop is due: timeout 60 s, grace 5 s, two
// heartbeats 10 s.
func (r *rig) hang() {
	r.t.Helper()
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.recv(1, 1)
	r.m.Begun(r.now, []uint64{1}, &r.acts)
	r.alive(1, 70*second)
	r.want("begun 1 of 1")
}

// alive lets time pass in which the worker beats.
func (r *rig) alive(stream StreamID, d int64) {
	for ; d > 0; d -= 5 * second {
		r.pass(5 * second)
		r.recv(stream, 0)
	}
}

// A back-stop that a Resume overtakes is proposed at the next Tick after it, however often that happens.
func TestResumesOvertakeBackstop(t *testing.T) {
	r := newRig(t)
	r.hang()
	r.pass(5 * second)
	r.want("timeout@1 tokens=[1]")
	for attach := uint64(2); attach < 5; attach++ {
		r.m.Opened(r.now, StreamID(attach), 1, attach, []Known{{Token: 1, Started: true}}, &r.acts)
		r.applied(scheduler.CodeStale, 0)
		r.did() // ends the stream that it replaces
		r.pass(250 * millisecond)
		r.want(fmt.Sprintf("timeout@%d tokens=[1]", attach))
	}
	r.pass(backstopAgain - 1)
	r.want("") // it is under way
	r.pass(1)
	r.want("timeout@4 tokens=[1]")
}

// What was said to be started stays so, whatever the next Hello says: its back-stop comes.
func TestBackstopOfStartedNamedAsHeld(t *testing.T) {
	r := newRig(t)
	r.hang()
	r.m.Opened(r.now, 2, 1, 2, []Known{{Token: 1}}, &r.acts)
	r.pass(5 * second)
	r.want("end 1:2; timeout@2 tokens=[1]")
}

// One that waits for an Attach is dropped if a Resume overtakes that, and proposed after it.
func TestResumeOvertakesHeldBackstop(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.recv(1, 1)
	r.m.Begun(r.now, []uint64{1}, &r.acts)
	r.alive(1, 65*second)
	r.grant(1, 10, 2)
	r.wantSent(1, "grants#2 [2]")
	r.pass(ReceiptTime + second)
	r.recv(1, 2)
	r.want("detach@1 unconfirmed=[2]; attach@1; begun 1 of 1")
	r.pass(5 * second) // the back-stop is due and waits for the Attach
	r.m.Opened(r.now, 2, 1, 2, []Known{{Token: 1, Started: true}}, &r.acts)
	r.m.Applied(&scheduler.SessionCommand{Session: 7, Attach: 1}, scheduler.OpAttach, scheduler.CodeStale, 0, &r.acts)
	r.want("end 1:2")
	r.pass(250 * millisecond)
	r.want("timeout@2 tokens=[1]")
}

// An attempt's time runs on over Resumes, without the gaps in which the leader stood still.
func TestStallMovesBackstop(t *testing.T) {
	r := newRig(t)
	r.hang()
	r.now += 60 * second
	r.m.StallGap(r.now, 60*second)
	r.pass(0)
	r.m.Opened(r.now, 2, 1, 2, []Known{{Token: 1, Started: true}}, &r.acts)
	r.pass(5*second - 1)
	r.want("end 1:2")
	r.pass(1)
	r.want("timeout@2 tokens=[1]")
}

// An attempt that the leader heard of right after it stood still, before it noticed, isn't given the gap on top.
func TestStallGivesAttemptNoTimeToCome(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.now += 60 * second
	r.recv(1, 1)
	r.m.Begun(r.now, []uint64{1}, &r.acts)
	r.m.StallGap(r.now, 60*second)
	r.alive(1, 70*second)
	r.want("begun 1 of 1")
	r.alive(1, 5*second)
	r.want("timeout@1 tokens=[1]")
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

// A stream that ends before they are told leaves them to be asked for on the next.
func TestTimeoutsAreAskedForAgain(t *testing.T) {
	r := newRig(t)
	for attach := uint64(2); attach < 4; attach++ {
		r.m.Opened(r.now, StreamID(attach), 1, attach, []Known{{Token: 1, Started: true}}, &r.acts)
		if !r.m.NeedTimeouts() {
			t.Fatalf("nothing is asked for on stream %d", attach)
		}
		if attach == 2 {
			r.m.StreamBroken(2, &r.acts)
		}
	}
	r.did()
	r.m.Timeouts([]scheduler.LeaseInfo{{LeaseRow: scheduler.LeaseRow{Token: 1, Task: 31}, AttemptTimeout: scheduler.Second}}, &r.acts)
	r.want("begun 1 of 31")
	r.alive(3, 20*second)
	r.want("timeout@3 tokens=[1]")
}
