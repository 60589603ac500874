package rpc

import (
	"context"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
)

// Bounds of watching.
const (
	WatchersMax   = 1000            // Watch calls at once; the next is refused
	WatchEvents   = 1000            // events looked at, and sent, at once
	WatchBytes    = 32 << 10        // of a message of events, about: what a watcher that doesn't read may hold
	WatchSilence  = 5 * time.Second // a watcher hears so often how far it has come
	WatchFiltered = 10_000          // likewise after so many events that it didn't want, far fewer than are kept
	WatchFlushMax = 2 * time.Second // the most that an orderly stop waits for watchers to be told the last events
	watchPace     = 5 * time.Millisecond
)

// WatchFromFirst as after_position stands for the place before the first event, since 0 stands for now: a watcher that was
// cut before there was any event goes on there. Coordinators that don't know it take it for a position ahead of theirs.
const WatchFromFirst = math.MaxUint64

// Watch streams events, or the latest state of one task. A watcher that doesn't read costs nothing but its place in the
// ring: it is held back by the stream's flow control and told what it missed when it reads again.
func (t *taskService) Watch(req *yardmasterv1.TaskServiceWatchRequest, gs grpc.ServerStreamingServer[yardmasterv1.TaskServiceWatchResponse]) error {
	f, one, err := checkWatch(req)
	if err != nil {
		return err
	}
	if t.s.watchers.Add(1) > WatchersMax {
		t.s.watchers.Add(-1)
		return refuse(codes.ResourceExhausted, ReasonLimitWatchers, retryLimit,
			limitText("watchers", WatchersMax, WatchersMax, "share one watch between readers, or end some"))
	}
	defer t.s.watchers.Add(-1)
	ctx, cancel, err := t.s.inTerm(gs.Context())
	if err != nil {
		return t.s.fail("watch", err)
	}
	defer cancel(nil)
	w := &watcher{s: t.s, ctx: ctx, gs: gs, filter: f, after: req.GetAfterPosition()}
	if f == nil {
		return t.s.beside(ctx, "watch a task", func() error { return w.latest(one) })
	}
	return t.s.beside(ctx, "watch events", w.events)
}

// watcher is one Watch.
type watcher struct {
	s      *Server
	ctx    context.Context
	gs     grpc.ServerStreamingServer[yardmasterv1.TaskServiceWatchResponse]
	filter *watchFilter

	after uint64                // events up to this position were looked at
	told  uint64                // the last through_position
	out   []*yardmasterv1.Event // wanted and not yet sent, in order
	soft  uint64                // number of the last soft event looked at
}

// chunks lends memory to read events into: a watcher that waits or is held back keeps none.
var chunks = sync.Pool{New: func() any { return &chunk{} }}

type chunk struct {
	events [WatchEvents]engine.Event
	soft   [WatchEvents]softEvent
}

