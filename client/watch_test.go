package client_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// events makes a message with events at these positions.
func events(through uint64, positions ...uint64) *yardmasterv1.TaskServiceWatchResponse {
	list := &yardmasterv1.Events{ThroughPosition: through}
	for _, p := range positions {
		list.Events = append(list.Events, &yardmasterv1.Event{Position: p, Type: yardmasterv1.Event_TYPE_SUBMITTED})
	}
	return &yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Events{Events: list}}
}

func lagged(missed, resume uint64) *yardmasterv1.TaskServiceWatchResponse {
	return &yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Lagged{
		Lagged: &yardmasterv1.Lagged{Missed: missed, ResumePosition: resume}}}
}

func taskNow(state client.TaskState, attempts uint32) *yardmasterv1.TaskServiceWatchResponse {
	return &yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Task{
		Task: &yardmasterv1.Task{Id: 7, State: state, Attempts: attempts}}}
}

func sendAll(stream watchStream, all ...*yardmasterv1.TaskServiceWatchResponse) error {
	for _, resp := range all {
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
	return nil
}

func TestWatchResumesAfterTheLastEvent(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.operator.lastPosition = 40
		n.onWatch = func(nth int, req *yardmasterv1.TaskServiceWatchRequest, stream watchStream) error {
			switch nth {
			case 1: // breaks before its first word
				return status.Error(codes.Unavailable, "stopping")
			case 2:
				if err := sendAll(stream, events(43, 41, 43), events(50)); err != nil {
					return err
				}
				return nil // the proto knows no end without an error; a proxy might
			case 3:
				return errors.Join(sendAll(stream, lagged(1_000, 1_050), events(1_052, 1_051, 1_052)), status.Error(codes.Unavailable, "cut"))
			case 4:
				if err := sendAll(stream, events(1_053, 1_053)); err != nil {
					return err
				}
				<-stream.Context().Done()
			}
			return status.Error(codes.Unavailable, "ended")
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := c.Watch(client.WatchFilter{Queues: []string{"q"}, Kinds: []string{"k"}, TaskIDs: []uint64{5},
			Types: []client.EventType{yardmasterv1.Event_TYPE_SUBMITTED}})
		var told []string
		for event, err := range w.Events(ctx) {
			var l *client.Lagged
			switch {
			case errors.As(err, &l):
				told = append(told, fmt.Sprintf("missed %d through %d", l.Missed, l.Position))
			case err != nil:
				told = append(told, fmt.Sprint(errors.Is(err, context.Canceled)))
			default:
				told = append(told, fmt.Sprint(event.GetPosition()))
				if event.GetPosition() == 1_053 {
					cancel()
				}
			}
		}
		if got, want := fmt.Sprint(told), "[41 43 missed 1000 through 1050 1051 1052 1053 true]"; got != want {
			t.Errorf("told %v, want %v", got, want)
		}
		var after []uint64
		for _, req := range n.watched {
			after = append(after, req.GetAfterPosition())
		}
		if fmt.Sprint(after) != "[40 40 50 1052]" {
			t.Errorf("streams began after %v", after)
		}
		want := &yardmasterv1.TaskServiceWatchRequest{AfterPosition: 40, Queues: []string{"q"}, Kinds: []string{"k"},
			TaskIds: []uint64{5}, Types: []client.EventType{yardmasterv1.Event_TYPE_SUBMITTED}}
		if !proto.Equal(n.watched[0], want) {
			t.Errorf("asked for %v, want %v", n.watched[0], want)
		}
	})
}

// A watch begun on a cluster without any event, and cut before the first, has its place before it: 0 would ask for a new one.
func TestWatchBegunBeforeTheFirstEvent(t *testing.T) {
	for name, c := range map[string]struct {
		second []*yardmasterv1.TaskServiceWatchResponse // of a coordinator that has had events 1 to 3 meanwhile
		want   string
	}{
		"whole": {[]*yardmasterv1.TaskServiceWatchResponse{events(0), events(3, 1, 2, 3)}, "[1 2 3]"},
		// One that is older takes the place for one ahead of it, and knows no better than to count nothing as missed.
		"older": {[]*yardmasterv1.TaskServiceWatchResponse{lagged(0, 2), events(3, 3)}, "[missed 2 through 2 3]"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, client.Config{}, func(t *testing.T, cl *client.Client, n *node) {
				n.onWatch = func(nth int, _ *yardmasterv1.TaskServiceWatchRequest, stream watchStream) error {
					switch nth {
					case 1:
						return errors.Join(sendAll(stream, events(0)), status.Error(codes.Unavailable, "cut"))
					case 2: // an older one again, still without events
						return errors.Join(sendAll(stream, lagged(0, 0)), status.Error(codes.Unavailable, "cut"))
					}
					if err := sendAll(stream, c.second...); err != nil {
						return err
					}
					<-stream.Context().Done()
					return nil
				}
				var told []string
				w := cl.Watch(client.WatchFilter{})
				for event, err := range w.Events(t.Context()) {
					var l *client.Lagged
					if errors.As(err, &l) {
						told = append(told, fmt.Sprintf("missed %d through %d", l.Missed, l.Position))
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					if told = append(told, fmt.Sprint(event.GetPosition())); event.GetPosition() == 3 {
						break
					}
				}
				if got := fmt.Sprint(told); got != c.want {
					t.Errorf("told %s, want %s", got, c.want)
				}
				for i, req := range n.watched {
					if req.GetAfterPosition() != math.MaxUint64 {
						t.Errorf("stream %d began after %d", i+1, req.GetAfterPosition())
					}
				}
				if w.Position() != 3 || n.calls != 1 {
					t.Errorf("position %d, %d other calls", w.Position(), n.calls)
				}
			})
		})
	}
}

