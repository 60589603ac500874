package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// watcher follows a watch over as many streams as it takes and prints what they carry.
//
// Invariant: position is that up to which everything has been printed, once known is set, and req asks for what follows.
type watcher struct {
	a      *app
	c      *client.Client
	req    *yardmasterv1.TaskServiceWatchRequest
	headed bool // the headers are printed

	known    bool // a position is known, at which another stream can go on
	position uint64
	heard    bool // some stream has carried a message
	broken   bool // the last stream broke, and that has been said
	last     *client.TaskInfo
	lastRow  string // of the latest state; a repeat isn't printed
}

// errEnded says that the task that is followed has ended. It never leaves the file.
var errEnded = errors.New("the task has ended")

// endSoon is how much earlier than here a call's deadline may pass at the coordinator.
const endSoon = 100 * time.Millisecond

// run prints until ctx ends, the task that is followed ends, or no stream can be had any more.
func (w *watcher) run(ctx context.Context) error {
	w.position = w.req.GetAfterPosition()
	w.known = w.position > 0
	silent := w.a.now() // since when nothing has been heard
	for n := 0; ; n++ {
		heard, err := w.stream(ctx)
		if heard {
			n, silent = 0, w.a.now()
		}
		switch e := (*client.Error)(nil); {
		case errors.Is(err, errEnded):
			return w.ended()
		case ctx.Err() != nil:
			return w.stopped(ctx.Err())
		case aboutToEnd(ctx): // the coordinator, which knows the deadline too, was a little faster
			<-ctx.Done()
			return w.stopped(ctx.Err())
		case !errors.As(err, &e) || !again(e.Code):
			return err
		case w.a.now().Sub(silent) >= w.limit():
			return err
		case w.heard && !w.broken:
			w.broken = true
			fmt.Fprintf(w.a.stderr, "yardctl: %s: the stream broke (%s); trying again\n", watchOp(w.req), e.Message)
		}
		wait := rand.N(min(client.BackoffMin<<min(n, 10), client.BackoffMax) + 1)
		if err := w.a.pause(ctx, wait); err != nil {
			return w.stopped(err)
		}
	}
}

// aboutToEnd reports whether ctx ends by its deadline within endSoon.
func aboutToEnd(ctx context.Context) bool {
	at, ok := ctx.Deadline()
	return ok && time.Until(at) < endSoon
}

// limit is how long a coordinator is tried: not long if none has ever answered.
func (w *watcher) limit() time.Duration {
	if w.heard {
		return client.GiveUpMax
	}
	return w.a.reachTimeout
}

// again reports whether a stream that broke like this may be followed by another.
func again(code codes.Code) bool {
	return code == codes.Unavailable || code == codes.Canceled || code == codes.DeadlineExceeded
}

// stopped ends a watch by the user's wish, which is a good end, or by --timeout.
func (w *watcher) stopped(cause error) error {
	if !errors.Is(cause, context.DeadlineExceeded) {
		return nil
	}
	if w.req.GetLatestOnly() {
		return &exitError{exitTimeout, fmt.Errorf("%s: it hasn't ended after %v", watchOp(w.req), w.a.flags.timeout)}
	}
	return nil // --timeout said how long to watch
}

// ended turns the end of the task that was followed into the run's end.
func (w *watcher) ended() error {
	switch w.last.GetState() {
	case client.Succeeded:
		return nil
	case client.Dead:
		return &exitError{code: exitTaskDead}
	}
	return &exitError{code: exitTaskEnded}
}

// stream prints what one stream carries. heard tells whether it carried anything. The error is an *Error of the call,
// errEnded, or one of printing.
func (w *watcher) stream(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream, whatever way this function returns
	defer cancel()
	var from peer.Peer
	failed := func(err error) error {
		e := streamError(watchOp(w.req), err, &from)
		e.Unreached = e.Unreached && !w.heard
		return e
	}
	stream, err := w.c.Tasks().Watch(ctx, w.req, grpc.Peer(&from))
	if err != nil {
		return false, failed(err)
	}
	for {
		resp, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && w.req.GetLatestOnly() && terminal(w.last.GetState()):
			return heard, errEnded
		case errors.Is(err, io.EOF):
			return heard, &client.Error{Op: watchOp(w.req), Code: codes.Unavailable, Message: "it ended"}
		case err != nil:
			return heard, failed(err)
		}
		heard = true
		if err := w.take(resp); err != nil {
			return heard, err
		}
	}
}

func terminal(state client.TaskState) bool { return state >= client.Succeeded }

