package rpc

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestLeaseFromSubmitToAck(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, w := r.welcomed(helloOf("w1", 1, 4))
		if w.GetSessionTtl().AsDuration() != 15*time.Second || w.GetHeartbeatInterval().AsDuration() != 5*time.Second ||
			w.GetMargin().AsDuration() != 1500*time.Millisecond || w.GetNewSession() {
			t.Fatalf("welcome: %v", w)
		}
		id := r.submit(3, 100)
		leases, seq := p.grants(3)
		l := leases[0]
		if l.GetTaskId() != id || l.GetKind() != "k" || l.GetQueue() != "default" || len(l.GetPayload()) != 100 || l.GetPool() != "main" ||
			l.GetAttempt() != 1 || l.GetMaxAttempts() != 20 || l.GetWeight() != 1 || l.GetLabels()["a"] != "b" ||
			l.GetAttemptTimeout().AsDuration() != time.Hour || l.GetDeadlineIn() != nil || l.GetGeneration() != 1 {
			t.Fatalf("lease: %v", l)
		}
		if got, _ := r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: id}); got.GetTask().GetState() != yardmasterv1.TaskState_TASK_STATE_LEASED {
			t.Fatalf("state %s", got.GetTask().GetState())
		}
		p.started(seq, l.GetToken())
		synctest.Wait()
		got, err := r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: id})
		if err != nil || got.GetTask().GetState() != yardmasterv1.TaskState_TASK_STATE_RUNNING || got.GetTask().GetLease().GetWorker() != "w1" {
			t.Fatalf("%v, %v", got, err)
		}
		p.succeed(seq, 1, leases...)
		ack := p.recv().GetOutcomeAck()
		if ack.GetThroughSeq() != 3 || len(ack.GetRejected()) != 0 {
			t.Fatalf("ack: %v", ack)
		}
		p.succeed(seq, 4, leases[0])
		ack = p.recv().GetOutcomeAck()
		if len(ack.GetRejected()) != 1 || ack.GetRejected()[0].GetSeq() != 4 || ack.GetRejected()[0].GetCode() != yardmasterv1.Rejected_CODE_GONE {
			t.Fatalf("ack of a second outcome: %v", ack)
		}
		await, err := r.tasks.Await(r.ctx, &yardmasterv1.AwaitRequest{TaskIds: []uint64{id, 77}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			m, err := await.Recv()
			switch {
			case err != nil:
				t.Fatal(err)
			case m.GetTaskId() == id && (string(m.GetOutcome().GetResult()) != "done" || m.GetOutcome().GetWorker() != "w1"):
				t.Fatalf("outcome: %v", m)
			case m.GetTaskId() == 77 && m.GetMissingReason() != ReasonUnknownTask:
				t.Fatalf("missing: %v", m)
			}
		}
	})
}

func TestHeartbeatIsAnsweredWhileAdmissionWaits(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 4))
		r.submit(1, 0)
		leases, seq := p.grants(1)
		r.e.shut(true)
		p.succeed(seq, 1, leases...)
		for i := range 10 {
			p.beat(seq, int64(i))
			if p.recv().GetHeartbeatAck().GetSendTimeNanos() != int64(i) {
				t.Fatal("no answer")
			}
			r.pass(5 * time.Second)
		}
		r.e.shut(false)
		if p.recv().GetOutcomeAck().GetThroughSeq() != 1 {
			t.Fatal("no ack")
		}
	})
}

func TestCutStreamReleasesTheUnsent(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 8))
		for range 8 {
			r.submit(1, 900_000)
		}
		synctest.Wait() // the sender is blocked: nobody reads
		p.cancel()
		synctest.Wait()
		detach := r.e.ops(scheduler.OpDetach)
		if len(detach) != 1 || len(detach[0].Session.Over) == 0 || len(detach[0].Session.Over) == 8 {
			t.Fatalf("detached with %+v", detach)
		}
		sent := 8 - len(detach[0].Session.Over)
		p2, w := r.welcomed(&yardmasterv1.Hello{
			ProtocolVersion: 1, WorkerName: "w1", Incarnation: helloOf("", 1, 0).GetIncarnation(), Kinds: []string{"k"},
			Pools: []*yardmasterv1.Pool{{Name: "main", Slots: 8}}, Resume: &yardmasterv1.Resume{SessionId: p.id},
		})
		if w.GetNewSession() || w.GetSessionId() != p.id {
			t.Fatalf("welcome: %v", w)
		}
		got, seq := p2.grants(4)
		p2.confirm(seq)
		more, seq := p2.grants(4)
		p2.confirm(seq)
		again := 0
		for _, l := range append(got, more...) {
			if l.GetToken() <= 8 {
				again++
			}
		}
		if again != sent {
			t.Fatalf("%d granted again, %d had been sent", again, sent)
		}
	})
}

