package store

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// order holds what queues count of their finished tasks against what is there,
// and reads the order of finishing. Format 1 has none.
func (c *checker) order(tx *bbolt.Tx) error {
	if c.want.format == 1 {
		return nil
	}
	if c.report.Dead != c.want.dead {
		_ = c.problem(fmt.Errorf("%w: %d dead letters, and the counts say %d", ErrDamaged, c.report.Dead, c.want.dead))
	}
	places, placed, err := c.places(tx)
	if err != nil {
		return err
	}
	for _, q := range c.queues.all() {
		n := q.number
		if c.seen[n] != q.count || places[n] != q.places {
			_ = c.problem(fmt.Errorf("%w: queue %s has %d finished tasks in %d places, and its row counts %d and %d",
				ErrDamaged, q.name, c.seen[n], places[n], q.count, q.places))
		}
		if placed[n] < c.seen[n] {
			_ = c.problem(fmt.Errorf("%w: %d of %d finished tasks of queue %s have no place in the order of finishing and wouldn't make room for newer ones",
				ErrDamaged, c.seen[n]-placed[n], c.seen[n], q.name))
		}
	}
	return nil
}

// places counts the places of each queue, and those that have a task.
func (c *checker) places(tx *bbolt.Tx) (places, placed []uint64, err error) {
	places, placed = make([]uint64, len(c.seen)), make([]uint64, len(c.seen))
	finished, err := openBucket(tx, bucketFinished)
	if err != nil {
		return nil, nil, err
	}
	b, err := openBucket(tx, bucketOrder)
	if err != nil {
		return nil, nil, err
	}
	cursor := b.Cursor()
	for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
		row, err := readPlaces(bucketOrder, tagOrder, k, v, nil)
		if err == nil && row.key.group >= uint64(len(places)) {
			err = damagedAt(bucketOrder, row.key.group, fmt.Errorf("there is no queue %d", row.key.group))
		}
		if err != nil {
			_ = c.problem(err)
			continue
		}
		n := uint32(row.key.group)
		places[n] += uint64(len(row.ids))
		find := walk{cursor: finished.Cursor()}
		for _, id := range row.ids {
			c.step()
			value := find.find(id)
			if value == nil {
				continue
			}
			if h, data, err := parseFinished(value); err == nil && !h.dead && c.queues.of(h, data) == n {
				placed[n]++
			}
		}
	}
	return places, placed, nil
}
