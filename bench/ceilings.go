package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// fsyncLatency appends 4 KiB and syncs, over and over, and returns the median in milliseconds.
func fsyncLatency(dir string, span time.Duration) (float64, error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	var took []time.Duration
	for began := time.Now(); time.Since(began) < span; {
		t := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("fsync %s: %w", filepath.Base(f.Name()), err)
		}
		took = append(took, time.Since(t))
	}
	slices.Sort(took)
	return millis(took[len(took)/2]), nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// unaryCalls makes health checks, which touch no storage, from so many callers on one connection.
func unaryCalls(ctx context.Context, addr string, callers int, span time.Duration) (perSec, medianMillis float64, err error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	health := healthpb.NewHealthClient(conn)
	var wg sync.WaitGroup
	var calls atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	began := time.Now()
	for range callers {
		wg.Go(func() {
			var mine []time.Duration
			for time.Since(began) < span {
				t := time.Now()
				if _, err := health.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
					return
				}
				mine = append(mine, time.Since(t))
				calls.Add(1)
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(took) == 0 {
		return 0, 0, fmt.Errorf("no health check of %s succeeded", addr)
	}
	slices.Sort(took)
	return float64(calls.Load()) / time.Since(began).Seconds(), millis(took[len(took)/2]), nil
}
