package store

import (
	"cmp"
	"slices"
)

// slabBytes is the size of an arena's pieces.
const slabBytes = 1 << 20

// arena holds encoded values until the transaction that puts them has ended
// (bbolt doesn't copy values before that). Its memory is used again by the next
// checkpoint. Values never move.
type arena struct {
	slabs [][]byte // lengths are what is used
	at    int      // the slab being filled
}

// tail returns room to append a value to, at least want bytes of it.
func (a *arena) tail(want int) []byte {
	for ; a.at < len(a.slabs); a.at++ {
		if s := a.slabs[a.at]; cap(s)-len(s) >= want {
			return s[len(s):]
		}
	}
	a.slabs = append(a.slabs, make([]byte, 0, max(want, slabBytes)))
	return a.slabs[a.at]
}

// keep makes what was appended to the tail a value. One that outgrew the tail
// lives elsewhere by then.
func (a *arena) keep(value []byte) []byte {
	s := a.slabs[a.at]
	if cap(value) == cap(s)-len(s) {
		a.slabs[a.at] = s[:len(s)+len(value)]
	}
	return slices.Clip(value)
}

// seal copies data, with a header before it and the checksum behind it.
func (a *arena) seal(header, data []byte, where uint32) []byte {
	v := a.tail(len(header) + len(data) + sumBytes)
	v = append(v, header...)
	v = append(v, data...)
	return a.keep(seal(v, 0, where))
}

// reset forgets the values, and lets memory above arenaKeepBytes go.
func (a *arena) reset() {
	kept := 0
	a.slabs = slices.DeleteFunc(a.slabs, func(s []byte) bool {
		kept += cap(s)
		return kept > arenaKeepBytes
	})
	for i, s := range a.slabs {
		a.slabs[i] = s[:0]
	}
	a.at = 0
}

// edit is a put or, if value is nil, a deletion.
type edit struct {
	key   uint64
	value []byte
	from  int32 // which of a list it puts, counted from 1; 0: a deletion
}

// sortEdits puts edits in order of key, those of one key in order of arrival.
func (c *scratch) sortEdits(edits []edit) {
	byKey := func(a, b edit) int { return cmp.Compare(a.key, b.key) }
	if slices.IsSortedFunc(edits, byKey) {
		return
	}
	c.moved = append(c.moved[:0], edits...)
	for i, k := range c.sorter.keys(len(edits), func(i int) uint64 { return edits[i].key }) {
		edits[i] = c.moved[k.at]
	}
}

// settle sorts edits and keeps the last one of each key.
func (c *scratch) settle(edits []edit) []edit {
	c.sortEdits(edits)
	kept := edits[:0]
	for i, e := range edits {
		if i+1 < len(edits) && edits[i+1].key == e.key {
			continue
		}
		kept = append(kept, e)
	}
	return kept
}
