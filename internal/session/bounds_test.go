package session

import (
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestProtocolViolations(t *testing.T) {
	r := newRig(t)
	if r.recv(1, 1) {
		t.Fatal("it confirmed what was never sent")
	}
	r.want("end 1:4; detach@1")
	r = newRig(t)
	if !r.m.Arrived(OutcomesUnanswered, &r.acts) || r.m.Arrived(1, &r.acts) {
		t.Fatal("the bound of unanswered outcomes")
	}
	r.want("end 1:5; detach@1")
	r = newRig(t)
	o := &scheduler.Outcomes{FirstSeq: 5, List: []scheduler.Outcome{{Token: 1}}}
	r.m.Answered(1, o, scheduler.CodeInvalid, 0, nil, &r.acts)
	r.want("end 1:6; detach@1")
}

func TestMessagesAreSplitAndBounded(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		r.grant(1, 1<<20, scheduler.Token(i+1))
	}
	r.wantSent(1, "grants#1 [1]; grants#2 [2]; grants#3 [3]")
	r.recv(1, 1)
	r.wantSent(1, "grants#4 [4]")
	r.recv(1, 4)
	if r.m.UnconfirmedBytes() != 0 {
		t.Fatal(r.m.UnconfirmedBytes())
	}
	r = newRig(t)
	for i := range 3000 {
		r.grant(1, 0, scheduler.Token(i+1))
	}
	for _, n := range []int{1000, 1000, 1000, 0} {
		grants := r.m.TakeGrants(1, nil)
		if len(grants) != n {
			t.Fatalf("a message of %d leases, want %d", len(grants), n)
		}
		r.m.Sent(r.now, 1, len(grants), 100)
	}
}

func TestHoldUntilConfirmed(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1, 2)
	r.m.TakeGrants(1, nil)
	if _, v := r.m.Sent(r.now, 1, 1, UnconfirmedBytesMax); v != Send {
		t.Fatal("one message always may be sent")
	}
	if _, v := r.m.Sent(r.now, 1, 1, 1); v != Hold {
		t.Fatal("too much is outstanding")
	}
	r.recv(1, 1)
	if !r.acts.Wake {
		t.Fatal("the sender isn't woken")
	}
	if _, v := r.m.Sent(r.now, 1, 1, 1); v != Send {
		t.Fatal("it may be sent now")
	}
}

func TestSkippedGrantIsOver(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1, 2, 3)
	r.m.TakeGrants(1, nil)
	r.m.Skip(1, 2, &r.acts)
	r.want("release@1 over=[2]")
	if _, v := r.m.Sent(r.now, 1, 3, 10); v != Drop {
		t.Fatal("more than is in hand")
	}
	if _, v := r.m.Sent(r.now, 1, 2, 10); v != Send {
		t.Fatal("the others may be sent")
	}
}

func TestCancelsDontGrowTheMailbox(t *testing.T) {
	r := newRig(t)
	for i := range 100_000 {
		tok := scheduler.Token(i + 1)
		r.grant(1, 10, tok)
		r.m.Cancelled(scheduler.CancelNote{Session: 7, Token: tok, Reason: scheduler.CancelAsked}, &r.acts)
		r.acts.Reset()
	}
	if n := len(r.m.mailbox.pending()); n > 2*tombstonesMin {
		t.Fatalf("the mailbox holds %d cancelled grants", n)
	}
}

// A mailbox that never runs empty mustn't keep what has gone through it.
func TestSentGrantsDontGrowTheMailbox(t *testing.T) {
	r := newRig(t)
	var next scheduler.Token
	grant := func(n int) {
		for range n {
			next++
			r.grant(1, 10, next)
		}
	}
	grant(MessageGrantsMax / 2)
	for range 50 {
		grant(MessageGrantsMax)
		seq, verdict := r.m.Sent(r.now, 1, len(r.m.TakeGrants(1, nil)), 10)
		if verdict != Send {
			t.Fatalf("verdict %d", verdict)
		}
		r.recv(1, seq)
		r.acts.Reset()
	}
	if n := len(r.m.mailbox.pending()); n != MessageGrantsMax/2 {
		t.Fatalf("%d grants wait, want %d", n, MessageGrantsMax/2)
	}
	if n := cap(r.m.mailbox.grants); n > 4*MessageGrantsMax {
		t.Fatalf("a mailbox of %d grants has room for %d", MessageGrantsMax/2, n)
	}
}

func TestSteadyStateAllocations(t *testing.T) {
	r := newRig(t)
	grants := make([]scheduler.Grant, 500)
	tokens := make([]uint64, len(grants))
	o := &scheduler.Outcomes{List: make([]scheduler.Outcome, len(grants))}
	var into []scheduler.Grant
	var c Control
	next := scheduler.Token(1)
	n := testing.AllocsPerRun(200, func() {
		for i := range grants {
			grants[i] = scheduler.Grant{Session: 7, Attach: 1, Token: next, Kind: "k"}
			tokens[i], o.List[i].Token = uint64(next), next
			next++
		}
		r.m.Granted(grants, &r.acts)
		into = r.m.TakeGrants(1, into[:0])
		seq, _ := r.m.Sent(r.now, 1, len(into), 1000)
		r.m.Received(r.now, 1, seq, &r.acts)
		r.m.Begun(r.now, tokens, &r.acts)
		r.m.Arrived(len(o.List), &r.acts)
		r.m.Outcomes(1, o, &r.acts)
		r.m.Answered(1, o, scheduler.CodeOK, 1, nil, &r.acts)
		r.m.TakeControl(1, &c)
		r.acts.Reset()
	})
	if n > 4 {
		t.Fatalf("%v allocations for %d leases", n, len(grants))
	}
}
