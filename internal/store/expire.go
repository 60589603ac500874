package store

import (
	"cmp"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// Expire deletes finished tasks whose retention is over at a served time: in
// order of expiry, to the second, at most limit of them, in transactions of at
// most ExpireTxRows. It takes up to a second longer than ExpiresAt. more says
// that some were left for the next call.
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
	for left := limit; ; {
		due, err := s.anyDue(until)
		if err != nil {
			return deleted, dead, more, err
		}
		if !due {
			return deleted, dead, more, nil
		}
		if left <= 0 {
			return deleted, dead, true, nil
		}
		n, looked, err := s.expireSome(until, min(left, ExpireTxRows))
		deleted += n
		left -= looked
		if err != nil {
			return deleted, dead, more, err
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
		key, ok := parseExpiryKey(k)
		due = ok && key.second <= until
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
		slices.SortFunc(list, func(x, y due) int { return cmp.Compare(x.id, y.id) })
		w, err := newWriter(tx, bucketFinished, &next.finished)
		if err != nil {
			return err
		}
		before := next.finished
		for _, d := range list {
			if err := expireTask(w, d); err != nil {
				return err
			}
		}
		deleted = int(before - next.finished)
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	return deleted, looked, nil
}

// takeDue removes the first places from the order of expiry.
func takeDue(index *bbolt.Bucket, until uint64, limit int) ([]due, error) {
	var list []due
	var spent []expiryKey
	var rest expiryRow
	c := index.Cursor()
	for k, v := c.First(); k != nil && len(list) < limit; k, v = c.Next() {
		row, err := readExpiryRow(bucketExpiry, tagExpiry, k, v, nil)
		if err != nil {
			return nil, err
		}
		if row.key.second > until {
			break
		}
		n := min(len(row.ids), limit-len(list))
		for _, id := range row.ids[:n] {
			list = append(list, due{row.key.second, id})
		}
		if n == len(row.ids) {
			spent = append(spent, row.key)
		} else {
			rest = expiryRow{row.key, row.ids[n:]}
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
	return list, putExpiryRow(index, tagExpiry, rest.key, rest.ids)
}

// expireTask deletes a finished task if this is its current place. Its checksum
// isn't tested: what is damaged and due may go.
func expireTask(w *writer, d due) error {
	if !w.seek(d.id) {
		return nil
	}
	h, _, err := parseFinished(w.found)
	if err != nil {
		return damagedAt(bucketFinished, d.id, err)
	}
	if h.dead || dueSecond(h.expires) != d.second {
		return nil
	}
	return w.removeFound()
}
