package main

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/yardmaster/yardmaster/client"
	"github.com/yardmaster/yardmaster/worker"
)

// quantile is the value that so much of the sorted ones are below or at.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return millis(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))])
}

// idleTasks measures single tasks on a system that does nothing else.
func (b *bench) idleTasks(ctx context.Context, s *site, _ string) error {
	var start50, start99, result50, result99 []float64
	for range b.runs {
		starts, results, err := s.idleRun(ctx, b.idle)
		if err != nil {
			return err
		}
		start50, start99 = append(start50, quantile(starts, .5)), append(start99, quantile(starts, .99))
		result50, result99 = append(result50, quantile(results, .5)), append(result99, quantile(results, .99))
	}
	f := b.add("idle, submit to start, p50", "ms", start50...)
	if bound := b.value(ceilingFsync)*1.5 + b.value(ceilingOne); bound > 0 {
		f.atMost(bound)
	}
	b.add("idle, submit to start, p99", "ms", start99...)
	b.add("idle, submit to durable result awaited, p50", "ms", result50...)
	b.add("idle, submit to durable result awaited, p99", "ms", result99...)
	return nil
}

func (s *site) idleRun(ctx context.Context, n int) (starts, results []time.Duration, err error) {
	begun := make(chan time.Time, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := s.crew(ctx, staff{workers: 1, slots: 64}, int64(n), func(*worker.Task) { begun <- time.Now() })
		ended <- err
	}()
	for range n {
		t := time.Now()
		id, err := s.client.Submit(ctx, s.task("noop", nil))
		if err != nil {
			return nil, nil, err
		}
		if _, err := s.client.Await(ctx, id); err != nil {
			return nil, nil, err
		}
		results = append(results, time.Since(t))
		starts = append(starts, (<-begun).Sub(t))
	}
	slices.Sort(starts)
	slices.Sort(results)
	return starts, results, <-ended
}

// paced submits 5,000 single tasks a second, evenly, and measures from each submit to its start.
func (b *bench) paced(ctx context.Context, s *site, name string) error {
	var p50, p99 []float64
	for range b.runs {
		starts, err := s.pacedRun(ctx, 5000, b.span)
		if err != nil {
			return err
		}
		p50, p99 = append(p50, quantile(starts, .5)), append(p99, quantile(starts, .99))
	}
	b.add(name+", submit to start, p50", "ms", p50...)
	b.add(name+", submit to start, p99", "ms", p99...)
	return nil
}

func (s *site) pacedRun(ctx context.Context, perSec int, span time.Duration) ([]time.Duration, error) {
	n := int(span.Seconds() * float64(perSec))
	var mu sync.Mutex
	var starts []time.Duration
	base := time.Now()
	ended := make(chan error, 1)
	go func() {
		_, err := s.crew(ctx, staff{workers: 1, slots: 256}, int64(n), func(t *worker.Task) {
			sent := time.Duration(binary.BigEndian.Uint64(t.Payload))
			took := time.Since(base) - sent
			mu.Lock()
			starts = append(starts, took)
			mu.Unlock()
		})
		ended <- err
	}()
	sub, err := client.NewSubmitter(s.client, client.SubmitterConfig{})
	if err != nil {
		return nil, err
	}
	defer sub.Close(ctx)
	err = pace(ctx, n, perSec, func() error {
		task := s.task("noop", none)
		binary.BigEndian.PutUint64(task.Payload, uint64(time.Since(base)))
		_, err := sub.Submit(ctx, task)
		return err
	})
	err = errors.Join(err, <-ended)
	slices.Sort(starts)
	return starts, err
}

// pace calls fn n times, each call on a goroutine of its own, evenly at a rate. At most 20,000 calls are under way.
func pace(ctx context.Context, n, perSec int, fn func() error) error {
	var wg sync.WaitGroup
	errs := make(chan error, 1)
	room := make(chan struct{}, 20_000)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for sent := 0; sent < n; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-errs:
			return err
		case <-tick.C:
		}
		for due := min(n, int(time.Since(began).Seconds()*float64(perSec))); sent < due; sent++ {
			room <- struct{}{}
			wg.Go(func() {
				defer func() { <-room }()
				if err := fn(); err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			})
		}
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}
