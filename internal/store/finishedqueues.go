package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"
)

// queueTally says what the store holds of one queue's finished tasks, dead
// letters apart. A transaction that changes it writes it too.
type queueTally struct {
	name    string
	number  uint32
	count   uint64 // finished tasks
	places  uint64 // places in the order of finishing, those of tasks that are gone too
	changed bool

	// A sweep of the order, of which a transaction does a part; not stored.
	sweeping bool
	sweepSeq uint64 // the first row that it hasn't seen
}

// finishedQueues are the queues that have, or had, finished tasks: at most as
// many as the core has queues, which never forgets one. What they count is
// guarded by Store.writeMu.
type finishedQueues struct {
	mu      sync.Mutex        // guards what follows; the numbers are given out before a transaction
	numbers map[string]uint32 // by name
	list    []*queueTally     // by number, from 1 on
}

// number returns a queue's number; a new queue is given the next one.
func (q *finishedQueues) number(name string) uint32 {
	if name == "" {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n, ok := q.numbers[name]
	if !ok {
		n = uint32(len(q.list) + 1)
		q.enter(&queueTally{name: name, number: n})
	}
	return n
}

func (q *finishedQueues) enter(t *queueTally) {
	if q.numbers == nil {
		q.numbers = map[string]uint32{}
	}
	q.numbers[t.name] = t.number
	q.list = append(q.list, t)
}

// of is the number of a finished task's queue, 0 if it has none that counts.
func (q *finishedQueues) of(h finishedHeader, data []byte) uint32 {
	if !h.format1 {
		return h.queue
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.numbers[string(queueOf(data))]
}

// all lists the queues in order of number.
func (q *finishedQueues) all() []*queueTally {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.list[:len(q.list):len(q.list)]
}

// change is a queue's tally, which the transaction will write. A number that
// nobody was given, of a damaged row, has one that nothing comes of.
func (q *finishedQueues) change(number uint32) *queueTally {
	all := q.all()
	if number == 0 || int(number) > len(all) {
		return &queueTally{}
	}
	t := all[number-1]
	t.changed = true
	return t
}

// queueTallyBytes is what stands before the name: count 8, places 8.
const queueTallyBytes = 16

// put writes what the transaction has changed.
func (q *finishedQueues) put(tx *bbolt.Tx) error {
	var b *bbolt.Bucket
	for _, t := range q.all() {
		if !t.changed {
			continue
		}
		if b == nil {
			var err error
			if b, err = openBucket(tx, bucketQueues); err != nil {
				return err
			}
		}
		v := binary.BigEndian.AppendUint64(nil, t.count)
		v = append(binary.BigEndian.AppendUint64(v, t.places), t.name...)
		if err := b.Put(rowKey(uint64(t.number)), seal(v, 0, place(tagQueues, uint64(t.number)))); err != nil {
			return err
		}
		t.changed = false
	}
	return nil
}

// readQueues reads the tallies of a file of format 2.
func readQueues(tx *bbolt.Tx) (*finishedQueues, error) {
	b, err := openBucket(tx, bucketQueues)
	if err != nil {
		return nil, err
	}
	q := &finishedQueues{}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		number := parseKey(k)
		data, err := openValue(bucketQueues, tagQueues, number, v)
		if err == nil && (len(data) <= queueTallyBytes || number != uint64(len(q.list)+1)) {
			err = damagedAt(bucketQueues, number, errors.New("it isn't what comes next"))
		}
		if err != nil {
			return nil, fmt.Errorf("counts of finished tasks: %w", err)
		}
		q.enter(&queueTally{
			name: string(data[queueTallyBytes:]), number: uint32(number),
			count: binary.BigEndian.Uint64(data), places: binary.BigEndian.Uint64(data[8:]),
		})
	}
	return q, nil
}
