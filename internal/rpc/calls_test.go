package rpc

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestSubmitIsRepeatable(t *testing.T) {
	inBubble(t, func(r *rig) {
		req := &yardmasterv1.SubmitRequest{
			Tasks:    []*yardmasterv1.TaskSpec{{Kind: "k", IdempotencyKey: "a"}, {Kind: "k"}},
			Producer: &yardmasterv1.Producer{Id: make([]byte, 16), Number: 1, LowestUnanswered: 1},
		}
		req.Producer.Id[3] = 1
		for range 2 {
			res, err := r.tasks.Submit(r.ctx, req)
			if err != nil || len(res.GetTaskIds()) != 2 || res.GetTaskIds()[1] != 2 || len(res.GetExisting()) != 0 {
				t.Fatalf("%v, %v", res, err)
			}
		}
		req.Producer = nil
		res, err := r.tasks.Submit(r.ctx, req)
		if err != nil || res.GetTaskIds()[0] != 1 || res.GetTaskIds()[1] != 3 || len(res.GetExisting()) != 1 {
			t.Fatalf("%v, %v", res, err)
		}
		req.Tasks[0].Payload = []byte("other")
		_, err = r.tasks.Submit(r.ctx, req)
		wantStatus(t, err, codes.AlreadyExists, ReasonKeyConflict)
	})
}

func TestFullQueueWaitsForRoom(t *testing.T) {
	inBubble(t, func(r *rig) {
		first := r.submit(500, 0) // the depth
		req := &yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{{Kind: "k"}}}
		ctx, cancel := context.WithTimeout(r.ctx, 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := r.tasks.Submit(ctx, req)
		wantStatus(t, err, codes.ResourceExhausted, ReasonLimitDepth)
		if d := time.Since(start); d < 2*time.Second || d >= 3*time.Second {
			t.Fatalf("it waited %s of 3 s", d)
		}
		if n := len(r.e.ops(scheduler.OpSubmit)); n != 2 {
			t.Fatalf("%d log entries", n)
		}
		done := make(chan error, 1)
		go func() {
			_, err := r.tasks.Submit(r.ctx, req)
			done <- err
		}()
		r.pass(time.Second)
		if _, err := r.tasks.Cancel(r.ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: []uint64{first}}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		big := &yardmasterv1.SubmitRequest{}
		for range 501 {
			big.Tasks = append(big.Tasks, &yardmasterv1.TaskSpec{Kind: "k"})
		}
		start = time.Now()
		_, err = r.tasks.Submit(r.ctx, big)
		wantStatus(t, err, codes.ResourceExhausted, ReasonLimitDepth)
		if time.Since(start) != 0 {
			t.Fatal("what never fits has waited")
		}
	})
}

func TestListPagesAndStates(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 3))
		r.submit(10, 0)
		leases, seq := p.grants(3)
		p.started(seq, leases[0].GetToken(), leases[2].GetToken())
		synctest.Wait()
		list := func(size uint32, states ...yardmasterv1.TaskState) (ids []uint64, pages int) {
			req := &yardmasterv1.TaskServiceListRequest{PageSize: size, States: states}
			for {
				res, err := r.tasks.List(r.ctx, req)
				if err != nil {
					t.Fatal(err)
				}
				pages++
				for _, x := range res.GetTasks() {
					ids = append(ids, x.GetId())
				}
				if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
					return ids, pages
				}
			}
		}
		if ids, pages := list(3); len(ids) != 10 || pages != 4 {
			t.Fatalf("%v in %d pages", ids, pages)
		}
		if ids, _ := list(1, yardmasterv1.TaskState_TASK_STATE_RUNNING); len(ids) != 2 || ids[0] != 1 || ids[1] != 3 {
			t.Fatalf("running %v", ids)
		}
		if ids, _ := list(1, yardmasterv1.TaskState_TASK_STATE_LEASED); len(ids) != 1 || ids[0] != 2 {
			t.Fatalf("leased %v", ids)
		}
		if ids, _ := list(0, yardmasterv1.TaskState_TASK_STATE_PENDING, yardmasterv1.TaskState_TASK_STATE_RUNNING); len(ids) != 9 {
			t.Fatalf("pending or running %v", ids)
		}
		_, err := r.tasks.List(r.ctx, &yardmasterv1.TaskServiceListRequest{PageSize: 1001, PageToken: "x", Queue: "Q", Kind: "K", States: []yardmasterv1.TaskState{0}})
		if f := fieldsAtFault(t, err); len(f) != 5 {
			t.Fatalf("fields %v", f)
		}
	})
}

