//go:build e2e

package tests

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// TestProgress: what a handler says of its progress shows with the task, in its watch and among the events, and goes on over
// a kill of the coordinator; the watch of the one task ends with the task.
func TestProgress(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t, "--session-ttl", "2s")
	cl := c.client()
	gate := filepath.Join(t.TempDir(), "gate")
	sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 1, Gate: gate}.start(t)
	c.workers(cl, 1)
	told := func(p *pb.Progress) bool { return p.GetPermille() == toldPermille && p.GetMessage() == toldMessage }
	soft := follow(t, cl, client.WatchFilter{Kinds: []string{"telling"}, Types: []client.EventType{
		pb.Event_TYPE_STARTED, pb.Event_TYPE_PROGRESS, pb.Event_TYPE_SUCCEEDED}})
	id := submit(t, cl, client.Task{Kind: "telling"})[0]

	states := make(chan *client.TaskInfo, 100)
	ctx := bounded(t)
	go func() {
		defer close(states)
		for task, err := range cl.WatchTask(ctx, id) {
			if err != nil {
				t.Errorf("watch task %d: %v", id, err)
				return
			}
			states <- task
		}
	}()
	shell := start(t, "yardctl", nil, program("yardctl"), "--addr", c.addr, "task", "watch", strconv.FormatUint(id, 10), "-o", "json")
	shown := func() bool { return told(get(t, cl, id).GetProgress()) }
	eventually(t, "the task shows its progress", shown)
	started := soft.sees("started", func(e *client.Event) bool { return e.GetType() == pb.Event_TYPE_STARTED })
	progress := soft.sees("progress", func(e *client.Event) bool { return told(e.GetProgress()) })
	if started.GetTaskId() != id || progress.GetTaskId() != id || progress.GetPosition() < started.GetPosition() || started.GetToken() == 0 {
		t.Errorf("started: %v; progress: %v", started, progress)
	}
	if code, out := c.yardctl("task", "get", strconv.FormatUint(id, 10)); code != 0 || !strings.Contains(out, toldMessage) || !strings.Contains(out, "25") {
		t.Errorf("yardctl task get, exit code %d:\n%s", code, out)
	}
	c.proc.kill()
	c.start()
	inState(t, cl, client.Running, id)
	open(t, gate)

	var seen []client.TaskState
	saw := false
	for task := range states {
		seen = append(seen, task.GetState())
		saw = saw || told(task.GetProgress())
	}
	if len(seen) == 0 || seen[len(seen)-1] != client.Succeeded || !slices.Contains(seen, client.Running) || !saw {
		t.Errorf("the watch of the task saw %v, its progress %t", seen, saw)
	}
	if n := slices.Index(seen, client.Succeeded); n != len(seen)-1 {
		t.Errorf("the watch went on after the end: %v", seen)
	}
	if code := shell.exit(); code != 0 || shell.log.find(`"permille":250`) == "" && shell.log.find(`"permille": 250`) == "" {
		t.Errorf("yardctl task watch, exit code %d:\n%s", code, shell.log.text())
	}
	soft.sees("succeeded", func(e *client.Event) bool { return e.GetType() == pb.Event_TYPE_SUCCEEDED && e.GetTaskId() == id })
	judged(t, cl, book, []uint64{id})
}

// TestWatchOfTheEnded: the watch of a task that has ended yields its end and no more; of one that isn't there, why.
func TestWatchOfTheEnded(t *testing.T) {
	t.Parallel()
	c := startCoordinator(t)
	cl := c.client()
	ids := submit(t, cl, client.Task{Kind: "nobody"}, client.Task{Kind: "nobody", Retention: new(time.Duration(0))})
	if _, err := cl.Cancel(bounded(t), ids...); err != nil {
		t.Fatal(err)
	}
	var seen []client.TaskState
	for task, err := range cl.WatchTask(bounded(t), ids[0]) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, task.GetState())
	}
	if !slices.Equal(seen, []client.TaskState{client.Cancelled}) {
		t.Errorf("the watch saw %v", seen)
	}
	for id, want := range map[uint64]error{ids[1]: client.ErrNotRetained, 4711: client.ErrUnknownTask} {
		if err := firstError(bounded(t), cl, id); !errors.Is(err, want) {
			t.Errorf("task %d: %v, want %v", id, err, want)
		}
	}
	for id, want := range map[uint64]int{ids[0]: 4, 4711: 1} { // cancelled; unknown
		if code, out := c.yardctl("task", "watch", fmt.Sprint(id)); code != want {
			t.Errorf("yardctl task watch %d, exit code %d, want %d:\n%s", id, code, want, out)
		}
	}
}

func firstError(ctx context.Context, cl *client.Client, id uint64) error {
	for _, err := range cl.WatchTask(ctx, id) {
		return err
	}
	return nil
}
