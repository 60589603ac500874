package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// The coordinator executes, the connection dies before the answers: the repeats carry the same numbers, in order.
func TestSubmitterRepeatsUnansweredInOrder(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		s := newSubmitter(t, c, client.SubmitterConfig{InFlight: 4})
		hold := make(chan struct{})
		n.afterRun = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			if attempt == 1 {
				<-hold
				n.cut()
				return status.Error(codes.Unavailable, "never arrives")
			}
			return nil
		}
		tasks := someTasks(4)
		var ends []func() ([]uint64, []error)
		for i := range tasks { // one request each
			ends = append(ends, submits(t.Context(), s, tasks[i:i+1]))
			synctest.Wait()
		}
		close(hold)
		for i, end := range ends {
			ids, errs := end()
			matches(t, n, tasks[i:i+1], ids, errs)
		}
		storedOnce(t, n.fake, 4)
		wantNumbers(t, n, "1/1", "1/1", "2/1", "3/1", "4/1")
		if n.streams != 2 {
			t.Errorf("%d streams, want 2", n.streams)
		}
		closeSubmitter(t, s)
	})
}

func TestSubmitterContextEnds(t *testing.T) {
	submitting(t, client.SubmitterConfig{InFlight: 1}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
		release := make(chan struct{})
		n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			if attempt == 1 {
				<-release
			}
			return nil
		}
		tasks := someTasks(4)
		ctx, cancel := context.WithCancel(t.Context())
		flying := submits(ctx, s, tasks[:1])
		synctest.Wait()
		waiting := submits(ctx, s, tasks[1:3])
		staying := submits(t.Context(), s, tasks[3:])
		synctest.Wait()
		cancel()
		if _, errs := flying(); !errors.Is(errs[0], client.ErrOutcomeUnknown) || !errors.Is(errs[0], context.Canceled) {
			t.Errorf("in flight: %v", errs[0])
		}
		_, errs := waiting()
		for _, err := range errs {
			var e *client.Error
			if !errors.As(err, &e) || e.OutcomeUnknown || !e.Unreached || !errors.Is(err, context.Canceled) {
				t.Errorf("waiting: %v", err)
			}
		}
		close(release)
		if ids, errs := staying(); errs[0] != nil || ids[0] != 2 {
			t.Errorf("beside those given up: ids %v, errors %v", ids, errs)
		}
		if len(n.stored) != 2 { // the one in flight, and the one that stayed
			t.Errorf("%d tasks stored, want 2", len(n.stored))
		}
		if _, err := s.Submit(ctx, tasks[1]); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}

func TestSubmitterWaitingIsBounded(t *testing.T) {
	for name, cfg := range map[string]client.SubmitterConfig{
		"tasks": {InFlight: 1, WaitingTasks: 10},
		"bytes": {InFlight: 1, WaitingBytes: 10 * 111}, // of 100 bytes of payload
	} {
		t.Run(name, func(t *testing.T) {
			submitting(t, cfg, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
				release := make(chan struct{})
				n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
					if attempt == 1 {
						<-release
					}
					return nil
				}
				tasks := make([]client.Task, 31)
				for i := range tasks {
					tasks[i] = client.Task{Kind: "k", Payload: fmt.Appendf(nil, "%0100d", i)}
				}
				first := submits(t.Context(), s, tasks[:1])
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				rest := submits(ctx, s, tasks[1:]) // 10 wait in the Submitter, 20 for room
				synctest.Wait()
				brief, cancel2 := context.WithTimeout(t.Context(), time.Second)
				defer cancel2()
				err := s.SubmitFunc(brief, tasks[0], func(uint64, error) { t.Error("told of a task that wasn't taken in") })
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrOutcomeUnknown) {
					t.Errorf("beyond the bound: %v", err)
				}
				close(release)
				ids, errs := first()
				moreIDs, moreErrs := rest()
				matches(t, n, tasks, append(ids, moreIDs...), append(errs, moreErrs...))
				storedOnce(t, n.fake, 31)
				for _, req := range n.seen {
					if len(req.GetTasks()) > 10 {
						t.Errorf("a request of %d tasks, of which 10 may wait", len(req.GetTasks()))
					}
				}
			})
		})
	}
}

