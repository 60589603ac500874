package consensus

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// fsm stands between raft and the Machine.
//
// It is a plain raft.FSM on purpose, neither a raft.BatchingFSM nor a
// raft.ConfigurationStore: see the invariants in doc.go.
type fsm struct {
	machine Machine
	disk    Disk
	dir     string
	fault   *fault

	// applied is the last index handed to the machine; at first what the disk
	// held at Open. Owned by raft's FSM goroutine.
	// Invariant: only grows.
	applied uint64

	// damaged: an entry was, and nothing after it is applied. Owned by raft's
	// FSM goroutine.
	damaged bool

	// seen is the last command that raft handed over, skipped ones included:
	// the index raft would give a snapshot now. Written by raft's FSM goroutine.
	seen atomic.Uint64

	// cut is the Cut under way, nil if none. Set by Cut.
	cut atomic.Pointer[cutRequest]
}

// cutRequest carries a Cut's context down through raft, and its error back up:
// raft turns errors into text.
type cutRequest struct {
	ctx context.Context
	err error // written by Persist before raft answers the snapshot future
}

func newFSM(machine Machine, disk Disk, dir string, f *fault) *fsm {
	return &fsm{machine: machine, disk: disk, dir: dir, fault: f, applied: disk.DurableIndex()}
}

// Apply implements raft.FSM. Raft replays from its snapshot's index, and the
// disk may hold more: what it holds is skipped.
func (f *fsm) Apply(entry *raft.Log) any {
	if f.damaged {
		return nil
	}
	if entry.Index > f.applied {
		if err := checkSeal(f.dir, entry); err != nil {
			f.damaged = true
			_ = f.fault.trip(err) // which tells it
			return nil
		}
		f.machine.Apply(entry.Index, entry.Term, entry.Data)
		f.applied = entry.Index
	}
	f.seen.Store(entry.Index)
	return nil
}

// Snapshot implements raft.FSM. It runs on Apply's goroutine and only notes
// which Cut asks.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	request := f.cut.Load()
	if request == nil {
		return nil, fmt.Errorf("snapshot that no Cut asked for")
	}
	return &fsmSnapshot{fsm: f, request: request}, nil
}

// Restore implements raft.FSM, for a follower that was streamed a file.
func (f *fsm) Restore(io.ReadCloser) error { return ErrClusterOfOne }

// fsmSnapshot is a snapshot without a body: the checkpoint is the body.
type fsmSnapshot struct {
	fsm     *fsm
	request *cutRequest
}

// Persist implements raft.FSMSnapshot. When it returns nil, the checkpoint on
// disk holds the snapshot's index, and raft may delete entries up to it.
func (s *fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	s.request.err = s.persist(sink.(*snapshotSink).record.Index)
	return s.request.err
}

func (s *fsmSnapshot) persist(index uint64) error {
	if err := s.fsm.machine.Checkpoint(s.request.ctx, index); err != nil {
		return fmt.Errorf("checkpoint up to index %d: %w", index, err)
	}
	// Cutting now would lose commands for good, so the word is checked.
	if durable := s.fsm.disk.DurableIndex(); durable < index {
		panic(fmt.Sprintf("consensus: Checkpoint(%d) returned, but the disk holds index %d", index, durable))
	}
	return nil
}

// Release implements raft.FSMSnapshot.
func (s *fsmSnapshot) Release() {}
