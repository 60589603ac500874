package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Names of the contract's types, for watchers.
type (
	// Event is something that happened to a task, queue or worker.
	Event = yardmasterv1.Event
	// EventType says what happened: yardmasterv1.Event_TYPE_SUCCEEDED and so on.
	EventType = yardmasterv1.Event_Type
)

// WatchFilter selects events; all conditions that are set must hold.
type WatchFilter struct {
	// After is the position after which to begin; 0: at the position that the cluster has when Events is first called;
	// WatchFromFirst: with the very first event. A position that isn't kept any more (100,000 events are) begins with a
	// *Lagged.
	After uint64
	// Queues: only of these, at most 100. None: of all.
	Queues []string
	// Kinds: only of tasks of these kinds, at most 100. None: of all.
	Kinds []string
	// TaskIDs: only of these tasks, at most 1,000. None: of all.
	TaskIDs []uint64
	// Types: only of these types. None: all but STARTED and PROGRESS, which must be named. Those two are told as they come
	// and never again: what happens of them while no stream is up is lost without a word.
	Types []EventType
}

// Lagged is yielded in place of events that are gone: the watcher was further behind than the coordinator keeps events.
// What it told before may be out of date; look at the tasks themselves, and go on watching.
type Lagged struct {
	Missed   uint64 // events of the whole cluster, whatever the filter
	Position uint64 // it goes on after this one
}

func (l *Lagged) Error() string {
	return fmt.Sprintf("%d events were missed; watching goes on after position %d", l.Missed, l.Position)
}

// Watch follows events. Make one with [Client.Watch].
type Watch struct {
	c        *Client
	filter   WatchFilter
	position atomic.Uint64
	placed   bool // it goes on after position, also if that is 0; owned by the loop
}

// WatchFromFirst as WatchFilter.After asks for events from the very first one on, as 0 asks for those from now on. A
// coordinator that doesn't know it takes it for a position ahead of its own, and answers Lagged with nothing missed.
const WatchFromFirst = math.MaxUint64

// Watch returns a watch that begins when its Events are read.
func (c *Client) Watch(f WatchFilter) *Watch {
	w := &Watch{c: c, filter: f, placed: f.After > 0}
	if f.After != WatchFromFirst { // else its position is 0
		w.position.Store(f.After)
	}
	return w
}

// Position is how far the watch has come: no event up to it will be yielded (again). As WatchFilter.After it lets another
// process go on where this one stopped; 0, that of a watch which has seen no event, lets it begin anew. It moves past events
// that the filter leaves out, too. It may be called at any time.
func (w *Watch) Position() uint64 { return w.position.Load() }

// Events yields events in order, each once, until ctx ends. Broken streams are resumed after the last event yielded,
// until no stream has come up for Config.GiveUp. Errors come in two kinds: a *Lagged (errors.As), after which the loop goes on, and
// any other, an *Error, which is the last thing yielded: ctx's end, INVALID_ARGUMENT, UNAVAILABLE after GiveUp. A coordinator
// with 1,000 watchers (RESOURCE_EXHAUSTED) is asked again. After a break out of the loop another call goes on from Position.
// One loop at a time.
func (w *Watch) Events(ctx context.Context) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		const op = "watch events"
		if err := w.begin(ctx); err != nil {
			yield(nil, AsError(op, err))
			return
		}
		err := w.c.follow(ctx, op, w.request, func(resp *yardmasterv1.TaskServiceWatchResponse) bool {
			switch {
			case resp.GetLagged() != nil:
				l := w.lagged(resp.GetLagged())
				return l == nil || yield(nil, l)
			case resp.GetEvents() != nil:
				for _, event := range resp.GetEvents().GetEvents() {
					w.reach(event.GetPosition())
					if !yield(event, nil) {
						return false
					}
				}
				w.reach(resp.GetEvents().GetThroughPosition())
			}
			return true
		}, nil)
		if err != nil {
			yield(nil, err)
		}
	}
}