func TestCancelRetryAndExplain(t *testing.T) {
	inBubble(t, func(r *rig) {
		explain := func(id uint64) *yardmasterv1.TaskServiceExplainResponse {
			res, err := r.tasks.Explain(r.ctx, &yardmasterv1.TaskServiceExplainRequest{TaskId: id})
			if err != nil {
				t.Fatal(err)
			}
			if res.GetSummary() == "" || strings.Contains(res.GetSummary(), "%!") {
				t.Fatalf("summary %q", res.GetSummary())
			}
			return res
		}
		id := r.submit(1, 5)
		if x := explain(id); len(x.GetReasons()) != 1 || x.GetReasons()[0].GetCode() != yardmasterv1.Reason_CODE_NO_WORKERS {
			t.Fatalf("%v", x)
		}
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		l, seq := p.grants(1)
		if x := explain(id); x.GetReasons()[0].GetCode() != yardmasterv1.Reason_CODE_LEASED || !strings.Contains(x.GetSummary(), "w1") {
			t.Fatalf("%v", x)
		}
		p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: &yardmasterv1.Outcomes{
			FirstSeq: 1, Outcomes: []*yardmasterv1.AttemptOutcome{{Token: l[0].GetToken(), TaskId: id, Kind: &yardmasterv1.AttemptOutcome_Failed{
				Failed: &yardmasterv1.AttemptFailed{Permanent: true, Failure: &yardmasterv1.Failure{Cause: yardmasterv1.Cause_CAUSE_ERROR, Message: "no luck"}}}}}}}})
		p.recv()
		got, err := r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: id, IncludePayload: true})
		if x := got.GetTask(); err != nil || x.GetState() != yardmasterv1.TaskState_TASK_STATE_DEAD || x.GetOutcome().GetFailure().GetMessage() != "no luck" || len(x.GetPayload()) != 5 {
			t.Fatalf("%v, %v", got, err)
		}
		if x := explain(id); x.GetReasons()[0].GetCode() != yardmasterv1.Reason_CODE_TERMINAL || !strings.Contains(x.GetSummary(), "no luck") {
			t.Fatalf("%v", x)
		}
		p.cancel()
		synctest.Wait()
		retry, err := r.tasks.Retry(r.ctx, &yardmasterv1.RetryRequest{TaskIds: []uint64{id, 99}})
		if err != nil || retry.GetResults()[0].GetCode() != yardmasterv1.TaskResult_CODE_DONE || retry.GetResults()[1].GetCode() != yardmasterv1.TaskResult_CODE_NOT_FOUND {
			t.Fatalf("%v, %v", retry, err)
		}
		if x := explain(id); x.GetReasons()[0].GetCode() != yardmasterv1.Reason_CODE_WORKER_DETACHED {
			t.Fatalf("%v", x)
		}
		for i, want := range []yardmasterv1.TaskResult_Code{yardmasterv1.TaskResult_CODE_DONE, yardmasterv1.TaskResult_CODE_ALREADY_TERMINAL} {
			res, err := r.tasks.Cancel(r.ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: []uint64{id}})
			if err != nil || res.GetResults()[0].GetCode() != want {
				t.Fatalf("%d: %v, %v", i, res, err)
			}
		}
		r.e.mu.Lock()
		delete(r.e.finished, scheduler.TaskID(id)) // its retention is over
		r.e.mu.Unlock()
		res, err := r.tasks.Cancel(r.ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: []uint64{id}})
		if err != nil || res.GetResults()[0].GetCode() != yardmasterv1.TaskResult_CODE_NOT_FOUND {
			t.Fatalf("%v, %v", res, err)
		}
		_, err = r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: id})
		wantStatus(t, err, codes.NotFound, ReasonNotRetained)
		_, err = r.tasks.Explain(r.ctx, &yardmasterv1.TaskServiceExplainRequest{TaskId: 1000})
		wantStatus(t, err, codes.NotFound, ReasonUnknownTask)
		_, err = r.tasks.Cancel(r.ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: []uint64{0}})
		if f := fieldsAtFault(t, err); len(f) != 1 || f[0] != "task_ids[0]" {
			t.Fatalf("fields %v", f)
		}
	})
}

// TestExplainTexts: each condition of the matcher has a sentence that names a cure.
func TestExplainTexts(t *testing.T) {
	task := &scheduler.TaskInfo{Kind: "k", Queue: "q", Weight: 2, Worker: "w"}
	queue := &scheduler.QueueInfo{Name: "q", Leased: 3, MaxLeases: 3}
	for code := scheduler.ReasonQueuePaused; code <= scheduler.ReasonQueueEmpty; code++ {
		if code == scheduler.ReasonTerminal {
			continue // explainEnd's
		}
		for _, n := range []int{1, 1000} {
			x := &situation{task: task, queue: queue, running: n > 1, now: 1}
			text := x.detail(&scheduler.Reason{Code: code, Count: n, Example: "w7", Label: scheduler.Label{Key: "gpu", Value: "yes"}, Until: 1e18})
			if !strings.HasSuffix(text, ".") || len(text) < 40 || strings.Contains(text, "%!") {
				t.Errorf("%d: %q", code, text)
			}
		}
	}
}

