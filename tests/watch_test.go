//go:build e2e

package tests

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// watching collects what a watch yields.
type watching struct {
	t     *testing.T
	watch *client.Watch
	stop  func() // ends it and waits

	mu     sync.Mutex
	events []*client.Event  // guarded by mu
	lagged []*client.Lagged // guarded by mu
}

// follow begins a watch. With from 0 it returns once the watch has its place, so that nothing later is missed.
func follow(t *testing.T, cl *client.Client, f client.WatchFilter) *watching {
	t.Helper()
	w := &watching{t: t, watch: cl.Watch(f)}
	ctx, cancel := context.WithCancel(trialOf(t))
	over := make(chan struct{})
	w.stop = func() { cancel(); <-over }
	t.Cleanup(w.stop)
	go func() {
		defer close(over)
		for e, err := range w.watch.Events(ctx) {
			w.take(ctx, e, err)
		}
	}()
	eventually(t, "the watch has its place", func() bool { return w.watch.Position() > 0 })
	return w
}

func (w *watching) take(ctx context.Context, e *client.Event, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lagged *client.Lagged
	switch {
	case err == nil:
		w.events = append(w.events, e)
	case errors.As(err, &lagged):
		w.lagged = append(w.lagged, lagged)
	case ctx.Err() == nil:
		w.t.Errorf("the watch ended: %v", err)
	}
}

// through waits until the watch has come to a position, and returns its events.
func (w *watching) through(position uint64) []*client.Event {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("the watch comes to position %d", position), func() bool { return w.watch.Position() >= position })
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// sees waits for an event that fits.
func (w *watching) sees(what string, fits func(*client.Event) bool) *client.Event {
	w.t.Helper()
	var found *client.Event
	eventually(w.t, "an event: "+what, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if i := slices.IndexFunc(w.events, fits); i >= 0 {
			found = w.events[i]
		}
		return found != nil
	})
	return found
}

// gap reports whether events between two positions were missed, as far as the watch was told.
func (w *watching) gap(from, to uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.lagged, func(l *client.Lagged) bool { return l.Position > from && l.Position-l.Missed < to })
}

// wantWhole holds that positions grow by one, and that what is missing was told. It returns where that ends.
func (w *watching) wantWhole(after uint64) (through uint64) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	lagged := slices.Clone(w.lagged)
	missed := func(before uint64) {
		for ; len(lagged) > 0 && lagged[0].Position < before; lagged = lagged[1:] {
			if got := lagged[0].Position - after; got != lagged[0].Missed {
				w.t.Errorf("%d events were missed after position %d, %d were told of", got, after, lagged[0].Missed)
			}
			after = lagged[0].Position
		}
	}
	for _, e := range w.events {
		missed(e.GetPosition())
		if e.GetPosition() != after+1 {
			w.t.Errorf("position %d follows position %d: %v", e.GetPosition(), after, e)
		}
		after = e.GetPosition()
	}
	missed(math.MaxUint64)
	for _, l := range w.lagged {
		w.t.Logf("lagged: %+v", l)
	}
	return after
}

// follows says which events of a task may follow which.
var follows = map[string]string{
	"":                 "SUBMITTED",
	"SUBMITTED":        "READY LEASED CANCELLED EXPIRED",
	"READY":            "LEASED CANCELLED EXPIRED",
	"LEASED":           "RETURNED FAILED CANCEL_REQUESTED SUCCEEDED DEAD CANCELLED EXPIRED",
	"CANCEL_REQUESTED": "SUCCEEDED CANCELLED",
	"RETURNED":         "LEASED CANCELLED EXPIRED",
	"FAILED":           "READY LEASED CANCELLED EXPIRED",
	"SUCCEEDED":        "DELETED",
	"DEAD":             "RETRIED DELETED",
	"CANCELLED":        "DELETED",
	"EXPIRED":          "DELETED",
	"RETRIED":          "LEASED CANCELLED EXPIRED",
}

func word(e *client.Event) string { return strings.TrimPrefix(e.GetType().String(), "TYPE_") }

