package client_test

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func TestSubmitAllSplitsByCount(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		tasks := someTasks(2_500)
		ids, err := c.SubmitAll(t.Context(), tasks)
		if err != nil {
			t.Fatal(err)
		}
		storedOnce(t, n.fake, len(tasks))
		for i, id := range ids {
			if got := string(n.stored[id-1].GetPayload()); got != string(tasks[i].Payload) {
				t.Fatalf("id %d of task %d belongs to %s", id, i, got)
			}
		}
		if len(n.seen) != 3 {
			t.Errorf("%d requests, want 3", len(n.seen))
		}
	})
}

func TestSubmitAllSplitsByBytes(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		tasks := make([]client.Task, 10)
		for i := range tasks {
			tasks[i] = client.Task{Kind: "k", Payload: make([]byte, 1<<20)}
		}
		if _, err := c.SubmitAll(t.Context(), tasks); err != nil {
			t.Fatal(err)
		}
		if len(n.seen) != 4 {
			t.Errorf("%d requests, want 4 of at most three payloads of 1 MiB", len(n.seen))
		}
		for _, req := range n.seen {
			if size := proto.Size(req); size > 4<<20 {
				t.Errorf("a request of %d bytes", size)
			}
		}
	})
}

func TestSubmitAllOfNothing(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		if ids, err := c.SubmitAll(t.Context(), nil); err != nil || len(ids) != 0 || len(n.seen) != 0 {
			t.Errorf("ids %v, error %v, %d requests", ids, err, len(n.seen))
		}
	})
}

func TestSubmitAllBoundsWhatIsInFlight(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		release := make(chan struct{})
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error { <-release; return nil }
		ended := make(chan error)
		go func() {
			_, err := c.SubmitAll(t.Context(), someTasks(20_000))
			ended <- err
		}()
		synctest.Wait()
		if got := len(numbers(n)); got != client.RequestsInFlightMax {
			t.Errorf("%d requests in flight, want %d", got, client.RequestsInFlightMax)
		}
		close(release)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

// firstOf finds the position of a request's first task.
func firstOf(req *yardmasterv1.SubmitRequest) int {
	i, err := strconv.Atoi(strings.TrimPrefix(string(req.GetTasks()[0].GetPayload()), "p"))
	if err != nil {
		panic(err)
	}
	return i
}

func TestSubmitAllPartialFailure(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		all := make(chan struct{}) // closed once all of the first requests have arrived
		n.onSubmit = func(attempt int, req *yardmasterv1.SubmitRequest) error {
			if attempt == client.RequestsInFlightMax {
				close(all)
			}
			<-all
			switch firstOf(req) {
			case 2_000:
				return refusal(codes.InvalidArgument, "", "INVALID", 0, "tasks[7].kind")
			case 4_000:
				return status.Error(codes.Internal, "who knows")
			}
			return nil
		}
		ids, err := c.SubmitAll(t.Context(), someTasks(100_000))
		var partial *client.PartialError
		if !errors.As(err, &partial) || !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Fatalf("error %v", err)
		}
		if !reflect.DeepEqual(partial.Refused, []client.Span{{From: 2_000, To: 3_000}}) ||
			!reflect.DeepEqual(partial.Unknown, []client.Span{{From: 4_000, To: 5_000}}) {
			t.Errorf("refused %v, unknown %v", partial.Refused, partial.Unknown)
		}
		acknowledged := 0
		for i, id := range ids {
			if id != 0 {
				acknowledged++
			}
			if want := fmt.Sprintf("p%d", i); id != 0 && string(n.stored[id-1].GetPayload()) != want {
				t.Fatalf("id %d of task %d is another's", id, i)
			}
		}
		if acknowledged != partial.Stored || acknowledged != len(n.stored) {
			t.Errorf("%d ids, %d stored by the error, %d at the coordinator", acknowledged, partial.Stored, len(n.stored))
		}
		if len(n.seen) > 2*client.RequestsInFlightMax {
			t.Errorf("%d requests were sent in spite of the failure", len(n.seen))
		}
		var e *client.Error
		if !errors.As(err, &e) || e.Fields[0].Field != "tasks[2007].kind" {
			t.Errorf("error %v", err)
		}
	})
}

func TestSubmitSpecsSourceFails(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		broken := errors.New("line 3: no JSON")
		specs := func(yield func(*yardmasterv1.TaskSpec, error) bool) {
			for range 2 {
				if !yield(&yardmasterv1.TaskSpec{Kind: "k"}, nil) {
					return
				}
			}
			yield(nil, broken)
		}
		stored := 0
		err := c.SubmitSpecs(t.Context(), specs, func(first int, resp *yardmasterv1.SubmitResponse) error {
			stored += len(resp.GetTaskIds())
			return nil
		})
		if !errors.Is(err, broken) || stored != 0 || len(n.seen) != 0 {
			t.Errorf("error %v, %d stored: a request cut short by its source must not be sent", err, stored)
		}
	})
}
