package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// same fails unless all attempts seen carried one producer and number, and equal bodies.
func same(t *testing.T, seen []*yardmasterv1.SubmitRequest) {
	t.Helper()
	for _, req := range seen {
		if !proto.Equal(req, seen[0]) {
			t.Fatalf("attempts differ:\n%v\n%v", seen[0], req)
		}
	}
}

func TestSubmitCarriesEveryOption(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
		id, err := c.Submit(t.Context(), client.Task{
			Kind: "hash", Queue: "files", Payload: client.JSON(map[string]int{"n": 1}), Priority: -3, Weight: 2,
			NotBefore: at, Delay: time.Second, StartBy: at, Deadline: at, AttemptTimeout: new(time.Duration(0)),
			Retry:  client.Retry{MaxAttempts: 4, MaxWorkerLosses: 5, Backoff: new(time.Second), Factor: 3, BackoffMax: new(time.Hour)},
			Labels: map[string]string{"a": "b"}, Require: map[string]string{"c": "d"},
			Retention: new(time.Duration(0)), DeadRetention: new(time.Minute), Key: "once",
		})
		if err != nil || id != 1 {
			t.Fatalf("id %d, error %v", id, err)
		}
		const want = `{"kind":"hash","queue":"files","payload":"eyJuIjoxfQ==","priority":-3,"weight":2,
			"notBefore":"2030-01-02T03:04:05Z","delay":"1s","startBy":"2030-01-02T03:04:05Z","deadline":"2030-01-02T03:04:05Z",
			"attemptTimeout":"0s","retry":{"maxAttempts":4,"maxWorkerLosses":5,"backoff":"1s","backoffFactor":3,"backoffMax":"3600s"},
			"labels":{"a":"b"},"require":{"c":"d"},"retention":"0s","deadRetention":"60s","idempotencyKey":"once"}`
		var spec yardmasterv1.TaskSpec
		if err := protojson.Unmarshal([]byte(want), &spec); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(n.stored[0], &spec) {
			t.Errorf("stored %v\nwant   %v", n.stored[0], &spec)
		}
		if p := n.seen[0].GetProducer(); len(p.GetId()) != 16 || p.GetNumber() != 1 || p.GetLowestUnanswered() != 1 {
			t.Errorf("producer %v", p)
		}
	})
}

func TestNumbersOutOfRangeReachTheCoordinatorOutOfRange(t *testing.T) {
	task := client.Task{Priority: 1 << 40, Weight: -1, Retry: client.Retry{MaxAttempts: -5, Factor: 1 << 40}}
	spec := task.Spec()
	if spec.GetPriority() != 1<<31-1 || spec.GetWeight() != 1<<32-1 ||
		spec.GetRetry().GetMaxAttempts() != 1<<32-1 || spec.GetRetry().GetBackoffFactor() != 1<<32-1 {
		t.Errorf("a number came out within its limits: %v", spec)
	}
}

// The coordinator executes, the connection dies before the answer: the repeat must be the same request.
func TestSubmitLostAnswerIsStoredOnce(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.afterRun = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			if attempt <= 3 {
				n.cut()
				return status.Error(codes.Internal, "never arrives")
			}
			return nil
		}
		id, err := c.Submit(t.Context(), someTasks(1)[0])
		if err != nil || id != 1 {
			t.Fatalf("id %d, error %v", id, err)
		}
		if len(n.seen) != 4 {
			t.Errorf("%d attempts arrived, want 4", len(n.seen))
		}
		same(t, n.seen)
		storedOnce(t, n.fake, 1)
	})
}

func TestSubmitWaitsForTheCoordinatorToComeUp(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.setDown(true)
		time.AfterFunc(20*time.Second, func() { n.setDown(false) })
		if _, err := c.Submit(t.Context(), someTasks(1)[0]); err != nil {
			t.Fatal(err)
		}
		storedOnce(t, n.fake, 1)
	})
}

func TestSubmitNeverSentIsKnownNotStored(t *testing.T) {
	bubble(t, client.Config{ReachTimeout: 2 * time.Second}, func(t *testing.T, c *client.Client, n *node) {
		n.setDown(true)
		start := time.Now()
		_, err := c.Submit(t.Context(), someTasks(1)[0])
		var e *client.Error
		if !errors.As(err, &e) || !e.Unreached || e.OutcomeUnknown || e.Code != codes.Unavailable {
			t.Fatalf("error %#v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("gave up after %v, ReachTimeout is 2s", took)
		}
		if text := err.Error(); !strings.HasPrefix(text, "submit 1 task: unavailable: connection refused (") {
			t.Errorf("error reads %q", text)
		}
	})
}

func TestSubmitGivesUpAfterFiveMinutes(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error { return status.Error(codes.Unavailable, "stopping") }
		start := time.Now()
		_, err := c.Submit(t.Context(), someTasks(1)[0])
		if !errors.Is(err, client.ErrOutcomeUnknown) || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		if took := time.Since(start); took < 4*time.Minute+50*time.Second || took > 5*time.Minute {
			t.Errorf("gave up after %v", took)
		}
		same(t, n.seen)
	})
}

