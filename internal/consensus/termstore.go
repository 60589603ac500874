package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

var termBucket = []byte("raft")

// termStore is raft's stable store: current term and vote, in a small bbolt
// file. It is read and written only around elections. Its file lock is what
// keeps a second process out of the directory.
type termStore struct {
	db    *bbolt.DB
	fault *fault
}

func openTermStore(dir string, lockWait time.Duration, f *fault) (*termStore, error) {
	path := filepath.Join(dir, "raft-state.db")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := createTermStore(path, lockWait); err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
	}
	db, err := openBolt(path, lockWait)
	if err != nil {
		return nil, err
	}
	// A process that was killed may have left a term without its fsync.
	if err := errors.Join(db.Sync(), syncPath(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("make %s durable: %w", path, err), db.Close())
	}
	return &termStore{db: db, fault: f}, nil
}

// createTermStore makes the file under another name first: bbolt can't open a
// file whose first pages were torn by a power loss.
func createTermStore(path string, lockWait time.Duration) error {
	unfinished := path + ".tmp"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := openBolt(unfinished, lockWait)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(termBucket)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := syncPath(unfinished); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

// isDamaged reports whether bbolt refused a file for its contents.
func isDamaged(err error) bool {
	return errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch)
}

func openBolt(path string, lockWait time.Duration) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s is locked, most likely by another coordinator on this directory, "+
			"or by `coordinator check`, `compact` or `restore` (fuser %s names the process): stop it, or choose another --data-dir",
			ErrInUse, path, path)
	}
	if isDamaged(err) {
		return nil, fmt.Errorf("%w: %s: %w: %s", ErrDamaged, path, err, damagedCure)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// Set implements raft.StableStore.
func (s *termStore) Set(key, value []byte) error {
	if err := s.fault.err(); err != nil {
		return err
	}
	err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(termBucket).Put(key, value) })
	if err != nil {
		return s.fault.trip(fmt.Errorf("write raft's %s: %w", key, err))
	}
	return nil
}

// Get implements raft.StableStore.
func (s *termStore) Get(key []byte) ([]byte, error) {
	var value []byte
	err := s.db.View(func(tx *bbolt.Tx) error {
		value = append(value, tx.Bucket(termBucket).Get(key)...)
		return nil
	})
	return value, err
}

// SetUint64 implements raft.StableStore.
func (s *termStore) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (s *termStore) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil || len(value) == 0 {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("raft's %s is %d bytes long, not 8", key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

func (s *termStore) Close() error { return s.db.Close() }

// syncPath fsyncs a file or a directory.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
