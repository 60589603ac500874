package rpc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestDelete(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.submit(3, 0)
		r.cancelled(1, 2)
		r.e.mu.Lock()
		delete(r.e.finished, 2) // its retention is over
		r.e.mu.Unlock()
		res, err := r.tasks.Delete(r.ctx, &yardmasterv1.TaskServiceDeleteRequest{TaskIds: []uint64{3, 1, 2, 99}})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []yardmasterv1.TaskResult_Code{yardmasterv1.TaskResult_CODE_NOT_TERMINAL, yardmasterv1.TaskResult_CODE_DONE,
			yardmasterv1.TaskResult_CODE_NOT_FOUND, yardmasterv1.TaskResult_CODE_NOT_FOUND} {
			if got := res.GetResults()[i].GetCode(); got != want {
				t.Errorf("%d: %s, want %s", i, got, want)
			}
		}
		items := r.e.ops(scheduler.OpDelete)[0].Delete.Items
		if items[0].Found || !items[1].Found || items[1].Gen != 1 || items[2].Found || items[3].Found {
			t.Fatalf("%+v", items)
		}
		_, err = r.tasks.Delete(r.ctx, &yardmasterv1.TaskServiceDeleteRequest{TaskIds: make([]uint64, 1001)})
		if f := fieldsAtFault(t, err); len(f) != 1 || f[0] != "task_ids" {
			t.Fatal(f)
		}
	})
}

