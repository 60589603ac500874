package rpc

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestSoftEvents(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 2))
		r.submit(2, 0)
		l, _ := p.grants(2)
		token, task := scheduler.Token(l[0].GetToken()), scheduler.TaskID(l[0].GetTaskId())
		started := func() { r.s.soft.started(r.e.Now(), scheduler.SessionID(p.id), "w1", token, task) }
		started()
		if r.s.soft.ring.Last() != 0 {
			t.Fatal("published for nobody")
		}
		if n := testing.AllocsPerRun(100, started); n != 0 {
			t.Fatalf("%v allocations for nobody", n)
		}
		quiet := r.watch(&yardmasterv1.TaskServiceWatchRequest{})
		quiet.want("[] to 0")
		c := r.watch(&yardmasterv1.TaskServiceWatchRequest{Kinds: []string{"k"}, Types: []yardmasterv1.Event_Type{
			yardmasterv1.Event_TYPE_SUBMITTED, yardmasterv1.Event_TYPE_STARTED, yardmasterv1.Event_TYPE_PROGRESS}})
		c.want("[] to 0")
		r.e.emit(submitted(1, "q", "k"))
		started()
		r.e.emit(submitted(2, "q", "k"))
		r.s.soft.progress(r.e.Now(), scheduler.SessionID(p.id), "w1", token, task, 250, strings.Repeat("ä", 200))
		r.s.soft.started(r.e.Now(), scheduler.SessionID(p.id), "w1", token+100, task) // a token that is over
		r.s.soft.started(r.e.Now(), scheduler.SessionID(p.id), "w1", token, task+100)
		var got []*yardmasterv1.Event
		for len(got) < 4 {
			got = append(got, c.recv().GetEvents().GetEvents()...)
		}
		var order []string
		for _, e := range got {
			order = append(order, fmt.Sprintf("%d:%d", e.GetPosition(), e.GetType()))
		}
		if s := strings.Join(order, " "); s != "1:1 1:4 2:1 2:5" {
			t.Fatal(s)
		}
		e := got[3]
		if e.GetQueue() != "default" || e.GetKind() != "k" || e.GetWorker() != "w1" || e.GetSessionId() != p.id || e.GetToken() != uint64(token) ||
			e.GetAttempt() != 1 || e.GetGeneration() != 1 || e.GetProgress().GetPermille() != 250 || len(e.GetProgress().GetMessage()) != ProgressMessageMax {
			t.Fatal(e)
		}
		for range 2 {
			if got := quiet.events(); strings.Contains(got, "STARTED") || strings.Contains(got, "PROGRESS") {
				t.Fatal(got)
			}
		}
		c.cancel()
		synctest.Wait()
		last := r.s.soft.ring.Last()
		if started(); r.s.soft.ring.Last() != last {
			t.Fatal("published though nobody is left")
		}
	})
}

// TestSoftEventsOverflow: a watcher that lags misses the oldest, and goes on.
func TestSoftEventsOverflow(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		r.submit(1, 0)
		l, _ := p.grants(1)
		c := r.watch(&yardmasterv1.TaskServiceWatchRequest{Types: []yardmasterv1.Event_Type{yardmasterv1.Event_TYPE_PROGRESS}})
		c.want("[] to 0")
		const all = SoftEventsKept + 500
		for i := range all {
			r.s.soft.progress(r.e.Now(), scheduler.SessionID(p.id), "w1", scheduler.Token(l[0].GetToken()), scheduler.TaskID(l[0].GetTaskId()), uint32(i), "")
		}
		n := 0
		for last := uint32(0); last < all-1; n++ {
			for _, e := range c.recv().GetEvents().GetEvents() {
				if e.GetProgress().GetPermille() < last {
					t.Fatal("out of order")
				}
				last = e.GetProgress().GetPermille()
			}
		}
	})
}

