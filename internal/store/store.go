package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Store is an open checkpoint. Its methods may be called at the same time.
type Store struct {
	o        Options
	path     string
	db       *bbolt.DB
	pageSize int

	// durable is the index of the last checkpoint that was fsynced.
	durable atomic.Uint64

	saveMu  sync.Mutex
	scratch scratch // what Save encodes into; guarded by saveMu

	writeMu sync.Mutex // taken after saveMu; held for a write transaction
	failed  error      // the first failed write; guarded by writeMu
	queues  *finishedQueues

	tallyMu sync.Mutex
	tally   tally // of the last commit; written under writeMu and tallyMu
	saved   saved // guarded by tallyMu

	closeOnce sync.Once
	closeErr  error
}

// saved says what the last Save took.
type saved struct {
	rows int
	took time.Duration
}

// Open opens the checkpoint in o.Dir, an empty one if there is none, and keeps
// others out of it until Close. A file of an older format is carried over.
func Open(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := makeDir(o.Dir); err != nil {
		return nil, err
	}
	s := &Store{o: o, path: filepath.Join(o.Dir, FileName), scratch: scratch{limits: o.hooks.runs}}
	if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		if err := createFile(s.path, o.LockWait); err != nil {
			return nil, explainWrite(o.Dir, "create the checkpoint", err)
		}
	}
	s.db, err = openFile(s.path, fileOptions{
		lockWait: o.LockWait, mmapSize: int(o.InitialMmapSize), openFile: o.hooks.openFile,
	})
	if err != nil {
		return nil, err
	}
	// A process that was killed may have left writes without their fsync. They are
	// read here as if they would stay, and the next commit overwrites pages that the
	// file needs without them: a loss of power amid it would leave neither.
	if err := errors.Join(s.db.Sync(), syncPath(o.Dir)); err != nil {
		return nil, errors.Join(explainWrite(o.Dir, "make the checkpoint durable", err), s.db.Close())
	}
	s.db.AllocSize, s.pageSize = allocBytes, s.db.Info().PageSize
	err = guard(nil, func() error {
		return s.db.View(func(tx *bbolt.Tx) (err error) {
			if s.tally, err = readTally(tx); err != nil || s.tally.format == 1 {
				return err
			}
			s.queues, err = readQueues(tx)
			return err
		})
	})
	if err == nil && s.tally.format < FormatVersion {
		err = s.upgrade()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open checkpoint: %w", err), s.db.Close())
	}
	s.durable.Store(s.tally.index)
	s.removeLeftovers()
	return s, nil
}

// removeLeftovers removes what a crash while creating, compacting or backing up
// has left. All hold the lock that this store holds now, or have no file to show yet.
func (s *Store) removeLeftovers() {
	for _, suffix := range []string{suffixNew, suffixCompact, suffixBackup} {
		if err := os.Remove(s.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.o.Logger.Warn("cannot remove an unfinished checkpoint file", "path", s.path+suffix, "error", err)
		}
	}
}

// DurableIndex is the log index that the last checkpoint holds; 0 on a new
// store. What it tells is fsynced.
func (s *Store) DurableIndex() uint64 { return s.durable.Load() }

// Logic is the logic version of the last checkpoint; 0 on a new store.
func (s *Store) Logic() uint32 { return s.current().logic }

// Close waits for reads and writes under way and closes the file. It may be
// called again.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		if err := s.db.Close(); err != nil {
			s.closeErr = fmt.Errorf("close checkpoint: %w", err)
		}
	})
	return s.closeErr
}

// current is what the file holds.
func (s *Store) current() tally {
	s.tallyMu.Lock()
	defer s.tallyMu.Unlock()
	return s.tally
}

// write runs fn in a transaction, fsynced on return; fn brings next up to date.
// An error is the store's last: every later write returns it.
func (s *Store) write(what string, fn func(tx *bbolt.Tx, next *tally) error) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.failed != nil {
		return fmt.Errorf("%w: %w", ErrFailed, s.failed)
	}
	next := s.current()
	err := faults(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			if err := fn(tx, &next); err != nil {
				return err
			}
			if err := s.queues.put(tx); err != nil {
				return err
			}
			return next.put(tx)
		})
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	if err != nil {
		s.failed = explainWrite(s.o.Dir, what, err)
		return s.failed
	}
	s.tallyMu.Lock()
	s.tally = next
	s.tallyMu.Unlock()
	s.durable.Store(next.index)
	return nil
}

// fail makes err the store's last, unless it has one.
func (s *Store) fail(err error) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.failed != nil {
		return fmt.Errorf("%w: %w", ErrFailed, s.failed)
	}
	s.failed = err
	return err
}

// read runs fn in a read transaction.
func (s *Store) read(fn func(tx *bbolt.Tx) error) error {
	err := faults(func() error { return s.db.View(fn) })
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}