func TestTimeline(t *testing.T) {
	at, end := int64(1e18), int64(1e18+5e9)
	earlier := []*storagev1.Attempt{
		{Cause: uint32(scheduler.CauseExit), Attempt: 1, Gen: 1, Token: 7, Session: 8, Worker: "w", Granted: at, Ended: end,
			Detail: &storagev1.Detail{Message: "no", ExitCode: 3, Ran: 2_000_000_001}},
		{Cause: uint32(scheduler.CauseWorkerLost), Attempt: 2, Gen: 1, Token: 9, Worker: "w2", Granted: at, Ended: end},
	}
	inBubble(t, func(r *rig) {
		id := r.submit(1, 0)
		timeline := func() *yardmasterv1.TimelineResponse {
			res, err := r.tasks.Timeline(r.ctx, &yardmasterv1.TimelineRequest{TaskId: id})
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		if x := timeline(); x.GetTask().GetId() != id || len(x.GetAttempts()) != 0 {
			t.Fatal(x)
		}
		r.e.mu.Lock()
		r.e.attempts[scheduler.TaskID(id)] = earlier
		r.e.mu.Unlock()
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		l, seq := p.grants(1)
		x := timeline()
		if len(x.GetAttempts()) != 2 || x.GetEarlierAttempts() != 2 {
			t.Fatal(x)
		}
		a := x.GetAttempts()[0]
		if a.GetNumber() != 1 || a.GetGeneration() != 1 || a.GetToken() != 7 || a.GetSessionId() != 8 || a.GetWorker() != "w" || a.GetSucceeded() ||
			a.GetGrantTime().AsTime().UnixNano() != at || a.GetEndTime().AsTime().UnixNano() != end || a.GetRunTime().AsDuration() != 2*time.Second ||
			a.GetFailure().GetExitCode() != 3 || a.GetFailure().GetCause() != yardmasterv1.Cause_CAUSE_EXIT {
			t.Fatal(a)
		}
		if b := x.GetAttempts()[1]; b.GetRunTime() != nil || b.GetFailure().GetCause() != yardmasterv1.Cause_CAUSE_WORKER_LOST {
			t.Fatal(b)
		}
		p.succeed(seq, 1, l...)
		p.recv()
		x = timeline()
		last := x.GetAttempts()[len(x.GetAttempts())-1]
		if len(x.GetAttempts()) != 3 || !last.GetSucceeded() || last.GetFailure() != nil || last.GetToken() != l[0].GetToken() ||
			last.GetWorker() != "w1" || last.GetNumber() != 1 || last.GetEndTime() == nil {
			t.Fatal(x)
		}
	})
	for _, x := range []struct {
		f      *storagev1.Finished
		number uint32
	}{
		{&storagev1.Finished{State: uint32(scheduler.Cancelled)}, 0}, // before it was started: none
		{&storagev1.Finished{State: uint32(scheduler.Dead), Cause: uint32(scheduler.CauseError), Attempts: 2, Token: 9, Gen: 1}, 2},
		{&storagev1.Finished{State: uint32(scheduler.Cancelled), Cause: uint32(scheduler.CauseCancelled), Attempts: 1, Token: 9, Gen: 1}, 2},
		{&storagev1.Finished{State: uint32(scheduler.Cancelled), Cause: uint32(scheduler.CauseCancelled), Token: 9, Gen: 2}, 1},
	} {
		a := lastAttempt(x.f, earlier)
		if a.GetNumber() != x.number || (a != nil) != (x.f.GetToken() != 0) || a != nil && (a.GetSucceeded() || a.GetFailure().GetCause() == 0) {
			t.Errorf("%v: %v", x.f, a)
		}
	}
}

func TestListFiltersAndTokens(t *testing.T) {
	inBubble(t, func(r *rig) {
		start := time.Now()
		r.submit(4, 0) // label a=b
		r.pass(time.Minute)
		for _, spec := range []*yardmasterv1.TaskSpec{{Kind: "k2"}, {Kind: "k2", Labels: map[string]string{"a": "b", "c": "d"}}, {Kind: "k", Queue: "q"}} {
			if _, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{spec}}); err != nil {
				t.Fatal(err)
			}
		}
		page := func(req *yardmasterv1.TaskServiceListRequest) (ids []uint64, token string) {
			t.Helper()
			res, err := r.tasks.List(r.ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			if res.GetLastTaskId() != 7 {
				t.Fatalf("last id %d", res.GetLastTaskId())
			}
			for _, x := range res.GetTasks() {
				ids = append(ids, x.GetId())
			}
			return ids, res.GetNextPageToken()
		}
		for i, x := range []struct {
			req  *yardmasterv1.TaskServiceListRequest
			want int
		}{
			{&yardmasterv1.TaskServiceListRequest{}, 7},
			{&yardmasterv1.TaskServiceListRequest{Queue: "q"}, 1},
			{&yardmasterv1.TaskServiceListRequest{Kind: "k2"}, 2},
			{&yardmasterv1.TaskServiceListRequest{Labels: map[string]string{"a": "b"}}, 5},
			{&yardmasterv1.TaskServiceListRequest{Labels: map[string]string{"a": "b", "c": "d"}}, 1},
			{&yardmasterv1.TaskServiceListRequest{ThroughTaskId: 3}, 3},
			{&yardmasterv1.TaskServiceListRequest{SubmittedFrom: timestamppb.New(start.Add(time.Second))}, 3},
			{&yardmasterv1.TaskServiceListRequest{SubmittedBefore: timestamppb.New(start.Add(time.Second))}, 4},
		} {
			if ids, token := page(x.req); len(ids) != x.want || token != "" {
				t.Errorf("%d: %v, %q", i, ids, token)
			}
		}
		req := &yardmasterv1.TaskServiceListRequest{PageSize: 2, Labels: map[string]string{"a": "b"}}
		ids, token := page(req)
		if len(ids) != 2 || token == "" {
			t.Fatal(ids, token)
		}
		req.PageToken, req.PageSize = token, 3 // another size is no other filter
		if ids, _ := page(req); len(ids) != 3 || ids[0] != 3 {
			t.Fatal(ids)
		}
		req.Labels["c"] = "d"
		for _, token := range []string{token, "3", "?", token[:len(token)-2]} {
			req.PageToken = token
			_, err := r.tasks.List(r.ctx, req)
			if f := fieldsAtFault(t, err); len(f) != 1 || f[0] != "page_token" {
				t.Fatal(f)
			}
		}
		r.e.mu.Lock()
		r.e.looks = 3
		r.e.mu.Unlock()
		empty := &yardmasterv1.TaskServiceListRequest{Queue: "q"}
		var pages, found int
		for pages = 1; ; pages++ {
			ids, token := page(empty)
			found += len(ids)
			if empty.PageToken = token; token == "" {
				break
			}
		}
		if pages != 3 || found != 1 {
			t.Fatalf("%d pages, %d found", pages, found)
		}
		_, err := r.tasks.List(r.ctx, &yardmasterv1.TaskServiceListRequest{Labels: many(33), SubmittedFrom: &timestamppb.Timestamp{}, SubmittedBefore: &timestamppb.Timestamp{}})
		if f := fieldsAtFault(t, err); len(f) != 3 {
			t.Fatal(f)
		}
	})
}

