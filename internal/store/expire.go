package store

import (
	"cmp"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// Expire deletes finished tasks whose retention is over at a served time: in
// order of expiry, to the second, at most limit of them, in transactions of at
// most ExpireTxRows. It takes up to a second longer than ExpiresAt. Then it
// deletes those that a queue has beyond its bound, the first that finished
// first, within the same limit. Attempts go with their task. more says that some
// were left for the next call.
//
// Dead letters that are due aren't deleted but returned, at most DeadDueMax of
// them, and again at each call until a checkpoint has dropped them (also after
// a crash): they still are part of the state, whose end of them is a command.
// They never hold up the others.
func (s *Store) Expire(served scheduler.Duration, limit int) (deleted int, dead []scheduler.DeadRef, more bool, err error) {
	until := horizon(served)
	dead, more, err = s.expireDead(until)
	if err != nil {
		return 0, nil, false, err
	}
	left, late := limit, false
	deleted, left, late, err = s.expireDue(until, left)
	if err != nil {
		return deleted, dead, more, err
	}
	trimmed, over, err := s.trim(left)
	return deleted + trimmed, dead, more || late || over, err
}

// expireDue deletes what is due. left is what is left of the limit, which places
// use up whether there is a task or not.
func (s *Store) expireDue(until uint64, limit int) (deleted, left int, more bool, err error) {
	for left = limit; ; {
		due, err := s.anyDue(until)
		if err != nil || !due {
			return deleted, left, false, err
		}
		if left <= 0 {
			return deleted, 0, true, nil
		}
		n, looked, err := s.expireSome(until, min(left, ExpireTxRows))
		deleted += n
		left -= looked
		if err != nil {
			return deleted, left, false, err
		}
	}
}

// anyDue spares a transaction that would delete nothing its two fsyncs.
func (s *Store) anyDue(until uint64) (due bool, err error) {
	err = s.read(func(tx *bbolt.Tx) error {
		b, err := openBucket(tx, bucketExpiry)
		if err != nil {
			return err
		}
		k, _ := b.Cursor().First()
		key, ok := parsePlaceKey(k)
		due = ok && key.group <= until
		return nil
	})
	return due, err
}

// expireSome consumes at most limit places of the order of expiry in one
// transaction. Not each of them is a task to delete: one that was retried or
// deleted meanwhile has left its place behind, and has another if it finished
// again.
func (s *Store) expireSome(until uint64, limit int) (deleted, looked int, err error) {
	err = s.write("expire finished tasks", func(tx *bbolt.Tx, next *tally) error {
		index, err := openBucket(tx, bucketExpiry)
		if err != nil {
			return err
		}
		list, err := takeDue(index, until, limit)
		if err != nil {
			return err
		}
		looked = len(list)
		slices.SortFunc(list, func(x, y idPlace) int { return cmp.Compare(x.id, y.id) })
		w, err := newReaper(tx, next, s.queues)
		if err != nil {
			return err
		}
		for _, d := range list {
			if err := w.expire(d); err != nil {
				return err
			}
		}
		deleted = w.deleted
		return w.dropAttempts(tx)
	})
	if err != nil {
		return 0, 0, err
	}
	return deleted, looked, nil
}

// takeDue removes the first places from the order of expiry.
func takeDue(index *bbolt.Bucket, until uint64, limit int) ([]idPlace, error) {
	var list []idPlace
	var spent []placeKey
	var rest placeRow
	c := index.Cursor()
	for k, v := c.First(); k != nil && len(list) < limit; k, v = c.Next() {
		row, err := readPlaces(bucketExpiry, tagExpiry, k, v, nil)
		if err != nil {
			return nil, err
		}
		if row.key.group > until {
			break
		}
		n := min(len(row.ids), limit-len(list))
		for _, id := range row.ids[:n] {
			list = append(list, idPlace{row.key.group, id})
		}
		if n == len(row.ids) {
			spent = append(spent, row.key)
		} else {
			rest = placeRow{row.key, row.ids[n:]}
		}
	}
	for _, k := range spent {
		if err := index.Delete(k.bytes()); err != nil {
			return nil, err
		}
	}
	if len(rest.ids) == 0 {
		return list, nil
	}
	return list, putPlaces(index, tagExpiry, rest.key, rest.ids)
}

// reaper deletes finished tasks and what goes with them.
type reaper struct {
	*finishedWriter
	deleted  int
	attempts []uint64 // tasks that have a row of attempts
}

func newReaper(tx *bbolt.Tx, next *tally, queues *finishedQueues) (*reaper, error) {
	w, err := newFinishedWriter(tx, next, queues)
	return &reaper{finishedWriter: w}, err
}

// expire deletes a finished task if this is its current place. Its checksum
// isn't tested: what is damaged and due may go.
func (r *reaper) expire(d idPlace) error {
	if !r.seek(d.id) {
		return nil
	}
	h, _, err := parseFinished(r.found)
	if err != nil {
		return damagedAt(bucketFinished, d.id, err)
	}
	if h.dead || dueSecond(h.expires) != d.group {
		return nil
	}
	return r.reap(d.id, h)
}

// reap deletes the task that seek has found.
func (r *reaper) reap(id uint64, h finishedHeader) error {
	if err := r.uncount(id); err != nil {
		return err
	}
	if h.attempts {
		r.attempts = append(r.attempts, id)
	}
	r.deleted++
	return r.removeFound()
}

// dropAttempts deletes the attempts of the tasks that were deleted.
func (r *reaper) dropAttempts(tx *bbolt.Tx) error {
	if len(r.attempts) == 0 {
		return nil
	}
	w, err := newWriter(tx, bucketFailures, &r.next.failures)
	if err != nil {
		return err
	}
	slices.Sort(r.attempts)
	for _, id := range r.attempts {
		if err := w.remove(id); err != nil {
			return err
		}
	}
	return nil
}