// begin finds the position to begin after, so that a stream which breaks before its first message loses nothing.
func (w *Watch) begin(ctx context.Context) error {
	if w.placed {
		return nil
	}
	resp, err := w.c.operator.Status(ctx, &yardmasterv1.OperatorServiceStatusRequest{})
	if err != nil {
		return err
	}
	w.position.Store(resp.GetLastPosition())
	w.placed = true
	return nil
}

// lagged takes note of what is gone. Nil: nothing is, an older coordinator only says where it stands.
func (w *Watch) lagged(m *yardmasterv1.Lagged) *Lagged {
	l := &Lagged{Missed: m.GetMissed(), Position: m.GetResumePosition()}
	if w.Position() == 0 {
		l.Missed = l.Position // all that there have been
	}
	if w.Position() == 0 && l.Position == 0 {
		return nil
	}
	w.position.Store(l.Position)
	return l
}

func (w *Watch) request() *yardmasterv1.TaskServiceWatchRequest {
	f, after := w.filter, w.Position()
	if after == 0 {
		after = WatchFromFirst
	}
	return &yardmasterv1.TaskServiceWatchRequest{
		AfterPosition: after, Queues: f.Queues, Kinds: f.Kinds, TaskIds: f.TaskIDs, Types: f.Types,
	}
}

// reach moves the position on; it never goes back.
func (w *Watch) reach(position uint64) {
	if position > w.position.Load() {
		w.position.Store(position)
	}
}

// WatchTask yields a task as it is and then its latest state after each change, until it has ended: the last one is
// terminal. States that come and go while the loop is busy are skipped. Broken streams are made anew; a state that was yielded
// already isn't yielded again. An error is the last thing yielded: ErrUnknownTask, ErrNotRetained (it may have ended while no
// stream was up), ctx's end, UNAVAILABLE after Config.GiveUp.
func (c *Client) WatchTask(ctx context.Context, id uint64) iter.Seq2[*TaskInfo, error] {
	return func(yield func(*TaskInfo, error) bool) {
		var last *TaskInfo
		request := func() *yardmasterv1.TaskServiceWatchRequest {
			return &yardmasterv1.TaskServiceWatchRequest{TaskIds: []uint64{id}, LatestOnly: true}
		}
		ended := func() bool { return last.GetState() >= Succeeded }
		err := c.follow(ctx, fmt.Sprintf("watch task %d", id), request, func(resp *yardmasterv1.TaskServiceWatchResponse) bool {
			task := resp.GetTask()
			if task == nil || proto.Equal(task, last) {
				return true
			}
			last = task
			return yield(task, nil) && !ended()
		}, ended)
		if err != nil {
			yield(nil, err)
		}
	}
}

// follow reads watch streams, one after the other, until hand returns false (nil then), a stream ends where ended says that
// this is right (nil too), or no other stream shall follow.
func (c *Client) follow(ctx context.Context, op string, request func() *yardmasterv1.TaskServiceWatchRequest,
	hand func(*yardmasterv1.TaskServiceWatchResponse) bool, ended func() bool) error {
	a := c.newAttempts(op)
	for {
		begun := time.Now()
		heard, sent, err := c.followStream(ctx, request(), hand)
		if err == nil || errors.Is(err, io.EOF) && ended != nil && ended() {
			return nil
		}
		if errors.Is(err, io.EOF) {
			err = status.Error(codes.Unavailable, "the stream ended")
		}
		if heard || time.Since(begun) >= settledAfter {
			a = c.newAttempts(op)
		}
		if e := a.another(ctx, a.failed(err, sent)); e != nil {
			return e
		}
	}
}

// followStream reads one stream. It returns why that ended; nil: hand wants no more.
func (c *Client) followStream(ctx context.Context, req *yardmasterv1.TaskServiceWatchRequest,
	hand func(*yardmasterv1.TaskServiceWatchResponse) bool) (heard, sent bool, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream, whatever way this function returns
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	stream, err := c.tasks.Watch(ctx, req)
	if err != nil {
		return false, false, err // no connection
	}
	c.reached.Store(true)
	for {
		resp, err := stream.Recv()
		if err != nil {
			return heard, true, err
		}
		heard = true
		if !hand(resp) {
			return heard, true, nil
		}
	}
}