// TestListPagesEndByBytes: a page of large tasks ends before its size in tasks, and the next goes on with the one that was
// left out.
func TestListPagesEndByBytes(t *testing.T) {
	inBubble(t, func(r *rig) {
		labels := map[string]string{}
		for k := range many(32) {
			labels[k] = strings.Repeat("x", 128)
		}
		req := &yardmasterv1.SubmitRequest{}
		for range 500 {
			req.Tasks = append(req.Tasks, &yardmasterv1.TaskSpec{Kind: "k", Labels: labels})
		}
		if _, err := r.tasks.Submit(r.ctx, req); err != nil {
			t.Fatal(err)
		}
		list := &yardmasterv1.TaskServiceListRequest{PageSize: 1000}
		next, pages := uint64(1), 0
		for {
			res, err := r.tasks.List(r.ctx, list)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, x := range res.GetTasks() {
				if x.GetId() != next {
					t.Fatalf("task %d, want %d", x.GetId(), next)
				}
				next++
			}
			if list.PageToken = res.GetNextPageToken(); list.PageToken == "" {
				break
			}
		}
		if next != 501 || pages < 2 {
			t.Fatalf("up to %d in %d pages", next, pages)
		}
	})
}

// TestQueueRetentionAtSubmit: a queue's retention is that of tasks that ask for none, and no part of what an idempotency key
// stands for.
func TestQueueRetentionAtSubmit(t *testing.T) {
	inBubble(t, func(r *rig) {
		specs := []*yardmasterv1.TaskSpec{
			{Kind: "k", Queue: "q", IdempotencyKey: "key"}, {Kind: "k", Queue: "q", Retention: span(0), DeadRetention: span(scheduler.Hour)},
			{Kind: "k", Queue: "q", DeadRetention: span(scheduler.Hour)}, {Kind: "k"},
		}
		submit := func() []scheduler.TaskSpec {
			t.Helper()
			if _, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: specs}); err != nil {
				t.Fatal(err)
			}
			all := r.e.ops(scheduler.OpSubmit)
			return all[len(all)-1].Submit.Tasks
		}
		before := submit()
		if before[0].Policy != scheduler.DefaultPolicy() {
			t.Fatal(before[0].Policy)
		}
		_, err := r.queues.Configure(r.ctx, &yardmasterv1.ConfigureRequest{Name: "q", Retention: span(scheduler.Minute), DeadRetention: span(0)})
		if err != nil {
			t.Fatal(err)
		}
		after := submit() // the key is known: no conflict
		for i, want := range [][2]scheduler.Duration{{scheduler.Minute, 0}, {0, scheduler.Hour}, {scheduler.Minute, scheduler.Hour},
			{scheduler.DefaultRetention, scheduler.DefaultDeadRetention}} {
			if got := [2]scheduler.Duration{after[i].Policy.Retention, after[i].Policy.DeadRetention}; got != want {
				t.Errorf("%d: %v, want %v", i, got, want)
			}
		}
		if before[0].KeyBody != after[0].KeyBody {
			t.Fatal("the key's hash changes with the queue's settings")
		}
	})
}

// TestSuspectIsShown: tasks that run apart from others say so.
func TestSuspectIsShown(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.submit(1, 0)
		synctest.Wait()
		task, err := r.e.Task(r.ctx, scheduler.TaskID(id))
		if err != nil {
			t.Fatal(err)
		}
		task.Live.Suspect = true
		if !r.s.taskProto(task, false).GetSuspect() {
			t.Fatal("not shown")
		}
	})
}
