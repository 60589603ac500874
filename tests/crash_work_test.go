//go:build e2e && crash

package tests

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	"github.com/yardmaster/yardmaster/worker"
)

// work is a bounded amount of work for one coordinator: submitters that await what they submit, and a worker, all in this
// process, which nobody kills, so that what it keeps in memory is as good as a ledger. The SDKs carry on over ends and
// restarts of the coordinator: each submit is answered at last, and then stands for exactly one task for each spec.
type work struct {
	t    *testing.T
	addr string

	mu      sync.Mutex
	records []record // guarded by mu
	ids     []uint64 // guarded by mu: acknowledged
	errs    []error  // guarded by mu: of submits and awaits, which should have none
}

// ownTrial lets a case have a trial of its own, so that the end of one's process isn't the end of all.
func ownTrial(t *testing.T) {
	ctx, end := context.WithCancelCause(context.Background())
	trials.Store(t.Name(), &trial{ctx, end})
	t.Cleanup(func() { trials.Delete(t.Name()); end(nil) })
}

// workPart is how much of it there is at a time.
type workPart struct {
	submitters, batches int // batches of each submitter
	tasks, bytes        int // of each batch, of each payload
	seed                uint64
}

// workersOver waits for the workers of work: one that is told to stop while there is no coordinator takes its receipt time
// of 5 s, which no case has to wait for by itself.
type workersOver struct{ sync.WaitGroup }

// startWork starts the worker. Its tasks' kind is "note".
func (o *workersOver) startWork(t *testing.T, addr string) *work {
	return o.startLabelled(t, addr, map[string]string{"side": "yes"})
}

// startLabelled is startWork with labels of the worker.
func (o *workersOver) startLabelled(t *testing.T, addr string, labels map[string]string) *work {
	t.Helper()
	x := &work{t: t, addr: addr}
	w, err := worker.New(worker.Config{Coordinators: []string{addr}, Name: "in-process", Slots: 16, DrainTimeout: -1,
		Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	w.HandleRaw("note", func(_ context.Context, task *worker.Task) ([]byte, error) {
		x.note(record{Kind: recordRun, Task: task.ID, Token: task.Token})
		return result(task), nil
	})
	ctx, cancel := context.WithCancel(trialOf(t))
	o.Go(func() { _ = w.Run(ctx) }) // it ends with the test
	t.Cleanup(cancel)
	return x
}

func (x *work) note(list ...record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.records = append(x.records, list...)
}

// do begins a part of the work; the channel is closed once all of it has ended.
func (x *work) do(p workPart) <-chan struct{} {
	x.t.Helper()
	var loops sync.WaitGroup
	ctx := bounded(x.t)
	for i := range p.submitters {
		cl := newClient(x.t, x.addr)
		rng := rand.New(rand.NewPCG(p.seed, uint64(i)))
		loops.Go(func() {
			for range p.batches {
				if err := x.batch(ctx, cl, rng, p); err != nil {
					x.mu.Lock()
					x.errs = append(x.errs, err)
					x.mu.Unlock()
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { loops.Wait(); close(done) }()
	return done
}

func (x *work) batch(ctx context.Context, cl *client.Client, rng *rand.Rand, p workPart) error {
	tasks := make([]client.Task, 1+rng.IntN(p.tasks))
	for i := range tasks {
		tasks[i] = client.Task{Kind: "note", Payload: make([]byte, rng.IntN(p.bytes)),
			Retry: client.Retry{MaxAttempts: 1000, MaxWorkerLosses: 100, Backoff: new(10 * time.Millisecond)}}
	}
	ids, err := cl.SubmitAll(ctx, tasks)
	if err != nil {
		return err
	}
	acks := make([]record, len(ids))
	for i, id := range ids {
		acks[i] = record{Kind: recordAck, Task: id}
	}
	x.note(acks...)
	x.mu.Lock()
	x.ids = append(x.ids, ids...)
	x.mu.Unlock()
	return cl.AwaitAll(ctx, ids, func(_ uint64, out *client.Outcome) error {
		x.note(outcomeRecord(out))
		return nil
	})
}

// judge holds what the coordinator says in the end against what submitters and worker were told, and returns how many tasks
// were acknowledged. It reports problems as errors of the test. alone: the coordinator has no other tasks.
func (x *work) judge(cl *client.Client, alone bool) int {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, err := range x.errs {
		x.t.Errorf("a submitter: %v", err)
	}
	var listed []uint64
	if alone {
		listed = listIDs(x.t, cl)
	}
	v := judge(x.records, outcomes(x.t, cl, x.ids), listed)
	for _, p := range v.problems {
		x.t.Error(p)
	}
	if v.acked != len(x.ids) {
		x.t.Errorf("%d tasks acknowledged by the records, %d by the ids", v.acked, len(x.ids))
	}
	return v.acked
}
