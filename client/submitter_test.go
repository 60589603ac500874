package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// submits starts a Submit of each task and returns a function that waits for all ends.
func submits(ctx context.Context, s *client.Submitter, tasks []client.Task) func() ([]uint64, []error) {
	ids, errs := make([]uint64, len(tasks)), make([]error, len(tasks))
	var wg sync.WaitGroup
	for i := range tasks {
		wg.Go(func() { ids[i], errs[i] = s.Submit(ctx, tasks[i]) })
	}
	return func() ([]uint64, []error) {
		wg.Wait()
		return ids, errs
	}
}

// submitting runs a test with a Submitter, on streams and by unary calls.
func submitting(t *testing.T, cfg client.SubmitterConfig, test func(t *testing.T, c *client.Client, n *node, s *client.Submitter)) {
	t.Helper()
	for _, unary := range []bool{false, true} {
		t.Run(map[bool]string{false: "stream", true: "unary"}[unary], func(t *testing.T) {
			bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
				n.noStream = unary
				s := newSubmitter(t, c, cfg)
				test(t, c, n, s)
				closeSubmitter(t, s)
			})
		})
	}
}

// matches checks that each id names the task that was submitted.
func matches(t *testing.T, n *node, tasks []client.Task, ids []uint64, errs []error) {
	t.Helper()
	n.fake.mu.Lock()
	defer n.fake.mu.Unlock()
	for i, task := range tasks {
		if errs[i] != nil {
			t.Fatalf("task %d: %v", i, errs[i])
		}
		if ids[i] == 0 || ids[i] > uint64(len(n.stored)) || string(n.stored[ids[i]-1].GetPayload()) != string(task.Payload) {
			t.Fatalf("task %d got the id %d, which isn't its own", i, ids[i])
		}
	}
}

// What comes while the window is busy is the next request.
func TestSubmitterGathersWhileTheWindowIsBusy(t *testing.T) {
	submitting(t, client.SubmitterConfig{InFlight: 1}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
		release := make(chan struct{})
		n.onSubmit = func(attempt int, _ *yardmasterv1.SubmitRequest) error {
			if attempt == 1 {
				<-release
			}
			return nil
		}
		tasks := someTasks(2_501)
		first := submits(t.Context(), s, tasks[:1])
		synctest.Wait()
		rest := submits(t.Context(), s, tasks[1:])
		synctest.Wait()
		close(release)
		ids, errs := first()
		moreIDs, moreErrs := rest()
		matches(t, n, tasks, append(ids, moreIDs...), append(errs, moreErrs...))
		storedOnce(t, n.fake, 2_501)
		var sizes []int
		for _, req := range n.seen {
			sizes = append(sizes, len(req.GetTasks()))
		}
		if fmt.Sprint(sizes) != "[1 1000 1000 500]" {
			t.Errorf("requests of %v tasks", sizes)
		}
		wantNumbers(t, n, "1/1", "2/2", "3/3", "4/4")
	})
}

func TestSubmitterBoundsRequestsByBytes(t *testing.T) {
	submitting(t, client.SubmitterConfig{InFlight: 1}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
		release := make(chan struct{})
		n.onSubmit = func(int, *yardmasterv1.SubmitRequest) error { <-release; return nil }
		tasks := make([]client.Task, 12)
		for i := range tasks {
			tasks[i] = client.Task{Kind: "k", Payload: append(make([]byte, 300<<10), byte(i))}
		}
		tasks[11].Payload = append(make([]byte, 1<<20), 11) // alone beyond the bound
		all := submits(t.Context(), s, tasks)
		synctest.Wait()
		close(release)
		ids, errs := all()
		matches(t, n, tasks, ids, errs)
		for _, req := range n.seen {
			if len(req.GetTasks()) > 3 {
				t.Errorf("a request of %d tasks of 300 KiB", len(req.GetTasks()))
			}
		}
		if _, err := s.Submit(t.Context(), client.Task{Kind: "k", Payload: make([]byte, 4<<20)}); status.Code(err) != codes.InvalidArgument ||
			!strings.Contains(err.Error(), "tasks[0]: want at most 3145728 bytes in all, got 41943") {
			t.Errorf("a task that can't be sent: %v", err)
		}
	})
}

