package rpc

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestUnreadablePayload: a task whose payload can't be read ends as a dead letter that says so; those granted with it are
// sent, the stream goes on, and a Retry ends the same way.
func TestUnreadablePayload(t *testing.T) {
	inBubble(t, func(r *rig) {
		first := r.submit(5, 10)
		bad := []uint64{first + 1, first + 3}
		r.e.mu.Lock()
		r.e.damaged = map[scheduler.TaskID]bool{scheduler.TaskID(bad[0]): true, scheduler.TaskID(bad[1]): true}
		r.e.mu.Unlock()
		_, err := r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: bad[0], IncludePayload: true})
		wantStatus(t, err, codes.DataLoss, ReasonUnreadable)
		p, _ := r.welcomed(helloOf("w1", 1, 5))
		leases, seq := p.grants(3)
		for _, l := range leases {
			if l.GetTaskId() == bad[0] || l.GetTaskId() == bad[1] || len(l.GetPayload()) != 10 {
				t.Errorf("sent %v", l)
			}
		}
		synctest.Wait()
		if over := r.e.ops(scheduler.OpUnreadable); len(over) != 1 || len(over[0].Session.Tokens) != 2 {
			t.Fatalf("proposed %+v", over)
		}
		for _, id := range bad {
			wantUnreadable(t, r, id)
		}
		res, err := r.tasks.Retry(r.ctx, &yardmasterv1.RetryRequest{TaskIds: bad[:1]})
		if err != nil || res.GetResults()[0].GetCode() != yardmasterv1.TaskResult_CODE_DONE {
			t.Fatalf("%v, %v", res, err)
		}
		synctest.Wait()
		wantUnreadable(t, r, bad[0])
		p.succeed(seq, 1, leases...)
		if ack := p.recv().GetOutcomeAck(); ack.GetThroughSeq() != 3 || len(ack.GetRejected()) != 0 {
			t.Errorf("ack: %v", ack)
		}
		r.submit(5, 10) // all slots are free
		p.grants(5)
	})
}

// TestUnreadablePayloadIsSaidOnce: a stream that ends while it finds the damage ends no task, and the next one finds it again.
// The log says it once, when the task has ended; and once more of a Retry.
func TestUnreadablePayloadIsSaidOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.submit(1, 10)
		reads, goOn := 0, make(chan struct{})
		r.e.mu.Lock()
		r.e.damaged = map[scheduler.TaskID]bool{scheduler.TaskID(id): true}
		r.e.reading = func() { reads++; <-goOn }
		r.e.mu.Unlock()
		said := func(want int) {
			t.Helper()
			synctest.Wait()
			if got := strings.Count(r.log.String(), fmt.Sprintf("can't be read: its task is a dead letter: task=%d ", id)); got != want {
				t.Errorf("said %d times, want %d:\n%s", got, want, r.log.String())
			}
		}
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		synctest.Wait()
		p.cancel()
		synctest.Wait() // the session is detached, and its grant released
		close(goOn)
		said(0)
		if reads != 1 || len(r.e.ops(scheduler.OpUnreadable)) != 0 {
			t.Fatalf("%d reads, proposed %+v", reads, r.e.ops(scheduler.OpUnreadable))
		}
		r.welcomed(helloOf("w1", 1, 1))
		said(1)
		wantUnreadable(t, r, id)
		if _, err := r.tasks.Retry(r.ctx, &yardmasterv1.RetryRequest{TaskIds: []uint64{id}}); err != nil {
			t.Fatal(err)
		}
		said(2)
		if reads != 3 {
			t.Errorf("%d reads, want 3", reads)
		}
	})
}

func wantUnreadable(t *testing.T, r *rig, id uint64) {
	t.Helper()
	got, err := r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: id})
	o := got.GetTask().GetOutcome()
	if err != nil || o.GetState() != yardmasterv1.TaskState_TASK_STATE_DEAD || o.GetCause() != yardmasterv1.Cause_CAUSE_UNREADABLE ||
		o.GetAttempts() != 0 || o.GetFailure().GetMessage() != unreadableText {
		t.Errorf("task %d: %v, %v", id, got, err)
	}
	x, err := r.tasks.Explain(r.ctx, &yardmasterv1.TaskServiceExplainRequest{TaskId: id})
	if err != nil || !strings.Contains(x.GetSummary(), unreadableText) {
		t.Errorf("explained by %v, %v", x, err)
	}
	line, err := r.tasks.Timeline(r.ctx, &yardmasterv1.TimelineRequest{TaskId: id})
	if err != nil || len(line.GetAttempts()) != 0 || line.GetTask().GetOutcome().GetFailure().GetMessage() != unreadableText {
		t.Errorf("timeline %v, %v", line, err)
	}
}

// damagedBodies is an error of Bodies as the store's is.
type damagedBodies []scheduler.TaskID

func (d damagedBodies) Error() string                    { return "damaged" }
func (d damagedBodies) DamagedTasks() []scheduler.TaskID { return d }