// stories sorts events by task and checks that each could have happened after the one before.
func (w *watching) stories(events []*client.Event) map[uint64][]*client.Event {
	t := w.t
	t.Helper()
	list := map[uint64][]*client.Event{}
	for _, e := range events {
		id, before := e.GetTaskId(), &client.Event{}
		if id == 0 {
			continue
		}
		if n := len(list[id]); n > 0 {
			before = list[id][n-1]
		}
		list[id] = append(list[id], e)
		if w.gap(before.GetPosition(), e.GetPosition()) {
			continue
		}
		was := ""
		if before.GetPosition() > 0 {
			was = word(before)
		}
		if !slices.Contains(strings.Fields(follows[was]), word(e)) {
			t.Errorf("task %d: %q after %q", id, word(e), was)
		}
		switch word(e) {
		case "LEASED":
			if e.GetToken() <= before.GetToken() {
				t.Errorf("task %d: token %d after %d", id, e.GetToken(), before.GetToken())
			}
		case "SUCCEEDED", "FAILED", "CANCEL_REQUESTED":
			if e.GetToken() == 0 || e.GetToken() != before.GetToken() {
				t.Errorf("task %d: %s of token %d, leased under %d", id, word(e), e.GetToken(), before.GetToken())
			}
		case "RETRIED":
			if e.GetGeneration() != before.GetGeneration()+1 {
				t.Errorf("task %d: generation %d after %d", id, e.GetGeneration(), before.GetGeneration())
			}
		}
	}
	return list
}

// turmoil is what the watch test does to tasks and queues.
type turmoil struct {
	t    *testing.T
	c    *coordinator
	cl   *client.Client
	gate string

	ids []uint64
}

// round does a bit of everything. down is called in its midst.
func (x *turmoil) round(down func()) {
	t, cl := x.t, x.cl
	t.Helper()
	fails := func(through int) client.Task {
		return client.Task{Kind: "fails", Payload: client.JSON(through), Retry: client.Retry{MaxAttempts: 2, Backoff: new(time.Millisecond)}}
	}
	note := client.Task{Kind: "note", Payload: client.JSON(notePayload{})}
	later := client.Task{Kind: "nobody", Queue: "side", Delay: time.Hour}
	good := submit(t, cl, slices.Concat(repeated(note, 40), repeated(fails(1), 5))...)
	dying := submit(t, cl, repeated(fails(9), 5)...)
	waits := submit(t, cl, repeated(later, 5)...)
	soon := submit(t, cl, client.Task{Kind: "note", Payload: note.Payload, Delay: 20 * time.Millisecond})
	runs := submit(t, cl, client.Task{Kind: "gated"})
	down()
	x.verb(cl.ConfigureQueue(bounded(t), "side", client.QueueSettings{Weight: new(3)}))
	pause, err := cl.Queues().Pause(bounded(t), &pb.QueueServicePauseRequest{Name: "side"})
	x.verb(pause.GetQueue(), err)
	resume, err := cl.Queues().Resume(bounded(t), &pb.QueueServiceResumeRequest{Name: "side"})
	x.verb(resume.GetQueue(), err)
	ended := slices.Concat(good, dying, soon)
	outcomes(t, cl, ended)
	inState(t, cl, client.Running, runs...)
	x.command(cl.Retry(bounded(t), dying...))
	x.command(cl.Cancel(bounded(t), slices.Concat(waits, runs)...))
	outcomes(t, cl, slices.Concat(dying, waits, runs))
	x.command(cl.Delete(bounded(t), good[:3]...))
	x.ids = slices.Concat(x.ids, good[3:], dying, waits, soon, runs)
}

