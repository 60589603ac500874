package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/yardmaster/yardmaster/client"
	"github.com/yardmaster/yardmaster/worker"
)

const (
	steadyRetention = time.Minute
	steadySample    = 5 * time.Second
)

// steadySuite runs a steady load with a short retention and looks whether memory, file and latency stay flat.
func (b *bench) steadySuite(ctx context.Context) error {
	s, err := newSite(ctx, b.options)
	if err != nil {
		return err
	}
	defer s.close()
	n := int(b.steady.Seconds()) * b.steadyRate
	var mu sync.Mutex
	var starts []time.Duration
	base := time.Now()
	ended := make(chan error, 1)
	go func() {
		_, err := s.crew(ctx, staff{workers: 1, slots: 256}, int64(n), func(t *worker.Task) {
			took := time.Since(base) - time.Duration(binary.BigEndian.Uint64(t.Payload))
			mu.Lock()
			starts = append(starts, took)
			mu.Unlock()
		})
		ended <- err
	}()
	sub, err := client.NewSubmitter(s.client, client.SubmitterConfig{})
	if err != nil {
		return err
	}
	defer sub.Close(ctx)
	retention := steadyRetention
	paced := make(chan error, 1)
	go func() {
		paced <- pace(ctx, n, b.steadyRate, func() error {
			task := s.task("noop", &retention)
			binary.BigEndian.PutUint64(task.Payload, uint64(time.Since(base)))
			_, err := sub.Submit(ctx, task)
			return err
		})
	}()
	rows := series{Columns: []string{"seconds", "live heap MiB", "resident MiB", "file MiB", "start p50 ms", "start p99 ms", "pending"}}
	tick := time.NewTicker(steadySample)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case err = <-ended:
			done = true
		case <-tick.C:
			mu.Lock()
			took := starts
			starts = nil
			mu.Unlock()
			row, e := s.sample(ctx, base, took)
			if e != nil {
				return e
			}
			rows.Rows = append(rows.Rows, row)
		}
	}
	if err = errors.Join(err, <-paced); err != nil {
		return err
	}
	b.keep("steady", rows)
	b.flatness(rows)
	return nil
}

func (s *site) sample(ctx context.Context, base time.Time, took []time.Duration) ([]float64, error) {
	slices.Sort(took)
	heap, err1 := s.server.heapLive()
	memory, err2 := rss(s.server.pid())
	st, err3 := s.status(ctx)
	const mib = 1 << 20
	row := []float64{
		time.Since(base).Seconds(), heap / mib, memory / mib, float64(st.GetStoreBytes()) / mib,
		quantile(took, .5), quantile(took, .99), float64(st.GetPending()),
	}
	return row, errors.Join(err1, err2, err3)
}

// flatness compares the last quarter with the second one: the first holds the rise until the retention is reached.
func (b *bench) flatness(rows series) {
	n := len(rows.Rows)
	if n < 8 {
		fmt.Println("too short to tell whether it is flat")
		return
	}
	for c, name := range rows.Columns[1:6] {
		middle := func(from, to int) float64 {
			var v []float64
			for _, r := range rows.Rows[from:to] {
				v = append(v, r[c+1])
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		early, late := middle(n/4, n/2), middle(3*n/4, n)
		unit := fmt.Sprintf("%s: last quarter", name)
		b.add(fmt.Sprintf("steady %d/s for %s, %s", b.steadyRate, b.steady, unit), "", late)
		b.add(fmt.Sprintf("steady %d/s for %s, %s to second", b.steadyRate, b.steady, unit), "ratio", late/early)
	}
}
