package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

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

// Bodies calls each for every id with its body, an encoded storagev1.Body, or
// with nil if there is none; i is the id's position in ids. Calls come in order
// of id; ids in that order cost nothing to sort. data is valid in the call
// only, and each must not wait for anything: a read transaction is open. An
// error of each ends the walk and is returned.
func (s *Store) Bodies(ids []scheduler.TaskID, each func(i int, data []byte) error) error {
	var order []int // positions in order of id; nil if ids is
	if !slices.IsSorted(ids) {
		order = make([]int, len(ids))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
	}
	return s.read(func(tx *bbolt.Tx) error {
		b, err := openBucket(tx, bucketBodies)
		if err != nil {
			return err
		}
		f := newFinder(&bodyRuns, b)
		for n := range ids {
			i := n
			if order != nil {
				i = order[n]
			}
			data, err := f.find(uint64(ids[i]))
			if err != nil {
				return err
			}
			if err := each(i, data); err != nil {
				return err
			}
		}
		return nil
	})
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
