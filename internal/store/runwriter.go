package store

import (
	"encoding/binary"
	"math/bits"

	"go.etcd.io/bbolt"
)

// runLimits bound the runs that are written. Tests have smaller ones.
type runLimits struct {
	members int // the most of a run; 0: what its kind says
	bytes   int // the most bytes of one; 0: runBytesMax
}

// runWriter makes edits of a bucket with runs. It plans first: it walks the rows
// that edits fall on, merges each with its edits, and packs what comes out. Then
// it writes: a cursor of bbolt doesn't bear changes under it.
//
// Each row is opened once, checked, and written once, or not at all if its edits
// change nothing. One that gets too large is divided; new rows behind the
// bucket's last fill that one up first, if it has room. Rows aren't joined again
// as members go. What that wastes is bounded as for rows of one id each: a run of
// one costs hardly more than such a row, and bbolt joins pages less than a
// quarter full once it is told (see shrunk).
type runWriter struct {
	kind   *runKind
	rows   rowCursor
	arena  *arena
	count  *uint64 // of members
	limits runLimits
	ops    []edit // what to write, in order of key

	// damaged is told of rows that can't be read and go on as they are; nil: the
	// first one ends the plan.
	damaged func(error)

	old   members // of the row being merged
	owned int     // how many it had
	freed bool    // its key has been written again or deleted, or there is no row

	piece []member // what goes into the next row
	bytes int      // its length as a run
	kept  int      // members of it that are as they were in old
}

// member is one of a row to be written.
type member struct {
	id   uint64
	data []byte
}

// shrunk marks a row that is written with less than a quarter of its length. It
// is deleted first: bbolt joins a page with its neighbour only after a deletion.
const shrunk = 1

// applyRuns makes edits, which must be in order of key. A value is a member's
// data, not sealed. damaged: see runWriter.
func (c *scratch) applyRuns(tx *bbolt.Tx, k *runKind, count *uint64, edits []edit, damaged func(error)) error {
	if len(edits) == 0 {
		return nil
	}
	b, err := openBucket(tx, k.bucket)
	if err != nil {
		return err
	}
	w := runWriter{
		kind: k, rows: rowCursor{cursor: b.Cursor()}, arena: &c.arena, count: count, limits: c.limits.of(k),
		damaged: damaged, ops: c.ops[:0], piece: make([]member, 0, k.members),
	}
	err = w.plan(edits)
	if err == nil {
		err = w.write(b)
	}
	c.ops = w.ops
	return err
}

// of fills limits up with a kind's own.
func (l runLimits) of(k *runKind) runLimits {
	if l.members == 0 {
		l.members = k.members
	}
	if l.bytes == 0 {
		l.bytes = runBytesMax
	}
	return l
}

// plan fills ops.
func (w *runWriter) plan(edits []edit) error {
	for len(edits) > 0 {
		w.rows.cover(edits[0].key)
		until := w.rows.until()
		n := 1
		for n < len(edits) && edits[n].key <= until {
			n++
		}
		if err := w.merge(edits[:n]); err != nil {
			return err
		}
		edits = edits[n:]
	}
	return nil
}

// merge merges edits with the row that covers their ids.
func (w *runWriter) merge(edits []edit) (err error) {
	more := false
	w.old, w.owned, w.freed = members{}, 0, true
	if w.rows.there {
		w.old, err = w.kind.open(w.rows.key, w.rows.value)
		if err != nil && w.damaged != nil {
			w.beside(edits, err)
			return nil
		}
		if err != nil {
			return err
		}
		w.owned, w.freed = w.old.left, false
		if more, err = w.old.next(); err != nil {
			return err
		}
	}
	for more || len(edits) > 0 {
		var e *edit
		if len(edits) > 0 && (!more || edits[0].key <= w.old.id) {
			e, edits = &edits[0], edits[1:]
		}
		was := more && (e == nil || e.key == w.old.id)
		switch {
		case e == nil:
			w.add(w.old.id, w.old.data, true)
		case e.value != nil:
			w.add(e.key, e.value, false)
			*w.count++
		}
		if !was {
			continue
		}
		if e != nil {
			*w.count--
		}
		if more, err = w.old.next(); err != nil {
			return err
		}
	}
	w.flush()
	w.free()
	return nil
}

