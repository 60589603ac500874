package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/yardmaster/yardmaster/internal/consensus"
)

// bareLog is the log with a machine that does nothing: what durability alone costs.
type bareLog struct {
	log *consensus.Log
	dir string
}

// nothing is a state machine and a disk that keep nothing.
type nothing struct{}

func (nothing) Apply(uint64, uint64, []byte)             {}
func (nothing) Checkpoint(context.Context, uint64) error { return nil }
func (nothing) DurableIndex() uint64                     { return 0 }
func (nothing) SnapshotMeta() ([]byte, error)            { return nil, nil }
func (nothing) PutSnapshotMeta([]byte) error             { return nil }
func (nothing) WriteTo(io.Writer) (int64, error)         { return 0, nil }

func openBareLog(dir string) (*bareLog, error) {
	dir, err := os.MkdirTemp(dir, "yardmaster-bench-raft-")
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	l, err := consensus.Open(consensus.Options{
		Dir: dir, NodeID: "1", Machine: nothing{}, Disk: nothing{}, Now: time.Now, Fatal: func(err error) { failed <- err },
	})
	if err != nil {
		return nil, err
	}
	for {
		select {
		case t := <-l.Terms():
			if t.Leader {
				return &bareLog{l, dir}, nil
			}
		case err := <-failed:
			return nil, err
		case <-time.After(10 * time.Second):
			return nil, fmt.Errorf("the bare log elects nobody")
		}
	}
}

func (b *bareLog) close() {
	_ = b.log.Close()
	_ = os.RemoveAll(b.dir)
}

// commits proposes entries of so many bytes, inFlight at a time, and returns entries a second and the median latency.
func (b *bareLog) commits(inFlight, bytes int, span time.Duration) (perSec, medianMillis float64, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	entry := make([]byte, bytes)
	began := time.Now()
	for range inFlight {
		wg.Go(func() {
			var mine []time.Duration
			for time.Since(began) < span {
				t := time.Now()
				wait, e := b.log.Propose(entry)
				if e == nil {
					e = wait()
				}
				if e != nil {
					mu.Lock()
					err = e
					mu.Unlock()
					return
				}
				mine = append(mine, time.Since(t))
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	if err != nil || len(took) == 0 {
		return 0, 0, fmt.Errorf("commit to the bare log: %w", err)
	}
	slices.Sort(took)
	return float64(len(took)) / time.Since(began).Seconds(), millis(took[len(took)/2]), nil
}
