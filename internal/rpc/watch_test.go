package rpc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/watch"
)

type watchClient struct {
	r      *rig
	gs     grpc.ServerStreamingClient[yardmasterv1.TaskServiceWatchResponse]
	cancel context.CancelFunc
}

func (r *rig) watch(req *yardmasterv1.TaskServiceWatchRequest) *watchClient {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	r.t.Cleanup(cancel)
	gs, err := r.tasks.Watch(ctx, req)
	if err != nil {
		r.t.Fatal(err)
	}
	return &watchClient{r, gs, cancel}
}

func (c *watchClient) recv() *yardmasterv1.TaskServiceWatchResponse {
	c.r.t.Helper()
	m, err := c.gs.Recv()
	if err != nil {
		c.r.t.Fatal(err)
	}
	return m
}

// events receives Events: their positions and types, and how far they go.
func (c *watchClient) events() string {
	c.r.t.Helper()
	m := c.recv().GetEvents()
	if m == nil {
		c.r.t.Fatal("no Events")
	}
	var list []string
	for _, e := range m.GetEvents() {
		list = append(list, fmt.Sprintf("%d:%s", e.GetPosition(), strings.TrimPrefix(e.GetType().String(), "TYPE_")))
	}
	return fmt.Sprintf("%s to %d", list, m.GetThroughPosition())
}

func (c *watchClient) want(what string) {
	c.r.t.Helper()
	if got := c.events(); got != what {
		c.r.t.Fatalf("got %s, want %s", got, what)
	}
}

func (c *watchClient) wantLagged(missed, resume uint64) {
	c.r.t.Helper()
	if l := c.recv().GetLagged(); l == nil || l.GetMissed() != missed || l.GetResumePosition() != resume {
		c.r.t.Fatalf("got %v, want %d missed, on after %d", l, missed, resume)
	}
}

func submitted(task scheduler.TaskID, queue, kind string) scheduler.Event {
	return scheduler.Event{Type: scheduler.EventSubmitted, Task: task, Queue: queue, Kind: kind, Gen: 1}
}

func TestWatchFromNowAndFromAPosition(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.e.emit(submitted(1, "q", "k"), submitted(2, "q", "k"))
		now := r.watch(&yardmasterv1.TaskServiceWatchRequest{})
		now.want("[] to 2")
		r.e.emit(submitted(3, "q", "k"))
		now.want("[3:SUBMITTED] to 3")
		later := r.watch(&yardmasterv1.TaskServiceWatchRequest{AfterPosition: 1})
		later.want("[] to 1")
		later.want("[2:SUBMITTED 3:SUBMITTED] to 3")
		r.e.emit(scheduler.Event{Type: scheduler.EventDead, Task: 3, Queue: "q", Kind: "k", Worker: "w", Session: 4, Token: 5, Gen: 6, Attempt: 7, Cause: scheduler.CauseExit})
		m := later.recv().GetEvents().GetEvents()[0]
		if m.GetTaskId() != 3 || m.GetQueue() != "q" || m.GetKind() != "k" || m.GetWorker() != "w" || m.GetSessionId() != 4 || m.GetToken() != 5 ||
			m.GetGeneration() != 6 || m.GetAttempt() != 7 || m.GetCause() != yardmasterv1.Cause_CAUSE_EXIT || m.GetTime() == nil {
			t.Fatal(m)
		}
	})
}

// TestWatchFromTheFirstEvent: before any event there is no position that says "from here on", so one is set aside for it.
func TestWatchFromTheFirstEvent(t *testing.T) {
	inBubble(t, func(r *rig) {
		first := &yardmasterv1.TaskServiceWatchRequest{AfterPosition: WatchFromFirst}
		early := r.watch(first)
		early.want("[] to 0")
		r.e.emit(submitted(1, "q", "k"), submitted(2, "q", "k"))
		early.want("[1:SUBMITTED 2:SUBMITTED] to 2")
		late := r.watch(first)
		late.want("[] to 0")
		late.want("[1:SUBMITTED 2:SUBMITTED] to 2")
		for i := range 1000 { // so many are kept
			r.e.emit(submitted(scheduler.TaskID(i+3), "q", "k"))
		}
		late = r.watch(first)
		late.want("[] to 0")
		late.wantLagged(2, 2)
	})
}

