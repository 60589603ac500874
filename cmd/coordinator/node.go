package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/yardmaster/yardmaster/internal/consensus"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/metrics"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/store"
)

// trailingEntries stay in the log behind a cut. A lone voter has no follower to serve, and entries may be megabytes; a
// few make the log's end easier to inspect.
const trailingEntries = 64

// node is store, log and engine, opened in that order and closed in the other.
type node struct {
	store  *store.Store
	log    *consensus.Log
	engine *engine.Engine
	raft   *raftLog
}

// openNode opens the data directory and replays its log. The engine isn't started yet.
func openNode(c *config, logger hclog.Logger, meter *metrics.Coordinator, fatal func(error)) (n *node, err error) {
	n = &node{}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if info, e := os.Stat(c.dataDir); e == nil && !info.IsDir() {
		return n, fmt.Errorf("--data-dir is %q, which is not a directory: choose another", c.dataDir)
	}
	if n.store, err = store.Open(store.Options{Dir: c.dataDir, Logger: logger, Now: time.Now}); err != nil {
		return n, fmt.Errorf("open data directory: %w", err)
	}
	n.engine, err = engine.New(engine.Options{
		Proposer: rand.Uint64(), Storage: storage{n.store}, Fatal: fatal, Logger: logger, Limits: scheduler.Limits{MaxTasks: c.maxTasks},
		Meter:       meter,
		DiskFree:    func() (uint64, error) { return diskFree(c.dataDir) },
		DiskReserve: c.reserve(),
	})
	if err != nil {
		return n, err
	}
	n.log, err = consensus.Open(consensus.Options{
		Dir: filepath.Join(c.dataDir, "raft"), NodeID: "1", Machine: n.engine, Disk: n.store, Fatal: fatal, Now: time.Now,
		Logger: logger, SegmentBytes: c.segmentBytes, TrailingEntries: trailingEntries,
		OnAppend: meter.Append, TermMin: n.engine.Status().Term,
	})
	if err != nil {
		return n, fmt.Errorf("open log: %w", err)
	}
	n.raft = newRaftLog(n.log)
	return n, nil
}

// start lets the engine lead and serve.
func (n *node) start(ctx context.Context) error { return n.engine.Start(ctx, n.raft) }

// close closes log and store, without a checkpoint.
func (n *node) close() {
	if n.log != nil {
		_ = n.log.Close() // a lone voter's log is durable as it stands
	}
	if n.store != nil {
		_ = n.store.Close()
	}
}

// diskFree is the space that the process may still use on a directory's file system.
func diskFree(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
