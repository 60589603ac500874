package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// numbers lists "number/lowest" of every attempt that arrived.
func numbers(n *node) []string {
	n.fake.mu.Lock()
	defer n.fake.mu.Unlock()
	var all []string
	for _, req := range n.seen {
		all = append(all, fmt.Sprintf("%d/%d", req.GetProducer().GetNumber(), req.GetProducer().GetLowestUnanswered()))
	}
	return all
}

func wantNumbers(t *testing.T, n *node, want ...string) {
	t.Helper()
	if got := numbers(n); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("number/lowest of the attempts: %v, want %v", got, want)
	}
}

func submitOne(t *testing.T, c *client.Client, payload string) error {
	t.Helper()
	_, err := c.Submit(t.Context(), client.Task{Kind: "k", Payload: []byte(payload)})
	return err
}

func sameProducer(n *node, i, j int) bool {
	return bytes.Equal(n.seen[i].GetProducer().GetId(), n.seen[j].GetProducer().GetId())
}

// The coordinator doesn't know a producer whose first requests it refused, so the lowest must not pass 1 before one is
// accepted.
func TestProducerSaysOneUntilAccepted(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			if attempt <= 2 {
				return refusal(codes.InvalidArgument, "no", "INVALID", 0)
			}
			return nil
		}
		for i := range 5 {
			if err := submitOne(t, c, fmt.Sprint(i)); (err != nil) != (i < 2) {
				t.Fatalf("submit %d: %v", i, err)
			}
		}
		wantNumbers(t, n, "1/1", "2/1", "3/1", "4/4", "5/5")
	})
}

func TestProducerOfRefusedRequestsIsLaidAside(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			if attempt <= client.SubmitsInFlightMax {
				return refusal(codes.InvalidArgument, "no", "INVALID", 0)
			}
			return nil
		}
		for i := range client.SubmitsInFlightMax + 1 {
			if err := submitOne(t, c, fmt.Sprint(i)); (err != nil) != (i < client.SubmitsInFlightMax) {
				t.Fatalf("submit %d: %v", i, err)
			}
		}
		got := numbers(n)
		if got[255] != "256/1" || got[256] != "1/1" || sameProducer(n, 255, 256) {
			t.Errorf("last of the old producer %s, then %s", got[255], got[256])
		}
	})
}

// A number that was given up counts as answered. The request after it moves the window past it, so that what lingers of
// it is refused.
func TestGivenUpRequestIsFencedByTheNext(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		if err := submitOne(t, c, "a"); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		lingering := make(chan error, 1)
		n.onSubmit = func(attempt int, req *yardmasterv1.SubmitRequest) error {
			if attempt == 2 {
				<-release
				_, err := n.execute(req)
				lingering <- err
				return err
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Submit(ctx, client.Task{Kind: "k", Payload: []byte("b")}); !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Fatalf("error %v", err)
		}
		if err := submitOne(t, c, "c"); err != nil {
			t.Fatal(err)
		}
		close(release)
		if err := <-lingering; status.Code(err) != codes.FailedPrecondition {
			t.Errorf("the lingering request was answered %v", err)
		}
		wantNumbers(t, n, "1/1", "2/2", "3/3")
		if len(n.stored) != 2 {
			t.Errorf("%d tasks stored, want a and c", len(n.stored))
		}
	})
}

func TestForgottenProducerIsRenewed(t *testing.T) {
	for name, cut := range map[string]bool{"at the first attempt": false, "with an attempt open": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
				if err := submitOne(t, c, "p0"); err != nil {
					t.Fatal(err)
				}
				n.forget()
				n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
					if cut && attempt == 2 {
						n.cut()
						return status.Error(codes.Unavailable, "never executed")
					}
					return nil
				}
				if err := submitOne(t, c, "p1"); err != nil {
					t.Fatal(err)
				}
				want := []string{"1/1", "2/2", "1/1"}
				if cut {
					want = []string{"1/1", "2/2", "2/2", "1/1"}
				}
				wantNumbers(t, n, want...)
				if sameProducer(n, 0, len(n.seen)-1) {
					t.Error("the producer is still the old one")
				}
				storedOnce(t, n.fake, 2)
			})
		})
	}
}

// With a lowest of 1 a window refusal can't mean a forgotten producer, so an open attempt stays open.
func TestWindowRefusalOfAnOpenFirstRequestStaysUnknown(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			if attempt == 1 {
				n.cut()
			}
			return refusal(codes.FailedPrecondition, "outside the window", "PRODUCER_WINDOW", 0)
		}
		if err := submitOne(t, c, "a"); !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Fatalf("error %v", err)
		}
		wantNumbers(t, n, "1/1", "1/1")
	})
}

func TestEndlessWindowRefusalsEnd(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error {
			return refusal(codes.FailedPrecondition, "outside the window", "PRODUCER_WINDOW", 0)
		}
		err := submitOne(t, c, "a")
		if status.Code(err) != codes.FailedPrecondition || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Fatalf("error %v", err)
		}
		if len(n.seen) != 4 {
			t.Errorf("%d attempts, want 4", len(n.seen))
		}
	})
}

func TestWindowHoldsBackThe257thSubmit(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		if err := submitOne(t, c, "first"); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			<-release
			return nil
		}
		const callers = client.SubmitsInFlightMax + 10
		failures := make(chan error, callers)
		for i := range callers {
			go func() {
				_, err := c.Submit(t.Context(), client.Task{Kind: "k", Payload: fmt.Append(nil, i)})
				failures <- err
			}()
		}
		synctest.Wait()
		if got := len(numbers(n)) - 1; got != client.SubmitsInFlightMax {
			t.Fatalf("%d submits in flight, want %d", got, client.SubmitsInFlightMax)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() {
			_, err := c.Submit(ctx, client.Task{Kind: "k"})
			gaveUp <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("a submit cancelled while it waited for the window: %v", err)
		}
		close(release)
		for range callers {
			if err := <-failures; err != nil {
				t.Error(err)
			}
		}
		for _, req := range n.seen {
			if p := req.GetProducer(); p.GetNumber()-p.GetLowestUnanswered() >= client.SubmitsInFlightMax {
				t.Errorf("number %d with lowest %d", p.GetNumber(), p.GetLowestUnanswered())
			}
		}
	})
}

// Many callers, connections that die before and after the execution, a coordinator that is down for seconds and one that
// is full: each submit that succeeds is stored once.
func TestSubmitChaos(t *testing.T) {
	rng := seeded(t)
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		const tasks = 600
		trouble := func() error {
			n.fake.mu.Lock()
			dice := rng.IntN(40)
			n.fake.mu.Unlock()
			switch dice {
			case 0:
				n.cut()
			case 1:
				return refusal(codes.ResourceExhausted, "full", "LIMIT_TASKS", time.Second)
			case 2:
				n.setDown(true)
				time.AfterFunc(2*time.Second, func() { n.setDown(false) })
			case 3:
				return status.Error(codes.Unavailable, "stopping")
			}
			return nil
		}
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error { return trouble() }
		n.afterRun = n.onSubmit
		failures := make(chan error, tasks)
		for _, task := range someTasks(tasks) {
			go func() {
				_, err := c.Submit(t.Context(), task)
				failures <- err
			}()
		}
		for range tasks {
			if err := <-failures; err != nil {
				t.Fatal(err)
			}
		}
		storedOnce(t, n.fake, tasks)
	})
}
