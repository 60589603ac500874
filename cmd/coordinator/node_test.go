package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

func testNode(t *testing.T, dir string) *node {
	t.Helper()
	c := &config{dataDir: dir, maxTasks: 1 << 20, segmentBytes: 1 << 20}
	n, err := openNode(c, hclog.NewNullLogger(), func(err error) { t.Errorf("fatal: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.start(ctx); err != nil {
		n.close()
		t.Fatal(err)
	}
	return n
}

func spec(t testing.TB, kind, payload string) scheduler.TaskSpec {
	body, err := proto.Marshal(&storagev1.Body{Payload: []byte(payload)})
	if err != nil {
		t.Fatal(err)
	}
	return scheduler.TaskSpec{
		Kind: kind, Queue: scheduler.DefaultQueue, Weight: 1, Policy: scheduler.DefaultPolicy(), PayloadBytes: uint32(len(payload)), Body: body,
	}
}

func submitTasks(t testing.TB, e *engine.Engine, n int) []scheduler.TaskID {
	s := &scheduler.Submit{}
	for i := range n {
		s.Tasks = append(s.Tasks, spec(t, "k", fmt.Sprint("payload ", i)))
	}
	r, err := e.Do(context.Background(), scheduler.Command{Op: scheduler.OpSubmit, Submit: s})
	if err != nil || r.Code != scheduler.CodeOK {
		t.Fatalf("submit: %v %v", r.Code, err)
	}
	var ids []scheduler.TaskID
	for i := range n {
		ids = append(ids, r.First+scheduler.TaskID(i))
	}
	return ids
}

// TestNodeKeepsWhatItAcknowledged: after an orderly stop and after none, the state is as it was.
func TestNodeKeepsWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	for round := range 4 {
		n := testNode(t, dir)
		ids := submitTasks(t, n.engine, 500)
		if want := scheduler.TaskID(round*500 + 1); ids[0] != want {
			t.Fatalf("round %d: first id %d, want %d", round, ids[0], want)
		}
		task, err := n.engine.Task(context.Background(), ids[7])
		if err != nil || string(task.Body.GetPayload()) != "payload 7" || task.Live.State != scheduler.Pending {
			t.Fatalf("round %d: task %+v, %v", round, task, err)
		}
		if round%2 == 0 {
			if err := n.engine.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		n.close()
	}
	n := testNode(t, dir)
	defer n.close()
	if c := n.engine.Status().Counts; c.Pending != 2000 {
		t.Errorf("%d pending tasks, want 2000", c.Pending)
	}
}