// One task at fault: it alone is told so, in the words of a submit of its own.
func TestSubmitterRefusalOfOneTaskHurtsNoOther(t *testing.T) {
	atFault := func(req *yardmasterv1.SubmitRequest) (bad []string) {
		for i, spec := range req.GetTasks() {
			if spec.GetKind() == "bad" {
				bad = append(bad, fmt.Sprintf("tasks[%d].kind", i))
			}
		}
		return bad
	}
	index := func(field string) string {
		_, rest, _ := strings.Cut(field, "[")
		i, _, _ := strings.Cut(rest, "]")
		return i
	}
	for name, refuse := range map[string]func(bad []string) error{
		"fields": func(bad []string) error {
			return refusal(codes.InvalidArgument, "bad", "INVALID_REQUEST", 0, bad[:min(2, len(bad))]...)
		},
		"index": func(bad []string) error {
			return withIndex(codes.AlreadyExists, bad[0]+" is in use", "KEY_CONFLICT", 0, index(bad[0]))
		},
		"unnamed": func([]string) error { return refusal(codes.InvalidArgument, "bad", "INVALID_REQUEST", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			submitting(t, client.SubmitterConfig{InFlight: 1}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
				release := make(chan struct{})
				n.onSubmit = func(attempt int, req *yardmasterv1.SubmitRequest) error {
					if attempt == 1 {
						<-release
					}
					if bad := atFault(req); len(bad) > 0 {
						return refuse(bad)
					}
					return nil
				}
				tasks := someTasks(40)
				for _, i := range []int{0, 7, 8, 39} {
					tasks[i].Kind = "bad"
				}
				all := submits(t.Context(), s, tasks)
				synctest.Wait()
				close(release)
				_, errs := all()
				for i, err := range errs {
					if bad := tasks[i].Kind == "bad"; bad != (err != nil) || errors.Is(err, client.ErrOutcomeUnknown) {
						t.Errorf("task %d: %v", i, err)
					}
					if err != nil && name != "unnamed" && !strings.Contains(err.Error(), "tasks[0].kind") {
						t.Errorf("task %d: error reads %q", i, err)
					}
				}
				storedOnce(t, n.fake, 36)
				seen := map[string]bool{}
				for _, number := range numbers(n) {
					number, _, _ = strings.Cut(number, "/")
					if seen[number] {
						t.Errorf("number %s was used for two requests", number)
					}
					seen[number] = true
				}
			})
		})
	}
}

// A full queue holds back its own tasks, as long as told, and no others.
func TestSubmitterFullQueue(t *testing.T) {
	submitting(t, client.SubmitterConfig{InFlight: 1}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
		release, start := make(chan struct{}), time.Now()
		n.onSubmit = func(attempt int, req *yardmasterv1.SubmitRequest) error {
			if attempt == 1 {
				<-release
			}
			for i, spec := range req.GetTasks() {
				if spec.GetQueue() == "full" && time.Since(start) < 25*time.Second {
					return withIndex(codes.ResourceExhausted, "the queue is full", "LIMIT_QUEUE_DEPTH", 10*time.Second, fmt.Sprint(i))
				}
			}
			return nil
		}
		tasks := someTasks(5)
		tasks[1].Queue, tasks[2].Queue, tasks[4].Queue = "full", "full", "full"
		short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		long, cancel2 := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel2()
		free := submits(t.Context(), s, []client.Task{tasks[0], tasks[3]})
		patient := submits(t.Context(), s, tasks[1:2])
		soon := submits(short, s, tasks[2:3])
		later := submits(long, s, tasks[4:5])
		synctest.Wait()
		close(release)
		check := func(name string, wait func() ([]uint64, []error), from, to time.Duration, refused bool) {
			t.Helper()
			_, errs := wait()
			took := time.Since(start)
			if took < from || took > to {
				t.Errorf("%s: ended after %v", name, took)
			}
			for _, err := range errs {
				var e *client.Error
				if !refused && err != nil || refused && (!errors.As(err, &e) || e.Reason != "LIMIT_QUEUE_DEPTH" ||
					!errors.Is(err, context.DeadlineExceeded) || e.OutcomeUnknown || e.Unreached) {
					t.Errorf("%s: error %v", name, err)
				}
			}
		}
		check("other queue", free, 0, time.Second, false)
		check("no time to wait", soon, 0, time.Second, true)
		check("some time to wait", later, 10*time.Second, 15*time.Second, true)
		check("all the time", patient, 25*time.Second, 40*time.Second, false)
		if len(n.stored) != 3 {
			t.Errorf("%d tasks stored, want 3", len(n.stored))
		}
	})
}

func TestSubmitterConfigIsChecked(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		for _, cfg := range []client.SubmitterConfig{{InFlight: -1}, {InFlight: 65}, {WaitingTasks: -1}, {WaitingBytes: -1}} {
			if _, err := client.NewSubmitter(c, cfg); err == nil {
				t.Errorf("%+v was accepted", cfg)
			}
		}
	})
}

// A function that is told an end, and takes its time, doesn't keep the tasks of others from going out.
func TestSubmitterSendsWhileAFunctionIsTold(t *testing.T) {
	submitting(t, client.SubmitterConfig{}, func(t *testing.T, c *client.Client, n *node, s *client.Submitter) {
		tasks := someTasks(3)
		told, release := make(chan struct{}), make(chan struct{})
		if err := s.SubmitFunc(t.Context(), tasks[0], func(uint64, error) { close(told); <-release }); err != nil {
			t.Fatal(err)
		}
		<-told
		rest := submits(t.Context(), s, tasks[1:])
		synctest.Wait()
		storedOnce(t, n.fake, 3)
		close(release)
		ids, errs := rest()
		matches(t, n, tasks[1:], ids, errs)
	})
}
