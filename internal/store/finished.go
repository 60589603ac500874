package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
)

// FinishedRow is a task that ended.
type FinishedRow struct {
	ID   scheduler.TaskID
	Dead bool   // a dead letter
	Gen  uint32 // its generation

	// Queue is the task's queue, of which at most FinishedQueueMax are kept, dead
	// letters apart: the oldest go. Empty: this one doesn't count.
	Queue string

	// Attempts says that the task has a row of attempts. It stays as long as the
	// finished task, and goes with it when retention or the queue's bound ends it.
	Attempts bool

	// ExpiresAt is the served time at which its retention is over. Nothing is
	// kept of a task whose ExpiresAt is 0 or less.
	ExpiresAt scheduler.Duration

	Data []byte // encoded storagev1.Finished
}

// finishedHeader stands before the data of a finished task: what Expire needs
// of it without decoding the message.
type finishedHeader struct {
	dead     bool
	attempts bool // it has a row of attempts
	gen      uint32
	expires  scheduler.Duration
	queue    uint32 // number of its queue; 0: it doesn't count there
	format1  bool   // its queue stands in the message alone
}

// finishedHeaderBytes is its stored length: flags 1, generation 4, expiry 8,
// queue 4. Format 1 has no queue.
const (
	finishedHeaderBytes  = 17
	finishedHeaderBytes1 = 13
)

// Flags of a header. The numbers are stored.
const (
	finishedDead     = 1
	finishedAttempts = 2
	finishedFormat2  = 4
)

func (h finishedHeader) append(b []byte) []byte {
	flags := byte(finishedFormat2)
	if h.dead {
		flags |= finishedDead
	}
	if h.attempts {
		flags |= finishedAttempts
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint32(b, h.gen)
	b = binary.BigEndian.AppendUint64(b, uint64(h.expires))
	return binary.BigEndian.AppendUint32(b, h.queue)
}

// parseFinished splits a value without its checksum.
func parseFinished(v []byte) (h finishedHeader, data []byte, err error) {
	h.format1 = len(v) > 0 && v[0]&finishedFormat2 == 0
	n, known := finishedHeaderBytes, byte(finishedDead|finishedAttempts|finishedFormat2)
	if h.format1 {
		n, known = finishedHeaderBytes1, finishedDead
	}
	if len(v) < n || v[0]&^known != 0 {
		return h, nil, fmt.Errorf("%w: header of a finished task", ErrDamaged)
	}
	h.dead, h.attempts = v[0]&finishedDead != 0, v[0]&finishedAttempts != 0
	h.gen = binary.BigEndian.Uint32(v[1:])
	h.expires = scheduler.Duration(binary.BigEndian.Uint64(v[5:]))
	if !h.format1 {
		h.queue = binary.BigEndian.Uint32(v[finishedHeaderBytes1:])
	}
	return h, v[n:], nil
}

// Fields of storagev1.Finished and of the TaskSpec in it.
const (
	finishedSpec = 4
	specQueue    = 2
)

// queueOf finds the queue's name in an encoded storagev1.Finished; nil if it has
// none.
func queueOf(data []byte) []byte {
	for _, field := range [...]protowire.Number{finishedSpec, specQueue} {
		data = fieldOf(data, field)
	}
	return data
}

// fieldOf finds a field of bytes in an encoded message; nil if there is none.
func fieldOf(data []byte, want protowire.Number) []byte {
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeField(data)
		if n < 0 {
			return nil
		}
		if field == want && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(data)
			body, _ := protowire.ConsumeBytes(data[tag:])
			return body
		}
		data = data[n:]
	}
	return nil
}

// finish makes edits of finished tasks and of their places in the orders. A put
// wins over a drop.
func (c *scratch) finish(puts []FinishedRow, drops []scheduler.TaskID, queues *finishedQueues) {
	c.finished = slices.Grow(c.finished, len(puts)+len(drops))
	for _, id := range drops {
		c.finished = append(c.finished, edit{key: uint64(id)})
	}
	for i := range puts {
		if puts[i].ExpiresAt > 0 {
			c.finished = append(c.finished, edit{key: uint64(puts[i].ID), from: int32(i + 1)})
		}
	}
	c.finished = c.settle(c.finished)
	var header [finishedHeaderBytes]byte
	var name string // of the last one's queue
	var queue uint32
	for i := range c.finished {
		e := &c.finished[i]
		if e.from == 0 {
			continue
		}
		f := &puts[e.from-1]
		h := finishedHeader{dead: f.Dead, attempts: f.Attempts, gen: f.Gen, expires: f.ExpiresAt}
		if !f.Dead { // dead letters don't count: a number is given out only for what is counted
			if f.Queue != name {
				name, queue = f.Queue, queues.number(f.Queue)
			}
			h.queue = queue
		}
		e.value = c.arena.seal(h.append(header[:0]), f.Data, place(tagFinished, e.key))
		c.places.add(f, h.queue)
	}
}

