//go:build e2e

package tests

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// TestHeavyUnderLightLoad: a task that takes all of a worker's slots gets them, although light ones never cease to wait
// for every slot that comes free.
func TestHeavyUnderLightLoad(t *testing.T) {
	t.Parallel()
	const slots = 4
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: slots, Prefetch: slots}.start(t)
	ctx, stop := context.WithCancel(bounded(t))
	var light sync.WaitGroup
	t.Cleanup(light.Wait)
	t.Cleanup(stop)
	for i := range 3 * slots { // of which so many are always there
		hold := time.Duration(20+5*i) * time.Millisecond
		task := client.Task{Kind: "note", Queue: fmt.Sprintf("light-%d", i%2), Priority: 1, Payload: client.JSON(notePayload{Hold: hold})}
		light.Go(func() {
			for ctx.Err() == nil {
				id, err := cl.Submit(ctx, task)
				if err == nil {
					_, err = cl.Await(ctx, id)
				}
				if err != nil && ctx.Err() == nil {
					t.Errorf("light load: %v", err)
				}
			}
		})
	}
	eventually(t, "the light load fills the worker", func() bool { return used(t, cl, "w") >= slots })
	began := time.Now()
	heavy := submit(t, cl, client.Task{Kind: "note", Queue: "heavy", Weight: slots, Payload: client.JSON(notePayload{})})
	out := outcomes(t, cl, heavy)[0]
	took := time.Since(began)
	if out.State != client.Succeeded || out.Attempts != 1 {
		t.Errorf("it ended %+v", out)
	}
	t.Logf("a task of weight %d had its slots after %s", slots, took.Round(10*time.Millisecond))
	if took > 6*time.Second {
		t.Errorf("it took %s", took)
	}
	stop()
	light.Wait()
}

// used is how many slots of a worker's first pool are taken.
func used(t *testing.T, cl *client.Client, worker string) uint32 {
	t.Helper()
	w := workerInfo(t, cl, worker)
	return w.GetPools()[0].GetUsed()
}