// A producer that the coordinator has forgotten is replaced, on a stream of its own.
func TestSubmitterOfAForgottenProducer(t *testing.T) {
	submitting(t, client.SubmitterConfig{}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
		tasks := someTasks(3)
		for i := range tasks[:2] {
			if _, err := s.Submit(t.Context(), tasks[i]); err != nil {
				t.Fatal(err)
			}
		}
		n.forget()
		if _, err := s.Submit(t.Context(), tasks[2]); err != nil {
			t.Fatal(err)
		}
		storedOnce(t, n.fake, 3)
		wantNumbers(t, n, "1/1", "2/2", "3/3", "1/1")
		if sameProducer(n, 2, 3) {
			t.Error("a forgotten producer goes on")
		}
		if want := 2; !n.noStream && n.streams != want {
			t.Errorf("%d streams, want %d", n.streams, want)
		}
	})
}

// A request that may have been carried out keeps its number, though a refusal says that it isn't stored yet: a copy of it
// may still be on its way.
func TestSubmitterOpenRequestKeepsItsNumber(t *testing.T) {
	submitting(t, client.SubmitterConfig{}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
		n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			switch attempt {
			case 1:
				n.cut()
				return status.Error(codes.Unavailable, "never arrives")
			case 2:
				return refusal(codes.ResourceExhausted, "the queue is full", "LIMIT_QUEUE_DEPTH", 10*time.Second)
			}
			return nil
		}
		start := time.Now()
		if _, err := s.Submit(t.Context(), someTasks(1)[0]); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("took %v, was told to wait 10s", took)
		}
		wantNumbers(t, n, "1/1", "1/1", "1/1")
		storedOnce(t, n.fake, 1)
	})
}

func TestSubmitterGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		script  func(n *node) func(int, *yardmasterv1.SubmitRequest) error
		unknown bool
	}{
		"broken again and again": {func(*node) func(int, *yardmasterv1.SubmitRequest) error {
			return func(int, *yardmasterv1.SubmitRequest) error { return status.Error(codes.Unavailable, "stopping") }
		}, true},
		"silent": {func(n *node) func(int, *yardmasterv1.SubmitRequest) error {
			return func(int, *yardmasterv1.SubmitRequest) error { <-n.gone; return nil }
		}, true},
		"full": {func(*node) func(int, *yardmasterv1.SubmitRequest) error {
			return func(int, *yardmasterv1.SubmitRequest) error {
				return refusal(codes.ResourceExhausted, "full", "LIMIT_TASKS", time.Second)
			}
		}, false},
		"refused": {func(*node) func(int, *yardmasterv1.SubmitRequest) error {
			return func(int, *yardmasterv1.SubmitRequest) error { return status.Error(codes.PermissionDenied, "no") }
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			submitting(t, client.SubmitterConfig{}, func(t *testing.T, cl *client.Client, n *node, s *client.Submitter) {
				defer close(n.gone)
				n.onSubmit = c.script(n)
				start := time.Now()
				_, err := s.Submit(t.Context(), someTasks(1)[0])
				if err == nil || errors.Is(err, client.ErrOutcomeUnknown) != c.unknown {
					t.Errorf("error %v", err)
				}
				if took := time.Since(start); name == "refused" && took > time.Second || took > 5*time.Minute+time.Second ||
					name != "refused" && took < 4*time.Minute+50*time.Second {
					t.Errorf("gave up after %v", took)
				}
			})
		})
	}
}

