package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/consensus"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/metrics"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// testedNode is a node that can be let down.
type testedNode struct {
	*node
	t      *testing.T
	killed atomic.Bool
	grants chan scheduler.Grant
}

// stop ends it in order.
func (n *testedNode) stop() {
	n.t.Helper()
	if err := n.engine.Stop(context.Background()); err != nil {
		n.t.Error(err)
	}
	n.close()
}

// kill takes log and store away under it: nothing is written any more.
func (n *testedNode) kill() {
	n.killed.Store(true)
	n.close()
	_ = n.engine.Stop(context.Background()) // it has failed by then, or fails now
}

func (n *testedNode) TermBegan(uint64, scheduler.Time, []scheduler.SessionInfo) {}
func (n *testedNode) TermEnded()                                                {}
func (n *testedNode) Applied(_ scheduler.Time, eff *scheduler.Effects) {
	for _, g := range eff.Grants {
		n.grants <- g
	}
}

func testNode(t *testing.T, dir string) *testedNode {
	t.Helper()
	c := &config{dataDir: dir, maxTasks: 1 << 20, segmentBytes: 1 << 20}
	n := &testedNode{t: t, grants: make(chan scheduler.Grant, 1000)}
	var err error
	n.node, err = openNode(c, hclog.NewNullLogger(), metrics.NewCoordinator(nil, time.Now), func(err error) {
		if !n.killed.Load() {
			t.Errorf("fatal: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	n.engine.SetObserver(n)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.start(ctx); err != nil {
		n.close()
		t.Fatal(err)
	}
	return n
}

func spec(t testing.TB, kind, payload string, labels ...*storagev1.Label) scheduler.TaskSpec {
	body, err := proto.Marshal(&storagev1.Body{Payload: []byte(payload), Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	return scheduler.TaskSpec{
		Kind: kind, Queue: scheduler.DefaultQueue, Weight: 1, Policy: scheduler.DefaultPolicy(), PayloadBytes: uint32(len(payload)), Body: body,
		HasLabels: len(labels) > 0,
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
			n.stop()
		} else {
			n.kill()
		}
	}
	n := testNode(t, dir)
	defer n.stop()
	if c := n.engine.Status().Counts; c.Pending != 2000 {
		t.Errorf("%d pending tasks, want 2000", c.Pending)
	}
}

// TestClosedLogIsAStop: a command that the log doesn't take any more is one for the coordinator's next process, and no
// internal error.
func TestClosedLogIsAStop(t *testing.T) {
	n := testNode(t, t.TempDir())
	n.kill()
	if _, err := n.raft.Propose([]byte("entry")); !errors.Is(err, engine.ErrStopping) || !errors.Is(err, consensus.ErrClosed) {
		t.Errorf("it came back with %v", err)
	}
}

// TestNodeKeepsEnds: results, labels and last failures are there after a kill, read from the log, and after a stop, read
// from the store; whether bodies were in the store when the tasks ended or not.
func TestNodeKeepsEnds(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("bodies stored: ", stored), func(t *testing.T) {
			dir := t.TempDir()
			n := testNode(t, dir)
			const tasks = 100
			s := &scheduler.Submit{}
			for i := range tasks {
				s.Tasks = append(s.Tasks, spec(t, "k", "p", &storagev1.Label{Key: "n", Value: fmt.Sprint(i)}))
				s.Tasks[i].Policy.Backoff = 0
			}
			do(t, n, scheduler.Command{Op: scheduler.OpSubmit, Submit: s})
			r := do(t, n, scheduler.Command{Op: scheduler.OpOpenSession, Open: &scheduler.OpenSession{Worker: scheduler.WorkerInfo{
				Name: "w", Incarnation: scheduler.Hash128{1}, Kinds: []string{"k"}, Pools: []scheduler.Pool{{Name: "p", Slots: tasks}},
			}}})
			w := &scheduler.Outcomes{Session: r.Session, Attach: r.Attach, FirstSeq: 1}
			report := func(kind scheduler.OutcomeKind, d *storagev1.Detail) {
				data, err := proto.Marshal(d)
				if err != nil {
					t.Fatal(err)
				}
				w.List = nil
				for range tasks {
					g := <-n.grants
					w.List = append(w.List, scheduler.Outcome{Token: g.Token, Task: g.Task, Kind: kind, Cause: scheduler.CauseError, Detail: data})
				}
				do(t, n, scheduler.Command{Op: scheduler.OpOutcomes, Outcomes: w})
				w.FirstSeq += tasks
			}
			report(scheduler.OutcomeFailed, &storagev1.Detail{Message: "once"})
			if stored {
				if err := n.engine.Checkpoint(t.Context(), n.engine.Status().AppliedIndex); err != nil {
					t.Fatal(err)
				}
			}
			report(scheduler.OutcomeSucceeded, &storagev1.Detail{Result: []byte("well")})
			wantEnds(t, n, tasks)
			n.kill()
			n = testNode(t, dir)
			wantEnds(t, n, tasks)
			n.stop()
			n = testNode(t, dir)
			wantEnds(t, n, tasks)
			n.stop()
		})
	}
}

func do(t *testing.T, n *testedNode, cmd scheduler.Command) engine.Result {
	t.Helper()
	r, err := n.engine.Do(t.Context(), cmd)
	if err != nil || r.Code != scheduler.CodeOK {
		t.Fatalf("operation %d: %v, %v", cmd.Op, r.Code, err)
	}
	return r
}

func wantEnds(t *testing.T, n *testedNode, tasks int) {
	t.Helper()
	for id := 1; id <= tasks; id++ {
		f, err := n.engine.Finished(scheduler.TaskID(id))
		if err != nil {
			t.Fatalf("task %d: %v", id, err)
		}
		if string(f.GetDetail().GetResult()) != "well" || f.GetLastFailure().GetDetail().GetMessage() != "once" ||
			len(f.GetLabels()) != 1 || f.GetLabels()[0].GetValue() != fmt.Sprint(id-1) {
			t.Fatalf("task %d: %v", id, f)
		}
	}
}
