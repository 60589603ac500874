package store

import (
	"slices"

	"go.etcd.io/bbolt"
)

// The order of finishing has a row of places a checkpoint and queue. A task that
// goes by retention, or because somebody deletes it, leaves its place behind;
// looking for it would cost as much as the task itself. So once a queue has
// more than twice as many places as tasks, and sweepSlack, a sweep passes over
// its rows from the first on and clears away what is gone, until there are at
// most half as many again. Each finished task pays for a look or two.
const sweepSlack = 4096

// over reports whether a queue has tasks to trim or places to sweep.
func (t *queueTally) over(most int) bool {
	return t.count > uint64(most) || t.sweeping || t.places > 2*t.count+sweepSlack
}

// swept reports whether a sweep may end.
func (t *queueTally) swept() bool { return t.places <= t.count+t.count/2+sweepSlack/2 }

// trim deletes what queues have beyond their bound, at most limit tasks, and
// sweeps their orders, at most one transaction of that. more says that some was
// left.
func (s *Store) trim(limit int) (deleted int, more bool, err error) {
	for s.anyOver() {
		if limit <= 0 {
			return deleted, true, nil
		}
		n, looked, err := s.trimSome(min(limit, ExpireTxRows))
		if err != nil {
			return deleted, false, err
		}
		if n == 0 { // a sweep goes on at the next call; a queue that miscounts has nothing to look at
			return deleted, looked > 0 && s.anyOver(), nil
		}
		deleted += n
		limit -= n
	}
	return deleted, false, nil
}

// anyOver spares a transaction that would do nothing its two fsyncs.
func (s *Store) anyOver() bool {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	return slices.ContainsFunc(s.queues.all(), func(t *queueTally) bool { return t.over(s.o.FinishedQueueMax) })
}

// trimSome deletes at most limit tasks and looks at about ExpireTxRows places.
func (s *Store) trimSome(limit int) (deleted, looked int, err error) {
	err = s.write("delete the oldest finished tasks", func(tx *bbolt.Tx, next *tally) error {
		order, err := openBucket(tx, bucketOrder)
		if err != nil {
			return err
		}
		w, err := newReaper(tx, next, s.queues)
		if err != nil {
			return err
		}
		t := trimmer{reaper: w, order: order, limit: limit, looks: ExpireTxRows}
		for _, q := range s.queues.all() {
			if !q.over(s.o.FinishedQueueMax) || t.looks <= 0 {
				continue
			}
			if err := t.queue(q, s.o.FinishedQueueMax); err != nil {
				return err
			}
		}
		deleted, looked = w.deleted, ExpireTxRows-t.looks
		return w.dropAttempts(tx)
	})
	if err != nil {
		return 0, 0, err
	}
	return deleted, looked, nil
}

// trimmer is one transaction of trim.
type trimmer struct {
	*reaper
	order *bbolt.Bucket
	limit int // tasks that may be deleted in all
	looks int // places that may be looked at from here on; the last row is finished
}

// queue walks a queue's rows: from the first on if it has too many tasks, else
// from where its sweep is.
func (t *trimmer) queue(q *queueTally, most int) error {
	q.changed = true
	q.sweeping = q.sweeping || q.places > 2*q.count+sweepSlack
	if q.count > uint64(most) {
		q.sweepSeq = 0
	}
	var changed []placeRow // bbolt's cursors don't bear changes under them
	c := t.order.Cursor()
	at := placeKey{uint64(q.number), q.sweepSeq}
	k, v := c.Seek(at.bytes())
	for ; t.looks > 0; k, v = c.Next() {
		key, _ := parsePlaceKey(k)
		if key.group != at.group { // the end
			q.sweeping, q.sweepSeq = false, 0
			break
		}
		if q.count <= uint64(most) && (!q.sweeping || q.swept()) {
			q.sweeping, q.sweepSeq = false, 0
			break
		}
		row, err := readPlaces(bucketOrder, tagOrder, k, v, nil)
		if err != nil {
			return err
		}
		before := len(row.ids)
		if row.ids, err = t.row(q, row.ids, most); err != nil {
			return err
		}
		if len(row.ids) < before {
			q.places -= min(q.places, uint64(before-len(row.ids)))
			changed = append(changed, row)
		}
		q.sweepSeq = key.seq + 1
		if t.deleted == t.limit && q.count > uint64(most) {
			break
		}
	}
	for _, row := range changed {
		if err := putPlaces(t.order, tagOrder, row.key, row.ids); err != nil {
			return err
		}
	}
	return nil
}

// row deletes tasks beyond the queue's bound and returns the places of those
// that are left.
func (t *trimmer) row(q *queueTally, ids []uint64, most int) (left []uint64, err error) {
	left = ids[:0]
	for _, id := range ids {
		t.looks--
		if !t.seek(id) {
			continue
		}
		h, data, err := parseFinished(t.found)
		if err != nil {
			return nil, damagedAt(bucketFinished, id, err)
		}
		if h.dead || t.queues.of(h, data) != q.number {
			continue
		}
		if q.count > uint64(most) && t.deleted < t.limit {
			if err := t.reap(id, h); err != nil {
				return nil, err
			}
			continue
		}
		left = append(left, id)
	}
	return left, nil
}
