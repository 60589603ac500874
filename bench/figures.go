package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yardmaster/yardmaster/client"
	"github.com/yardmaster/yardmaster/worker"
)

// bench is one run of the program.
type bench struct {
	options
	report
	server *server
	client *client.Client
}

func run(ctx context.Context, o options) error {
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	c, err := client.New(client.Config{Addresses: []string{s.addr}})
	if err != nil {
		return err
	}
	defer c.Close()
	b := &bench{options: o, server: s, client: c}
	if o.profile != "" {
		go func() {
			if err := s.profile(o.profile, 30*time.Second); err != nil {
				fmt.Println("no profile:", err)
			}
		}()
	}
	for _, f := range []struct {
		name string
		fn   func(context.Context, string) error
	}{
		{"raw fsync of 4 KiB", b.rawFsync}, {"raw gRPC unary", b.rawUnary}, {"submit, 64 unary callers", b.submitUnary},
		{"submit, batches of 100", b.submitBatches(100)}, {"submit, batches of 1000", b.submitBatches(1000)},
		{"drain by one worker", b.drain1}, {"end to end, retention 0", b.endToEnd(new(time.Duration))},
		{"end to end, default retention", b.endToEnd(nil)}, {"idle", b.idleTasks},
	} {
		if strings.HasPrefix(f.name, o.only) {
			if err := f.fn(ctx, f.name); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	return b.write(o.out)
}

// repeat measures one figure so many times.
func (b *bench) repeat(name, unit string, fn func() (float64, error)) error {
	var runs []float64
	for range b.runs {
		v, err := fn()
		if err != nil {
			return err
		}
		runs = append(runs, v)
	}
	b.add(name, unit, runs...)
	return nil
}

func (b *bench) rawFsync(_ context.Context, name string) error {
	return b.repeat(name, "ms", func() (float64, error) { return fsyncLatency(b.server.dir, b.span/3) })
}

func (b *bench) rawUnary(ctx context.Context, name string) error {
	err := b.repeat(name+", 64 callers", "calls/s", func() (float64, error) {
		perSec, _, err := unaryCalls(ctx, b.server.addr, 64, b.span/3)
		return perSec, err
	})
	if err != nil {
		return err
	}
	return b.repeat(name+", 1 caller", "ms", func() (float64, error) {
		_, ms, err := unaryCalls(ctx, b.server.addr, 1, b.span/3)
		return ms, err
	})
}

func (b *bench) task(kind string, retention *time.Duration) client.Task {
	return client.Task{Kind: kind, Payload: make([]byte, b.payload), Retention: retention}
}

func (b *bench) tasks(n int, kind string, retention *time.Duration) []client.Task {
	return slices.Repeat([]client.Task{b.task(kind, retention)}, n)
}

// submitUnary has 64 callers submit one task at a time.
func (b *bench) submitUnary(ctx context.Context, name string) error {
	err := b.repeat(name, "tasks/s", func() (float64, error) { return b.submitFor(ctx, 64, 1) })
	return errors.Join(err, b.empty(ctx))
}

// submitBatches has 8 callers submit batches.
func (b *bench) submitBatches(size int) func(context.Context, string) error {
	return func(ctx context.Context, name string) error {
		err := b.repeat(name, "tasks/s", func() (float64, error) { return b.submitFor(ctx, 8, size) })
		return errors.Join(err, b.empty(ctx))
	}
}

func (b *bench) submitFor(ctx context.Context, callers, size int) (float64, error) {
	var wg sync.WaitGroup
	var stored atomic.Int64
	errs := make(chan error, callers)
	began := time.Now()
	batch := b.tasks(size, "noop", new(time.Duration))
	for range callers {
		wg.Go(func() {
			for time.Since(began) < b.span {
				if _, err := b.client.SubmitAll(ctx, batch); err != nil {
					errs <- err
					return
				}
				stored.Add(int64(size))
			}
		})
	}
	wg.Wait()
	close(errs)
	return float64(stored.Load()) / time.Since(began).Seconds(), <-errs
}

// noop runs a worker of no-op tasks until done is reached.
func (b *bench) noop(ctx context.Context, done int64, started func(*worker.Task)) (time.Duration, error) {
	w, err := worker.New(worker.Config{Coordinators: []string{b.server.addr}, Slots: b.slots})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var n atomic.Int64
	w.HandleRaw("noop", func(_ context.Context, t *worker.Task) ([]byte, error) {
		if started != nil {
			started(t)
		}
		if n.Add(1) == done {
			cancel()
		}
		return nil, nil
	})
	began := time.Now()
	err = w.Run(ctx)
	return time.Since(began), err
}

// empty runs what is left of earlier figures.
func (b *bench) empty(ctx context.Context) error {
	for {
		list, err := b.pending(ctx)
		if err != nil || list == 0 {
			return err
		}
		if _, err := b.noop(ctx, list, nil); err != nil {
			return err
		}
	}
}

func (b *bench) pending(ctx context.Context) (int64, error) {
	resp, err := b.status(ctx)
	if err != nil {
		return 0, err
	}
	return int64(resp.GetPending() + resp.GetLeased() + resp.GetScheduled()), nil
}

// drain1 has one worker run tasks that all wait when it starts. The time counts its start and its goodbye.
func (b *bench) drain1(ctx context.Context, name string) error {
	return b.repeat(fmt.Sprintf("%s, %d tasks", name, b.drain), "tasks/s", func() (float64, error) {
		if _, err := b.client.SubmitAll(ctx, b.tasks(b.drain, "noop", new(time.Duration))); err != nil {
			return 0, err
		}
		took, err := b.noop(ctx, int64(b.drain), nil)
		return float64(b.drain) / took.Seconds(), err
	})
}

// endToEnd submits in batches of 100 while a worker runs what comes: from the first submit to the last outcome.
func (b *bench) endToEnd(retention *time.Duration) func(context.Context, string) error {
	return func(ctx context.Context, name string) error {
		return b.repeat(name, "tasks/s", func() (float64, error) {
			errs := make(chan error, 8)
			began := time.Now()
			for range 8 {
				go func() {
					batch := b.tasks(100, "noop", retention)
					for range b.e2e / 800 {
						if _, err := b.client.SubmitAll(ctx, batch); err != nil {
							errs <- err
							return
						}
					}
					errs <- nil
				}()
			}
			total := b.e2e / 800 * 800
			_, err := b.noop(ctx, int64(total), nil)
			took := time.Since(began)
			for range 8 {
				err = errors.Join(err, <-errs)
			}
			return float64(total) / took.Seconds(), err
		})
	}
}

// idleTasks measures single tasks on a system that does nothing else.
func (b *bench) idleTasks(ctx context.Context, _ string) error {
	var start, result []float64
	for range b.runs {
		s, r, err := b.idleRun(ctx)
		if err != nil {
			return err
		}
		start, result = append(start, s), append(result, r)
	}
	b.add("idle, submit to start, p50", "ms", start...)
	b.add("idle, submit to durable result awaited, p50", "ms", result...)
	return nil
}

func (b *bench) idleRun(ctx context.Context) (start, result float64, err error) {
	begun := make(chan time.Time, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := b.noop(ctx, int64(b.idle), func(*worker.Task) { begun <- time.Now() })
		ended <- err
	}()
	var starts, results []time.Duration
	for range b.idle {
		t := time.Now()
		id, err := b.client.Submit(ctx, b.task("noop", nil))
		if err != nil {
			return 0, 0, err
		}
		if _, err := b.client.Await(ctx, id); err != nil {
			return 0, 0, err
		}
		results = append(results, time.Since(t))
		starts = append(starts, (<-begun).Sub(t))
	}
	slices.Sort(starts)
	slices.Sort(results)
	return millis(starts[len(starts)/2]), millis(results[len(results)/2]), <-ended
}
