//go:build e2e

package tests

import (
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// TestWatchOverOrderlyStops: a coordinator that stops in order, in the midst of its work, tells its watchers all that still
// happens, so that after the next start nothing is missed: neither by one that wants all nor by one that wants little.
func TestWatchOverOrderlyStops(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 16, Prefetch: 16}.start(t)
	c.workers(cl, 1)
	all := follow(t, cl, client.WatchFilter{})
	began := all.watch.Position()
	little := follow(t, cl, client.WatchFilter{Queues: []string{"side"}})
	note := client.Task{Kind: "note", Payload: client.JSON(notePayload{})}
	var ids []uint64
	before := began
	for range 3 {
		submit(t, cl, client.Task{Kind: "nobody", Queue: "side"})
		there := position(t, cl) // once both are here they are there at the stop, too
		all.through(there)
		little.sees("of this round", func(e *client.Event) bool { return e.GetPosition() > before })
		before = there
		ids = append(ids, submit(t, cl, repeated(note, 60)...)...)
		if code := c.stop(); code != exitClean {
			t.Errorf("exit code %d", code)
		}
		c.start()
	}
	outcomes(t, cl, ids)
	last := position(t, cl)
	ended := map[uint64]bool{}
	for _, e := range all.through(last) {
		ended[e.GetTaskId()] = ended[e.GetTaskId()] || word(e) == "SUCCEEDED"
	}
	little.through(last)
	all.wantWhole(began)
	for _, w := range []*watching{all, little} {
		w.mu.Lock()
		for _, l := range w.lagged {
			t.Errorf("a watcher was told: %v", l)
		}
		w.mu.Unlock()
	}
	for _, id := range ids {
		if !ended[id] {
			t.Errorf("no event says that task %d has succeeded", id)
		}
	}
}

// position is that of the last event.
func position(t *testing.T, cl *client.Client) uint64 {
	t.Helper()
	status, err := cl.Operator().Status(bounded(t), &pb.OperatorServiceStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return status.GetLastPosition()
}

// TestWatchTaskThatIsNotKept: of a task with retention 0, too, who follows it sees the end.
func TestWatchTaskThatIsNotKept(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	id := submit(t, cl, client.Task{Kind: "note", Payload: client.JSON(notePayload{}), Retention: new(time.Duration)})[0]
	var last *client.TaskInfo
	for task, err := range cl.WatchTask(bounded(t), id) {
		if err != nil {
			t.Fatal(err)
		}
		if last == nil {
			sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 1}.start(t)
		}
		last = task
	}
	if last.GetState() != client.Succeeded {
		t.Errorf("the last state was %v", last.GetState())
	}
}
