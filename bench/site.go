package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"

	"github.com/yardmaster/yardmaster/client"
	"github.com/yardmaster/yardmaster/worker"
)

// site is a coordinator and a client of it.
type site struct {
	options
	server *server
	client *client.Client
}

func newSite(ctx context.Context, o options, flags ...string) (*site, error) {
	s, err := startServer(ctx, o, flags...)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{Addresses: []string{s.addr}})
	if err != nil {
		s.stop()
		return nil, err
	}
	return &site{options: o, server: s, client: c}, nil
}

func (s *site) close() {
	_ = s.client.Close()
	s.server.stop()
}

func (s *site) status(ctx context.Context) (*yardmasterv1.OperatorServiceStatusResponse, error) {
	return s.client.Operator().Status(ctx, &yardmasterv1.OperatorServiceStatusRequest{})
}

// none is the retention of a task of which nothing is kept.
var none = new(time.Duration)

func (s *site) task(kind string, retention *time.Duration) client.Task {
	return client.Task{Kind: kind, Payload: make([]byte, s.payload), Retention: retention}
}

func (s *site) tasks(n int, kind string, retention *time.Duration) []client.Task {
	return slices.Repeat([]client.Task{s.task(kind, retention)}, n)
}

// fill submits n tasks in batches of 1,000 from 8 callers and returns how long it took. They are spread over queues so that
// no depth limit is met.
func (s *site) fill(ctx context.Context, n int, one client.Task) (time.Duration, error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Pointer[error]
	batch := slices.Repeat([]client.Task{one}, 1000)
	began := time.Now()
	for range 8 {
		wg.Go(func() {
			for {
				from := int(next.Add(1000)) - 1000
				if from >= n || failed.Load() != nil {
					return
				}
				if _, err := s.client.SubmitAll(ctx, batch[:min(1000, n-from)]); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return time.Since(began), nil
}

// staff is what runs tasks: so many workers, each of so many slots and prefetched leases (0: the SDK's default, negative:
// none).
type staff struct{ workers, slots, prefetch int }

// crew runs workers of no-op tasks until so many have run, and returns how long that took, start and goodbye included.
func (s *site) crew(ctx context.Context, of staff, done int64, started func(*worker.Task)) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var n atomic.Int64
	began := time.Now()
	errs := make(chan error, of.workers)
	for i := range of.workers {
		w, err := worker.New(worker.Config{
			Coordinators: []string{s.server.addr}, Slots: of.slots, Name: fmt.Sprintf("bench-%d", i), Prefetch: of.prefetch,
			Logger: hclog.New(&hclog.LoggerOptions{Name: "bench", Level: hclog.Warn}),
		})
		if err != nil {
			return 0, err
		}
		w.HandleRaw("noop", func(_ context.Context, t *worker.Task) ([]byte, error) {
			if started != nil {
				started(t)
			}
			if n.Add(1) == done {
				cancel()
			}
			return nil, nil
		})
		go func() { errs <- w.Run(ctx) }()
	}
	var all error
	for range of.workers {
		all = errors.Join(all, <-errs)
	}
	return time.Since(began), all
}

// live counts non-terminal tasks.
func (s *site) live(ctx context.Context) (int64, error) {
	st, err := s.status(ctx)
	return int64(st.GetPending() + st.GetLeased() + st.GetScheduled()), err
}

// empty runs what earlier figures left.
func (s *site) empty(ctx context.Context) error {
	for {
		n, err := s.live(ctx)
		if err != nil || n == 0 {
			return err
		}
		if _, err := s.crew(ctx, staff{workers: 1, slots: 256}, n, nil); err != nil {
			return err
		}
	}
}