// take prints one message.
func (w *watcher) take(resp *yardmasterv1.TaskServiceWatchResponse) error {
	w.heard = true
	switch m := resp.GetMessage().(type) {
	case *yardmasterv1.TaskServiceWatchResponse_Task:
		w.broken = false
		return w.state(m.Task)
	case *yardmasterv1.TaskServiceWatchResponse_Lagged:
		w.resumed(m.Lagged.GetResumePosition())
		fmt.Fprintf(w.a.stderr, "yardctl: %s missed: they are no longer kept; going on after position %d\n",
			plural(int(m.Lagged.GetMissed()), "event was", "events were"), m.Lagged.GetResumePosition())
	case *yardmasterv1.TaskServiceWatchResponse_Events:
		w.resumed(m.Events.GetThroughPosition())
		return w.events(m.Events)
	}
	return nil
}

// resumed notes where to go on, and says so after a break. Before the first position is known there is none to go on at:
// what happened during a break is then not seen.
func (w *watcher) resumed(position uint64) {
	switch {
	case w.broken && w.known:
		fmt.Fprintf(w.a.stderr, "yardctl: %s: going on after position %d\n", watchOp(w.req), w.position)
	case w.broken:
		fmt.Fprintf(w.a.stderr, "yardctl: %s: going on; events may have been missed\n", watchOp(w.req))
	}
	w.broken, w.known = false, true
	w.position, w.req.AfterPosition = position, position
	if position == 0 {
		w.req.AfterPosition = client.WatchFromFirst // 0 would ask for those from now on
	}
}

// events prints events, one a line.
func (w *watcher) events(m *yardmasterv1.Events) error {
	if w.a.forScripts() {
		return printAll(w.a, m.GetEvents())
	}
	for _, e := range m.GetEvents() {
		task := ""
		if e.GetTaskId() != 0 {
			task = fmt.Sprint(e.GetTaskId())
		}
		if err := w.row(eventsLayout, []string{"TIME", "POSITION", "TYPE", "TASK", "QUEUE", "KIND", "WORKER", "NOTE"},
			clock(e.GetTime().AsTime()), fmt.Sprint(e.GetPosition()), eventTypeName(e.GetType()), task,
			e.GetQueue(), e.GetKind(), e.GetWorker(), eventNote(e)); err != nil {
			return err
		}
	}
	return nil
}

// Lines go out one by one, long before the widest is known: these widths keep what is usual in line.
const (
	eventsLayout = "%-12s  %-9s  %-16s  %-9s  %-14s  %-14s  %-14s  %s\n"
	stateLayout  = "%-12s  %-25s  %-8s  %-14s  %s\n"
)

// row prints a line, and the headers before the first.
func (w *watcher) row(layout string, headers []string, cells ...string) error {
	lines := [][]string{cells}
	if !w.headed {
		lines = [][]string{headers, cells}
	}
	w.headed = true
	for _, line := range lines {
		words := make([]any, len(line))
		for i, word := range line {
			words[i] = cmp.Or(word, "-")
		}
		if _, err := fmt.Fprintf(w.a.stdout, layout, words...); err != nil {
			return err
		}
	}
	return nil
}

// clock writes a time of day; who watches knows the day.
func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// eventNote is what else matters of an event.
func eventNote(e *yardmasterv1.Event) string {
	note := ""
	if e.GetAttempt() > 0 {
		note = fmt.Sprintf("attempt %d", e.GetAttempt())
	}
	if e.GetGeneration() > 1 {
		note = join(note, fmt.Sprintf("generation %d", e.GetGeneration()))
	}
	if e.GetCause() != yardmasterv1.Cause_CAUSE_UNSPECIFIED {
		note = join(note, client.CauseWord(e.GetCause()))
	}
	if e.GetProgress() != nil {
		note = join(note, progressText(e.GetProgress()))
	}
	return note
}

// join puts a comma between what there is.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// state prints the latest state of the task that is followed, if it says anything new.
func (w *watcher) state(task *client.TaskInfo) error {
	w.last = task
	cells := []string{stateText(task), attemptsText(task), task.GetLease().GetWorker(), w.a.taskNote(task)}
	if o := task.GetOutcome(); o != nil {
		cells[2] = o.GetWorker()
		if o.GetState() == client.Succeeded {
			cells[3] = resultNote(task, o)
		}
	}
	if task.GetGeneration() > 1 {
		cells[1] += fmt.Sprintf(" (generation %d)", task.GetGeneration())
	}
	row := fmt.Sprintf("%q", cells)
	if row == w.lastRow {
		return nil
	}
	w.lastRow = row
	if w.a.forScripts() {
		return w.a.print(task)
	}
	return w.row(stateLayout, []string{"TIME", "STATE", "ATTEMPTS", "WORKER", "NOTE"}, append([]string{clock(w.a.now())}, cells...)...)
}

// resultNote glances at a result, or says how long the task took.
func resultNote(task *client.TaskInfo, o *yardmasterv1.Outcome) string {
	note := glance(o.GetResult(), 60)
	if task.GetSubmitTime() != nil && o.GetFinishTime() != nil {
		note = join(note, span(o.GetFinishTime().AsTime().Sub(task.GetSubmitTime().AsTime()))+" after its submit")
	}
	return note
}
