package rpc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestConfigureSettings(t *testing.T) {
	inBubble(t, func(r *rig) {
		n := func(x uint32) *uint32 { return &x }
		configure := func(req *yardmasterv1.ConfigureRequest) *yardmasterv1.Queue {
			t.Helper()
			req.Name = "q"
			res, err := r.queues.Configure(r.ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			return res.GetQueue()
		}
		q := configure(&yardmasterv1.ConfigureRequest{})
		if q.GetDepthLimit() != 500 || q.GetOwnDepthLimit() || q.GetRetention() != nil || q.GetDeadRetention() != nil || q.GetMaxLeases() != 0 {
			t.Fatal(q)
		}
		q = configure(&yardmasterv1.ConfigureRequest{DepthLimit: n(7), MaxLeases: n(8), Retention: span(0), DeadRetention: span(scheduler.RetentionMax), Weight: n(9)})
		if q.GetDepthLimit() != 7 || !q.GetOwnDepthLimit() || q.GetRetention() == nil || q.GetRetention().AsDuration() != 0 ||
			q.GetDeadRetention().AsDuration() != time.Duration(scheduler.RetentionMax) || q.GetMaxLeases() != 8 || q.GetWeight() != 9 {
			t.Fatal(q)
		}
		if again := configure(&yardmasterv1.ConfigureRequest{MaxLeases: n(9)}); again.GetDepthLimit() != 7 || again.GetRetention() == nil || again.GetMaxLeases() != 9 {
			t.Fatal("what was absent has changed:", again)
		}
		q = configure(&yardmasterv1.ConfigureRequest{DepthLimit: n(0), MaxLeases: n(0), ClearRetention: true, ClearDeadRetention: true})
		if q.GetDepthLimit() != 500 || q.GetOwnDepthLimit() || q.GetRetention() != nil || q.GetDeadRetention() != nil || q.GetMaxLeases() != 0 {
			t.Fatal(q)
		}
		for want, req := range map[string]*yardmasterv1.ConfigureRequest{
			"[name weight depth_limit max_leases retention dead_retention]": {Name: "Q", Weight: n(0), DepthLimit: n(20_000_001), MaxLeases: n(1_000_001),
				Retention: span(-1), DeadRetention: span(scheduler.RetentionMax + 1)},
			"[clear_retention clear_dead_retention]": {Name: "q", Retention: span(1), ClearRetention: true, DeadRetention: span(0), ClearDeadRetention: true},
			"[]":                                     {Name: "q", DepthLimit: n(20_000_000), MaxLeases: n(1_000_000), Retention: span(scheduler.RetentionMax)},
		} {
			_, err := r.queues.Configure(r.ctx, req)
			got := "[]"
			if err != nil {
				got = fmt.Sprint(fieldsAtFault(t, err))
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

func TestQueueFigures(t *testing.T) {
	p := queueProto(&scheduler.QueueInfo{Name: "q", OldestPending: 5, Submitted: 6, Ended: 7})
	if p.GetOldestPending().AsTime().UnixNano() != 5 || p.GetSubmittedTotal() != 6 || p.GetEndedTotal() != 7 {
		t.Fatal(p)
	}
}

// purge reads a whole purge.
func (r *rig) purge(req *yardmasterv1.PurgeRequest) (list []*yardmasterv1.PurgeResponse, err error) {
	r.t.Helper()
	gs, err := r.queues.Purge(r.ctx, req)
	if err != nil {
		r.t.Fatal(err)
	}
	for {
		m, err := gs.Recv()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, m)
	}
}

func TestPurge(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.e.mu.Lock()
		r.e.limits = scheduler.Limits{MaxTasks: 100_000, Depth: 100_000}
		r.e.mu.Unlock()
		r.e.lead(2)
		p, _ := r.welcomed(helloOf("w1", 1, 2))
		for range 25 {
			r.submit(1000, 0)
		}
		p.grants(2)
		if _, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: append(tasksOf(3, "other"),
			&yardmasterv1.TaskSpec{Kind: "k", Delay: span(scheduler.Hour)})}); err != nil {
			t.Fatal(err)
		}
		list, err := r.purge(&yardmasterv1.PurgeRequest{Name: "default", DryRun: true})
		if err != nil || len(list) != 1 || list[0].GetPurged() != 24_999 || !list[0].GetDone() {
			t.Fatal(list, err)
		}
		list, err = r.purge(&yardmasterv1.PurgeRequest{Name: "default"})
		if err != nil || len(list) != 3 {
			t.Fatal(list, err)
		}
		last := list[2]
		if last.GetPurged() != 24_999 || !last.GetDone() || list[0].GetDone() || list[0].GetPurged() < 10_000 || list[1].GetPurged() < 20_000 {
			t.Fatal(list)
		}
		for _, c := range r.e.ops(scheduler.OpCancel) {
			if !c.Cancel.Purge || len(c.Cancel.IDs) > scheduler.BatchTasksMax || len(c.Cancel.IDs) == 0 {
				t.Fatalf("%d ids, purge %v", len(c.Cancel.IDs), c.Cancel.Purge)
			}
		}
		q, _ := r.e.Queue("default")
		if other, _ := r.e.Queue("other"); q.Leased != 2 || q.Pending+q.Scheduled != 0 || other.Pending != 3 {
			t.Fatalf("%+v", q)
		}
		_, err = r.purge(&yardmasterv1.PurgeRequest{Name: "none"})
		wantStatus(t, err, codes.NotFound, ReasonUnknownQueue)
		_, err = r.purge(&yardmasterv1.PurgeRequest{Name: "Q"})
		fieldsAtFault(t, err)
	})
}

// TestPurgeIsBounded: at most PurgeFlights commands at once; progress each second although nothing is done; what was submitted
// after its begin stays; and an error ends it.
func TestPurgeIsBounded(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.e.mu.Lock()
		r.e.limits, r.e.looks = scheduler.Limits{MaxTasks: 100_000, Depth: 100_000}, 100
		r.e.mu.Unlock()
		r.e.lead(2)
		r.submit(1000, 0)
		r.e.hold()
		gs, err := r.queues.Purge(r.ctx, &yardmasterv1.PurgeRequest{Name: "default"})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for i := range 3 {
			if m, err := gs.Recv(); err != nil || m.GetPurged() != 0 || m.GetDone() || time.Since(start) != time.Duration(i+1)*PurgeTell {
				t.Fatal(m, err, time.Since(start))
			}
		}
		r.e.mu.Lock()
		n := len(r.e.line)
		r.e.mu.Unlock()
		if n != PurgeFlights {
			t.Fatalf("%d commands at once", n)
		}
		late := r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(5, "")})
		synctest.Wait()
		r.e.release()
		for {
			m, err := gs.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if m.GetDone() {
				if m.GetPurged() != 1000 {
					t.Fatal(m)
				}
				break
			}
		}
		if err := <-late; err != nil {
			t.Fatal(err)
		}
		if q, _ := r.e.Queue("default"); q.Pending != 5 {
			t.Fatalf("%d are left", q.Pending)
		}
		r.e.mu.Lock()
		r.e.script = func(scheduler.Command) (engine.Result, error, bool) { return engine.Result{}, engine.ErrUnknown, true }
		r.e.mu.Unlock()
		_, err = r.purge(&yardmasterv1.PurgeRequest{Name: "default"})
		wantStatus(t, err, codes.Unavailable, ReasonFateUnknown)
	})
}

