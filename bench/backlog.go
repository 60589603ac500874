package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/yardmaster/yardmaster/worker"
)

const (
	backlogPairs = 7
	backlogSome  = 100_000 // tasks of one half of a pair
)

// backlogSuite measures what a million pending tasks cost.
func (b *bench) backlogSuite(ctx context.Context) error {
	full, err := newSite(ctx, b.options)
	if err != nil {
		return err
	}
	defer full.close()
	bare, err := newSite(ctx, b.options)
	if err != nil {
		return err
	}
	defer bare.close()
	if err := b.weigh(ctx, full, b.backlog); err != nil {
		return err
	}
	if err := b.pairs(ctx, full, bare); err != nil {
		return err
	}
	if err := b.restarts(ctx, full, b.runs); err != nil {
		return err
	}
	return b.applyCost(ctx)
}

// hugeSuite measures ten million, once.
func (b *bench) hugeSuite(ctx context.Context) error {
	s, err := newSite(ctx, b.options)
	if err != nil {
		return err
	}
	defer s.close()
	if err := b.weigh(ctx, s, b.huge); err != nil {
		return err
	}
	bare, err := newSite(ctx, b.options)
	if err != nil {
		return err
	}
	defer bare.close()
	if err := b.pairs(ctx, s, bare); err != nil {
		return err
	}
	return b.restarts(ctx, s, 1)
}

// weigh fills a coordinator and measures memory and disk.
func (b *bench) weigh(ctx context.Context, s *site, n int) error {
	// What doesn't grow with the backlog, such as the ring of events, is there before.
	const warm = 200_000
	if _, err := s.fill(ctx, warm, s.task("noop", none)); err != nil {
		return err
	}
	if _, err := s.crew(ctx, staff{workers: 1, slots: 256}, warm, nil); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	before, err := s.server.heapLive()
	if err != nil {
		return err
	}
	took := time.Duration(0)
	const queueMax = 4_000_000 // below a queue's default depth
	for i, left := 0, n; left > 0; i, left = i+1, left-queueMax {
		one := s.task("noop", none)
		if i > 0 {
			one.Queue = fmt.Sprintf("more-%d", i)
		}
		t, err := s.fill(ctx, min(left, queueMax), one)
		if err != nil {
			return err
		}
		took += t
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	after, err := s.server.heapLive()
	if err != nil {
		return err
	}
	memory, err1 := rss(s.server.pid())
	disk, err2 := diskBytes(s.server.data())
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	name := func(what string) string { return fmt.Sprintf("%d pending: %s", n, what) }
	b.add(name("submit rate while filling"), "tasks/s", float64(n)/took.Seconds())
	b.add(name("live heap before"), "MiB", before/(1<<20))
	b.backlogAim(b.add(name("live heap a task"), "bytes", (after-before)/float64(n)), (*figure).atMost, 130)
	b.add(name("resident memory"), "MiB", memory/(1<<20))
	b.add(name("disk, holes not counted"), "MiB", disk/(1<<20))
	b.add(name("disk a task"), "bytes", disk/float64(n))
	return nil
}

// backlogAim compares a figure with an aim that was set for 1,000,000 pending tasks, and for no other number.
func (b *bench) backlogAim(f *figure, judge func(*figure, float64), aim float64) {
	if b.suite == "backlog" && b.backlog == 1_000_000 {
		judge(f, aim)
	}
}

// settle waits until a checkpoint holds what was submitted.
func (s *site) settle(ctx context.Context) error {
	st, err := s.status(ctx)
	if err != nil {
		return err
	}
	want := st.GetAppliedIndex()
	for st.GetCheckpointIndex() < want {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
		if st, err = s.status(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pairs submits and drains with and without the backlog, in turn.
func (b *bench) pairs(ctx context.Context, full, bare *site) error {
	var submits, drains []float64
	for i := range backlogPairs {
		sites := []*site{full, bare}
		if i%2 == 1 {
			slices.Reverse(sites)
		}
		var submit, drain [2]float64 // full, bare
		for _, s := range sites {
			at := 0
			if s == bare {
				at = 1
			}
			took, err := s.fill(ctx, backlogSome, s.task("noop", none))
			if err != nil {
				return err
			}
			submit[at] = backlogSome / took.Seconds()
			if took, err = s.crew(ctx, staff{workers: 1, slots: 256}, backlogSome, nil); err != nil {
				return err
			}
			drain[at] = backlogSome / took.Seconds()
		}
		submits, drains = append(submits, submit[0]/submit[1]), append(drains, drain[0]/drain[1])
	}
	b.backlogAim(b.add("submit rate with the backlog, to without", "ratio", submits...), (*figure).atLeast, .9)
	b.backlogAim(b.add("drain rate with the backlog, to without", "ratio", drains...), (*figure).atLeast, .9)
	return nil
}

// restarts kills the coordinator and measures until a handler runs.
func (b *bench) restarts(ctx context.Context, s *site, runs int) error {
	var warm, cold []float64
	for range runs {
		took, err := s.restart(ctx, false)
		if err != nil {
			return err
		}
		warm = append(warm, took.Seconds())
	}
	b.backlogAim(b.add("kill -9 to first grant, warm", "s", warm...), (*figure).atMost, 1.5)
	for range runs {
		took, err := s.restart(ctx, true)
		if err != nil {
			fmt.Println("not measured with a cold cache:", err)
			return nil
		}
		cold = append(cold, took.Seconds())
	}
	b.backlogAim(b.add("kill -9 to first grant, page cache dropped", "s", cold...), (*figure).atMost, 3)
	return nil
}

func (s *site) restart(ctx context.Context, cold bool) (time.Duration, error) {
	if cold {
		if err := dropCaches(); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	s.server.kill()
	if err := s.server.start(ctx); err != nil {
		return 0, err
	}
	started := make(chan time.Time, 1)
	_, err := s.crew(ctx, staff{workers: 1, slots: 1}, 1, func(*worker.Task) {
		select {
		case started <- time.Now():
		default:
		}
	})
	if err != nil {
		return 0, err
	}
	return (<-started).Sub(began), nil
}

var applyLine = regexp.MustCompile(`BenchmarkApply/pending=(\d+)\S*\s+\d+\s+([\d.]+) ns/op`)

// applyCost runs the core's own benchmark: one task's submit, grant and outcome.
func (b *bench) applyCost(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench=^BenchmarkApply$", "-count", strconv.Itoa(b.runs), "./internal/scheduler")
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	costs := map[string][]float64{}
	for _, m := range applyLine.FindAllSubmatch(out, -1) {
		ns, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return err
		}
		costs[string(m[1])] = append(costs[string(m[1])], ns)
	}
	for _, pending := range []string{"1000", "1000000"} {
		if len(costs[pending]) == 0 {
			return fmt.Errorf("no figure for %s pending in: %s", pending, out)
		}
		b.add("Apply of a task's life at "+pending+" pending", "ns", costs[pending]...)
	}
	return nil
}
