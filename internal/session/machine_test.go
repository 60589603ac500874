package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// rig drives a machine and tells its actions as text.
type rig struct {
	t    *testing.T
	m    *Machine
	now  int64
	acts Actions
	last []scheduler.Command
}

const testTTL = 15 * second

// newRig returns a session 7 that stream 1 has opened with attach number 1.
func newRig(t *testing.T) *rig {
	r := &rig{t: t, now: 100 * second, m: New(Options{TTL: testTTL, Heartbeat: 5 * second, KillGrace: 5 * second}, 7, 1, 100*second)}
	r.m.Opened(r.now, 1, 1, 1, nil, &r.acts)
	r.did()
	return r
}

// did returns what the machine has asked for since the last call.
func (r *rig) did() string {
	var b []string
	for _, e := range r.acts.End {
		b = append(b, fmt.Sprintf("end %d:%d", e.Stream, e.Reason))
	}
	for i := range r.acts.Propose {
		b = append(b, commandText(&r.acts.Propose[i]))
	}
	for _, n := range r.acts.Notices {
		text := fmt.Sprintf("begun %d of %d", n.Token, n.Task)
		if n.Progress != nil {
			text = fmt.Sprintf("progress %d of %d: %d %s", n.Token, n.Task, n.Progress.Permille, n.Progress.Message)
		}
		b = append(b, text)
	}
	r.last = slices.Clone(r.acts.Propose)
	r.acts.Reset()
	return strings.Join(b, "; ")
}

var opNames = map[scheduler.Op]string{
	scheduler.OpAttach: "attach", scheduler.OpDetach: "detach", scheduler.OpRelease: "release", scheduler.OpExpireSession: "expire",
	scheduler.OpDrainSession: "drain", scheduler.OpCloseSession: "close", scheduler.OpTimeoutLeases: "timeout", scheduler.OpOutcomes: "outcomes",
}

func commandText(c *scheduler.Command) string {
	if o := c.Outcomes; o != nil {
		return fmt.Sprintf("outcomes@%d %d+%d", o.Attach, o.FirstSeq, len(o.List))
	}
	s := fmt.Sprintf("%s@%d", opNames[c.Op], c.Session.Attach)
	for _, part := range []struct {
		name string
		list []scheduler.Token
	}{{"over", c.Session.Over}, {"unconfirmed", c.Session.Unconfirmed}, {"started", c.Session.Started}, {"tokens", c.Session.Tokens}} {
		if len(part.list) > 0 {
			s += fmt.Sprintf(" %s=%v", part.name, part.list)
		}
	}
	return s
}

func (r *rig) want(text string) {
	r.t.Helper()
	if got := r.did(); got != text {
		r.t.Fatalf("the machine asked for %q, want %q", got, text)
	}
}

func (r *rig) grant(attach uint64, bytes uint32, tokens ...scheduler.Token) {
	for _, t := range tokens {
		r.m.Granted([]scheduler.Grant{{
			Session: 7, Attach: attach, Token: t, Task: scheduler.TaskID(t), Kind: "k", Queue: "q", Pool: "p",
			PayloadBytes: bytes, AttemptTimeout: 60 * scheduler.Second,
		}}, &r.acts)
	}
}

// send takes and sends what may be sent now, and tells it.
func (r *rig) send(stream StreamID) string {
	var b []string
	for {
		var c Control
		if r.m.TakeControl(stream, &c) {
			if c.Heartbeat {
				b = append(b, fmt.Sprintf("beat %d", c.HeartbeatTime))
			}
			for _, n := range c.Cancels {
				b = append(b, fmt.Sprintf("cancel %d:%d", n.Token, n.Reason))
			}
			if len(c.Recalls) > 0 {
				b = append(b, fmt.Sprintf("recall %v", c.Recalls))
			}
			if c.Ack {
				b = append(b, fmt.Sprintf("ack %d%v", c.AckThrough, c.Rejected))
			}
		}
		grants := r.m.TakeGrants(stream, nil)
		if len(grants) == 0 {
			return strings.Join(b, "; ")
		}
		bytes := 0
		var tokens []scheduler.Token
		for i := range grants {
			bytes += int(grants[i].PayloadBytes) + 100
			tokens = append(tokens, grants[i].Token)
		}
		seq, verdict := r.m.Sent(r.now, stream, len(grants), bytes)
		if verdict != Send {
			r.t.Fatalf("sending %v: verdict %d", tokens, verdict)
		}
		b = append(b, fmt.Sprintf("grants#%d %v", seq, tokens))
	}
}

func (r *rig) wantSent(stream StreamID, text string) {
	r.t.Helper()
	if got := r.send(stream); got != text {
		r.t.Fatalf("sent %q, want %q", got, text)
	}
}