func TestQueues(t *testing.T) {
	inBubble(t, func(r *rig) {
		weight := uint32(7)
		c, err := r.queues.Configure(r.ctx, &yardmasterv1.ConfigureRequest{Name: "q1", Weight: &weight})
		if err != nil || c.GetQueue().GetWeight() != 7 {
			t.Fatalf("%v, %v", c, err)
		}
		p, err := r.queues.Pause(r.ctx, &yardmasterv1.QueueServicePauseRequest{Name: "q1"})
		if err != nil || !p.GetQueue().GetPaused() {
			t.Fatalf("%v, %v", p, err)
		}
		u, err := r.queues.Resume(r.ctx, &yardmasterv1.QueueServiceResumeRequest{Name: "q1"})
		if err != nil || u.GetQueue().GetPaused() {
			t.Fatalf("%v, %v", u, err)
		}
		l, err := r.queues.List(r.ctx, &yardmasterv1.QueueServiceListRequest{})
		if err != nil || len(l.GetQueues()) != 2 {
			t.Fatalf("%v, %v", l, err)
		}
		for _, name := range []string{"none"} {
			_, err = r.queues.Get(r.ctx, &yardmasterv1.QueueServiceGetRequest{Name: name})
			wantStatus(t, err, codes.NotFound, ReasonUnknownQueue)
			_, err = r.queues.Pause(r.ctx, &yardmasterv1.QueueServicePauseRequest{Name: name})
			wantStatus(t, err, codes.NotFound, ReasonUnknownQueue)
		}
		weight = 1001
		_, err = r.queues.Configure(r.ctx, &yardmasterv1.ConfigureRequest{Name: "Q", Weight: &weight})
		if f := fieldsAtFault(t, err); len(f) != 2 {
			t.Fatalf("fields %v", f)
		}
	})
}

func TestWorkersAndStatus(t *testing.T) {
	inBubble(t, func(r *rig) {
		for _, name := range []string{"c", "a", "b"} {
			r.welcomed(helloOf(name, 1, 2))
		}
		var names []string
		req := &yardmasterv1.ListWorkersRequest{PageSize: 2}
		for range 2 {
			res, err := r.ops.ListWorkers(r.ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range res.GetWorkers() {
				names = append(names, w.GetName())
			}
			req.PageToken = res.GetNextPageToken()
		}
		if strings.Join(names, "") != "abc" || req.GetPageToken() != "" {
			t.Fatalf("%v, then %q", names, req.GetPageToken())
		}
		_, err := r.ops.ListWorkers(r.ctx, &yardmasterv1.ListWorkersRequest{PageToken: "?"})
		fieldsAtFault(t, err)
		_, err = r.ops.GetWorker(r.ctx, &yardmasterv1.GetWorkerRequest{Name: "x"})
		wantStatus(t, err, codes.NotFound, ReasonUnknownWorker)
		st, err := r.ops.Status(r.ctx, &yardmasterv1.OperatorServiceStatusRequest{IncludeHash: true})
		if err != nil || st.GetSessions() != 3 || st.GetAttached() != 3 || st.GetVersion() != "v-test" || st.GetStateHash() != "0000000000000abc" {
			t.Fatalf("%v, %v", st, err)
		}
	})
}

func TestOptions(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, 11 * time.Minute} {
		if _, err := New(Options{Engine: newFakeEngine(), Now: time.Now, SessionTTL: ttl}); err == nil {
			t.Errorf("a TTL of %s is accepted", ttl)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no engine")
	}
}

// TestDeadlinesTravelAsSpans: times of the log's clock never reach a worker.
func TestDeadlinesTravelAsSpans(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		_, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{{
			Kind: "k", Deadline: protoIn(time.Minute), StartBy: protoIn(30 * time.Second), AttemptTimeout: durationpb.New(0)}}})
		if err != nil {
			t.Fatal(err)
		}
		l, _ := p.grants(1)
		if l[0].GetDeadlineIn().AsDuration() != time.Minute || l[0].GetStartWithin().AsDuration() != 30*time.Second || l[0].GetAttemptTimeout() != nil {
			t.Fatalf("%v", l[0])
		}
	})
}