// finishedWriter writes finished tasks and keeps all counts of them.
type finishedWriter struct {
	*writer
	next   *tally
	queues *finishedQueues
}

func newFinishedWriter(tx *bbolt.Tx, next *tally, queues *finishedQueues) (*finishedWriter, error) {
	w, err := newWriter(tx, bucketFinished, &next.finished)
	return &finishedWriter{w, next, queues}, err
}

// apply makes the edits, which must be in order of id.
func (w *finishedWriter) apply(edits []edit) error {
	for i := range edits {
		e := &edits[i]
		there := w.seek(e.key)
		if there {
			if err := w.uncount(e.key); err != nil {
				return err
			}
		}
		var err error
		switch {
		case e.value != nil:
			w.count(e.value)
			err = w.store(e.key, e.value, there)
		case there:
			err = w.removeFound()
		}
		if err != nil {
			return fmt.Errorf("bucket %s: %w", bucketFinished, err)
		}
	}
	return nil
}

// count counts a row that is about to be put.
func (w *finishedWriter) count(value []byte) {
	switch h, _, _ := parseFinished(value); {
	case h.dead:
		w.next.dead++
	case h.queue != 0:
		w.queues.change(h.queue).count++
	}
}

// uncount takes the row that seek has found out of the counts.
func (w *finishedWriter) uncount(id uint64) error {
	h, data, err := parseFinished(w.found)
	if err != nil {
		return damagedAt(bucketFinished, id, err)
	}
	if h.dead {
		w.next.dead -= min(w.next.dead, 1)
	} else if n := w.queues.of(h, data); n != 0 {
		q := w.queues.change(n)
		q.count -= min(q.count, 1)
	}
	return nil
}

// Finished returns a copy of a finished task's encoded storagev1.Finished, nil
// if there is none.
func (s *Store) Finished(id scheduler.TaskID) (data []byte, err error) {
	err = s.read(func(tx *bbolt.Tx) error {
		v, err := getTask(tx, bucketFinished, tagFinished, id)
		if v == nil || err != nil {
			return err
		}
		if _, v, err = parseFinished(v); err != nil {
			return damagedAt(bucketFinished, uint64(id), err)
		}
		data = clone(v)
		return nil
	})
	return data, err
}

// FinishedAfter calls each with at most limit finished tasks of greater ids than
// after, in order of id, until it says that it wants no more. data is valid in
// the call only, and each must not wait for anything: a read transaction is
// open.
func (s *Store) FinishedAfter(after scheduler.TaskID, limit int,
	each func(id scheduler.TaskID, data []byte) (more bool),
) error {
	return s.read(func(tx *bbolt.Tx) error {
		b, err := openBucket(tx, bucketFinished)
		if err != nil {
			return err
		}
		c := b.Cursor()
		k, v := c.Seek(rowKey(uint64(after)))
		if k != nil && parseKey(k) == uint64(after) {
			k, v = c.Next()
		}
		for ; k != nil && limit > 0; k, v = c.Next() {
			id := parseKey(k)
			data, err := openFinished(id, v)
			if err != nil {
				return err
			}
			if !each(scheduler.TaskID(id), data) {
				return nil
			}
			limit--
		}
		return nil
	})
}

// openFinished checks a stored finished task and returns its message.
func openFinished(id uint64, value []byte) ([]byte, error) {
	v, err := openValue(bucketFinished, tagFinished, id, value)
	if err != nil {
		return nil, err
	}
	_, data, err := parseFinished(v)
	if err != nil {
		return nil, damagedAt(bucketFinished, id, err)
	}
	return data, nil
}

// clone copies data; the copy isn't nil.
func clone(data []byte) []byte { return append([]byte{}, data...) }