func (x *turmoil) verb(_ *client.Queue, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

func (x *turmoil) command(_ []*client.TaskResult, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// TestWatchOverRestarts follows all events over kills and an orderly restart: no gap, no repeat, each task's in an order
// that makes sense, and another look at them finds the same.
func TestWatchOverRestarts(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t)
	cl := c.client()
	x := &turmoil{t: t, c: c, cl: cl, gate: filepath.Join(t.TempDir(), "gate")}
	sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 16, Prefetch: 16, Gate: x.gate}.start(t)
	c.workers(cl, 1)
	w := follow(t, cl, client.WatchFilter{})
	began := w.watch.Position()
	side := follow(t, cl, client.WatchFilter{Queues: []string{"side"}})

	x.round(func() {})
	x.round(func() { c.proc.kill(); c.start() })
	x.round(func() {
		if code := c.stop(); code != exitClean {
			t.Errorf("exit code %d", code)
		}
		c.start()
	})
	x.round(func() { c.proc.kill(); c.start(); c.proc.kill(); c.start() })
	status, err := cl.Operator().Status(bounded(t), &pb.OperatorServiceStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	last := status.GetLastPosition()
	events := w.through(last)
	side.through(last)
	w.wantWhole(began)
	x.judge(w, began, events)
	side.stop()
	side.wantPart(w, func(e *client.Event) bool { return e.GetQueue() == "side" })

	again := follow(t, cl, client.WatchFilter{After: began})
	seen := map[uint64]*client.Event{}
	for _, e := range events {
		seen[e.GetPosition()] = e
	}
	repeat := again.through(last)
	again.wantWhole(began)
	if len(repeat) == 0 {
		t.Error("another watch from the same position on finds nothing")
	}
	for _, e := range repeat {
		if was := seen[e.GetPosition()]; was.String() != e.String() {
			t.Errorf("position %d was %v, and is %v", e.GetPosition(), was, e)
		}
	}
	t.Logf("%d events, %d of them still told at the end", len(events), len(repeat))
}

// judge compares the events with what has become of the tasks.
func (x *turmoil) judge(w *watching, began uint64, events []*client.Event) {
	x.t.Helper()
	list := w.stories(events)
	words := map[string]int{}
	for _, e := range events {
		words[word(e)]++
	}
	for _, want := range []string{"READY", "FAILED", "CANCEL_REQUESTED", "DEAD", "RETRIED", "DELETED", "QUEUE_CONFIGURED",
		"QUEUE_PAUSED", "QUEUE_RESUMED", "WORKER_ATTACHED"} {
		if words[want] == 0 {
			x.t.Errorf("no event %s among %v", want, words)
		}
	}
	last := events[len(events)-1].GetPosition()
	if want := len(x.ids) + words["DELETED"]; !w.gap(began, last) && (words["SUBMITTED"] != want || len(list) != want) {
		x.t.Errorf("%d tasks were submitted, of %d are events; want %d", words["SUBMITTED"], len(list), want)
	}
	for _, id := range x.ids {
		task, story, end := get(x.t, x.cl, id), list[id], &client.Event{}
		if len(story) > 0 {
			end = story[len(story)-1]
		}
		if w.gap(end.GetPosition(), last) {
			continue
		}
		if want := strings.TrimPrefix(task.GetState().String(), "TASK_STATE_"); word(end) != want || end.GetGeneration() != task.GetGeneration() {
			x.t.Errorf("task %d is %s of generation %d, the last event is %v", id, want, task.GetGeneration(), end)
		}
	}
}

// wantPart holds that a watch has seen just those of another's events that it asked for.
func (w *watching) wantPart(of *watching, fits func(*client.Event) bool) {
	w.t.Helper()
	seen := map[uint64]bool{}
	for _, e := range w.events {
		if !fits(e) || seen[e.GetPosition()] {
			w.t.Errorf("%v wasn't asked for, or comes again", e)
		}
		seen[e.GetPosition()] = true
	}
	wanted := 0
	for _, e := range of.events {
		if fits(e) {
			wanted++
			if p := e.GetPosition(); !seen[p] && !w.gap(p-1, p+1) {
				w.t.Errorf("%v isn't told", e)
			}
		}
	}
	if wanted == 0 {
		w.t.Error("there was nothing to see")
	}
}