func (r *rig) recv(stream StreamID, through uint64) bool {
	return r.m.Received(r.now, stream, through, &r.acts)
}

func (r *rig) pass(d int64) {
	r.now += d
	r.m.Tick(r.now, &r.acts)
}

// applied answers the last proposals, but for outcomes.
func (r *rig) applied(code scheduler.Code, attach uint64) {
	for _, c := range r.last {
		if c.Session != nil {
			r.m.Applied(c.Session, c.Op, code, attach, &r.acts)
		}
	}
}

func TestGrantSentConfirmedStartedEnded(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1, 2, 3)
	r.wantSent(1, "grants#1 [1 2 3]")
	if r.m.UnconfirmedBytes() == 0 {
		t.Fatal("nothing is outstanding")
	}
	r.recv(1, 1)
	if r.m.UnconfirmedBytes() != 0 {
		t.Fatal("still outstanding")
	}
	r.m.Begun(r.now, []uint64{1, 2, 99}, &r.acts)
	if !r.m.Started(1) || r.m.Started(3) || r.m.Started(99) {
		t.Fatal("wrong starts")
	}
	o := &scheduler.Outcomes{FirstSeq: 1, List: []scheduler.Outcome{{Token: 1}, {Token: 2}}}
	r.m.Arrived(2, &r.acts)
	r.m.Outcomes(1, o, &r.acts)
	r.want("outcomes@1 1+2; begun 1 of 1; begun 2 of 2")
	if r.m.Leases() != 1 {
		t.Fatalf("%d leases left", r.m.Leases())
	}
	r.m.Answered(1, o, scheduler.CodeOK, 2, []scheduler.Answer{scheduler.AnswerAccepted, scheduler.AnswerFenced}, &r.acts)
	r.wantSent(1, "ack 2[{2 2 2}]")
	r.wantSent(1, "")
}

// TestAckCoversOnlyWhatItAnswers: the worker sends outcomes again after a reconnect, in several messages, and all of them were
// answered before. An acknowledgement that ran ahead of them would swallow their rejections.
func TestAckCoversOnlyWhatItAnswers(t *testing.T) {
	r := newRig(t)
	first := &scheduler.Outcomes{FirstSeq: 1, List: []scheduler.Outcome{{Token: 1}, {Token: 2}}}
	second := &scheduler.Outcomes{FirstSeq: 3, List: []scheduler.Outcome{{Token: 3}}}
	r.m.Arrived(3, &r.acts)
	r.m.Outcomes(1, first, &r.acts)
	r.m.Outcomes(1, second, &r.acts)
	r.want("outcomes@1 1+2; outcomes@1 3+1")
	r.m.Answered(1, first, scheduler.CodeOK, 3, []scheduler.Answer{scheduler.AnswerAccepted, scheduler.AnswerFenced}, &r.acts)
	r.wantSent(1, "ack 2[{2 2 2}]")
	r.m.Answered(1, second, scheduler.CodeOK, 3, []scheduler.Answer{scheduler.AnswerGone}, &r.acts)
	r.wantSent(1, "ack 3[{3 3 3}]")
}

func TestCancelTakesAGrantOutOfTheMailbox(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1, 2, 3)
	r.m.Cancelled(scheduler.CancelNote{Session: 7, Token: 2, Reason: scheduler.CancelAsked}, &r.acts)
	r.m.Cancelled(scheduler.CancelNote{Session: 7, Token: 3, Reason: scheduler.CancelRevoked}, &r.acts)
	r.want("release@1 over=[2 3]")
	r.wantSent(1, "grants#1 [1]")
}

func TestCancelFollowsAGrantInHand(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	if len(r.m.TakeGrants(1, nil)) != 1 {
		t.Fatal("no grant")
	}
	r.m.Cancelled(scheduler.CancelNote{Session: 7, Token: 1, Reason: scheduler.CancelAsked}, &r.acts)
	r.want("")
	r.wantSent(1, "")
	if _, v := r.m.Sent(r.now, 1, 1, 10); v != Send {
		t.Fatal(v)
	}
	r.wantSent(1, "cancel 1:1")
}

func TestControlOvertakesGrants(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.grant(1, 10, 2)
	r.recv(1, 1)
	r.m.Beat(41, &r.acts)
	r.m.Beat(42, &r.acts)
	r.m.Cancelled(scheduler.CancelNote{Session: 7, Token: 1, Reason: scheduler.CancelAsked}, &r.acts)
	r.wantSent(1, "beat 42; cancel 1:1; grants#2 [2]")
}