func TestSubmitterNeverReached(t *testing.T) {
	bubble(t, client.Config{ReachTimeout: 2 * time.Second}, func(t *testing.T, c *client.Client, n *node) {
		n.setDown(true)
		s := newSubmitter(t, c, client.SubmitterConfig{})
		_, errs := submits(t.Context(), s, someTasks(3))()
		for _, err := range errs {
			var e *client.Error
			if !errors.As(err, &e) || !e.Unreached || e.OutcomeUnknown || e.Code != codes.Unavailable {
				t.Errorf("error %v", err)
			}
		}
		n.setDown(false) // it goes on with what comes later
		<-time.After(2 * client.ReconnectMax)
		if _, err := s.Submit(t.Context(), someTasks(1)[0]); err != nil {
			t.Error(err)
		}
		closeSubmitter(t, s)
	})
}

func TestSubmitterClose(t *testing.T) {
	submitting(t, client.SubmitterConfig{InFlight: 1}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
		release := make(chan struct{})
		n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			if attempt == 2 {
				<-release
			}
			return nil
		}
		if _, err := s.Submit(t.Context(), client.Task{Kind: "k"}); err != nil {
			t.Fatal(err)
		}
		tasks := someTasks(3)
		flying := submits(t.Context(), s, tasks[:1])
		synctest.Wait()
		waiting := submits(t.Context(), s, tasks[1:])
		synctest.Wait()
		var closing sync.WaitGroup
		closing.Go(func() {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if _, err := s.Submit(t.Context(), tasks[0]); !errors.Is(err, client.ErrClosed) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("after Close: %v", err)
		}
		close(release)
		closing.Wait()
		for _, end := range []func() ([]uint64, []error){flying, waiting} {
			if _, errs := end(); errors.Join(errs...) != nil {
				t.Errorf("what Close flushed: %v", errs)
			}
		}
		if len(n.stored) != 4 {
			t.Errorf("%d tasks stored, want 4", len(n.stored))
		}
	})
}

func TestSubmitterCloseCutShort(t *testing.T) {
	for _, byClient := range []bool{false, true} {
		submitting(t, client.SubmitterConfig{InFlight: 1}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
			defer close(n.gone)
			n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error { <-n.gone; return nil }
			tasks := someTasks(2)
			flying := submits(t.Context(), s, tasks[:1])
			synctest.Wait()
			waiting := submits(t.Context(), s, tasks[1:])
			synctest.Wait()
			if byClient {
				c.Close()
			} else {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Close: %v", err)
				}
			}
			if _, errs := flying(); !errors.Is(errs[0], client.ErrOutcomeUnknown) || !errors.Is(errs[0], client.ErrClosed) {
				t.Errorf("in flight: %v", errs[0])
			}
			if _, errs := waiting(); errors.Is(errs[0], client.ErrOutcomeUnknown) || !errors.Is(errs[0], client.ErrClosed) {
				t.Errorf("waiting: %v", errs[0])
			}
		})
	}
}

func TestSubmitFunc(t *testing.T) {
	submitting(t, client.SubmitterConfig{InFlight: 1}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
		release := make(chan struct{})
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error { <-release; return nil }
		tasks := someTasks(1_500)
		ids, errs := make([]uint64, len(tasks)), make([]error, len(tasks))
		var told sync.WaitGroup
		told.Add(len(tasks))
		for i, task := range tasks {
			err := s.SubmitFunc(context.Background(), task, func(id uint64, err error) {
				ids[i], errs[i] = id, err
				told.Done()
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		given := make(chan error, 2) // a second word would be one too many
		if err := s.SubmitFunc(ctx, client.Task{Kind: "never"}, func(_ uint64, err error) { given <- err }); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-given; !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("given up while it waited: %v", err)
		}
		close(release)
		told.Wait()
		matches(t, n, tasks, ids, errs)
		storedOnce(t, n.fake, len(tasks))
		for i := 1; i < len(ids); i++ {
			if ids[i] != ids[i-1]+1 {
				t.Fatalf("tasks %d and %d of one goroutine have the ids %d and %d", i-1, i, ids[i-1], ids[i])
			}
		}
		if len(given) > 0 {
			t.Error("told twice")
		}
	})
}
