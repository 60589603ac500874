package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// The buckets that have a row or two for every task hold runs, from format 3 on:
// a row of bbolt with several neighbours in it, its members. bbolt's work is by
// row, whatever it holds, so members cost a tenth of what rows cost.
//
//	run     runMarker, number of members, members, checksum
//	member  id (difference to the last one's, the first's to the key),
//	        length of data, data
//
// The key is the first id that the run was written with; it stays when that one
// goes. All members are below the next row's key, so a run covers every id from
// its key to there. A row may also hold one id's data alone, as in format 2,
// under this id: one too large for a run, one whose neighbours have gone, and
// whatever format 2 has left.
//
// The two kinds have different seeds for their checksums. The marker only says
// which to try first: no message begins with it (field 0, wire type 7), and a
// single value that did would still be known by its checksum.
const runMarker = 0x07

const (
	// runBytesMax is the most that a run may have, checksum included: two of them
	// fill a page of 4 KiB. bbolt puts at least two rows on a page, and one that
	// they overflow takes up the next one too.
	runBytesMax = (4096-pageHeaderBytes)/2 - pageRowBytes

	pageHeaderBytes = 16     // of bbolt's page
	pageRowBytes    = 16 + 8 // what a row on it has beside its value: element, key

	runHeaderBytes = 2
	runFrameBytes  = runHeaderBytes + sumBytes
)

var (
	errMembers = errors.New("its members can't be read")
	errOverlap = errors.New("it begins before the end of the row before it")
)

// runKind is a bucket with runs.
type runKind struct {
	bucket  []byte
	single  tag // seeds the checksum of a row that isn't a run
	run     tag // of one that is
	members int // the most of a run that is written; their number is stored in a byte
}

var (
	taskRuns = runKind{tableBuckets[scheduler.TableTasks], tag(scheduler.TableTasks), tagTaskRun, 32}
	bodyRuns = runKind{bucketBodies, tagBodies, tagBodyRun, 16}
)

// claimed is how many members a row says it has, be it damaged or not.
func claimed(value []byte) int {
	if len(value) < runFrameBytes || value[0] != runMarker {
		return 1
	}
	return max(int(value[1]), 1)
}

// damaged names a row that can't be read, and what it held.
func (k *runKind) damaged(key uint64, value []byte, err error) error {
	if n := claimed(value); n > 1 {
		err = fmt.Errorf("the first of a run of %d: %w", n, err)
	}
	return damagedAt(k.bucket, key, err)
}

// open checks a stored row and returns its members. They are valid until the
// transaction ends.
func (k *runKind) open(key uint64, value []byte) (members, error) {
	if key == 0 {
		return members{}, k.damaged(key, value, errSum)
	}
	if len(value) >= runFrameBytes && value[0] == runMarker {
		if data, whole := unseal(value, place(k.run, key)); whole {
			m := members{kind: k, key: key, run: value, rest: data[runHeaderBytes:], left: int(data[1]), id: key}
			if m.left == 0 {
				return members{}, k.damaged(key, value, errMembers)
			}
			return m, nil
		}
	}
	data, whole := unseal(value, place(k.single, key))
	if !whole {
		return members{}, k.damaged(key, value, errSum)
	}
	return members{kind: k, key: key, rest: data, left: 1, id: key}, nil
}

// members walks the members of a row, in order of id.
type members struct {
	kind *runKind
	key  uint64
	run  []byte // the row, if it is a run
	rest []byte // what comes after the current member
	left int    // how many come after it

	id   uint64 // of the current member
	data []byte
}

// next goes to the next member, the first at first; ok: there is one.
func (m *members) next() (ok bool, err error) {
	if m.left == 0 {
		if m.run != nil && len(m.rest) > 0 {
			return false, m.kind.damaged(m.key, m.run, errMembers)
		}
		return false, nil
	}
	begun := m.data != nil
	m.left--
	if m.run == nil {
		m.data, m.rest = m.rest, nil
		return true, nil
	}
	delta, d := binary.Uvarint(m.rest)
	if d <= 0 {
		return false, m.kind.damaged(m.key, m.run, errMembers)
	}
	size, s := binary.Uvarint(m.rest[d:])
	if s <= 0 || size > uint64(len(m.rest)-d-s) || m.id+delta < m.id || begun && delta == 0 {
		return false, m.kind.damaged(m.key, m.run, errMembers)
	}
	at, end := d+s, d+s+int(size)
	m.id += delta
	m.data, m.rest = m.rest[at:end:end], m.rest[end:]
	return true, nil
}

