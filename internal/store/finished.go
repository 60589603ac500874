package store

import (
	"encoding/binary"
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// FinishedRow is a task that ended.
type FinishedRow struct {
	ID   scheduler.TaskID
	Dead bool   // a dead letter
	Gen  uint32 // its generation

	// ExpiresAt is the served time at which its retention is over. Nothing is
	// kept of a task whose ExpiresAt is 0 or less.
	ExpiresAt scheduler.Duration

	Data []byte // encoded storagev1.Finished
}

// finishedHeader stands before the data of a finished task: what Expire needs
// of it without decoding the message.
type finishedHeader struct {
	dead    bool
	gen     uint32
	expires scheduler.Duration
}

// finishedHeaderBytes is its stored length: flags 1, generation 4, expiry 8.
const finishedHeaderBytes = 13

func (h finishedHeader) append(b []byte) []byte {
	var flags byte
	if h.dead {
		flags = 1
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint32(b, h.gen)
	return binary.BigEndian.AppendUint64(b, uint64(h.expires))
}

// parseFinished splits a value without its checksum.
func parseFinished(v []byte) (h finishedHeader, data []byte, err error) {
	if len(v) < finishedHeaderBytes || v[0] > 1 {
		return h, nil, fmt.Errorf("%w: header of a finished task", ErrDamaged)
	}
	h.dead = v[0] == 1
	h.gen = binary.BigEndian.Uint32(v[1:])
	h.expires = scheduler.Duration(binary.BigEndian.Uint64(v[5:]))
	return h, v[finishedHeaderBytes:], nil
}

// finish makes edits of finished tasks and of their places in the order of
// expiry. A put wins over a drop.
func (c *scratch) finish(puts []FinishedRow, drops []scheduler.TaskID) {
	for i, id := range drops {
		c.finished = append(c.finished, edit{key: uint64(id), order: i - len(drops)})
	}
	var header [finishedHeaderBytes]byte
	for i := range puts {
		f := &puts[i]
		if f.ExpiresAt <= 0 {
			continue
		}
		h := finishedHeader{dead: f.Dead, gen: f.Gen, expires: f.ExpiresAt}.append(header[:0])
		v := c.arena.seal(h, f.Data, place(tagFinished, uint64(f.ID)))
		c.finished = append(c.finished, edit{key: uint64(f.ID), value: v, order: i})
	}
	c.finished = settle(c.finished)
	for _, e := range c.finished {
		if e.value != nil {
			f := &puts[e.order]
			c.expiry.add(f.ID, f.Dead, f.ExpiresAt)
		}
	}
}

// Finished returns a copy of a finished task's encoded storagev1.Finished, nil
// if there is none.
func (s *Store) Finished(id scheduler.TaskID) (data []byte, err error) {
	err = s.read(func(tx *bbolt.Tx) error {
		v, err := getTask(tx, bucketFinished, tagFinished, id)
		if v == nil || err != nil {
			return err
		}
		if _, v, err = parseFinished(v); err != nil {
			return damagedAt(bucketFinished, uint64(id), err)
		}
		data = clone(v)
		return nil
	})
	return data, err
}

// FinishedAfter calls each with at most limit finished tasks of greater ids than
// after, in order of id, until it says that it wants no more. data is valid in
// the call only, and each must not wait for anything: a read transaction is
// open.
func (s *Store) FinishedAfter(after scheduler.TaskID, limit int,
	each func(id scheduler.TaskID, data []byte) (more bool),
) error {
	return s.read(func(tx *bbolt.Tx) error {
		b, err := openBucket(tx, bucketFinished)
		if err != nil {
			return err
		}
		c := b.Cursor()
		k, v := c.Seek(rowKey(uint64(after)))
		if k != nil && parseKey(k) == uint64(after) {
			k, v = c.Next()
		}
		for ; k != nil && limit > 0; k, v = c.Next() {
			id := parseKey(k)
			data, err := openFinished(id, v)
			if err != nil {
				return err
			}
			if !each(scheduler.TaskID(id), data) {
				return nil
			}
			limit--
		}
		return nil
	})
}

// openFinished checks a stored finished task and returns its message.
func openFinished(id uint64, value []byte) ([]byte, error) {
	v, err := openValue(bucketFinished, tagFinished, id, value)
	if err != nil {
		return nil, err
	}
	_, data, err := parseFinished(v)
	if err != nil {
		return nil, damagedAt(bucketFinished, id, err)
	}
	return data, nil
}

// clone copies data; the copy isn't nil.
func clone(data []byte) []byte { return append([]byte{}, data...) }
