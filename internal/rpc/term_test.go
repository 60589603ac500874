package rpc

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestTermEndsAndBegins(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 4))
		r.submit(1, 0)
		leases, seq := p.grants(1)
		p.confirm(seq)
		r.e.observer.TermEnded()
		st := wantStatus(t, p.ends().Err(), codes.Unavailable, ReasonNotLeader)
		if len(st.Details()) != 2 {
			t.Fatalf("no RetryInfo: %v", st.Details())
		}
		wantStatus(t, r.open(helloOf("w1", 1, 4)).ends().Err(), codes.Unavailable, ReasonNotLeader)
		r.e.lead(2)
		h := helloOf("w1", 1, 4)
		h.Resume = &yardmasterv1.Resume{SessionId: p.id, Tokens: []*yardmasterv1.KnownToken{
			{Token: leases[0].GetToken(), TaskId: leases[0].GetTaskId(), Weight: 1, Pool: "main", Phase: yardmasterv1.KnownToken_PHASE_STARTED}}}
		p2, w := r.welcomed(h)
		if w.GetNewSession() || len(w.GetStopTokens()) != 0 {
			t.Fatalf("welcome %v", w)
		}
		got, _ := r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: leases[0].GetTaskId()})
		if got.GetTask().GetState() != yardmasterv1.TaskState_TASK_STATE_RUNNING {
			t.Fatalf("state %s", got.GetTask().GetState())
		}
		// The back-stop needs the attempt timeout, which this leader learnt from the engine.
		for range 15 * 60 {
			p2.beat(0, 1)
			p2.recv()
			r.pass(5 * time.Second)
		}
		if len(r.e.ops(scheduler.OpTimeoutLeases)) == 0 {
			t.Fatal("the back-stop of an hour didn't come in 75 minutes")
		}
	})
}

func TestProtocolErrors(t *testing.T) {
	inBubble(t, func(r *rig) {
		h := helloOf("w1", 1, 4)
		h.ProtocolVersion = 0
		wantStatus(t, r.open(h).ends().Err(), codes.FailedPrecondition, ReasonProtocol)
		p, _ := r.welcomed(helloOf("w1", 1, 4))
		p.confirm(5)
		wantStatus(t, p.ends().Err(), codes.InvalidArgument, ReasonInvalid)
		p, _ = r.welcomed(helloOf("w2", 1, 4))
		p.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Hello{Hello: helloOf("w2", 1, 4)}})
		wantStatus(t, p.ends().Err(), codes.InvalidArgument, ReasonInvalid)
		p, _ = r.welcomed(helloOf("w3", 1, 4))
		p.succeed(0, 7, &yardmasterv1.TaskLease{Token: 1})
		wantStatus(t, p.ends().Err(), codes.InvalidArgument, ReasonInvalid)
		p, _ = r.welcomed(helloOf("w4", 1, 4))
		p.started(0, make([]uint64, StartedMax+1)...)
		wantStatus(t, p.ends().Err(), codes.InvalidArgument, ReasonInvalid)
		gs, err := yardmasterv1.NewWorkerServiceClient(r.conn).Session(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		silent := &testWorker{r: r, gs: gs}
		r.pass(HelloMax + 2*TickPeriod)
		wantStatus(t, silent.ends().Err(), codes.Aborted, ReasonNoHello)
	})
}

func TestHelloInFlightWhenTheStreamBreaks(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.e.hold()
		p := r.open(helloOf("w1", 1, 4))
		synctest.Wait()
		p.cancel()
		synctest.Wait()
		r.e.release()
		synctest.Wait()
		if len(r.e.ops(scheduler.OpDetach)) != 1 {
			t.Fatal("the session of a broken stream isn't detached")
		}
		r.pass(16 * time.Second)
		if len(r.e.Sessions()) != 0 {
			t.Fatal("it doesn't expire")
		}
	})
}

// TestStallOfTheLeader: after the process stood still nobody expires at once; everyone gets the time back.
func TestStallOfTheLeader(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 4))
		r.submit(1, 0)
		_, seq := p.grants(1)
		r.skew.Add(int64(time.Minute))
		r.pass(4 * time.Second)
		if len(r.e.ops(scheduler.OpExpireSession))+len(r.e.ops(scheduler.OpDetach)) != 0 {
			t.Fatal("the leader's own stall is held against the worker")
		}
		p.beat(seq, 1)
		if p.recv().GetHeartbeatAck() == nil {
			t.Fatal("no answer")
		}
		r.pass(16 * time.Second)
		if len(r.e.ops(scheduler.OpExpireSession)) != 1 {
			t.Fatal("it doesn't expire any more")
		}
	})
}