func TestWatchFilters(t *testing.T) {
	inBubble(t, func(r *rig) {
		watch := func(req *yardmasterv1.TaskServiceWatchRequest) *watchClient {
			c := r.watch(req)
			c.want("[] to 0")
			return c
		}
		queues := watch(&yardmasterv1.TaskServiceWatchRequest{Queues: []string{"a", "b"}})
		kinds := watch(&yardmasterv1.TaskServiceWatchRequest{Kinds: []string{"k2"}})
		tasks := watch(&yardmasterv1.TaskServiceWatchRequest{TaskIds: []uint64{2}})
		types := watch(&yardmasterv1.TaskServiceWatchRequest{Types: []yardmasterv1.Event_Type{yardmasterv1.Event_TYPE_DEAD, yardmasterv1.Event_TYPE_WORKER_ENDED}})
		both := watch(&yardmasterv1.TaskServiceWatchRequest{Queues: []string{"a"}, Kinds: []string{"k2"}})
		r.e.emit(submitted(1, "a", "k1"), submitted(2, "b", "k2"), submitted(3, "c", "k2"), submitted(4, "a", "k2"),
			scheduler.Event{Type: scheduler.EventDead, Task: 2, Queue: "b", Kind: "k2"},
			scheduler.Event{Type: scheduler.EventWorkerEnded, Worker: "w"}, scheduler.Event{Type: scheduler.EventQueuePaused, Queue: "a"})
		for c, want := range map[*watchClient]string{
			queues: "[1:SUBMITTED 2:SUBMITTED 4:SUBMITTED 5:DEAD 7:QUEUE_PAUSED] to 7",
			kinds:  "[2:SUBMITTED 3:SUBMITTED 4:SUBMITTED 5:DEAD] to 7",
			tasks:  "[2:SUBMITTED 5:DEAD] to 7",
			types:  "[5:DEAD 6:WORKER_ENDED] to 7",
			both:   "[4:SUBMITTED] to 7",
		} {
			c.want(want)
		}
	})
}

