//go:build e2e

package tests

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// ctl runs yardctl, which must succeed, and returns its output.
func (c *coordinator) ctl(args ...string) string {
	c.t.Helper()
	code, out := c.yardctl(args...)
	if code != 0 {
		c.t.Fatalf("yardctl %s, exit code %d:\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// wantWords holds that an output has all of the words.
func wantWords(t *testing.T, out string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("no %q in:\n%s", w, out)
		}
	}
}

// counted is how many tasks of a queue are in a state, as a walk over all of them says.
func counted(t *testing.T, cl *client.Client, queue string, states ...client.TaskState) int {
	t.Helper()
	n, err := cl.Count(bounded(t), client.Filter{Queue: queue, States: states})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// queueNow asks for a queue.
func queueNow(t *testing.T, cl *client.Client, name string) *client.Queue {
	t.Helper()
	q, err := cl.GetQueue(bounded(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestBulkCancelAndDelete: thousands of tasks are cancelled by a filter, and deleted when they have ended; those of
// another queue, and one that runs, are left alone.
func TestBulkCancelAndDelete(t *testing.T) {
	t.Parallel()
	const many = 5000
	c := startCoordinator(t)
	cl := c.client()
	raw := dialRaw(t, c.addr, "raw", 1, "held")
	held := submit(t, cl, client.Task{Kind: "held", Queue: "mail"})[0]
	raw.grants(1)
	submit(t, cl, repeated(client.Task{Kind: "nobody", Queue: "mail"}, many-1000)...)
	submit(t, cl, repeated(client.Task{Kind: "nobody", Queue: "mail", Delay: time.Hour}, 1000)...)
	submit(t, cl, repeated(client.Task{Kind: "nobody", Queue: "other"}, 10)...)

	wantWords(t, c.ctl("task", "cancel", "--queue", "mail", "--dry-run"), "5,001 tasks match")
	if code, out := c.yardctl("task", "cancel", "--queue", "mail"); code == 0 {
		t.Errorf("without --yes and a terminal it went on:\n%s", out)
	}
	if n := counted(t, cl, "mail", client.Cancelled); n != 0 {
		t.Fatalf("%d are cancelled before anybody said yes", n)
	}
	wantWords(t, c.ctl("task", "cancel", "--queue", "mail", "--yes"), "5,000", "requested")
	if n := counted(t, cl, "mail", client.Cancelled); n != many {
		t.Errorf("%d are cancelled, want %d", n, many)
	}
	q := queueNow(t, cl, "mail")
	if q.GetPending()+q.GetScheduled() != 0 || q.GetLeased() != 1 || !get(t, cl, held).GetCancelRequested() {
		t.Errorf("the queue is %v", q)
	}
	c.restart(false)
	wantWords(t, c.ctl("task", "delete", "--queue", "mail", "--yes"), "5,000")
	if n := counted(t, cl, "mail"); n != 1 {
		t.Errorf("%d tasks are left in the queue, want the one at a worker", n)
	}
	if n := counted(t, cl, "other", client.Pending); n != 10 {
		t.Errorf("%d of the other queue's tasks are left, want 10", n)
	}
	if code, out := c.yardctl("task", "delete", fmt.Sprint(held)); code != 1 || !strings.Contains(out, "not") {
		t.Errorf("a task that runs: exit code %d\n%s", code, out)
	}
	c.restart(false)
	if n := counted(t, cl, ""); n != 11 {
		t.Errorf("after a restart %d tasks are left, want 11", n)
	}
}

// TestBulkRetry: a thousand dead letters of one queue get a new generation each, once, over a restart.
func TestBulkRetry(t *testing.T) {
	t.Parallel()
	const many = 1000
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 64, Prefetch: 64}.start(t)
	once := client.Retry{MaxAttempts: 1}
	ids := submit(t, cl, repeated(client.Task{Kind: "fails", Queue: "mail", Payload: client.JSON(1), Retry: once}, many)...)
	kept := submit(t, cl, client.Task{Kind: "fails", Queue: "other", Payload: client.JSON(1), Retry: once})
	for _, out := range outcomes(t, cl, slices.Concat(ids, kept)) {
		if out.State != client.Dead {
			t.Fatalf("task %d ended %+v", out.ID, out)
		}
	}
	if q := queueNow(t, cl, "mail"); q.GetDead() != many {
		t.Errorf("the queue is %v", q)
	}
	c.ctl("queue", "pause", "mail") // so that none is dead again before the end of the walk
	wantWords(t, c.ctl("task", "retry", "--queue", "mail", "--yes"), "1,000")
	if q := queueNow(t, cl, "mail"); q.GetDead() != 0 || q.GetPending() != many {
		t.Errorf("the queue is %v", q)
	}
	c.restart(false)
	wantWords(t, c.ctl("task", "retry", "--queue", "mail", "--yes"), "0 tasks match")
	for _, id := range ids[:5] {
		if task := get(t, cl, id); task.GetGeneration() != 2 || task.GetAttempts() != 0 {
			t.Errorf("task %d is %v", id, task)
		}
	}
	if task := get(t, cl, kept[0]); task.GetState() != client.Dead {
		t.Errorf("the other queue's dead letter is %v", task)
	}
}

// TestPurge: fifty thousand tasks are purged, and the way is told; nothing of them is kept.
func TestPurge(t *testing.T) {
	t.Parallel()
	const many = 50_000
	c := startCoordinator(t)
	cl := c.client()
	raw := dialRaw(t, c.addr, "raw", 1, "held")
	submit(t, cl, client.Task{Kind: "held", Queue: "mail"})
	raw.grants(1)
	first := submit(t, cl, repeated(client.Task{Kind: "nobody", Queue: "mail"}, many)...)[0]
	submit(t, cl, repeated(client.Task{Kind: "nobody", Queue: "other"}, 10)...)
	wantWords(t, c.ctl("queue", "purge", "mail", "--dry-run"), "50,000 tasks would be purged")

	var steps []*pb.PurgeResponse
	for line := range strings.Lines(c.ctl("queue", "purge", "mail", "--yes", "-o", "json")) {
		step := &pb.PurgeResponse{}
		if err := protojson.Unmarshal([]byte(line), step); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if n := len(steps); n > 0 && (step.GetPurged() < steps[n-1].GetPurged() || steps[n-1].GetDone()) {
			t.Errorf("%v comes after %v", step, steps[n-1])
		}
		steps = append(steps, step)
	}
	if n := len(steps); n < 3 || !steps[n-1].GetDone() || steps[n-1].GetPurged() != many {
		t.Errorf("a purge of %d was told in %d steps, the last %v", many, n, steps[n-1])
	}
	for range 2 {
		if q := queueNow(t, cl, "mail"); q.GetPending() != 0 || q.GetLeased() != 1 {
			t.Errorf("the queue is %v", q)
		}
		if n := counted(t, cl, ""); n != 11 {
			t.Errorf("%d tasks are left, want 11", n)
		}
		if _, err := cl.Get(bounded(t), first); !errors.Is(err, client.ErrNotRetained) {
			t.Errorf("a purged task: %v", err)
		}
		c.restart(false)
	}
}

// TestQueueSettings: depth, most leases and retention take effect at once and outlive restarts, and explain says what holds
// a queue's tasks back.
func TestQueueSettings(t *testing.T) {
	t.Parallel()
	c := startCoordinator(t)
	cl := c.client()
	c.ctl("queue", "configure", "narrow", "--depth", "5", "--max-leases", "2", "--retention", "0s")
	raw := dialRaw(t, c.addr, "raw", 4, "held")
	explained := func(want ...string) {
		t.Helper()
		wantWords(t, c.ctl("queue", "explain", "narrow", "-o", "json"), want...)
	}
	explained("CODE_QUEUE_EMPTY")
	ids := submit(t, cl, repeated(client.Task{Kind: "held", Queue: "narrow"}, 5)...)
	leases := raw.grants(2)
	if q := queueNow(t, cl, "narrow"); q.GetLeased() != 2 || q.GetPending() != 3 || q.GetMaxLeases() != 2 {
		t.Errorf("the queue is %v", q)
	}
	explained("CODE_QUEUE_MAX_LEASES", `"nextTaskId"`)
	wantWords(t, c.ctl("task", "explain", fmt.Sprint(ids[4])), "leases")
	_, err := c.stub().Submit(within(t, 300*time.Millisecond), &pb.SubmitRequest{Tasks: []*pb.TaskSpec{{Kind: "held", Queue: "narrow"}}})
	if err == nil {
		t.Error("a sixth task of five is taken")
	}
	_, err = c.stub().Submit(bounded(t), &pb.SubmitRequest{Tasks: slices.Repeat([]*pb.TaskSpec{{Kind: "held", Queue: "narrow"}}, 6)})
	if e := client.AsError("", err); e == nil || !strings.Contains(e.Error(), "5") {
		t.Errorf("a batch larger than the queue: %v", err)
	}

	raw.send(&pb.SessionRequest{ReceivedThrough: raw.seq, Message: &pb.SessionRequest_Outcomes{Outcomes: &pb.Outcomes{
		FirstSeq: 1, Outcomes: []*pb.AttemptOutcome{{Token: leases[0].GetToken(), TaskId: leases[0].GetTaskId(),
			Kind: &pb.AttemptOutcome_Succeeded{Succeeded: &pb.Succeeded{}}}}}}})
	raw.grants(1)
	if _, err := cl.Get(bounded(t), leases[0].GetTaskId()); !errors.Is(err, client.ErrNotRetained) {
		t.Errorf("of a queue that retains nothing: %v", err)
	}
	before := queueNow(t, cl, "narrow")
	c.restart(false)
	after := queueNow(t, cl, "narrow")
	after.SubmittedTotal, after.EndedTotal = before.GetSubmittedTotal(), before.GetEndedTotal()
	if !proto.Equal(before, after) {
		t.Errorf("the queue was %v, and is after a restart %v", before, after)
	}
	c.ctl("queue", "configure", "narrow", "--depth", "default", "--max-leases", "none", "--retention", "default")
	q := queueNow(t, cl, "narrow")
	if q.GetOwnDepthLimit() || q.GetMaxLeases() != 0 || q.GetRetention() != nil {
		t.Errorf("back at the defaults the queue is %v", q)
	}
	submit(t, cl, repeated(client.Task{Kind: "nobody", Queue: "narrow"}, 20)...)
	explained("CODE_KIND_NOT_SERVED")
	c.ctl("queue", "pause", "narrow")
	explained("CODE_QUEUE_PAUSED")
	if code, out := c.yardctl("queue", "explain", "none"); code != 1 || !strings.Contains(out, "none") {
		t.Errorf("a queue that isn't there: exit code %d\n%s", code, out)
	}
}
