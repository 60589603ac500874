package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// tableCount is one more than the last table's number.
const tableCount = int(scheduler.TableDead) + 1

// tableBuckets are the buckets of the core's tables, by the table's number. The
// names are stored.
var tableBuckets = [tableCount][]byte{
	scheduler.TableGlobals:   []byte("globals"),
	scheduler.TableQueues:    []byte("queues"),
	scheduler.TableShapes:    []byte("shapes"),
	scheduler.TablePolicies:  []byte("policies"),
	scheduler.TableSessions:  []byte("sessions"),
	scheduler.TableTasks:     []byte("tasks"),
	scheduler.TableLeases:    []byte("leases"),
	scheduler.TableProducers: []byte("producers"),
	scheduler.TableKeys:      []byte("keys"),
	scheduler.TableDead:      []byte("dead"),
}

// The store's own buckets. The names are stored.
var (
	bucketMeta       = []byte("meta")        // manifest, counts, snapshot
	bucketBodies     = []byte("bodies")      // first task id: run of Body
	bucketFailures   = []byte("failures")    // task id: Attempts
	bucketFinished   = []byte("finished")    // task id: finishedHeader, Finished
	bucketExpiry     = []byte("expiry")      // placeKey by second: ids of finished tasks
	bucketExpiryDead = []byte("expiry-dead") // placeKey by second: ids of dead letters

	// From format 2 on.
	bucketQueues = []byte("finished-queues") // number: counts, name
	bucketOrder  = []byte("finished-order")  // placeKey by queue: ids of finished tasks
)

// tag is a bucket's part in its values' checksums. The numbers are stored.
type tag byte

// The tags. Tables have their own number.
const (
	tagMeta tag = iota + 100
	tagBodies
	tagFailures
	tagFinished
	tagExpiry
	tagExpiryDead
	tagQueues
	tagOrder

	// Of runs, from format 3 on.
	tagTaskRun
	tagBodyRun
)

// allBuckets lists every bucket of a checkpoint.
func allBuckets() [][]byte {
	all := [][]byte{bucketMeta, bucketBodies, bucketFailures, bucketFinished, bucketExpiry, bucketExpiryDead, bucketQueues, bucketOrder}
	return append(all, tableBuckets[1:]...)
}

// appendFill is how full bbolt makes pages that it splits: keys are counters,
// so new ones come at the end and leave nothing to insert before.
const appendFill = 0.9

// openBucket returns a bucket set up for writing in order of key.
func openBucket(tx *bbolt.Tx, name []byte) (*bbolt.Bucket, error) {
	b := tx.Bucket(name)
	if b == nil {
		return nil, fmt.Errorf("%w: bucket %s is missing", ErrDamaged, name)
	}
	b.FillPercent = appendFill
	return b, nil
}

// sumBytes is the length of the checksum at a value's end.
const sumBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// place is where a value belongs. It seeds the value's checksum, so that a
// value found under another key or in another bucket doesn't pass for whole.
func place(t tag, key uint64) uint32 {
	h := (key + uint64(t)) * 0x9e3779b97f4a7c15
	return uint32(h>>32) ^ uint32(h)
}

// sealOfPlaces seeds the checksum of a row of places.
func sealOfPlaces(t tag, k placeKey) uint32 {
	return place(t, k.group^bits.RotateLeft64(k.seq, 32))
}

// seal appends the checksum of value[from:].
func seal(value []byte, from int, where uint32) []byte {
	return binary.BigEndian.AppendUint32(value, crc32.Update(where, castagnoli, value[from:]))
}

// unseal returns a value without its checksum, and whether it is whole.
func unseal(value []byte, where uint32) (data []byte, whole bool) {
	n := len(value) - sumBytes
	if n < 0 {
		return nil, false
	}
	return value[:n:n], crc32.Update(where, castagnoli, value[:n]) == binary.BigEndian.Uint32(value[n:])
}

// rowKey is a key of 8 bytes, big-endian, so that bbolt's order is that of the
// numbers.
func rowKey(key uint64) []byte { return binary.BigEndian.AppendUint64(nil, key) }

// parseKey is the inverse of rowKey. A key of another length counts as 0, which
// no row has, so that the caller's checksum test refuses it.
func parseKey(k []byte) uint64 {
	if len(k) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(k)
}

// writer puts and deletes in one bucket, ideally in order of key, and keeps
// count of its rows.
type writer struct {
	bucket *bbolt.Bucket
	cursor *bbolt.Cursor
	last   uint64 // no row has a greater key
	empty  bool
	count  *uint64
	key    [8]byte
	found  []byte // the value that seek found, until the next change
}

func newWriter(tx *bbolt.Tx, name []byte, count *uint64) (*writer, error) {
	b, err := openBucket(tx, name)
	if err != nil {
		return nil, err
	}
	w := &writer{bucket: b, cursor: b.Cursor(), count: count}
	k, _ := w.cursor.Last()
	w.last, w.empty = parseKey(k), k == nil
	return w, nil
}

// seek reports whether there is a row, with the cursor on it. The greatest keys
// of all, those of new rows, cost no search.
func (w *writer) seek(key uint64) bool {
	binary.BigEndian.PutUint64(w.key[:], key)
	if w.empty || key > w.last {
		return false
	}
	k, v := w.cursor.Seek(w.key[:])
	w.found = v
	return k != nil && parseKey(k) == key
}

// put stores a row. value must stay as it is until the transaction's end.
func (w *writer) put(key uint64, value []byte) error {
	return w.store(key, value, w.seek(key))
}

// store is put; there: seek has found the row.
func (w *writer) store(key uint64, value []byte, there bool) error {
	if !there {
		*w.count++
	}
	if w.empty || key > w.last {
		w.last, w.empty = key, false
	}
	return w.bucket.Put(w.key[:], value)
}

// remove deletes a row, if it is there.
func (w *writer) remove(key uint64) error {
	if !w.seek(key) {
		return nil
	}
	return w.removeFound()
}

// removeFound deletes the row that seek has found.
func (w *writer) removeFound() error {
	*w.count--
	return w.cursor.Delete()
}

// apply makes the edits, which must be in order of key.
func (w *writer) apply(edits []edit) error {
	for i := range edits {
		var err error
		if e := &edits[i]; e.value == nil {
			err = w.remove(e.key)
		} else {
			err = w.put(e.key, e.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