func TestWatchBounds(t *testing.T) {
	inBubble(t, func(r *rig) {
		names := make([]string, WatchNamesMax+1)
		for i := range names {
			names[i] = fmt.Sprint("n", i)
		}
		for want, req := range map[string]*yardmasterv1.TaskServiceWatchRequest{
			"[queues kinds task_ids]":                   {Queues: names, Kinds: names, TaskIds: make([]uint64, WatchTasksMax+1)},
			"[queues[0] types[0] types[1] task_ids[0]]": {Queues: []string{"Q"}, TaskIds: []uint64{0}, Types: []yardmasterv1.Event_Type{0, 22}},
			"[types]": {Types: make([]yardmasterv1.Event_Type, 22)},
			"[after_position queues kinds types task_ids]": {LatestOnly: true, AfterPosition: 1, Queues: names[:1], Kinds: names[:1], Types: []yardmasterv1.Event_Type{1}},
			"[task_ids]": {LatestOnly: true, TaskIds: []uint64{1, 2}},
		} {
			_, err := r.watch(req).gs.Recv()
			if got := fmt.Sprint(fieldsAtFault(t, err)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		r.watch(&yardmasterv1.TaskServiceWatchRequest{Queues: names[:WatchNamesMax]}).want("[] to 0")
		r.e.observer.TermEnded()
		_, err := r.watch(&yardmasterv1.TaskServiceWatchRequest{}).gs.Recv()
		wantStatus(t, err, codes.Unavailable, ReasonNotLeader)
	})
}

func TestWatchEndsWithTermAndServer(t *testing.T) {
	inBubble(t, func(r *rig) {
		c := r.watch(&yardmasterv1.TaskServiceWatchRequest{})
		c.want("[] to 0")
		r.e.observer.TermEnded()
		_, err := c.gs.Recv()
		wantStatus(t, err, codes.Unavailable, ReasonNotLeader)
		r.e.lead(2)
		c = r.watch(&yardmasterv1.TaskServiceWatchRequest{})
		c.want("[] to 0")
		r.s.EndStreams()
		r.e.emit(submitted(1, "q", "k"))
		c.want("[1:SUBMITTED] to 1")
		r.s.Stop()
		if _, err = c.gs.Recv(); status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
	})
}

// TestWatchersAreToldTheLastEvents: an orderly stop ends watches only when nothing more can happen and they have been told
// all of it, also how far what they didn't want goes. One that doesn't read holds it up for a while only.
func TestWatchersAreToldTheLastEvents(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.submit(1, 0)
		all := r.watch(&yardmasterv1.TaskServiceWatchRequest{})
		all.want("[] to 0")
		none := r.watch(&yardmasterv1.TaskServiceWatchRequest{Queues: []string{"none"}})
		none.want("[] to 0")
		latest := r.watch(&yardmasterv1.TaskServiceWatchRequest{LatestOnly: true, TaskIds: []uint64{id}})
		latest.recv()
		slow := r.watch(&yardmasterv1.TaskServiceWatchRequest{})
		p, _ := r.welcomed(helloOf("w1", 1, 1))
		p.grants(1)
		synctest.Wait()
		r.e.hold()
		stopped, began := make(chan error, 1), time.Now()
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			stopped <- r.s.GracefulStop(ctx)
		}()
		wantStatus(t, p.ends().Err(), codes.Unavailable, ReasonStopping)
		synctest.Wait()
		r.e.emit(submitted(1, "q", "k"))
		all.want("[1:SUBMITTED] to 1")
		long := strings.Repeat("k", 60)
		for range 2000 { // the session's detachment and other ends
			r.e.emit(scheduler.Event{Type: scheduler.EventWorkerDetached, Worker: long, Queue: long, Kind: long})
		}
		r.e.release()
		for through := uint64(1); through < 1001; {
			m := all.recv()
			through = max(m.GetEvents().GetThroughPosition(), m.GetLagged().GetResumePosition())
		}
		for got := ""; got != "[] to 2001"; {
			if m := none.recv(); m.GetEvents() != nil {
				got = fmt.Sprintf("%v to %d", m.GetEvents().GetEvents(), m.GetEvents().GetThroughPosition())
			}
		}
		for _, c := range []*watchClient{all, none, latest} {
			var err error
			for err == nil {
				_, err = c.gs.Recv()
			}
			wantStatus(t, err, codes.Unavailable, ReasonStopping)
		}
		if took := time.Since(began); took > WatchSilence {
			t.Errorf("the watches ended after %s", took)
		}
		r.pass(WatchFlushMax)
		slow.cancel() // its end, too, waits to be read
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if len(r.e.ops(scheduler.OpDetach)) != 1 {
			t.Error("the session isn't detached")
		}
	})
}

func TestWatchersAreCounted(t *testing.T) {
	inBubble(t, func(r *rig) {
		var first *watchClient
		for i := range WatchersMax {
			c := r.watch(&yardmasterv1.TaskServiceWatchRequest{})
			c.want("[] to 0")
			if i == 0 {
				first = c
			}
		}
		_, err := r.watch(&yardmasterv1.TaskServiceWatchRequest{}).gs.Recv()
		if st := wantStatus(t, err, codes.ResourceExhausted, ReasonLimitWatchers); !hasRetry(st) {
			t.Fatal(st)
		}
		first.cancel()
		synctest.Wait()
		r.watch(&yardmasterv1.TaskServiceWatchRequest{}).want("[] to 0")
	})
}

func TestWatchReportsLag(t *testing.T) {
	inBubble(t, func(r *rig) {
		c := r.watch(&yardmasterv1.TaskServiceWatchRequest{AfterPosition: 99}) // of another life
		c.wantLagged(0, 0)
		r.e.emit(submitted(1, "q", "k"))
		c.want("[1:SUBMITTED] to 1")
		for i := range 1500 { // 1,000 are kept
			r.e.emit(submitted(scheduler.TaskID(i+2), "q", "k"))
		}
		c.wantLagged(500, 501)
		if got := c.events(); !strings.HasPrefix(got, "[502:SUBMITTED") {
			t.Fatal(got)
		}
		if got := c.events(); !strings.HasSuffix(got, "1501:SUBMITTED] to 1501") {
			t.Fatal(got)
		}
		old := r.watch(&yardmasterv1.TaskServiceWatchRequest{AfterPosition: 1, Kinds: []string{"none"}})
		old.want("[] to 1")
		old.wantLagged(500, 501)
		r.pass(WatchSilence)
		old.want("[] to 1501")
	})
}

