package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// walDir is the folder of segments below Options.Dir.
func walDir(dir string) string { return filepath.Join(dir, "wal") }

// openWAL opens raft-wal with its metadata healed first, and with the two
// errors that raft-wal only logs (both of a rotation, in the background) sent
// to the fault.
func openWAL(o Options, f *fault) (*wal.WAL, error) {
	dir := walDir(o.Dir)
	if err := checkList(dir); err != nil {
		return nil, err
	}
	filer := segment.NewFiler(dir, fs.New())
	healing := &healingMeta{
		MetaStore: &metadb.BoltMetaDB{}, filer: filer, now: o.Now,
		logger: o.Logger.Named("wal"),
	}
	store, err := wal.Open(dir,
		wal.WithMetaStore(&guardedMeta{MetaStore: healing, fault: f}),
		wal.WithSegmentFiler(&guardedFiler{SegmentFiler: filer, fault: f}),
		wal.WithSegmentSize(o.SegmentBytes),
		wal.WithLogger(raftLogger{o.Logger.Named("raft.wal")}),
	)
	if err != nil {
		// raft-wal leaves its metadata file open and locked then.
		_ = healing.Close()
		if errors.Is(err, wal.ErrCorrupt) || isDamaged(err) {
			return nil, fmt.Errorf("%w: %s: %w: %s", ErrDamaged, dir, err, damagedCure)
		}
		return nil, fmt.Errorf("open the log in %s: %w", dir, err)
	}
	return store, nil
}

// checkList refuses segments without a list of them: raft-wal would begin a new
// log among them.
func checkList(dir string) error {
	list := filepath.Join(dir, metadb.FileName)
	if _, err := os.Stat(list); !errors.Is(err, os.ErrNotExist) {
		return nil // there, or for Open to say
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(segments) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s is missing, and there are %d segments of a log beside it: put it back, or restore a backup into an empty directory",
		ErrDamaged, list, len(segments))
}

// guardedMeta trips the fault when the list of segments can't be written.
type guardedMeta struct {
	types.MetaStore
	fault *fault
}

// CommitState implements types.MetaStore.
func (m *guardedMeta) CommitState(state types.PersistentState) error {
	if err := m.fault.err(); err != nil {
		return err
	}
	if err := m.MetaStore.CommitState(state); err != nil {
		return m.fault.trip(fmt.Errorf("write the log's list of segments: %w", err))
	}
	return nil
}

// explainFull adds to a full disk what a person can do about it.
func explainFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: free some disk space (or raise the quota), then start the coordinator again", err)
	}
	return err
}

// guardedFiler trips the fault when the next segment can't be made, most often
// because the disk has no room left to preallocate it.
type guardedFiler struct {
	types.SegmentFiler
	fault *fault
}

// Create implements types.SegmentFiler.
func (s *guardedFiler) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	if err := s.fault.err(); err != nil {
		return nil, err
	}
	w, err := s.SegmentFiler.Create(info)
	if err != nil {
		return nil, s.fault.trip(fmt.Errorf("make log segment %s of %d bytes: %w", segment.FileName(info), info.SizeLimit, explainFull(err)))
	}
	return w, nil
}