func TestExplainQueue(t *testing.T) {
	inBubble(t, func(r *rig) {
		shape := func(kind string, pending uint64, reasons ...scheduler.Reason) scheduler.ShapeExplanation {
			return scheduler.ShapeExplanation{
				ShapeRow: scheduler.ShapeRow{Kind: kind, Weight: 2, Require: []scheduler.Label{{Key: "gpu", Value: "yes"}}, Suspect: true}, Pending: pending,
				Next: scheduler.TaskInfo{TaskRow: scheduler.TaskRow{ID: 5, Submitted: 6}, Kind: kind, Queue: "q", Weight: 2}, Reasons: reasons,
			}
		}
		explain := func(x scheduler.QueueExplanation) *yardmasterv1.QueueServiceExplainResponse {
			t.Helper()
			x.Queue.Name = "q"
			r.e.mu.Lock()
			r.e.explains["q"] = x
			r.e.mu.Unlock()
			res, err := r.queues.Explain(r.ctx, &yardmasterv1.QueueServiceExplainRequest{Name: "q"})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(res.GetSummary(), "%!") || !strings.HasSuffix(res.GetSummary(), ".") {
				t.Fatal(res.GetSummary())
			}
			return res
		}
		busy := scheduler.Reason{Code: scheduler.ReasonSlotsBusy, Count: 3, Example: "w7"}
		x := explain(scheduler.QueueExplanation{Queue: scheduler.QueueInfo{Pending: 12}, Shapes: []scheduler.ShapeExplanation{shape("free", 2), shape("held", 10, busy)}})
		s := x.GetShapes()[1]
		if s.GetKind() != "held" || s.GetRequire()["gpu"] != "yes" || s.GetWeight() != 2 || s.GetPending() != 10 || s.GetNextTaskId() != 5 ||
			s.GetNextSubmitTime().AsTime().UnixNano() != 6 || !s.GetSuspects() || len(s.GetReasons()) != 1 || s.GetReasons()[0].GetCount() != 3 {
			t.Fatal(s)
		}
		for _, part := range []string{"12 pending", "10 held back", "held", "w7"} {
			if !strings.Contains(x.GetSummary(), part) {
				t.Errorf("%q lacks %q", x.GetSummary(), part)
			}
		}
		x = explain(scheduler.QueueExplanation{
			Queue:   scheduler.QueueInfo{Pending: 12, Leased: 4, MaxLeases: 4},
			Reasons: []scheduler.Reason{{Code: scheduler.ReasonQueueMaxLeases, Count: 1}}, Shapes: []scheduler.ShapeExplanation{shape("held", 10, busy)}})
		if !strings.Contains(x.GetSummary(), "has 4 leases and may have 4") || x.GetReasons()[0].GetCode() != yardmasterv1.Reason_CODE_QUEUE_MAX_LEASES {
			t.Fatal(x)
		}
		if x = explain(scheduler.QueueExplanation{Reasons: []scheduler.Reason{{Code: scheduler.ReasonQueueEmpty, Count: 1}}}); !strings.Contains(x.GetSummary(), "no pending task") {
			t.Fatal(x)
		}
		if x = explain(scheduler.QueueExplanation{Queue: scheduler.QueueInfo{Pending: 1}, Shapes: []scheduler.ShapeExplanation{shape("free", 1)}}); !strings.Contains(x.GetSummary(), "granted next") {
			t.Fatal(x)
		}
		_, err := r.queues.Explain(r.ctx, &yardmasterv1.QueueServiceExplainRequest{Name: "none"})
		wantStatus(t, err, codes.NotFound, ReasonUnknownQueue)
	})
}

func TestStatusFigures(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.e.emit(scheduler.Event{Type: scheduler.EventReady})
		st, err := r.ops.Status(r.ctx, &yardmasterv1.OperatorServiceStatusRequest{})
		if err != nil || st.GetLogicVersion() != scheduler.LogicVersion || st.GetLastPosition() != 1 {
			t.Fatal(st, err)
		}
		x := st.GetTotals()
		got := []uint64{x.GetSubmitted(), x.GetGranted(), x.GetSucceeded(), x.GetFailedAttempts(), x.GetDead(), x.GetCancelled(), x.GetExpired(),
			x.GetRejectedOutcomes(), x.GetReturned()}
		if !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Fatal(got)
		}
		w := (&operatorService{s: r.s}).worker(&scheduler.SessionInfo{Pools: []scheduler.PoolInfo{{Pool: scheduler.Pool{Name: "p", Slots: 3, Prefetch: 4}}}})
		if w.GetPools()[0].GetPrefetch() != 4 {
			t.Fatal(w)
		}
	})
}
