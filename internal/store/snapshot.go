package store

import (
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// WriteTo writes a consistent copy of the file, as of the last write, and
// returns its length. Writes go on meanwhile but can't use the space of what
// they replace: w should be a local file, from which the copy is then shipped,
// and never a network connection.
func (s *Store) WriteTo(w io.Writer) (n int64, err error) {
	err = s.read(func(tx *bbolt.Tx) (err error) {
		n, err = tx.WriteTo(w)
		return err
	})
	if err != nil {
		return n, fmt.Errorf("copy the checkpoint: %w", err)
	}
	return n, nil
}

// SnapshotMeta returns a copy of the blob last put, nil if there is none.
func (s *Store) SnapshotMeta() (data []byte, err error) {
	err = s.read(func(tx *bbolt.Tx) (err error) {
		if b := tx.Bucket(bucketMeta); b != nil && b.Get(keySnapshot) != nil {
			data, err = getMeta(tx, keySnapshot, placeSnapshot)
		}
		return err
	})
	return data, err
}

// PutSnapshotMeta replaces the blob; it is fsynced on return. Errors are as
// those of Save.
func (s *Store) PutSnapshotMeta(data []byte) error {
	return s.write("write the snapshot's record", func(tx *bbolt.Tx, _ *tally) error {
		return putMeta(tx, keySnapshot, data, placeSnapshot)
	})
}
