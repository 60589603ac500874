package store

import (
	"encoding/binary"
	"errors"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// placeKey orders the rows of buckets that hold places: lists of ids, in groups.
// In the orders of expiry a group is a second, in that of finishing a queue.
type placeKey struct {
	group uint64 // served seconds by which all of the row are due, rounded up; or a queue's number
	seq   uint64 // rows of one group, in order of arrival
}

const placeKeyBytes = 16

func (k placeKey) bytes() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, placeKeyBytes), k.group)
	return binary.BigEndian.AppendUint64(b, k.seq)
}

func parsePlaceKey(b []byte) (k placeKey, ok bool) {
	if len(b) != placeKeyBytes {
		return k, false
	}
	return placeKey{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, true
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

// placeRowIDs is the most ids of one row: the rest of a row that was consumed
// in part is written again, and so stays within a page or two.
const placeRowIDs = 1024

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

// idPlace is a finished task's place in one of the orders.
type idPlace struct{ group, id uint64 }

// placeEdits collects the places of a checkpoint's finished tasks, by id.
type placeEdits struct{ live, dead, order []idPlace }

func (e *placeEdits) reset() { e.live, e.dead, e.order = e.live[:0], e.dead[:0], e.order[:0] }

// add gives a task its place in an order of expiry, and, if its queue has a
// number and it is no dead letter, in the order of finishing.
func (e *placeEdits) add(f *FinishedRow, queue uint32) {
	id, second := uint64(f.ID), dueSecond(f.ExpiresAt)
	if f.Dead {
		e.dead = append(e.dead, idPlace{second, id})
		return
	}
	e.live = append(e.live, idPlace{second, id})
	if queue != 0 {
		e.order = append(e.order, idPlace{uint64(queue), id})
	}
}

// put writes new rows: one for each group and placeRowIDs of it. Rows that are
// there already are left alone, so that a finished task costs one write in the
// middle of a bucket, its own, and shares of two at the ends of others.
func (e *placeEdits) put(tx *bbolt.Tx, sort *sorter) error {
	if err := addPlaces(tx, bucketExpiry, tagExpiry, e.live, sort); err != nil {
		return err
	}
	if err := addPlaces(tx, bucketExpiryDead, tagExpiryDead, e.dead, sort); err != nil {
		return err
	}
	return addPlaces(tx, bucketOrder, tagOrder, e.order, sort)
}

// addPlaces writes a list that is in order of id.
func addPlaces(tx *bbolt.Tx, bucket []byte, t tag, list []idPlace, sort *sorter) error {
	if len(list) == 0 {
		return nil
	}
	b, err := openBucket(tx, bucket)
	if err != nil {
		return err
	}
	order := sort.keys(len(list), func(i int) uint64 { return list[i].group })
	ids := make([]uint64, 0, min(len(list), placeRowIDs))
	for i, k := range order {
		ids = append(ids, list[k.at].id)
		if i+1 < len(order) && order[i+1].key == k.key && len(ids) < placeRowIDs {
			continue
		}
		if err := addRow(b, t, k.key, ids); err != nil {
			return err
		}
		ids = ids[:0]
	}
	return nil
}

// addRow writes a new row behind those of its group.
func addRow(b *bbolt.Bucket, t tag, group uint64, ids []uint64) error {
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	return putPlaces(b, t, placeKey{group, seq}, ids)
}

// putPlaces writes a row; without ids it deletes it.
func putPlaces(b *bbolt.Bucket, t tag, k placeKey, ids []uint64) error {
	if len(ids) == 0 {
		return b.Delete(k.bytes())
	}
	return b.Put(k.bytes(), seal(appendIDs(nil, ids), 0, sealOfPlaces(t, k)))
}

// placeRow is a stored row of places.
type placeRow struct {
	key placeKey
	ids []uint64
}

// readPlaces decodes a row, its ids onto ids.
func readPlaces(bucket []byte, t tag, k, v []byte, ids []uint64) (placeRow, error) {
	key, ok := parsePlaceKey(k)
	if !ok {
		return placeRow{}, damagedAt(bucket, 0, errors.New("its key can't be read"))
	}
	data, whole := unseal(v, sealOfPlaces(t, key))
	if !whole {
		return placeRow{}, damagedAt(bucket, key.group, errSum)
	}
	ids, err := readIDs(data, ids)
	if err != nil {
		return placeRow{}, damagedAt(bucket, key.group, err)
	}
	return placeRow{key, ids}, nil
}
