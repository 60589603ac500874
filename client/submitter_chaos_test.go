package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// dice is a random source for scripts that run at the same time.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

// trouble is a script of everything that can go wrong before a request is carried out.
func trouble(n *node, d *dice) func(int, *yardmasterv1.SubmitRequest) error {
	return func(_ int, req *yardmasterv1.SubmitRequest) error {
		for i, spec := range req.GetTasks() {
			if spec.GetKind() == "bad" {
				return refusal(codes.InvalidArgument, "bad", "INVALID_REQUEST", 0, fmt.Sprintf("tasks[%d].kind", i))
			}
		}
		i := fmt.Sprint(d.n(len(req.GetTasks())))
		switch d.n(20) {
		case 0:
			n.cut()
		case 1:
			return refusal(codes.Unavailable, "stopping", "STOPPING", time.Second)
		case 2:
			return withIndex(codes.ResourceExhausted, "full", "LIMIT_QUEUE_DEPTH", time.Second, i)
		case 3:
			return withIndex(codes.ResourceExhausted, "full", "LIMIT_TASKS", time.Second, i)
		case 4:
			n.fake.mu.Lock()
			n.noStream = !n.noStream // another coordinator answers next time
			n.fake.mu.Unlock()
			return refusal(codes.Unavailable, "stopping", "STOPPING", time.Second)
		}
		return nil
	}
}

// Whatever happens to streams and requests: a task that is told stored is stored once, under its id; one that is told refused isn't;
// and only one whose fate is told unknown may be either.
func TestSubmitterTellsTheTruth(t *testing.T) {
	rng := seeded(t)
	for range 40 {
		seed := rng.Uint64()
		bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
			t.Logf("round %d", seed)
			d := &dice{rng: rand.New(rand.NewPCG(seed, 2))}
			n.onSubmit = trouble(n, d)
			n.afterRun = func(int, *yardmasterv1.SubmitRequest) error {
				if d.n(15) == 0 {
					n.cut()
					return status.Error(codes.Unavailable, "never arrives")
				}
				return nil
			}
			s := newSubmitter(t, c, client.SubmitterConfig{InFlight: 1 + d.n(8), WaitingTasks: 1 + d.n(100)})
			tasks := someTasks(200)
			ids, errs := make([]uint64, len(tasks)), make([]error, len(tasks))
			var all sync.WaitGroup
			for i := range tasks {
				if d.n(20) == 0 {
					tasks[i].Kind = "bad"
				}
				tasks[i].Queue = fmt.Sprint("q", d.n(3))
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if d.n(3) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(d.n(4_000))*time.Millisecond)
				}
				all.Go(func() {
					defer cancel()
					ids[i], errs[i] = s.Submit(ctx, tasks[i])
				})
				if d.n(4) == 0 {
					<-time.After(time.Duration(d.n(20)) * time.Millisecond)
				}
			}
			all.Wait()
			closeSubmitter(t, s)
			truth(t, n, tasks, ids, errs)
		})
		if t.Failed() {
			return
		}
	}
}

func truth(t *testing.T, n *node, tasks []client.Task, ids []uint64, errs []error) {
	t.Helper()
	under := map[string][]uint64{} // ids by payload
	for i, spec := range n.stored {
		under[string(spec.GetPayload())] = append(under[string(spec.GetPayload())], uint64(i+1))
	}
	stored, unknown := 0, 0
	for i, task := range tasks {
		got := under[string(task.Payload)]
		switch {
		case errs[i] == nil:
			stored++
			if len(got) != 1 || got[0] != ids[i] {
				t.Errorf("task %d was told stored under %d; it stands under %v", i, ids[i], got)
			}
		case errors.Is(errs[i], client.ErrOutcomeUnknown):
			unknown++
			if len(got) > 1 {
				t.Errorf("task %d, told unknown, stands under %v", i, got)
			}
		case len(got) > 0:
			t.Errorf("task %d was told %v; it stands under %v", i, errs[i], got)
		}
		if errs[i] == nil && task.Kind == "bad" {
			t.Errorf("task %d is bad and was told stored", i)
		}
	}
	t.Logf("%d stored, %d unknown, %d not", stored, unknown, len(tasks)-stored-unknown)
}