func TestBrokenStreamReleasesTheUnsentAndLaterTheUnconfirmed(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.grant(1, 10, 2, 3)
	r.m.TakeGrants(1, nil) // 2 and 3 are in hand
	r.grant(1, 10, 4)
	r.m.StreamBroken(1, &r.acts)
	r.want("detach@1 over=[2 3 4]")
	if _, v := r.m.Sent(r.now, 1, 2, 20); v != Drop {
		t.Fatalf("what was released may be sent: %d", v)
	}
	r.grant(1, 10, 5) // matched before the Detach was applied
	r.want("release@1 over=[5]")
	r.pass(ReceiptTime + second)
	r.want("detach@1 unconfirmed=[1]")
	r.pass(testTTL)
	r.want("expire@1")
	if r.m.NextWake() != Never {
		t.Fatal("an expiring session wakes")
	}
}

func TestUnconfirmedDetachesAndConfirmationAttaches(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.grant(1, 10, 2)
	r.wantSent(1, "grants#2 [2]")
	r.grant(1, 10, 3)
	r.pass(ReceiptTime + second)
	r.want("detach@1 over=[3] unconfirmed=[1 2]")
	r.recv(1, 1)
	r.want("")
	r.recv(1, 2)
	r.want("attach@1")
	r.m.Arrived(1, &r.acts)
	r.m.Outcomes(1, &scheduler.Outcomes{FirstSeq: 1, List: []scheduler.Outcome{{Token: 1}}}, &r.acts)
	r.m.Draining(&r.acts)
	r.want("") // held: the number is about to change
	r.last = []scheduler.Command{{Op: scheduler.OpAttach, Session: &scheduler.SessionCommand{Session: 7, Attach: 1}}}
	r.applied(scheduler.CodeOK, 2)
	r.want("outcomes@2 1+1; drain@2")
	r.grant(2, 10, 4)
	r.wantSent(1, "grants#3 [4]")
}

func TestAttachInFlightWhenTheStreamBreaks(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.pass(ReceiptTime + second)
	r.did()
	r.recv(1, 1)
	r.want("attach@1")
	attach := r.last
	r.m.StreamBroken(1, &r.acts)
	r.want("")
	r.last = attach
	r.applied(scheduler.CodeOK, 2)
	r.want("detach@2")
	r.grant(2, 10, 9)
	r.want("release@2 over=[9]")
}

func TestResumeOvertakesAnAttach(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.wantSent(1, "grants#1 [1]")
	r.pass(ReceiptTime + second)
	r.did()
	r.recv(1, 1)
	attach := []scheduler.Command{{Op: scheduler.OpAttach, Session: &scheduler.SessionCommand{Session: 7, Attach: 1}}}
	r.did()
	r.m.Replace(&r.acts)
	r.want("end 1:2")
	r.m.Opened(r.now, 2, 1, 2, []Known{{Token: 1, Started: true}}, &r.acts)
	r.want("")
	r.last = attach
	r.applied(scheduler.CodeStale, 0)
	r.want("")
	r.grant(2, 10, 5)
	r.wantSent(2, "grants#1 [5]")
	if !r.m.Started(1) {
		t.Fatal("the start that Hello named is forgotten")
	}
}

func TestReplacedStreamIsDropped(t *testing.T) {
	r := newRig(t)
	r.m.Opened(r.now, 2, 1, 2, nil, &r.acts)
	r.want("end 1:2")
	if r.recv(1, 0) {
		t.Fatal("a message of the replaced stream was taken in")
	}
	r.m.Arrived(1, &r.acts)
	r.m.Outcomes(1, &scheduler.Outcomes{FirstSeq: 1, List: []scheduler.Outcome{{Token: 1}}}, &r.acts)
	r.m.StreamBroken(1, &r.acts)
	r.want("")
	r.grant(1, 10, 3) // with the old attach number: granted again by the Resume if need be
	r.wantSent(2, "")
}

func TestGoodbye(t *testing.T) {
	r := newRig(t)
	r.grant(1, 10, 1)
	r.m.Goodbye(1, &r.acts)
	r.want("close@1")
	r.wantSent(1, "")
	r.applied(scheduler.CodeOK, 0)
	r.want("end 1:1")
	r.m.Ended(&r.acts)
	r.want("")
}

func TestDrainIsRepeatedAfterAResume(t *testing.T) {
	r := newRig(t)
	r.m.Draining(&r.acts)
	r.m.Draining(&r.acts)
	r.want("drain@1")
	r.m.Opened(r.now, 2, 1, 2, nil, &r.acts)
	r.want("end 1:2; drain@2")
}

// TestSteadyStateAllocations pins that a lease costs no allocation here.
