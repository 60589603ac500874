package engine

import (
	"cmp"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// bodyLine holds the bodies of new tasks, encoded storagev1.Body. New tasks come in order of id, most without a gap, so
// that a body is found by its distance from the first. (A map costs three times as much a task.)
// Invariant: ids ascend. Data is nil iff the body was dropped.
type bodyLine struct{ list []Blob }

// add appends a body.
func (l *bodyLine) add(id scheduler.TaskID, data []byte) {
	if data == nil {
		data = []byte{} // a body without payload and labels, as a replay decodes it
	}
	if n := len(l.list); n > 0 && l.list[n-1].ID >= id {
		panic("engine: the core staged bodies out of order")
	}
	l.list = append(l.list, Blob{ID: id, Data: data})
}

func (l *bodyLine) find(id scheduler.TaskID) *Blob {
	n := len(l.list)
	if n == 0 || id < l.list[0].ID || id > l.list[n-1].ID {
		return nil
	}
	if i := id - l.list[0].ID; i < scheduler.TaskID(n) && l.list[i].ID == id {
		return &l.list[i]
	}
	i, ok := slices.BinarySearchFunc(l.list, id, func(b Blob, id scheduler.TaskID) int { return cmp.Compare(b.ID, id) })
	if !ok {
		return nil
	}
	return &l.list[i]
}

// get returns a body.
func (l *bodyLine) get(id scheduler.TaskID) ([]byte, bool) {
	if b := l.find(id); b != nil && b.Data != nil {
		return b.Data, true
	}
	return nil, false
}

// drop lets go of a body and returns its size; false: it isn't here.
func (l *bodyLine) drop(id scheduler.TaskID) (size int, ok bool) {
	b := l.find(id)
	if b == nil || b.Data == nil {
		return 0, false
	}
	size, b.Data = len(b.Data), nil
	return size, true
}

// kept returns the bodies that were not dropped, in order of id.
func (l *bodyLine) kept() []Blob {
	n := 0
	for i := range l.list {
		if l.list[i].Data != nil {
			n++
		}
	}
	kept := make([]Blob, 0, n)
	for i := range l.list {
		if l.list[i].Data != nil {
			kept = append(kept, l.list[i])
		}
	}
	return kept
}
