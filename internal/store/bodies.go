package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// DamagedBodies is an error of Bodies, and an ErrDamaged: these bodies can't be
// read, all others were handed over.
type DamagedBodies struct {
	ids   []scheduler.TaskID
	first error
}

func (d *DamagedBodies) Error() string {
	if len(d.ids) == 1 {
		return fmt.Sprintf("body of task %d: %v", d.ids[0], d.first)
	}
	return fmt.Sprintf("bodies of %d tasks, first that of task %d: %v", len(d.ids), d.ids[0], d.first)
}

func (d *DamagedBodies) Unwrap() error { return d.first }

// DamagedTasks are the tasks, in order of id.
func (d *DamagedBodies) DamagedTasks() []scheduler.TaskID { return d.ids }

// Bodies calls each for every id with its body, an encoded storagev1.Body, or
// with nil if there is none; i is the id's position in ids. Calls come in order
// of id; ids in that order cost nothing to sort. data is valid in the call
// only, and each must not wait for anything: a read transaction is open. An
// error of each ends the walk and is returned. A body that is damaged is passed
// over; once all others were handed over, the error is a *DamagedBodies.
func (s *Store) Bodies(ids []scheduler.TaskID, each func(i int, data []byte) error) error {
	w := bodyWalk{ids: ids, each: each}
	if !slices.IsSorted(ids) {
		w.order = make([]int, len(ids))
		for i := range w.order {
			w.order[i] = i
		}
		slices.SortFunc(w.order, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
	}
	for w.next < len(ids) { // once, unless a page is damaged
		err := guard(&w.inEach, func() error { return s.read(w.run) })
		switch {
		case err == nil:
		case w.finding && errors.Is(err, ErrDamaged):
			w.damaged(err)
		default:
			return err
		}
	}
	if w.bad.ids != nil {
		return &w.bad
	}
	return nil
}

// bodyWalk is a walk over bodies. After a fault it goes on behind the id whose
// search met the damaged page, in a transaction of its own.
type bodyWalk struct {
	ids   []scheduler.TaskID
	order []int // positions in order of id; nil if ids is
	each  func(i int, data []byte) error

	next    int  // the first that wasn't looked for, in order
	finding bool // a search is under way
	inEach  bool
	bad     DamagedBodies
}

func (w *bodyWalk) run(tx *bbolt.Tx) error {
	b, err := openBucket(tx, bucketBodies)
	if err != nil {
		return err
	}
	f := newFinder(&bodyRuns, b)
	for w.next < len(w.ids) {
		w.finding = true
		data, err := f.find(uint64(w.ids[w.place()]))
		w.finding = false
		if err != nil {
			w.damaged(err)
			continue
		}
		i := w.place()
		w.next++
		w.inEach = true
		err = w.each(i, data)
		w.inEach = false
		if err != nil {
			return err
		}
	}
	return nil
}

// place is the position of the next one.
func (w *bodyWalk) place() int {
	if w.order == nil {
		return w.next
	}
	return w.order[w.next]
}

// damaged passes over the next one.
func (w *bodyWalk) damaged(err error) {
	if w.bad.first == nil {
		w.bad.first = err
	}
	w.bad.ids = append(w.bad.ids, w.ids[w.place()])
	w.finding = false
	w.next++
}