func workerInfo(t *testing.T, cl *client.Client, name string) *pb.Worker {
	t.Helper()
	list, err := cl.Operator().ListWorkers(bounded(t), &pb.ListWorkersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range list.GetWorkers() {
		if w.GetName() == name && len(w.GetPools()) > 0 {
			return w
		}
	}
	return &pb.Worker{Pools: []*pb.WorkerPool{{}}}
}

// leases sorts tasks by state, and by the worker that has them.
func leases(t *testing.T, cl *client.Client, ids []uint64) map[string]int {
	t.Helper()
	list := map[string]int{}
	for _, id := range ids {
		task := get(t, cl, id)
		list[client.StateWord(task.GetState())+" "+task.GetLease().GetWorker()]++
	}
	return list
}

// becomes waits until leases are so.
func becomes(t *testing.T, cl *client.Client, ids []uint64, want map[string]int) {
	t.Helper()
	var got map[string]int
	defer func() {
		if t.Failed() {
			t.Logf("leases are %v, want %v", got, want)
		}
	}()
	eventually(t, fmt.Sprintf("leases are %v", want), func() bool {
		got = leases(t, cl, ids)
		return fmt.Sprint(got) == fmt.Sprint(want)
	})
}

// recallMost is within what leases are asked back; without that a worker gives up what has waited for 10 s.
const recallMost = 8 * time.Second

// wantAsked holds that leases have moved because they were asked back.
func wantAsked(t *testing.T, since time.Time) {
	t.Helper()
	if took := time.Since(since); took > recallMost {
		t.Errorf("leases moved after %s, want at most %s", took.Round(10*time.Millisecond), recallMost)
	}
}

// TestPrefetchMoves: tasks sent ahead to a worker whose slots are taken for long go to a second one as it joins, and back
// to their queue when that is paused; none is charged for it, and none runs twice.
func TestPrefetchMoves(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	gate := filepath.Join(t.TempDir(), "gate")
	hire := func(name string, prefetch int) {
		sdkWorker{Coordinator: c.addr, Name: name, Ledger: book.socket, Slots: 2, Prefetch: prefetch, Gate: gate}.start(t)
	}
	hire("first", 4)
	c.workers(cl, 1)
	began := time.Now()
	ids := submit(t, cl, repeated(client.Task{Kind: "gated", Queue: "long"}, 9)...)
	becomes(t, cl, ids, map[string]int{"running first": 2, "leased first": 4, "pending ": 3})
	if w := workerInfo(t, cl, "first"); w.GetPools()[0].GetPrefetch() != 4 || w.GetProtocolVersion() != 2 {
		t.Errorf("the worker is %v", w)
	}
	// Its true slots go to what was sent ahead or to what is pending; nothing stays where it can't run.
	hire("second", 0)
	eventually(t, "the second worker's slots are taken", func() bool { return leases(t, cl, ids)["running second"] == 2 })

	if code, out := c.yardctl("queue", "pause", "long"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	becomes(t, cl, ids, map[string]int{"running first": 2, "running second": 2, "pending ": 5})
	wantAsked(t, began)
	for _, id := range ids {
		if task := get(t, cl, id); task.GetAttempts() != 0 || task.GetWorkerLosses() != 0 {
			t.Errorf("task %d was charged: %v", id, task)
		}
	}
	if code, out := c.yardctl("queue", "resume", "long"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	open(t, gate)
	judged(t, cl, book, ids)
	wantOneRun(t, book, ids)
}

// wantOneRun holds that each task ran once.
func wantOneRun(t *testing.T, book *ledger, ids []uint64) {
	t.Helper()
	runs := map[uint64]int{}
	for _, r := range book.records() {
		if r.Kind == recordRun {
			runs[r.Task]++
		}
	}
	for _, id := range ids {
		if runs[id] != 1 {
			t.Errorf("task %d ran %d times", id, runs[id])
		}
	}
}

// TestRecallMoves: with nothing else pending, what waits at one worker is what a second one is given.
func TestRecallMoves(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	gate := filepath.Join(t.TempDir(), "gate")
	sdkWorker{Coordinator: c.addr, Name: "first", Ledger: book.socket, Slots: 2, Prefetch: 4, Gate: gate}.start(t)
	c.workers(cl, 1)
	began := time.Now()
	ids := submit(t, cl, repeated(client.Task{Kind: "gated"}, 6)...)
	becomes(t, cl, ids, map[string]int{"running first": 2, "leased first": 4})
	sdkWorker{Coordinator: c.addr, Name: "second", Ledger: book.socket, Slots: 3, Prefetch: 4, Gate: gate}.start(t)
	becomes(t, cl, ids, map[string]int{"running first": 2, "running second": 3, "leased first": 1})
	wantAsked(t, began)
	open(t, gate)
	for _, out := range outcomes(t, cl, ids) {
		if out.State != client.Succeeded || out.Attempts != 1 {
			t.Errorf("task %d ended %+v", out.ID, out)
		}
	}
	wantOneRun(t, book, ids)
}

// TestVersionsSideBySide: a worker of protocol version 1 is given its slots' worth, sent nothing ahead and asked nothing
// back, beside one of version 2; and it is told which version is spoken.
func TestVersionsSideBySide(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	gate := filepath.Join(t.TempDir(), "gate")
	old := dialRaw(t, c.addr, "old", 2, "gated")
	if v := old.welcome.GetProtocolVersion(); v > 1 {
		t.Errorf("Welcome speaks version %d", v)
	}
	sdkWorker{Coordinator: c.addr, Name: "new", Ledger: book.socket, Slots: 2, Prefetch: 3, Gate: gate}.start(t)
	c.workers(cl, 2)
	ids := submit(t, cl, repeated(client.Task{Kind: "gated"}, 10)...)
	mine := old.grants(2)
	old.send(&pb.SessionRequest{ReceivedThrough: old.seq, Message: &pb.SessionRequest_Started{Started: &pb.Started{Tokens: []uint64{mine[0].GetToken(), mine[1].GetToken()}}}})
	becomes(t, cl, ids, map[string]int{"running old": 2, "running new": 2, "leased new": 3, "pending ": 3})
	for name, version := range map[string]uint32{"old": 1, "new": 2} {
		if w := workerInfo(t, cl, name); w.GetProtocolVersion() != version || w.GetPools()[0].GetUsed() < 2 {
			t.Errorf("worker %s is %v", name, w)
		}
	}
	if code, out := c.yardctl("queue", "pause", "default"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	becomes(t, cl, ids, map[string]int{"running old": 2, "running new": 2, "pending ": 6})
	success := func(l *pb.TaskLease) *pb.AttemptOutcome {
		return &pb.AttemptOutcome{Token: l.GetToken(), TaskId: l.GetTaskId(), Kind: &pb.AttemptOutcome_Succeeded{Succeeded: &pb.Succeeded{}}}
	}
	old.send(&pb.SessionRequest{Message: &pb.SessionRequest_Outcomes{Outcomes: &pb.Outcomes{
		FirstSeq: 1, Outcomes: []*pb.AttemptOutcome{success(mine[0]), success(mine[1])}}}})
	ack := old.until("the answer", func(m *pb.SessionResponse) bool {
		if m.GetRecall() != nil {
			t.Errorf("a worker of version 1 is sent %v", m)
		}
		return m.GetOutcomeAck() != nil
	}).GetOutcomeAck()
	if ack.GetThroughSeq() != 2 || len(ack.GetRejected()) != 0 {
		t.Errorf("the answer is %v", ack)
	}
	old.send(&pb.SessionRequest{Message: &pb.SessionRequest_Goodbye{Goodbye: &pb.Goodbye{}}})
	open(t, gate)
	if code, out := c.yardctl("queue", "resume", "default"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	outs := outcomes(t, cl, ids)
	wantOneRun(t, book, slices.DeleteFunc(ids, func(id uint64) bool { return id == mine[0].GetTaskId() || id == mine[1].GetTaskId() }))
	for _, out := range outs {
		if out.State != client.Succeeded || out.Attempts != 1 {
			t.Errorf("task %d ended %+v", out.ID, out)
		}
	}
}