// TestWatchOfARingThatBeginsLater: after a restart nothing before is kept.
func TestWatchOfARingThatBeginsLater(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.e.ring = watch.NewRing[engine.Event](1000, 70)
		c := r.watch(&yardmasterv1.TaskServiceWatchRequest{AfterPosition: 5})
		c.want("[] to 5")
		c.wantLagged(65, 70)
		r.e.emit(submitted(1, "q", "k"))
		c.want("[71:SUBMITTED] to 71")
	})
}

func TestWatchTellsHowFarItHasCome(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.e.ring = watch.NewRing[engine.Event](WatchFiltered*2, 0)
		c := r.watch(&yardmasterv1.TaskServiceWatchRequest{Queues: []string{"none"}})
		c.want("[] to 0")
		start := time.Now()
		r.e.emit(submitted(1, "q", "k"))
		c.want("[] to 1")
		c.want("[] to 1")
		if d := time.Since(start); d != 2*WatchSilence {
			t.Fatalf("after %s", d)
		}
		start = time.Now()
		for range WatchFiltered {
			r.e.emit(submitted(1, "q", "k"))
		}
		if c.events(); time.Since(start) >= WatchSilence {
			t.Fatal("only silence makes it speak")
		}
	})
}

// TestASlowWatcherIsHeldBack: what it doesn't read isn't gathered for it; when it reads again it is told what it missed, and
// in the meantime others go on.
func TestASlowWatcherIsHeldBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		slow := r.watch(&yardmasterv1.TaskServiceWatchRequest{})
		slow.want("[] to 0")
		total, fast := 0, r.watch(&yardmasterv1.TaskServiceWatchRequest{})
		fast.want("[] to 0")
		for range 200 {
			for range 100 {
				total++
				r.e.emit(submitted(scheduler.TaskID(total), strings.Repeat("q", 60), strings.Repeat("k", 60)))
			}
			fast.events()
			r.pass(watchPace)
		}
		got, missed := 0, 0
		for through := uint64(0); through < uint64(total); {
			m := slow.recv()
			got += len(m.GetEvents().GetEvents())
			missed += int(m.GetLagged().GetMissed())
			through = max(m.GetEvents().GetThroughPosition(), m.GetLagged().GetResumePosition())
		}
		if got+missed != total || missed < 5000 {
			t.Fatalf("%d events and %d missed of %d", got, missed, total)
		}
	})
}

// What a message of events takes is reckoned without walking its fields: at least what it is, and little more even if all numbers are 0.
func TestEventBytes(t *testing.T) {
	name := rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,62}`)
	rapid.Check(t, func(t *rapid.T) {
		e := softEvent{permille: rapid.Uint32Max(1000).Draw(t, "permille"), message: rapid.StringN(0, 256, 256).Draw(t, "message")}
		e.At = scheduler.Time(rapid.Int64Min(0).Draw(t, "time"))
		e.Event.Event = scheduler.Event{
			Position: rapid.Uint64().Draw(t, "position"), Task: scheduler.TaskID(rapid.Uint64().Draw(t, "task")),
			Token: scheduler.Token(rapid.Uint64().Draw(t, "token")), Session: scheduler.SessionID(rapid.Uint64().Draw(t, "session")),
			Queue: name.Draw(t, "queue"), Kind: name.Draw(t, "kind"), Worker: name.Draw(t, "worker"),
			Gen: rapid.Uint32().Draw(t, "generation"), Attempt: rapid.Uint32().Draw(t, "attempt"),
			Type: scheduler.EventType(rapid.Uint8Range(1, 21).Draw(t, "type")), Cause: scheduler.Cause(rapid.Uint8Max(10).Draw(t, "cause")),
		}
		p := softProto(&e)
		is := proto.Size(&yardmasterv1.Events{Events: []*yardmasterv1.Event{p}})
		if got := eventBytes(p); got < is || got > is+70 {
			t.Fatalf("reckoned %d bytes, took %d: %v", got, is, p)
		}
	})
}