func TestReplacedStream(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 4))
		r.submit(1, 0)
		leases, seq := p.grants(1)
		p.started(seq, leases[0].GetToken())
		synctest.Wait()
		h := helloOf("w1", 1, 4)
		h.Resume = &yardmasterv1.Resume{SessionId: p.id, Tokens: []*yardmasterv1.KnownToken{
			{Token: leases[0].GetToken(), TaskId: leases[0].GetTaskId(), Weight: 1, Pool: "main", Phase: yardmasterv1.KnownToken_PHASE_STARTED},
			{Token: 99, TaskId: 1, Weight: 1, Pool: "main", Phase: yardmasterv1.KnownToken_PHASE_STARTED},
		}}
		p2, w := r.welcomed(h)
		wantStatus(t, p.ends().Err(), codes.Aborted, ReasonReplaced)
		if len(w.GetStopTokens()) != 1 || w.GetStopTokens()[0] != 99 {
			t.Fatalf("stop %v", w.GetStopTokens())
		}
		p2.succeed(0, 1, leases...)
		if ack := p2.recv().GetOutcomeAck(); ack.GetThroughSeq() != 1 || len(ack.GetRejected()) != 0 {
			t.Fatalf("ack %v", ack)
		}
	})
}

func TestNameTakenAndSuperseded(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 4))
		wantStatus(t, r.open(helloOf("w1", 2, 4)).ends().Err(), codes.AlreadyExists, ReasonNameTaken)
		p.cancel()
		synctest.Wait()
		r.welcomed(helloOf("w1", 2, 4))
		got, err := r.ops.GetWorker(r.ctx, &yardmasterv1.GetWorkerRequest{Name: "w1"})
		if err != nil || len(got.GetSessions()) != 2 || got.GetSessions()[0].GetWorker().GetState() != yardmasterv1.Worker_STATE_SUPERSEDED ||
			got.GetSessions()[1].GetWorker().GetState() != yardmasterv1.Worker_STATE_ATTACHED {
			t.Fatalf("%v, %v", got, err)
		}
		if w := got.GetSessions()[1].GetWorker(); w.GetRemoteAddress() == "" || w.GetLastHeard() == nil {
			t.Fatalf("worker %v", w)
		}
	})
}

func TestTwoHellosForOneNameAtOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.e.hold()
		a := r.open(helloOf("w1", 1, 4))
		synctest.Wait()
		b := r.open(helloOf("w1", 2, 4))
		synctest.Wait()
		r.e.release()
		if a.recv().GetWelcome() == nil {
			t.Fatal("the first isn't welcome")
		}
		wantStatus(t, b.ends().Err(), codes.AlreadyExists, ReasonNameTaken)
	})
}

// TestNameIsTakenUntilTheStreamIsLive: a Hello for a name that comes when another process's was applied, but its stream
// isn't known to be live yet, finds the name taken.
func TestNameIsTakenUntilTheStreamIsLive(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(*rig) *yardmasterv1.Hello // what the first process says
	}{
		{"opened", func(*rig) *yardmasterv1.Hello { return helloOf("w1", 1, 4) }},
		{"resumed", func(r *rig) *yardmasterv1.Hello {
			p, w := r.welcomed(helloOf("w1", 1, 4))
			p.cancel()
			synctest.Wait()
			h := helloOf("w1", 1, 4)
			h.Resume = &yardmasterv1.Resume{SessionId: w.GetSessionId()}
			return h
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				h := c.before(r)
				r.e.hold()
				a := r.open(h)
				synctest.Wait()
				between, goOn := false, make(chan struct{})
				hold := func() { between = true; <-goOn }
				r.look.Store(&hold) // a session that begins looks at the clock before its stream is installed
				r.e.release()
				synctest.Wait()
				if !between {
					r.t.Fatal("the Hello was answered without a look at the clock")
				}
				b := r.open(helloOf("w1", 2, 4))
				synctest.Wait()
				close(goOn)
				if a.recv().GetWelcome() == nil {
					r.t.Fatal("the first isn't welcome")
				}
				wantStatus(r.t, b.ends().Err(), codes.AlreadyExists, ReasonNameTaken)
			})
		})
	}
}

func TestSlowReader(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 8))
		for range 8 {
			r.submit(1, 900_000)
		}
		synctest.Wait()
		r.pass(SendBlockedMax + 2*TickPeriod)
		if len(r.e.ops(scheduler.OpDetach)) != 1 {
			t.Fatal("the session isn't detached")
		}
		wantStatus(t, p.ends().Err(), codes.Aborted, ReasonSlowReader)
	})
}

