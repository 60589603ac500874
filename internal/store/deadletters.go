package store

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// deadScan is one look at the dead letters that are due.
type deadScan struct {
	refs  []scheduler.DeadRef
	stale []placeKey // rows with places that have no dead letter any more
	more  bool       // it looked at ExpireTxRows places and didn't see all
}

// expireDead lists dead letters that are due, and clears away the places of
// those that were dropped or retried.
func (s *Store) expireDead(until uint64) (refs []scheduler.DeadRef, more bool, err error) {
	var scan deadScan
	err = s.read(func(tx *bbolt.Tx) error { return scan.run(tx, until) })
	if err != nil {
		return nil, false, err
	}
	if len(scan.stale) > 0 {
		err = s.write("clear away expired dead letters", func(tx *bbolt.Tx, _ *tally) error {
			return clearStale(tx, scan.stale)
		})
	}
	return scan.refs, scan.more, err
}

func (d *deadScan) run(tx *bbolt.Tx, until uint64) error {
	index, err := openBucket(tx, bucketExpiryDead)
	if err != nil {
		return err
	}
	finished, err := openBucket(tx, bucketFinished)
	if err != nil {
		return err
	}
	w := deadFinder{finished.Cursor()}
	looked := 0
	c := index.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		row, err := readPlaces(bucketExpiryDead, tagExpiryDead, k, v, nil)
		if err != nil || row.key.group > until {
			return err
		}
		if looked += len(row.ids); looked > ExpireTxRows {
			d.more = true
			return nil
		}
		stale := false
		for _, id := range row.ids {
			gen, ok, err := w.find(id, row.key.group)
			if err != nil {
				return err
			}
			if ok && len(d.refs) == DeadDueMax {
				return nil
			}
			if ok {
				d.refs = append(d.refs, scheduler.DeadRef{ID: scheduler.TaskID(id), Gen: gen})
			}
			stale = stale || !ok
		}
		if stale {
			d.stale = append(d.stale, row.key)
		}
	}
	return nil
}

// deadFinder looks for the dead letter of a place.
type deadFinder struct{ cursor *bbolt.Cursor }

// find tells the generation of a dead letter that is due in a given second;
// !ok: there is none.
func (f deadFinder) find(id, second uint64) (gen uint32, ok bool, err error) {
	k, v := f.cursor.Seek(rowKey(id))
	if k == nil || parseKey(k) != id {
		return 0, false, nil
	}
	h, _, err := parseFinished(v)
	if err != nil {
		return 0, false, damagedAt(bucketFinished, id, err)
	}
	return h.gen, h.dead && dueSecond(h.expires) == second, nil
}

// clearStale writes rows again without the places that have no dead letter.
func clearStale(tx *bbolt.Tx, stale []placeKey) error {
	index, err := openBucket(tx, bucketExpiryDead)
	if err != nil {
		return err
	}
	finished, err := openBucket(tx, bucketFinished)
	if err != nil {
		return err
	}
	f := deadFinder{finished.Cursor()}
	for _, key := range stale {
		k := key.bytes()
		v := index.Get(k)
		if v == nil {
			continue // another Expire was here
		}
		row, err := readPlaces(bucketExpiryDead, tagExpiryDead, k, v, nil)
		if err != nil {
			return err
		}
		left := row.ids[:0]
		for _, id := range row.ids {
			_, ok, err := f.find(id, key.group)
			if err != nil {
				return err
			}
			if ok {
				left = append(left, id)
			}
		}
		if len(left) == 0 {
			err = index.Delete(k)
		} else {
			err = putPlaces(index, tagExpiryDead, key, left)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
