package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const (
	done      = yardmasterv1.TaskResult_CODE_DONE
	requested = yardmasterv1.TaskResult_CODE_REQUESTED
	notFound  = yardmasterv1.TaskResult_CODE_NOT_FOUND
)

// fill gives the fake tasks 1 to n in these states, by turns.
func fill(n *node, count int, states ...client.TaskState) {
	for i := range count {
		n.tasks = append(n.tasks, &yardmasterv1.Task{Id: uint64(i + 1), Kind: "k", State: states[i%len(states)],
			Labels: map[string]string{"half": fmt.Sprint(i % 2)}})
	}
	n.lastTask = uint64(count)
}

func TestListFilterReachesTheCoordinator(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	var got *yardmasterv1.TaskServiceListRequest
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		fill(n, 1, client.Pending)
		n.onList = func(req *yardmasterv1.TaskServiceListRequest) { got = proto.CloneOf(req) }
		for _, err := range c.List(t.Context(), client.Filter{Queue: "q", Kind: "k", States: []client.TaskState{client.Dead},
			Labels: map[string]string{"a": "b"}, SubmittedFrom: at, SubmittedBefore: at.Add(time.Hour), Through: 9, PageSize: 5}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	if got.GetQueue() != "q" || got.GetKind() != "k" || len(got.GetStates()) != 1 || got.GetLabels()["a"] != "b" ||
		!got.GetSubmittedFrom().AsTime().Equal(at) || !got.GetSubmittedBefore().AsTime().Equal(at.Add(time.Hour)) ||
		got.GetThroughTaskId() != 9 || got.GetPageSize() != 5 {
		t.Errorf("asked for %v", got)
	}
}

// Short and empty pages are followed by others.
func TestListAndCountOverEmptyPages(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		fill(n, 20, client.Pending, client.Dead, client.Pending, client.Pending, client.Pending, client.Pending, client.Pending)
		f := client.Filter{States: []client.TaskState{client.Dead}}
		var ids []uint64
		for task, err := range c.List(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, task.GetId())
		}
		if fmt.Sprint(ids) != "[2 9 16]" {
			t.Errorf("listed %v", ids)
		}
		if count, err := c.Count(t.Context(), f); err != nil || count != 3 {
			t.Errorf("counted %d, error %v", count, err)
		}
	})
}

func TestBulk(t *testing.T) {
	type call = func(*client.Client, context.Context, client.Filter, client.BulkOptions) (*client.BulkResult, error)
	for name, c := range map[string]struct {
		call   call
		force  bool
		filter client.Filter
		codes  map[client.ResultCode]int
		left   string // states that tasks have afterwards
	}{
		"cancel": {call: (*client.Client).CancelAll, codes: map[client.ResultCode]int{done: 5, requested: 5},
			left: "map[cancelled:5 dead:5 leased:5 succeeded:5]"},
		"force": {call: (*client.Client).CancelAll, force: true, codes: map[client.ResultCode]int{done: 10},
			left: "map[cancelled:10 dead:5 succeeded:5]"},
		"retry":  {call: (*client.Client).RetryAll, codes: map[client.ResultCode]int{done: 5}, left: "map[leased:5 pending:10 succeeded:5]"},
		"delete": {call: (*client.Client).DeleteAll, codes: map[client.ResultCode]int{done: 10}, left: "map[leased:5 pending:5]"},
		"filtered": {call: (*client.Client).DeleteAll, filter: client.Filter{States: []client.TaskState{client.Dead}, Through: 10},
			codes: map[client.ResultCode]int{done: 2}, left: "map[dead:3 leased:5 pending:5 succeeded:5]"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, client.Config{}, func(t *testing.T, cl *client.Client, n *node) {
				fill(n, 20, client.Pending, client.Leased, client.Succeeded, client.Dead)
				doneLast, matchedLast := 0, 0
				result, err := c.call(cl, t.Context(), c.filter, client.BulkOptions{Force: c.force, Progress: func(done, matched int) {
					if done <= doneLast || matched < matchedLast || done > matched {
						t.Errorf("progress %d of %d after %d of %d", done, matched, doneLast, matchedLast)
					}
					doneLast, matchedLast = done, matched
				}})
				if err != nil || fmt.Sprint(result.Codes) != fmt.Sprint(c.codes) || result.Resume != nil ||
					result.Done != result.Matched || doneLast != result.Done {
					t.Errorf("result %+v, error %v, last progress %d", result, err, doneLast)
				}
				states := map[string]int{}
				for _, task := range n.tasks {
					states[client.StateWord(task.GetState())]++
				}
				if fmt.Sprint(states) != c.left {
					t.Errorf("left %v, want %v", states, c.left)
				}
			})
		})
	}
}