// A loop that was left goes on with the event after the last one it was handed.
func TestWatchGoesOnAfterBreak(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onWatch = func(_ int, req *yardmasterv1.TaskServiceWatchRequest, stream watchStream) error {
			for p := req.GetAfterPosition() + 1; p < 10; p++ {
				if err := sendAll(stream, events(p+1, p, p+1)); err != nil {
					return err
				}
			}
			<-stream.Context().Done()
			return nil
		}
		w := c.Watch(client.WatchFilter{After: 3})
		for range 2 {
			for event, err := range w.Events(t.Context()) {
				if err != nil || event.GetPosition() != w.Position() {
					t.Fatalf("event %v, error %v, position %d", event, err, w.Position())
				}
				break
			}
		}
		if w.Position() != 5 || n.watched[1].GetAfterPosition() != 4 || n.calls != 0 {
			t.Errorf("at position %d; the second loop began after %d; %d other calls", w.Position(), n.watched[1].GetAfterPosition(), n.calls)
		}
	})
}

func TestWatchErrors(t *testing.T) {
	bubble(t, client.Config{GiveUp: 20 * time.Second}, func(t *testing.T, c *client.Client, n *node) {
		for code, wantStreams := range map[codes.Code]int{codes.InvalidArgument: 1, codes.ResourceExhausted: 2} {
			n.watched = nil
			n.onWatch = func(nth int, _ *yardmasterv1.TaskServiceWatchRequest, _ watchStream) error {
				if nth == 2 {
					return status.Error(codes.Internal, "broken")
				}
				return refusal(code, "no", "NO", map[codes.Code]time.Duration{codes.ResourceExhausted: time.Second}[code])
			}
			failures := 0
			for _, err := range c.Watch(client.WatchFilter{After: 1}).Events(t.Context()) {
				if err == nil {
					t.Fatal("an event from nowhere")
				}
				failures++
			}
			if failures != 1 || len(n.watched) != wantStreams {
				t.Errorf("%v: %d errors from %d streams", code, failures, len(n.watched))
			}
		}
		n.setDown(true)
		start := time.Now()
		for _, err := range c.Watch(client.WatchFilter{After: 1}).Events(t.Context()) {
			if status.Code(err) != codes.Unavailable || time.Since(start) > 20*time.Second {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		}
	})
}

func TestWatchTask(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onWatch = func(nth int, req *yardmasterv1.TaskServiceWatchRequest, stream watchStream) error {
			if !req.GetLatestOnly() || fmt.Sprint(req.GetTaskIds()) != "[7]" {
				t.Errorf("asked for %v", req)
			}
			if nth == 1 {
				return errors.Join(sendAll(stream, taskNow(client.Pending, 0), taskNow(client.Leased, 0)), status.Error(codes.Unavailable, "cut"))
			}
			return sendAll(stream, taskNow(client.Leased, 0), taskNow(client.Pending, 1), taskNow(client.Succeeded, 2))
		}
		var states []string
		for task, err := range c.WatchTask(t.Context(), 7) {
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, client.StateWord(task.GetState()))
		}
		if fmt.Sprint(states) != "[pending leased pending succeeded]" {
			t.Errorf("states %v", states)
		}
		n.onWatch = func(int, *yardmasterv1.TaskServiceWatchRequest, watchStream) error {
			return refusal(codes.NotFound, "no such task", "TASK_UNKNOWN", 0)
		}
		for _, err := range c.WatchTask(t.Context(), 7) {
			if !errors.Is(err, client.ErrUnknownTask) {
				t.Errorf("error %v", err)
			}
		}
	})
}
