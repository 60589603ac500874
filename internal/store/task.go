package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

var errSum = errors.New("it doesn't match its checksum")

// damagedAt names the place of damage and what to do.
func damagedAt(bucket []byte, key uint64, err error) error {
	return fmt.Errorf("%w: %s, key %d: %w; run `coordinator check` to see all of it, then restore a backup",
		ErrDamaged, bucket, key, err)
}

// openValue checks a stored value and returns it without its checksum.
func openValue(bucket []byte, t tag, key uint64, value []byte) ([]byte, error) {
	data, whole := unseal(value, place(t, key))
	if !whole {
		return nil, damagedAt(bucket, key, errSum)
	}
	return data, nil
}

// getTask returns a task's value in a bucket, nil if there is none. It is valid
// until the transaction ends.
func getTask(tx *bbolt.Tx, bucket []byte, t tag, id scheduler.TaskID) ([]byte, error) {
	b, err := openBucket(tx, bucket)
	if err != nil {
		return nil, err
	}
	v := b.Get(rowKey(uint64(id)))
	if v == nil {
		return nil, nil
	}
	return openValue(bucket, t, uint64(id), v)
}

// walk finds keys in ascending order: most are next to one another, and a step
// costs a tenth of a search.
type walk struct {
	cursor  *bbolt.Cursor
	at      uint64 // key under the cursor
	value   []byte
	begun   bool
	ended   bool // no key at or after the last one asked for
	scratch [8]byte
}

func (w *walk) find(key uint64) []byte {
	if w.begun && !w.ended && w.at < key {
		w.set(w.cursor.Next())
	}
	if !w.begun || !w.ended && w.at < key {
		binary.BigEndian.PutUint64(w.scratch[:], key)
		w.set(w.cursor.Seek(w.scratch[:]))
		w.begun = true
	}
	if w.ended || w.at != key {
		return nil
	}
	return w.value
}

func (w *walk) set(k, v []byte) {
	w.at, w.value, w.ended = parseKey(k), v, k == nil
}