// each walks a bucket: fn is called with every member, in order of id. bad is
// told of a row that can't be read, with the number of members it claims; what
// it returns, if not nil, ends the walk, as an error of fn does.
func (k *runKind) each(b *bbolt.Bucket, fn func(id uint64, data []byte) error, bad func(n int, err error) error) error {
	c := b.Cursor()
	last := uint64(0)
	for key, value := c.First(); key != nil; key, value = c.Next() {
		m, err := k.open(parseKey(key), value)
		if err == nil && m.key <= last {
			err = k.damaged(m.key, value, errOverlap)
		}
		unread := claimed(value)
		for ok := err == nil; ok; {
			if ok, err = m.next(); ok {
				unread--
				last = m.id
				if err := fn(m.id, m.data); err != nil {
					return err
				}
			}
		}
		if err != nil {
			if err := bad(unread, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// rowCursor finds the rows that cover ids, which must come in ascending order:
// most are next to one another, and a step costs a tenth of a search. The bucket
// mustn't change under it.
type rowCursor struct {
	cursor *bbolt.Cursor // on the next row, or on the last one
	begun  bool

	key   uint64 // of the row that covers the id asked for
	value []byte
	there bool // false: the id comes before every row

	next      uint64 // key of the row after it
	nextValue []byte
	ended     bool // there is none
}

// cover finds the last row that begins at or before an id.
func (c *rowCursor) cover(id uint64) {
	if c.begun && !c.ended && id >= c.next {
		c.key, c.value, c.there = c.next, c.nextValue, true
		c.setNext(c.cursor.Next())
	}
	if !c.begun || !c.ended && id >= c.next {
		c.seek(id)
		c.begun = true
	}
}

// until is the last id that the row covers.
func (c *rowCursor) until() uint64 {
	if c.ended {
		return math.MaxUint64
	}
	return c.next - 1
}

func (c *rowCursor) seek(id uint64) {
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], id)
	k, v := c.cursor.Seek(buf[:])
	switch {
	case k == nil: // the cursor is nowhere then
		k, v = c.cursor.Last()
		c.set(k, v)
		c.setNext(nil, nil)
	case parseKey(k) == id:
		c.set(k, v)
		c.setNext(c.cursor.Next())
	default:
		c.setNext(k, v)
		if k, v = c.cursor.Prev(); k == nil {
			c.set(nil, nil)
			c.cursor.First()
			return
		}
		c.set(k, v)
		c.cursor.Next()
	}
}

func (c *rowCursor) set(k, v []byte)     { c.key, c.value, c.there = parseKey(k), v, k != nil }
func (c *rowCursor) setNext(k, v []byte) { c.next, c.nextValue, c.ended = parseKey(k), v, k == nil }

// finder finds members by their ids, which must come in ascending order. It
// opens each row once.
type finder struct {
	rows  rowCursor
	kind  *runKind
	at    uint64 // key of the row that members walks; 0: none
	bad   error  // it can't be read
	m     members
	empty bool // its members have come to an end
}

func newFinder(k *runKind, b *bbolt.Bucket) finder {
	return finder{kind: k, rows: rowCursor{cursor: b.Cursor()}}
}

// find returns an id's data, nil if it has none. It is valid until the
// transaction ends.
func (f *finder) find(id uint64) ([]byte, error) {
	f.rows.cover(id)
	if !f.rows.there {
		return nil, nil
	}
	if f.at != f.rows.key || f.rows.key == 0 {
		f.at, f.empty = f.rows.key, false
		if f.m, f.bad = f.kind.open(f.rows.key, f.rows.value); f.bad == nil {
			f.step()
		}
	}
	for f.bad == nil && !f.empty && f.m.id < id {
		f.step()
	}
	if f.bad != nil || f.empty || f.m.id != id {
		return nil, f.bad
	}
	return f.m.data, nil
}

func (f *finder) step() {
	ok, err := f.m.next()
	f.empty, f.bad = !ok, err
}