// What is submitted after the start is left alone, so that the walk ends.
func TestBulkLeavesLaterTasksAlone(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		fill(n, 7, client.Pending)
		n.onList = func(*yardmasterv1.TaskServiceListRequest) { // a task comes between any two pages
			n.lastTask++
			n.tasks = append(n.tasks, &yardmasterv1.Task{Id: n.lastTask, State: client.Pending})
		}
		result, err := c.CancelAll(t.Context(), client.Filter{}, client.BulkOptions{InFlight: 1})
		if err != nil || result.Done != 8 { // the first List tells the end, and the 8th came with it
			t.Errorf("result %+v, error %v", result, err)
		}
	})
}

func TestBulkResumes(t *testing.T) {
	for _, inFlight := range []int{1, 3} {
		bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
			fill(n, 20, client.Dead)
			commands := 0
			n.onCall = func(_ int, method string) error {
				if method == "Retry" {
					if commands++; commands == 3 {
						return status.Error(codes.Internal, "broken")
					}
				}
				return nil
			}
			result, err := c.RetryAll(t.Context(), client.Filter{}, client.BulkOptions{InFlight: inFlight})
			if status.Code(err) != codes.Internal || result.Resume == nil || result.Done < 6 || result.Done != 3*len(n.commands) {
				t.Fatalf("result %+v, error %v", result, err)
			}
			if want := fmt.Sprintf("retry tasks: internal: %d tasks were dealt with, then: broken", result.Done); err.Error() != want {
				t.Errorf("error reads %q, want %q", err, want)
			}
			n.onCall = nil
			before := result.Done
			result, err = c.RetryAll(t.Context(), client.Filter{}, client.BulkOptions{Resume: result.Resume})
			if err != nil || before+result.Codes[done] != 20 || result.Resume != nil {
				t.Errorf("resumed: result %+v, error %v, %d before", result, err, before)
			}
			for _, task := range n.tasks {
				if task.GetState() != client.Pending {
					t.Errorf("task %d is %v", task.GetId(), task.GetState())
				}
			}
		})
	}
}

func TestBulkRefusesWhatItCantMean(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		live := client.Filter{States: []client.TaskState{client.Pending}}
		for name, call := range map[string]func() (*client.BulkResult, error){
			"delete live": func() (*client.BulkResult, error) { return c.DeleteAll(t.Context(), live, client.BulkOptions{}) },
			"retry live":  func() (*client.BulkResult, error) { return c.RetryAll(t.Context(), live, client.BulkOptions{}) },
			"in flight": func() (*client.BulkResult, error) {
				return c.CancelAll(t.Context(), live, client.BulkOptions{InFlight: 17})
			},
			"cancel ended": func() (*client.BulkResult, error) {
				return c.CancelAll(t.Context(), client.Filter{States: []client.TaskState{client.Dead}}, client.BulkOptions{})
			},
		} {
			if result, err := call(); status.Code(err) != codes.InvalidArgument || result == nil || n.calls > 0 {
				t.Errorf("%s: result %v, error %v", name, result, err)
			}
		}
		n.tasks = []*yardmasterv1.Task{}
		if result, err := c.CancelAll(t.Context(), client.Filter{}, client.BulkOptions{}); err != nil || result.Matched != 0 {
			t.Errorf("of an empty cluster: result %v, error %v", result, err)
		}
	})
}

func TestDeleteAndTimeline(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		fill(n, 2, client.Dead)
		n.onCall = failFirst(status.Error(codes.Unavailable, "stopping"))
		results, err := c.Delete(t.Context(), 2, 3)
		if err != nil || len(results) != 2 || results[0].GetCode() != done || results[1].GetCode() != notFound || len(n.tasks) != 1 {
			t.Errorf("results %v, error %v", results, err)
		}
		line, err := c.Timeline(t.Context(), 1)
		if err != nil || line.GetTask().GetId() != 1 || len(line.GetAttempts()) != 1 {
			t.Errorf("timeline %v, error %v", line, err)
		}
		n.onCall = func(int, string) error { return refusal(codes.NotFound, "gone", "OUTCOME_NOT_RETAINED", 0) }
		if _, err := c.Timeline(t.Context(), 1); !errors.Is(err, client.ErrNotRetained) {
			t.Errorf("error %v", err)
		}
	})
}