// TestWatchMessagesAreBounded: logged and soft events together still make messages of at most WatchEvents and
// WatchBytes.
func TestWatchMessagesAreBounded(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		r.submit(1, 0)
		l, _ := p.grants(1)
		c := r.watch(&yardmasterv1.TaskServiceWatchRequest{Types: []yardmasterv1.Event_Type{
			yardmasterv1.Event_TYPE_SUBMITTED, yardmasterv1.Event_TYPE_PROGRESS}})
		c.want("[] to 0")
		synctest.Wait()
		for range 900 { // before the watcher looks: its pace is slower
			r.e.emit(submitted(1, "q", "k"))
			r.s.soft.progress(r.e.Now(), scheduler.SessionID(p.id), "w1", scheduler.Token(l[0].GetToken()), scheduler.TaskID(l[0].GetTaskId()), 1, "")
		}
		var sizes []int // in bytes
		last, all := uint64(0), 0
		for all < 1800 {
			m := c.recv().GetEvents()
			sizes = append(sizes, proto.Size(m))
			if len(m.GetEvents()) > WatchEvents || proto.Size(m) > WatchBytes+16 {
				t.Fatalf("%d events, %d bytes", len(m.GetEvents()), proto.Size(m))
			}
			all += len(m.GetEvents())
			for _, e := range m.GetEvents() {
				if e.GetPosition() < last {
					t.Fatal("out of order")
				}
				last = e.GetPosition()
			}
			if m.GetThroughPosition() != last {
				t.Fatalf("through %d after %d", m.GetThroughPosition(), last)
			}
		}
		if len(sizes) < 2 || sizes[0] < WatchBytes/2 || all != 1800 {
			t.Fatal(sizes)
		}
	})
}

func TestWatchLatest(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.submit(1, 5)
		c := r.watch(&yardmasterv1.TaskServiceWatchRequest{LatestOnly: true, TaskIds: []uint64{id}})
		state := func(want yardmasterv1.TaskState) *yardmasterv1.Task {
			t.Helper()
			for range 5 { // there may be more messages than changes
				if x := c.recv().GetTask(); x.GetState() == want {
					return x
				}
			}
			t.Fatalf("no %s", want)
			return nil
		}
		if x := state(yardmasterv1.TaskState_TASK_STATE_PENDING); x.GetId() != id || len(x.GetPayload()) != 0 {
			t.Fatal(x)
		}
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		l, seq := p.grants(1)
		state(yardmasterv1.TaskState_TASK_STATE_LEASED)
		synctest.Wait()
		p.started(seq, l[0].GetToken())
		synctest.Wait()
		r.s.soft.started(r.e.Now(), scheduler.SessionID(p.id), "w1", scheduler.Token(l[0].GetToken()), scheduler.TaskID(id))
		state(yardmasterv1.TaskState_TASK_STATE_RUNNING)
		p.succeed(seq, 1, l...)
		if x := state(yardmasterv1.TaskState_TASK_STATE_SUCCEEDED); string(x.GetOutcome().GetResult()) != "done" {
			t.Fatal(x)
		}
		if _, err := c.gs.Recv(); err == nil || err.Error() != "EOF" {
			t.Fatal(err)
		}
		c = r.watch(&yardmasterv1.TaskServiceWatchRequest{LatestOnly: true, TaskIds: []uint64{id}})
		state(yardmasterv1.TaskState_TASK_STATE_SUCCEEDED)
		_, err := r.watch(&yardmasterv1.TaskServiceWatchRequest{LatestOnly: true, TaskIds: []uint64{99}}).gs.Recv()
		wantStatus(t, err, codes.NotFound, ReasonUnknownTask)
		synctest.Wait()
		r.e.mu.Lock()
		defer r.e.mu.Unlock()
		if len(r.e.watchers) != 0 || r.s.soft.watchers.Load() != 0 || r.s.watchers.Load() != 0 {
			t.Fatal("watchers are left")
		}
	})
}

// TestWatchLatestOfATaskThatIsNotKept: the end is told of a task with retention 0 too, which can't be looked up any more.
func TestWatchLatestOfATaskThatIsNotKept(t *testing.T) {
	inBubble(t, func(r *rig) {
		res, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{{Kind: "k", Retention: durationpb.New(0)}}})
		if err != nil {
			t.Fatal(err)
		}
		req := &yardmasterv1.TaskServiceWatchRequest{LatestOnly: true, TaskIds: res.GetTaskIds()}
		c := r.watch(req)
		if x := c.recv().GetTask(); x.GetState() != yardmasterv1.TaskState_TASK_STATE_PENDING {
			t.Fatal(x)
		}
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		l, seq := p.grants(1)
		p.succeed(seq, 1, l...)
		var last *yardmasterv1.Task
		for err == nil {
			var m *yardmasterv1.TaskServiceWatchResponse
			if m, err = c.gs.Recv(); err == nil {
				last = m.GetTask()
			}
		}
		if err.Error() != "EOF" || last.GetState() != yardmasterv1.TaskState_TASK_STATE_SUCCEEDED || string(last.GetOutcome().GetResult()) != "done" {
			t.Fatalf("the last is %v, the end %v", last, err)
		}
		_, err = r.watch(req).gs.Recv()
		wantStatus(t, err, codes.NotFound, ReasonNotRetained)
	})
}