// events sends what passes the filter, until the stream or the term ends. It reads at once when something happens, and then
// no sooner than watchPace later, so that what comes thick and fast is sent together.
func (w *watcher) events() error {
	if w.filter.wantsSoft() {
		after, stop := w.s.soft.watch()
		defer stop()
		w.soft = after
	}
	if err := w.begin(w.s.engine.Events().Last()); err != nil {
		return err
	}
	silence, pace := time.NewTimer(WatchSilence), time.NewTimer(watchPace)
	defer silence.Stop()
	defer pace.Stop()
	for {
		moved, softMoved, sent, err := w.catchUp()
		if err != nil {
			return err
		}
		if sent {
			silence.Reset(WatchSilence)
		}
		pace.Reset(watchPace)
		select {
		case <-moved:
		case <-softMoved:
		case <-w.s.flush:
			return w.finish()
		case <-silence.C:
			if err := w.tell(); err != nil {
				return err
			}
			silence.Reset(WatchSilence)
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
		select {
		case <-pace.C:
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
	}
}

// finish sends the last events there will be, and how far they go: after a restart those that this watcher didn't want are
// gone like all others. It returns why the stream ends.
func (w *watcher) finish() error {
	if _, _, _, err := w.catchUp(); err != nil {
		return err
	}
	if w.told < w.after {
		if err := w.tell(); err != nil {
			return err
		}
	}
	return errEnded
}

// begin finds the watcher's place and tells it: from now on, from the first event on, or after a position. A position that
// lies ahead was another cluster's, or another life's of this one before a restore: it is answered like one that isn't kept.
func (w *watcher) begin(last uint64) error {
	switch {
	case w.after == WatchFromFirst:
		w.after = 0
	case w.after > last:
		return w.lagged(0, last)
	case w.after == 0:
		w.after = last
	}
	return w.tell()
}

// catchUp reads and sends until there is nothing more, and returns the signals that there is.
func (w *watcher) catchUp() (moved, softMoved <-chan struct{}, sent bool, err error) {
	for {
		x := w.read()
		if x.missed > 0 {
			sent = true
			if err := w.lagged(x.missed, x.resume); err != nil {
				return nil, nil, sent, err
			}
		}
		w.after = x.through
		if len(w.out) > 0 || w.after-w.told >= WatchFiltered {
			sent = true
			if err := w.tell(); err != nil {
				return nil, nil, sent, err
			}
		}
		if !x.more {
			return x.moved, x.softMoved, sent, nil
		}
		if w.ctx.Err() != nil {
			return nil, nil, sent, context.Cause(w.ctx)
		}
	}
}

// reading is what one look at the rings has found, beside the events that were wanted.
type reading struct {
	through          uint64 // events up to this position were looked at,
	missed, resume   uint64 // but for so many, those up to resume
	more             bool   // there may be more at once; else the signals say when
	moved, softMoved <-chan struct{}
}

// read looks at the next events and gathers what is wanted.
func (w *watcher) read() (x reading) {
	c := chunks.Get().(*chunk)
	defer chunks.Put(c)
	var soft []softEvent
	if w.filter.wantsSoft() {
		n, through, _, moved := w.s.soft.ring.Read(w.soft, c.soft[:])
		w.soft = through - uint64(n) // those that were dropped are passed over
		soft, x.softMoved = c.soft[:n], moved
	}
	read := len(soft)
	// The log's events are read after the soft ones, so that none of these has a position that isn't there.
	n, through, missed, moved := w.s.engine.Events().Read(w.after, c.events[:])
	for i := range c.events[:n] {
		e := &c.events[i]
		soft = w.gather(soft, e.Position)
		if w.filter.passes(e) {
			w.out = append(w.out, eventProto(e))
		}
	}
	w.gather(soft, through+1)
	clear(c.events[:n]) // strings
	clear(c.soft[:read])
	x.through, x.missed, x.resume, x.moved = through, missed, through-uint64(n), moved
	x.more = n > 0 || missed > 0 || read > 0
	return x
}

// gather takes the soft events before a position; the rest is left for later.
func (w *watcher) gather(soft []softEvent, before uint64) []softEvent {
	for len(soft) > 0 && soft[0].Position < before {
		if w.filter.passes(&soft[0].Event) {
			w.out = append(w.out, softProto(&soft[0]))
		}
		soft = soft[1:]
		w.soft++
	}
	return soft
}

// fitting is how many of some events go into one message.
func fitting(list []*yardmasterv1.Event) int {
	bytes := 0
	for i, e := range list {
		if bytes += eventBytes(e); bytes > WatchBytes && i > 0 || i == WatchEvents {
			return i
		}
	}
	return len(list)
}

// eventBytes is at least what an event takes in a message, and little more, at a fraction of what proto.Size costs.
func eventBytes(e *yardmasterv1.Event) int {
	const (
		time     = 2 + 6 + 6                // tag and length, seconds, nanoseconds
		rest     = 4 + time + 3*2 + 6 + 2*2 // tag and length; those of names; tags of numbers; type and cause
		progress = 3 + 3 + 3 + time         // tag and length, permille, those of the message
	)
	n := rest + len(e.GetQueue()) + len(e.GetKind()) + len(e.GetWorker())
	for _, number := range [...]uint64{
		e.GetPosition(), e.GetTaskId(), e.GetSessionId(), e.GetToken(), uint64(e.GetAttempt()), uint64(e.GetGeneration()),
	} {
		n += protowire.SizeVarint(number)
	}
	if p := e.GetProgress(); p != nil {
		n += progress + len(p.GetMessage())
	}
	return n
}

// tell sends what was gathered, and how far the watcher has come.
func (w *watcher) tell() error {
	for {
		m := &yardmasterv1.Events{Events: w.out, ThroughPosition: w.after}
		if n := fitting(w.out); n < len(w.out) {
			m.Events, w.out = w.out[:n], w.out[n:]
			m.ThroughPosition = m.Events[n-1].GetPosition()
		} else {
			w.out = nil
		}
		err := w.gs.Send(&yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Events{Events: m}})
		if err != nil {
			return broken(w.ctx, err)
		}
		w.told = m.ThroughPosition
		if w.out == nil {
			return nil
		}
	}
}

// lagged tells what is gone, and where the watcher goes on.
func (w *watcher) lagged(missed, resume uint64) error {
	w.after, w.told = resume, resume
	err := w.gs.Send(&yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Lagged{
		Lagged: &yardmasterv1.Lagged{Missed: missed, ResumePosition: resume}}})
	if err != nil {
		return broken(w.ctx, err)
	}
	return nil
}
