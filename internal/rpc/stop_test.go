package rpc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestEngineErrorsReachTheCaller(t *testing.T) {
	inBubble(t, func(r *rig) {
		req := &yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{{Kind: "k"}}}
		for err, want := range map[error]string{engine.ErrNotLeader: ReasonNotLeader, engine.ErrUnknown: ReasonFateUnknown, errors.New("x"): ReasonInternal} {
			r.e.mu.Lock()
			r.e.script = func(scheduler.Command) (engine.Result, error, bool) { return engine.Result{}, err, true }
			r.e.mu.Unlock()
			_, got := r.tasks.Submit(r.ctx, req)
			if reasonOf(wantStatus(t, got, codeOf(want), want)) != want {
				t.Fatal(got)
			}
		}
		r.e.mu.Lock()
		r.e.script = func(scheduler.Command) (engine.Result, error, bool) { panic("a bug with a secret") }
		r.e.mu.Unlock()
		_, got := r.tasks.Cancel(r.ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: []uint64{1}})
		if st := wantStatus(t, got, codes.Internal, ReasonInternal); strings.Contains(st.Message(), "secret") || strings.Contains(st.Message(), "goroutine") {
			t.Fatal(st.Message())
		}
		r.e.mu.Lock()
		r.e.script = nil
		r.e.mu.Unlock()
	})
}

func codeOf(reason string) codes.Code {
	if reason == ReasonInternal {
		return codes.Internal
	}
	return codes.Unavailable
}

func TestStopInPhases(t *testing.T) {
	inBubble(t, func(r *rig) {
		health := healthv1.NewHealthClient(r.conn)
		check := func(want healthv1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			for _, name := range []string{"", "yardmaster.v1.WorkerService", "yardmaster.v1.TaskService"} {
				res, err := health.Check(r.ctx, &healthv1.HealthCheckRequest{Service: name})
				if err != nil || res.GetStatus() != want {
					t.Fatalf("%q: %v, %v", name, res, err)
				}
			}
		}
		check(healthv1.HealthCheckResponse_SERVING)
		r.e.observer.TermEnded()
		check(healthv1.HealthCheckResponse_NOT_SERVING)
		r.e.lead(2)
		check(healthv1.HealthCheckResponse_SERVING)
		watch, err := health.Watch(r.ctx, &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		id := r.submit(1, 0)
		_, seq := p.grants(1)
		p.confirm(seq)
		await, err := r.tasks.Await(r.ctx, &yardmasterv1.AwaitRequest{TaskIds: []uint64{id}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.s.SetNotServing()
		check(healthv1.HealthCheckResponse_NOT_SERVING)
		r.submit(1, 0) // still served
		r.s.EndStreams()
		wantStatus(t, p.ends().Err(), codes.Unavailable, ReasonStopping)
		_, err = await.Recv()
		wantStatus(t, err, codes.Unavailable, ReasonStopping)
		for err = nil; err == nil; {
			_, err = watch.Recv()
		}
		wantStatus(t, r.open(helloOf("w2", 1, 1)).ends().Err(), codes.Unavailable, ReasonStopping)
		synctest.Wait()
		if len(r.e.ops(scheduler.OpDetach)) != 1 {
			t.Fatal("the session isn't detached")
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.s.GracefulStop(ctx); err != nil || time.Since(start) > time.Second {
			t.Fatalf("%v after %s", err, time.Since(start))
		}
	})
}

func TestStopCutsOffWhatHangs(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.e.hold()
		done := make(chan error, 1)
		go func() {
			_, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{{Kind: "k"}}})
			done <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.s.GracefulStop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if err := <-done; err == nil {
			t.Fatal("it was answered")
		}
	})
}

func TestAwaitOfASlowReader(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 100))
		first := r.submit(100, 0)
		leases, seq := p.grants(100)
		for i, l := range leases {
			p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: &yardmasterv1.Outcomes{
				FirstSeq: uint64(i + 1), Outcomes: []*yardmasterv1.AttemptOutcome{{Token: l.GetToken(), TaskId: l.GetTaskId(),
					Kind: &yardmasterv1.AttemptOutcome_Succeeded{Succeeded: &yardmasterv1.Succeeded{Result: make([]byte, 100_000)}}}}}}})
		}
		for through := uint64(0); through < 100; {
			through = p.recv().GetOutcomeAck().GetThroughSeq()
		}
		var ids []uint64
		for i := range uint64(100) {
			ids = append(ids, first+i)
		}
		await, err := r.tasks.Await(r.ctx, &yardmasterv1.AwaitRequest{TaskIds: ids})
		if err != nil {
			t.Fatal(err)
		}
		r.pass(SendBlockedMax + 2*TickPeriod)
		for err == nil {
			_, err = await.Recv()
		}
		wantStatus(t, err, codes.Aborted, ReasonSlowReader)
	})
}