func TestSubmitHangingAttemptEndsUnknown(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		release := make(chan struct{})
		defer close(release)
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error { <-release; return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Submit(ctx, someTasks(1)[0])
		if !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		const want = "submit 1 task: the tasks may or may not be stored: context deadline exceeded"
		if err.Error() != want {
			t.Errorf("error reads %q, want %q", err, want)
		}
	})
}

func TestSubmitAtTheVeryEndOfFiveMinutesEndsUnknown(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		release := make(chan struct{})
		defer close(release)
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error { <-release; return nil }
		if _, err := c.Submit(t.Context(), someTasks(1)[0]); !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Fatalf("error %v", err)
		}
	})
}

func TestSubmitCloseEndsUnknown(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		release := make(chan struct{})
		defer close(release)
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error { <-release; return nil }
		failed := make(chan error)
		go func() {
			_, err := c.Submit(t.Context(), someTasks(1)[0])
			failed <- err
		}()
		synctest.Wait()
		c.Close()
		if err := <-failed; !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, client.ErrClosed) {
			t.Fatalf("error %v", err)
		}
		if _, err := c.Submit(t.Context(), someTasks(1)[0]); !errors.Is(err, client.ErrClosed) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Fatalf("after Close: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Fatalf("second Close: %v", err)
		}
	})
}

func TestSubmitFullWaitsAsTold(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			if attempt == 1 {
				return refusal(codes.ResourceExhausted, "the queue is full", "LIMIT_DEPTH", 10*time.Second)
			}
			return nil
		}
		start := time.Now()
		if _, err := c.Submit(t.Context(), someTasks(1)[0]); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("came back after %v, was told 10s", took)
		}
		same(t, n.seen)
	})
}

func TestSubmitFullBeyondTheDeadlineFailsAtOnce(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error {
			return refusal(codes.ResourceExhausted, "the queue is full", "LIMIT_DEPTH", 10*time.Second)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Submit(ctx, someTasks(1)[0])
		if errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		var e *client.Error
		if !errors.As(err, &e) || e.RetryAfter != 10*time.Second || e.Reason != "LIMIT_DEPTH" {
			t.Errorf("error %#v", e)
		}
	})
}

// An answer lost, then only refusals that say nothing of the first attempt: its fate stays open.
func TestSubmitOpenAttemptSurvivesLaterRefusals(t *testing.T) {
	for code, unknown := range map[codes.Code]bool{
		codes.ResourceExhausted: true,
		codes.PermissionDenied:  true,
		codes.Internal:          true,
		codes.InvalidArgument:   false, // would have met the first attempt too
		codes.AlreadyExists:     false, // decided after the look at the producer's answers
	} {
		t.Run(code.String(), func(t *testing.T) {
			bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
				n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
					if attempt == 1 {
						n.cut()
					}
					return status.Error(code, "no")
				}
				_, err := c.Submit(t.Context(), someTasks(1)[0])
				if got := errors.Is(err, client.ErrOutcomeUnknown); got != unknown || err == nil {
					t.Errorf("unknown is %v, want %v: %v", got, unknown, err)
				}
				if len(n.seen) != 2 {
					t.Errorf("%d attempts arrived, want 2", len(n.seen))
				}
			})
		})
	}
}

func TestSubmitFieldViolations(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error {
			return refusal(codes.InvalidArgument, "bad request", "INVALID", 0, "tasks[0].kind", "tasks[0].weight")
		}
		_, err := c.Submit(t.Context(), client.Task{})
		var e *client.Error
		if !errors.As(err, &e) || len(e.Fields) != 2 || e.Fields[1].Field != "tasks[0].weight" || e.OutcomeUnknown {
			t.Fatalf("error %#v", err)
		}
		const want = "submit 1 task: invalid argument: bad request; tasks[0].kind: is at fault; tasks[0].weight: is at fault"
		if err.Error() != want {
			t.Errorf("error reads %q, want %q", err, want)
		}
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("as a status it is %v", status.Code(err))
		}
	})
}

// A coordinator that isn't the leader says that it has proposed nothing: the tasks are not stored.
func TestSubmitToFollowersOnlyIsKnownNotStored(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error {
			return refusal(codes.Unavailable, "this coordinator isn't the leader", "NOT_LEADER", time.Second)
		}
		_, err := c.Submit(t.Context(), someTasks(1)[0])
		if status.Code(err) != codes.Unavailable || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("error %v", err)
		}
	})
}
