//go:build e2e

package tests

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

const (
	batchesOnWay  = 24 // of each submitter
	batchTasksMax = 16
	padBytesMax   = 2048
	holdMax       = 20 * time.Millisecond
)

// load submits tasks until it is stopped, and awaits them.
type load struct {
	t       *testing.T
	book    *ledger
	done    atomic.Int64
	stopped chan struct{}
	loops   sync.WaitGroup

	mu       sync.Mutex
	ids      []uint64   // guarded by mu: acknowledged
	watchers []*watcher // guarded by mu
}

// watcher waits for the first outcome that fits.
type watcher struct {
	fits func(*client.Outcome) bool
	seen chan time.Time
}

// startLoad has one submitter for each address.
func startLoad(t *testing.T, addrs []string, book *ledger, seed uint64) *load {
	t.Helper()
	l := &load{t: t, book: book, stopped: make(chan struct{})}
	for i, addr := range addrs {
		cl, line := newClient(t, addr), book.line()
		for j := range batchesOnWay {
			rng := rand.New(rand.NewPCG(seed, uint64(1000*i+j)))
			l.loops.Go(func() { l.submit(cl, line, rng) })
		}
	}
	t.Cleanup(func() { l.end(); l.loops.Wait() })
	return l
}

// end stops submitting; what was submitted goes on.
func (l *load) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stopped:
	default:
		close(l.stopped)
	}
}

// stop stops submitting and waits until all that was submitted has ended.
func (l *load) stop() {
	l.t.Helper()
	l.end()
	all := make(chan struct{})
	go func() { l.loops.Wait(); close(all) }()
	received(l.t, "the load's tasks to end", all)
}

// submit is one batch on its way after the other.
func (l *load) submit(cl *client.Client, line *ledgerLine, rng *rand.Rand) {
	ctx := l.t.Context()
	for {
		select {
		case <-l.stopped:
			return
		case <-ctx.Done():
			return
		default:
		}
		if err := l.batch(ctx, cl, line, rng); err != nil {
			if ctx.Err() == nil {
				l.t.Errorf("load: %v", err)
			}
			return
		}
	}
}

func (l *load) batch(ctx context.Context, cl *client.Client, line *ledgerLine, rng *rand.Rand) error {
	tasks := make([]client.Task, 1+rng.IntN(batchTasksMax))
	for i := range tasks {
		tasks[i] = client.Task{
			Kind: "note", Retry: client.Retry{MaxAttempts: 1000, MaxWorkerLosses: 100, Backoff: new(10 * time.Millisecond)},
			Payload: client.JSON(notePayload{time.Duration(rng.Int64N(int64(holdMax))), make([]byte, rng.IntN(padBytesMax))}),
		}
		if rng.IntN(40) == 0 {
			tasks[i].Kind, tasks[i].Payload = "exec", nil
		}
	}
	ids, err := cl.SubmitAll(ctx, tasks)
	if err != nil {
		return err
	}
	acks := make([]record, len(ids))
	for i, id := range ids {
		acks[i] = record{Kind: recordAck, Task: id}
	}
	if err := line.record(acks...); err != nil {
		return err
	}
	l.mu.Lock()
	l.ids = append(l.ids, ids...)
	l.mu.Unlock()
	var told []record
	err = cl.AwaitAll(ctx, ids, func(_ uint64, out *client.Outcome) error {
		told = append(told, outcomeRecord(out))
		l.saw(out)
		return nil
	})
	if err != nil {
		return err
	}
	return line.record(told...)
}

// saw tells who waits for such an outcome.
func (l *load) saw(out *client.Outcome) {
	now := time.Now()
	l.done.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = slices.DeleteFunc(l.watchers, func(w *watcher) bool {
		if !w.fits(out) {
			return false
		}
		w.seen <- now
		return true
	})
}

// watch waits for the first outcome that fits; the time is when it was seen.
func (l *load) watch(fits func(*client.Outcome) bool) <-chan time.Time {
	w := &watcher{fits, make(chan time.Time, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(l.watchers, w)
	return w.seen
}

// acked is what was acknowledged so far.
func (l *load) acked() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ids)
}
