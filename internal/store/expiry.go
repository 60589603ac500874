package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// expiryKey orders the rows of the expiry buckets.
type expiryKey struct {
	second uint64 // served seconds by which all of the row are due, rounded up
	seq    uint64 // rows of one second, in order of arrival
}

const expiryKeyBytes = 16

func (k expiryKey) bytes() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, expiryKeyBytes), k.second)
	return binary.BigEndian.AppendUint64(b, k.seq)
}

func parseExpiryKey(b []byte) (k expiryKey, ok bool) {
	if len(b) != expiryKeyBytes {
		return k, false
	}
	return expiryKey{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, true
}

// dueSecond rounds an expiry up to the second.
func dueSecond(d scheduler.Duration) uint64 {
	second := uint64(d / scheduler.Second)
	if d%scheduler.Second != 0 {
		second++
	}
	return second
}

// horizon is the last second that is due at a served time.
func horizon(served scheduler.Duration) uint64 {
	return uint64(max(served, 0) / scheduler.Second)
}

// expiryRowIDs is the most ids of one row: the rest of a row that was consumed
// in part is written again, and so stays within a page or two.
const expiryRowIDs = 1024

var errIDs = errors.New("its ids can't be read")

// appendIDs encodes ascending ids as differences.
func appendIDs(b []byte, ids []uint64) []byte {
	last := uint64(0)
	for _, id := range ids {
		b = binary.AppendUvarint(b, id-last)
		last = id
	}
	return b
}

// readIDs appends the ids of a row to ids.
func readIDs(data []byte, ids []uint64) ([]uint64, error) {
	last := uint64(0)
	for len(data) > 0 {
		d, n := binary.Uvarint(data)
		if n <= 0 {
			return ids, errIDs
		}
		data = data[n:]
		last += d
		ids = append(ids, last)
	}
	return ids, nil
}

// due is a finished task's place in the order of expiry.
type due struct{ second, id uint64 }

// expiryEdits collects the places of a checkpoint's finished tasks.
type expiryEdits struct{ live, dead []due }

func (e *expiryEdits) reset() { e.live, e.dead = e.live[:0], e.dead[:0] }

func (e *expiryEdits) add(id scheduler.TaskID, dead bool, expires scheduler.Duration) {
	d := due{dueSecond(expires), uint64(id)}
	if dead {
		e.dead = append(e.dead, d)
	} else {
		e.live = append(e.live, d)
	}
}

// put writes new rows: one for each second and expiryRowIDs of it. Rows that
// are there already are left alone, so that a finished task costs one write in
// the middle of a bucket, its own, and a share of one at the end of another.
func (e *expiryEdits) put(tx *bbolt.Tx) error {
	if err := putDue(tx, bucketExpiry, tagExpiry, e.live); err != nil {
		return err
	}
	return putDue(tx, bucketExpiryDead, tagExpiryDead, e.dead)
}

func putDue(tx *bbolt.Tx, bucket []byte, t tag, list []due) error {
	if len(list) == 0 {
		return nil
	}
	b, err := openBucket(tx, bucket)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(x, y due) int {
		return cmp.Or(cmp.Compare(x.second, y.second), cmp.Compare(x.id, y.id))
	})
	ids := make([]uint64, 0, min(len(list), expiryRowIDs))
	for i, d := range list {
		ids = append(ids, d.id)
		if i+1 < len(list) && list[i+1].second == d.second && len(ids) < expiryRowIDs {
			continue
		}
		seq, err := b.NextSequence()
		if err != nil {
			return err
		}
		if err := putExpiryRow(b, t, expiryKey{d.second, seq}, ids); err != nil {
			return err
		}
		ids = ids[:0]
	}
	return nil
}

func putExpiryRow(b *bbolt.Bucket, t tag, k expiryKey, ids []uint64) error {
	return b.Put(k.bytes(), seal(appendIDs(nil, ids), 0, expiryPlace(t, k)))
}

// expiryRow is a stored row of an expiry bucket.
type expiryRow struct {
	key expiryKey
	ids []uint64
}

// readExpiryRow decodes a row, its ids onto ids.
func readExpiryRow(bucket []byte, t tag, k, v []byte, ids []uint64) (expiryRow, error) {
	key, ok := parseExpiryKey(k)
	if !ok {
		return expiryRow{}, damagedAt(bucket, 0, errors.New("its key can't be read"))
	}
	data, whole := unseal(v, expiryPlace(t, key))
	if !whole {
		return expiryRow{}, damagedAt(bucket, key.second, errSum)
	}
	ids, err := readIDs(data, ids)
	if err != nil {
		return expiryRow{}, damagedAt(bucket, key.second, err)
	}
	return expiryRow{key, ids}, nil
}
