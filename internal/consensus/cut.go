package consensus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/raft"
)

// Cut asks the machine for a checkpoint of all that raft has handed it, and
// then lets go of the log up to there, save Options.TrailingEntries. Nothing
// new, or a change of configuration still under way, is no failure: there is
// nothing to cut yet. One Cut runs at a time, others wait.
//
// It returns what Checkpoint or the disk said, ErrClosed, ErrFailed, or the
// context's error. After an error the log is as long as before.
func (l *Log) Cut(ctx context.Context) error {
	select {
	case l.cutting <- struct{}{}:
		defer func() { <-l.cutting }()
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return ErrClosed
	}
	if err := l.fault.err(); err != nil {
		return err
	}
	if l.fsm.seen.Load() <= l.snapshots.last().Index {
		return nil // saves raft the trouble, and Disk an fsync
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()

	request := &cutRequest{ctx: ctx}
	l.fsm.cut.Store(request)
	defer l.fsm.cut.Store(nil)
	return l.cutOutcome(l.raft.Snapshot().Error(), request)
}

func (l *Log) cutOutcome(err error, request *cutRequest) error {
	switch {
	case err == nil, errors.Is(err, raft.ErrNothingNewToSnapshot), awaitsConfiguration(err):
		return nil
	case l.fault.err() != nil:
		return l.fault.err()
	case l.ctx.Err() != nil:
		return ErrClosed
	case request.err != nil:
		return fmt.Errorf("cut the log: %w", request.err)
	default:
		return fmt.Errorf("cut the log: %w", err)
	}
}

// awaitsConfiguration recognises raft's refusal to take a snapshot that ends
// before the committed configuration. Raft has only words for it; the next
// command makes it go away.
func awaitsConfiguration(err error) bool {
	return strings.Contains(err.Error(), "wait until the configuration entry")
}
