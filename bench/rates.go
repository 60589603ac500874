package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// Names of the ceilings.
const (
	ceilingFsync   = "raw fsync of 4 KiB"
	ceilingUnary   = "raw gRPC unary, 64 callers"
	ceilingOne     = "raw gRPC unary, 1 caller"
	ceilingCommit  = "raw log, 1 entry in flight"
	ceilingEntries = "raw log, tasks in entries of 100, 8 in flight"
)

// rates measures throughput and latency beside the ceilings.
func (b *bench) rates(ctx context.Context) error {
	s, err := newSite(ctx, b.options)
	if err != nil {
		return err
	}
	defer s.close()
	if b.profile != "" {
		go func() {
			if err := s.server.profile(b.profile, b.profileFor); err != nil {
				fmt.Println("no profile:", err)
			}
		}()
	}
	for _, f := range []struct {
		name string
		fn   func(context.Context, *site, string) error
	}{
		{"raw", b.ceilings},
		{"submit, 64 unary callers", b.submitUnary},
		{"submit, Submitter, 64 in flight", b.submitter(64, 30_000)},
		{"submit, Submitter, 1024 in flight", b.submitter(1024, 150_000)},
		{"submit, batches of 100", b.submitBatches(100, 180_000)},
		{"submit, batches of 1000", b.submitBatches(1000, 0)},
		{"submit burst, batches of 1000", b.submitLong(func(o options) time.Duration { return o.burst }, 300_000)},
		{"submit sustained, batches of 1000", b.submitLong(func(o options) time.Duration { return o.sustained }, 180_000)},
		{"drain by 1 worker of 64 slots", b.drains(staff{1, 64, b.prefetch}, 250_000)},
		{"drain by 8 workers of 8 slots", b.drains(staff{8, 8, b.prefetch / 8}, 250_000)},
		{"drain, default prefetch, by 1 worker of 64 slots", b.drains(staff{1, 64, 0}, 0)},
		{"drain, default prefetch, by 8 workers of 8 slots", b.drains(staff{8, 8, 0}, 0)},
		{"end to end, retention 0", b.endToEnd(staff{1, 256, b.prefetch}, none, 120_000)},
		{"end to end, default retention", b.endToEnd(staff{1, 256, b.prefetch}, nil, 80_000)},
		{"end to end, default prefetch, retention 0", b.endToEnd(staff{1, 256, 0}, none, 0)},
		{"end to end, default prefetch, default retention", b.endToEnd(staff{1, 256, 0}, nil, 0)},
		{"paced 5000/s", b.paced},
		{"idle", b.idleTasks},
	} {
		if !b.wanted(f.name) {
			continue
		}
		if err := f.fn(ctx, s, f.name); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// wanted says whether -only names a figure.
func (b *bench) wanted(figure string) bool {
	return slices.ContainsFunc(strings.Split(b.only, ";"), func(begin string) bool { return strings.HasPrefix(figure, begin) })
}

// costs measures the CPU that each side spends on a task.
type costs struct {
	coordinator, own []float64 // microseconds a task, a value a run
	c0, o0           time.Duration
}

func (c *costs) begin(s *site) error {
	var err1, err2 error
	c.c0, err1 = cpuTime(s.server.pid())
	c.o0, err2 = cpuTime(os.Getpid())
	return errors.Join(err1, err2)
}

func (c *costs) end(s *site, tasks float64) error {
	c1, err1 := cpuTime(s.server.pid())
	o1, err2 := cpuTime(os.Getpid())
	c.coordinator = append(c.coordinator, float64((c1-c.c0).Microseconds())/tasks)
	c.own = append(c.own, float64((o1-c.o0).Microseconds())/tasks)
	return errors.Join(err1, err2)
}

func (b *bench) addCosts(name string, c *costs) {
	b.add(name+": coordinator's CPU", "µs a task", c.coordinator...)
	b.add(name+": this process's CPU", "µs a task", c.own...)
}

// repeat measures one figure so many times.
func (b *bench) repeat(name, unit string, fn func() (float64, error)) (*figure, error) {
	var runs []float64
	for range b.runs {
		v, err := fn()
		if err != nil {
			return nil, err
		}
		runs = append(runs, v)
	}
	return b.add(name, unit, runs...), nil
}

func (b *bench) ceilings(ctx context.Context, s *site, _ string) error {
	log, err := openBareLog(b.dir)
	if err != nil {
		return err
	}
	defer log.close()
	const taskBytes = 330 // what a task of 256 bytes takes in an entry, about
	for _, c := range []struct {
		name, unit string
		fn         func() (float64, error)
	}{
		{ceilingFsync, "ms", func() (float64, error) { return fsyncLatency(s.server.dir, b.span/3) }},
		{ceilingUnary, "calls/s", func() (float64, error) {
			perSec, _, err := unaryCalls(ctx, s.server.addr, 64, b.span/3)
			return perSec, err
		}},
		{ceilingOne, "ms", func() (float64, error) {
			_, ms, err := unaryCalls(ctx, s.server.addr, 1, b.span/3)
			return ms, err
		}},
		{ceilingCommit, "ms", func() (float64, error) {
			_, ms, err := log.commits(1, taskBytes, b.span/3)
			return ms, err
		}},
		{ceilingEntries, "tasks/s", func() (float64, error) {
			perSec, _, err := log.commits(8, 100*taskBytes, b.span/3)
			return 100 * perSec, err
		}},
	} {
		if _, err := b.repeat(c.name, c.unit, c.fn); err != nil {
			return err
		}
	}
	return nil
}

// submitUnary has 64 callers submit one task at a time, each by a call of its own.
func (b *bench) submitUnary(ctx context.Context, s *site, name string) error {
	f, err := b.repeat(name, "tasks/s", func() (float64, error) { return s.submitFor(ctx, 64, 1, b.span) })
	if err != nil {
		return err
	}
	b.against(f, ceilingUnary).atLeast(14_000)
	return s.empty(ctx)
}

// submitBatches has 8 callers submit batches.
func (b *bench) submitBatches(size int, aim float64) func(context.Context, *site, string) error {
	return func(ctx context.Context, s *site, name string) error {
		var c costs
		f, err := b.repeat(name, "tasks/s", func() (float64, error) {
			if err := c.begin(s); err != nil {
				return 0, err
			}
			rate, err := s.submitFor(ctx, 8, size, b.span)
			return rate, errors.Join(err, c.end(s, rate*b.span.Seconds()), s.empty(ctx))
		})
		if err != nil {
			return err
		}
		b.addCosts(name, &c)
		b.against(f, ceilingEntries).atLeast(aim)
		return nil
	}
}

// submitLong submits for long, each run into an empty coordinator of its own.
func (b *bench) submitLong(span func(options) time.Duration, aim float64) func(context.Context, *site, string) error {
	return func(ctx context.Context, _ *site, name string) error {
		f, err := b.repeat(fmt.Sprintf("%s, %s", name, span(b.options)), "tasks/s", func() (float64, error) {
			s, err := newSite(ctx, b.options, "--max-tasks", "100000000") // a minute submits more than the default
			if err != nil {
				return 0, err
			}
			defer s.close()
			return s.submitFor(ctx, 8, 1000, span(b.options))
		})
		if err != nil {
			return err
		}
		b.against(f, ceilingEntries).atLeast(aim)
		return nil
	}
}

// submitFor submits from so many callers, by calls of so many tasks, and returns tasks a second. The callers' queues differ,
// so that a long run doesn't meet a depth limit.
func (s *site) submitFor(ctx context.Context, callers, size int, span time.Duration) (float64, error) {
	var wg sync.WaitGroup
	var stored atomic.Int64
	errs := make(chan error, callers)
	began := time.Now()
	for i := range callers {
		batch := s.tasks(size, "noop", none)
		for j := range batch {
			batch[j].Queue = fmt.Sprintf("q%d", i%8)
		}
		wg.Go(func() {
			for time.Since(began) < span {
				if _, err := s.client.SubmitAll(ctx, batch); err != nil {
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

// submitter has so many callers submit single tasks, which the SDK coalesces.
func (b *bench) submitter(inFlight int, aim float64) func(context.Context, *site, string) error {
	return func(ctx context.Context, s *site, name string) error {
		var c costs
		f, err := b.repeat(name, "tasks/s", func() (float64, error) {
			if err := c.begin(s); err != nil {
				return 0, err
			}
			rate, err := s.submitSingly(ctx, inFlight, b.span)
			return rate, errors.Join(err, c.end(s, rate*b.span.Seconds()), s.empty(ctx))
		})
		if err != nil {
			return err
		}
		b.addCosts(name, &c)
		b.against(f, ceilingEntries).atLeast(aim)
		return nil
	}
}

func (s *site) submitSingly(ctx context.Context, inFlight int, span time.Duration) (float64, error) {
	sub, err := client.NewSubmitter(s.client, client.SubmitterConfig{})
	if err != nil {
		return 0, err
	}
	defer sub.Close(ctx)
	var wg sync.WaitGroup
	var stored atomic.Int64
	errs := make(chan error, inFlight)
	one := s.task("noop", none)
	began := time.Now()
	for range inFlight {
		wg.Go(func() {
			n := int64(0)
			for time.Since(began) < span {
				if _, err := sub.Submit(ctx, one); err != nil {
					errs <- err
					return
				}
				n++
			}
			stored.Add(n)
		})
	}
	wg.Wait()
	close(errs)
	return float64(stored.Load()) / time.Since(began).Seconds(), <-errs
}

// drains has workers run tasks that all wait when they start.
func (b *bench) drains(of staff, aim float64) func(context.Context, *site, string) error {
	return func(ctx context.Context, s *site, name string) error {
		var c costs
		f, err := b.repeat(name, "tasks/s", func() (float64, error) {
			if _, err := s.fill(ctx, b.drain, s.task("noop", none)); err != nil {
				return 0, err
			}
			if err := errors.Join(s.settle(ctx), c.begin(s)); err != nil {
				return 0, err
			}
			took, err := s.crew(ctx, of, int64(b.drain), nil)
			return float64(b.drain) / took.Seconds(), errors.Join(err, c.end(s, float64(b.drain)))
		})
		if err != nil {
			return err
		}
		b.addCosts(name, &c)
		b.against(f, ceilingEntries).atLeast(aim)
		return nil
	}
}

// endToEnd submits in batches of 100 while a worker runs what comes: from the first submit to the last outcome.
func (b *bench) endToEnd(of staff, retention *time.Duration, aim float64) func(context.Context, *site, string) error {
	return func(ctx context.Context, s *site, name string) error {
		var c costs
		f, err := b.repeat(name, "tasks/s", func() (float64, error) {
			if err := c.begin(s); err != nil {
				return 0, err
			}
			errs := make(chan error, 8)
			began := time.Now()
			for range 8 {
				go func() {
					batch := s.tasks(100, "noop", retention)
					for range b.e2e / 800 {
						if _, err := s.client.SubmitAll(ctx, batch); err != nil {
							errs <- err
							return
						}
					}
					errs <- nil
				}()
			}
			total := b.e2e / 800 * 800
			_, err := s.crew(ctx, of, int64(total), nil)
			took := time.Since(began)
			for range 8 {
				err = errors.Join(err, <-errs)
			}
			return float64(total) / took.Seconds(), errors.Join(err, c.end(s, float64(total)))
		})
		if err != nil {
			return err
		}
		b.addCosts(name, &c)
		b.against(f, ceilingEntries).atLeast(aim)
		return nil
	}
}
