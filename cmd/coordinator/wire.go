package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/yardmaster/yardmaster/internal/consensus"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/store"
)

// storage lets the engine use the store.
type storage struct{ *store.Store }

func (s storage) Bytes() uint64 { return uint64(max(s.Stats().FileBytes, 0)) }

func (s storage) Save(c *engine.Checkpoint) error {
	cp := &store.Checkpoint{
		Index: c.Index, Logic: c.Logic, Rows: c.Rows,
		Bodies: blobs(c.Bodies), DropBodies: c.DropBodies,
		Failures: blobs(c.Failures), DropFailures: c.DropFailures,
		Finished: make([]store.FinishedRow, len(c.Finished)), DropFinished: c.DropFinished,
	}
	for i, f := range c.Finished {
		cp.Finished[i] = store.FinishedRow(f)
	}
	return s.Store.Save(cp)
}

func blobs(in []engine.Blob) []store.Blob {
	out := make([]store.Blob, len(in))
	for i, b := range in {
		out[i] = store.Blob(b)
	}
	return out
}

// raftLog lets the engine use the log.
type raftLog struct {
	log        *consensus.Log
	leadership chan engine.Leadership
}

func newRaftLog(l *consensus.Log) *raftLog {
	r := &raftLog{log: l, leadership: make(chan engine.Leadership)}
	go r.follow()
	return r
}

// follow passes leadership on, latest only; it ends when the log is closed.
func (r *raftLog) follow() {
	defer close(r.leadership)
	terms := r.log.Terms()
	for t := range terms {
		for sent := false; !sent; {
			select {
			case r.leadership <- engine.Leadership{Leader: t.Leader, Term: t.Term}:
				sent = true
			case newer, ok := <-terms:
				if !ok {
					return
				}
				t = newer
			}
		}
	}
}

func (r *raftLog) Leadership() <-chan engine.Leadership { return r.leadership }

func (r *raftLog) Cut(ctx context.Context) error { return r.log.Cut(ctx) }

func (r *raftLog) Propose(entry []byte) (func() error, error) {
	wait, err := r.log.Propose(entry)
	if errors.Is(err, consensus.ErrFailed) || errors.Is(err, consensus.ErrClosed) { // the entry wasn't taken: whoever sent it may try the next process
		return nil, fmt.Errorf("%w: %w", engine.ErrStopping, err)
	}
	if err != nil {
		return nil, logError(err)
	}
	return func() error { return logError(wait()) }, nil
}

func logError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, consensus.ErrNotLeader):
		return fmt.Errorf("%w: %w", engine.ErrNotLeader, err)
	}
	return err
}

var _ consensus.Disk = (*store.Store)(nil)
var _ engine.Storage = storage{}
var _ engine.Log = (*raftLog)(nil)
var _ consensus.Machine = (*engine.Engine)(nil)