// beside makes edits beside a row that can't be read, which stays and counts as
// it is: what is new gets rows of its own. Only one that takes the row's very key
// replaces it.
func (w *runWriter) beside(edits []edit, err error) {
	w.damaged(err)
	for i := range edits {
		e := &edits[i]
		if e.value == nil {
			continue
		}
		if e.key == w.rows.key {
			*w.count -= min(*w.count, uint64(claimed(w.rows.value)))
		}
		w.add(e.key, e.value, false)
		*w.count++
	}
	w.flush()
}

// add puts a member into the piece, which it ends first if there is no room.
func (w *runWriter) add(id uint64, data []byte, kept bool) {
	size := memberBytes(w.last(id), id, data)
	if n := len(w.piece); n > 0 && (n == w.limits.members || w.bytes+size > w.limits.bytes) {
		w.flush()
		size = memberBytes(w.last(id), id, data)
	}
	if len(w.piece) == 0 {
		w.bytes = runFrameBytes
	}
	w.piece = append(w.piece, member{id, data})
	w.bytes += size
	if kept {
		w.kept++
	}
}

// last is the id that the next member's difference counts from, before id.
func (w *runWriter) last(id uint64) uint64 {
	switch n := len(w.piece); {
	case n > 0:
		return w.piece[n-1].id
	case !w.freed:
		return w.old.key
	}
	return id
}

// memberBytes is what a member takes in a run.
func memberBytes(last, id uint64, data []byte) int {
	return uvarintBytes(id-last) + uvarintBytes(uint64(len(data))) + len(data)
}

func uvarintBytes(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// flush plans a row of the piece, unless it is what the old row holds already.
func (w *runWriter) flush() {
	piece := w.piece
	if len(piece) == 0 {
		return
	}
	switch {
	case !w.freed && w.kept == len(piece) && w.kept == w.owned:
		w.freed = true
	case len(piece) == 1 && (w.freed || piece[0].id == w.old.key || w.bytes > w.limits.bytes):
		if !w.freed && piece[0].id != w.old.key {
			w.free()
		}
		id := piece[0].id
		w.put(id, w.arena.seal(nil, piece[0].data, place(w.kind.single, id)))
	default:
		key := piece[0].id
		if !w.freed {
			key = w.old.key
		}
		w.put(key, w.pack(key, piece))
	}
	clear(w.piece)
	w.piece, w.bytes, w.kept = piece[:0], 0, 0
}

// put plans a row. The first one takes the old one's key.
func (w *runWriter) put(key uint64, value []byte) {
	e := edit{key: key, value: value}
	if n := len(value); !w.freed && n < w.limits.bytes/4 && n < len(w.rows.value) {
		e.from = shrunk
	}
	w.freed = true
	w.ops = append(w.ops, e)
}

// free deletes the old row if nothing else is written under its key.
func (w *runWriter) free() {
	if !w.freed {
		w.ops = append(w.ops, edit{key: w.old.key})
		w.freed = true
	}
}

// pack encodes a run.
func (w *runWriter) pack(key uint64, piece []member) []byte {
	v := append(w.arena.tail(w.bytes), runMarker, byte(len(piece)))
	last := key
	for _, m := range piece {
		v = binary.AppendUvarint(v, m.id-last)
		v = binary.AppendUvarint(v, uint64(len(m.data)))
		v = append(v, m.data...)
		last = m.id
	}
	return w.arena.keep(seal(v, 0, place(w.kind.run, key)))
}

// write makes the planned changes.
func (w *runWriter) write(b *bbolt.Bucket) error {
	c := b.Cursor()
	var key [8]byte
	for i := range w.ops {
		op := &w.ops[i]
		binary.BigEndian.PutUint64(key[:], op.key)
		if op.value == nil || op.from == shrunk {
			c.Seek(key[:])
			if err := c.Delete(); err != nil {
				return err
			}
		}
		if op.value == nil {
			continue
		}
		if err := b.Put(key[:], op.value); err != nil {
			return err
		}
	}
	return nil
}
