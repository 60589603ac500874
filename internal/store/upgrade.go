package store

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// upgrade carries a file of an older format over to this build's, in one
// transaction: a crash leaves it as it was.
//
// Of format 2 nothing changes but the manifest, so that a build that knows no
// runs refuses the file before there are any: a task or body of its own row is
// read as a run of one, and goes into a run when something beside it is written.
//
// Of format 1 the finished tasks stay as they are; they are walked once, counted,
// and given their places in the order of finishing, in order of id, which is
// nearly that of their ends. Its attempts are read as lists of one wherever they
// are read.
//
// The rejected design, to carry over as rows are written anyway, leaves each
// count and bound in doubt until the last old row has gone: a year.
func (s *Store) upgrade() error {
	s.o.Logger.Info("the checkpoint has an older format and is carried over; older builds can't read it then",
		"format", s.tally.format, "to", FormatVersion, "finished", s.tally.finished)
	from := s.tally.format
	if from == 1 {
		s.queues = &finishedQueues{}
	}
	err := guard(nil, func() error {
		return s.write("carry the checkpoint over to a newer format", func(tx *bbolt.Tx, next *tally) error {
			next.format = FormatVersion
			if from > 1 {
				return nil
			}
			u := upgrade{queues: s.queues, next: next, rows: map[uint32][]uint64{}}
			return u.run(tx)
		})
	})
	if err != nil {
		return fmt.Errorf("carry over from format %d: %w", from, err)
	}
	return nil
}

// upgrade is one run of Store.upgrade, from format 1.
type upgrade struct {
	queues *finishedQueues
	next   *tally
	order  *bbolt.Bucket
	rows   map[uint32][]uint64 // the next row of each queue
}

func (u *upgrade) run(tx *bbolt.Tx) (err error) {
	if _, err = tx.CreateBucket(bucketQueues); err != nil {
		return err
	}
	if u.order, err = tx.CreateBucket(bucketOrder); err != nil {
		return err
	}
	u.order.FillPercent = appendFill
	finished, err := openBucket(tx, bucketFinished)
	if err != nil {
		return err
	}
	u.next.dead = 0
	c := finished.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := u.task(parseKey(k), v); err != nil {
			return err
		}
	}
	for _, t := range u.queues.all() {
		if err := u.flush(t.number); err != nil {
			return err
		}
	}
	return nil
}

// task counts a finished task. One whose header or queue can't be read doesn't
// count, now or when it goes: Check reports it.
func (u *upgrade) task(id uint64, value []byte) error {
	data, _ := unseal(value, place(tagFinished, id)) // damaged or not: by what its end will be counted
	h, data, bad := parseFinished(data)
	if h.dead && bad == nil {
		u.next.dead++
	}
	name := queueOf(data) // of a bad one there is no data
	if h.dead || len(name) == 0 {
		return nil
	}
	n := u.queues.number(string(name))
	t := u.queues.change(n)
	t.count++
	t.places++
	u.rows[n] = append(u.rows[n], id)
	if len(u.rows[n]) < placeRowIDs {
		return nil
	}
	return u.flush(n)
}

// flush writes a queue's next row.
func (u *upgrade) flush(number uint32) error {
	ids := u.rows[number]
	if len(ids) == 0 {
		return nil
	}
	u.rows[number] = ids[:0]
	return addRow(u.order, tagOrder, uint64(number), ids)
}