func TestUnconfirmedGrantsAreReleased(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 4))
		r.submit(2, 10)
		leases, seq := p.grants(2)
		r.pass(6 * time.Second)
		detach := r.e.ops(scheduler.OpDetach)
		if len(detach) != 1 || len(detach[0].Session.Unconfirmed) != 2 {
			t.Fatalf("detached with %+v", detach)
		}
		for range 2 {
			if c := p.recv().GetCancel(); c.GetReason() != yardmasterv1.Cancel_REASON_REVOKED {
				t.Fatalf("cancel %v", c)
			}
		}
		p.succeed(seq, 1, leases...) // confirms, so it is attached again, and is given the tasks under new tokens
		again, acked := 0, false
		for again < 2 || !acked {
			switch m := p.recv(); {
			case m.GetGrants() != nil:
				for _, l := range m.GetGrants().GetLeases() {
					if again++; l.GetToken() <= leases[1].GetToken() || l.GetAttempt() != 1 {
						t.Fatalf("granted again: %v", l)
					}
				}
			case m.GetOutcomeAck() != nil:
				acked = true
				if x := m.GetOutcomeAck().GetRejected(); len(x) != 2 || x[0].GetCode() != yardmasterv1.Rejected_CODE_FENCED {
					t.Fatalf("ack %v", m)
				}
			default:
				t.Fatalf("got %v", m)
			}
		}
	})
}

func TestExpiryNamesTheStarted(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 4))
		r.submit(2, 10)
		leases, seq := p.grants(2)
		p.started(seq, leases[1].GetToken())
		r.pass(16 * time.Second)
		expire := r.e.ops(scheduler.OpExpireSession)
		if len(expire) != 1 || len(expire[0].Session.Started) != 1 || uint64(expire[0].Session.Started[0]) != leases[1].GetToken() {
			t.Fatalf("expired with %+v", expire)
		}
		wantStatus(t, p.ends().Err(), codes.Aborted, ReasonExpired)
		h := helloOf("w1", 1, 4)
		h.Resume = &yardmasterv1.Resume{SessionId: p.id, Tokens: []*yardmasterv1.KnownToken{
			{Token: leases[1].GetToken(), TaskId: leases[1].GetTaskId(), Weight: 1, Pool: "main", Phase: yardmasterv1.KnownToken_PHASE_STARTED}}}
		_, w := r.welcomed(h)
		if !w.GetNewSession() || w.GetSessionId() == p.id || len(w.GetStopTokens()) != 1 {
			t.Fatalf("welcome %v", w)
		}
	})
}

func TestCancelOvertakesItsGrantInTheMailbox(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 8))
		first := r.submit(1, 900_000)
		for range 5 {
			r.submit(1, 900_000)
		}
		synctest.Wait() // the sender is blocked; the last grants lie in the mailbox
		res, err := r.tasks.Cancel(r.ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: []uint64{first, first + 5}})
		if err != nil || res.GetResults()[0].GetCode() != yardmasterv1.TaskResult_CODE_REQUESTED {
			t.Fatalf("%v, %v", res, err)
		}
		synctest.Wait()
		if over := r.e.ops(scheduler.OpRelease); len(over) != 1 || len(over[0].Session.Over) != 1 {
			t.Fatalf("released %+v", over)
		}
		got, _ := r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: first + 5})
		if got.GetTask().GetState() != yardmasterv1.TaskState_TASK_STATE_CANCELLED {
			t.Fatalf("state %s", got.GetTask().GetState())
		}
		seen, cancelled := map[uint64]bool{}, false
		for len(seen) < 5 || !cancelled {
			switch m := p.recv(); {
			case m.GetGrants() != nil:
				for _, l := range m.GetGrants().GetLeases() {
					seen[l.GetTaskId()] = true
				}
				p.confirm(m.GetGrants().GetSeq())
			case m.GetCancel() != nil:
				if m.GetCancel().GetTaskId() != first || !seen[first] || len(seen) == 5 {
					t.Fatalf("cancel %v after %v", m.GetCancel(), seen)
				}
				cancelled = true
			}
		}
	})
}

func TestGoodbye(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 4))
		r.submit(1, 0)
		leases, seq := p.grants(1)
		r.e.shut(true)
		p.succeed(seq, 1, leases...)
		p.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Draining{Draining: &yardmasterv1.Draining{}}})
		p.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Drained{Drained: &yardmasterv1.Drained{}}})
		p.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Goodbye{Goodbye: &yardmasterv1.Goodbye{}}})
		if err := p.gs.CloseSend(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(r.e.ops(scheduler.OpCloseSession)) != 0 {
			t.Fatal("Goodbye has overtaken outcomes")
		}
		r.e.shut(false)
		if st := p.ends(); st.Code() != codes.OK {
			t.Fatal(st)
		}
		if len(r.e.ops(scheduler.OpDrainSession)) != 1 || len(r.e.ops(scheduler.OpCloseSession)) != 1 {
			t.Fatal("not drained and closed")
		}
		got, _ := r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: leases[0].GetTaskId()})
		if got.GetTask().GetState() != yardmasterv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Fatalf("state %s", got.GetTask().GetState())
		}
	})
}
