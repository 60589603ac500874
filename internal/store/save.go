package store

import (
	"fmt"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// Checkpoint is what has changed since the last one. Its slices may be in any
// order and are only read; nothing of them is kept.
type Checkpoint struct {
	// Index is the log index that the checkpoint brings the store to, at least
	// the last one's.
	Index uint64

	// Logic is the logic version in force.
	Logic uint32

	// Rows fills buf, at most limit rows of it, with images of changed rows, each
	// row once; done says that there are no more. It may take locks: Save calls
	// it before its transaction, and is done with buf at the next call.
	// nil: no rows.
	Rows func(limit int, buf []scheduler.Row) (rows []scheduler.Row, done bool)

	// Bodies are bodies of new tasks: task id, encoded storagev1.Body.
	Bodies []Blob

	// DropBodies deletes bodies, those above too. Absent ones are fine.
	DropBodies []scheduler.TaskID

	// Failures are new attempts of tasks: task id, encoded storagev1.Attempts
	// that lists the new ones alone. They are added to what is there, of which
	// the last AttemptsKept stay. A task may come more than once, in order.
	//
	// A task's attempts go by DropFailures, or with its finished row if that has
	// FinishedRow.Attempts and Expire deletes it. Nothing else deletes them:
	// neither DropBodies, nor DropFinished, as a dead letter that is revived goes
	// on with the attempts it had.
	Failures []Blob

	// DropFailures deletes the attempts of tasks of which nothing is kept: that
	// ended without retention, were deleted or forgotten. It comes before
	// Failures. Absent ones are fine.
	DropFailures []scheduler.TaskID

	// Finished are tasks that ended.
	Finished []FinishedRow

	// DropFinished deletes finished tasks (revived, deleted, forgotten), before
	// those above are put. Absent ones are fine. Their attempts stay.
	DropFinished []scheduler.TaskID
}

// Blob is an encoded message of a task.
type Blob struct {
	ID   scheduler.TaskID
	Data []byte
}

// scratch is what a checkpoint is encoded into before its transaction. Tables
// are kept apart by their number.
type scratch struct {
	arena    arena
	codec    codec
	sorter   sorter
	moved    []edit // what is being sorted
	chunk    []scheduler.Row
	rows     [tableCount][]edit
	bodies   []edit
	failures []edit // those of one task in order of arrival; from refers to news
	news     []Blob // the checkpoint's new attempts
	attempts attempts
	finished []edit
	places   placeEdits
	limits   runLimits
	ops      []edit // what a runWriter writes
	total    int
}

func (c *scratch) reset() {
	c.arena.reset()
	c.sorter.reset()
	for t := range c.rows {
		c.rows[t] = recycle(c.rows[t])
	}
	c.bodies, c.failures, c.finished = recycle(c.bodies), recycle(c.failures), recycle(c.finished)
	c.moved, c.ops, c.news, c.attempts = recycle(c.moved), recycle(c.ops), nil, attempts{}
	c.places.reset()
	c.total = 0
}

// editsKept is the longest list of edits kept between two checkpoints.
const editsKept = 1 << 17

// recycle empties a list, without its pointers into the arena.
func recycle(edits []edit) []edit {
	if cap(edits) > editsKept {
		return nil
	}
	clear(edits[:cap(edits)])
	return edits[:0]
}

// Save writes a checkpoint in one transaction: after a crash the store holds
// all of it or nothing. It is fsynced on return. After an error the store
// refuses every later write, and the process should end. One Save runs at a
// time.
func (s *Store) Save(cp *Checkpoint) error {
	s.saveMu.Lock()
	defer s.saveMu.Unlock()
	began := s.o.Now()
	c := &s.scratch
	defer c.reset()
	if err := c.encode(cp, s.o.RowsMax, s.queues); err != nil {
		return s.fail(fmt.Errorf("save checkpoint of index %d: %w", cp.Index, err))
	}
	err := s.write("save the checkpoint", func(tx *bbolt.Tx, next *tally) error {
		if cp.Index < next.index {
			return fmt.Errorf("its index %d is before %d, that of the last one", cp.Index, next.index)
		}
		next.index, next.logic = cp.Index, cp.Logic
		return c.apply(tx, next, s)
	})
	if err == nil {
		s.tallyMu.Lock()
		s.saved = saved{rows: c.total, took: s.o.Now().Sub(began)}
		s.tallyMu.Unlock()
	}
	return err
}

// encode makes sorted edits of a checkpoint.
func (c *scratch) encode(cp *Checkpoint, rowsMax int, queues *finishedQueues) error {
	c.total = len(cp.Bodies) + len(cp.Failures) + len(cp.Finished) +
		len(cp.DropBodies) + len(cp.DropFailures) + len(cp.DropFinished)
	if c.total > rowsMax {
		return tooLarge(rowsMax)
	}
	if err := c.pull(cp.Rows, rowsMax); err != nil {
		return err
	}
	for t := range c.rows {
		if err := c.sortRows(scheduler.Table(t), c.rows[t]); err != nil {
			return err
		}
	}
	c.blobs(cp.Bodies, cp.DropBodies)
	if err := c.attemptEdits(cp.Failures, cp.DropFailures); err != nil {
		return err
	}
	c.finish(cp.Finished, cp.DropFinished, queues)
	return nil
}

func tooLarge(rowsMax int) error {
	return fmt.Errorf("%w: more than %d rows; this is a bug, checkpoints should come far more often", ErrTooLarge, rowsMax)
}

// pull encodes the rows as they come.
func (c *scratch) pull(next func(int, []scheduler.Row) ([]scheduler.Row, bool), rowsMax int) error {
	if next == nil {
		return nil
	}
	if c.chunk == nil {
		c.chunk = make([]scheduler.Row, PullRows)
	}
	defer clear(c.chunk) // pointers to rows
	for done := false; !done; {
		var rows []scheduler.Row
		rows, done = next(PullRows, c.chunk[:0])
		if c.total += len(rows); c.total > rowsMax {
			return tooLarge(rowsMax)
		}
		for i := range rows {
			if err := c.addRow(&rows[i]); err != nil {
				return fmt.Errorf("table %s, key %d: %w", rows[i].Table, rows[i].Key, err)
			}
		}
	}
	return nil
}

// roomFor is the most that a small row takes; a longer one moves once.
const roomFor = 256

func (c *scratch) addRow(row *scheduler.Row) error {
	if row.Table == 0 || int(row.Table) >= tableCount {
		return fmt.Errorf("there is no table %d", row.Table)
	}
	if row.Key == 0 {
		return errNoKey
	}
	e := edit{key: row.Key}
	if !row.Deleted {
		v, err := c.codec.append(c.arena.tail(roomFor), row)
		if err != nil {
			return err
		}
		if row.Table != scheduler.TableTasks { // a task is sealed with its run
			v = seal(v, 0, place(tag(row.Table), row.Key))
		}
		e.value = c.arena.keep(v)
	}
	c.rows[row.Table] = append(c.rows[row.Table], e)
	return nil
}

// sortRows sorts a table's edits and refuses a row that came twice: which of
// its images is the later one can't be told.
func (c *scratch) sortRows(t scheduler.Table, edits []edit) error {
	c.sortEdits(edits)
	for i := 1; i < len(edits); i++ {
		if edits[i].key == edits[i-1].key {
			return fmt.Errorf("table %s, key %d: it came twice", t, edits[i].key)
		}
	}
	return nil
}

// noBytes is a body without bytes; nil would delete it.
var noBytes = []byte{}

// blobs makes edits of bodies; a drop wins. They refer to the checkpoint's own
// bodies, which are copied once, into their runs.
func (c *scratch) blobs(puts []Blob, drops []scheduler.TaskID) {
	c.bodies = slices.Grow(c.bodies, len(puts)+len(drops))
	for i := range puts {
		c.bodies = append(c.bodies, edit{key: uint64(puts[i].ID), from: int32(i + 1)})
	}
	for _, id := range drops {
		c.bodies = append(c.bodies, edit{key: uint64(id)})
	}
	c.bodies = c.settle(c.bodies)
	for i := range c.bodies {
		if e := &c.bodies[i]; e.from > 0 {
			if e.value = puts[e.from-1].Data; e.value == nil {
				e.value = noBytes
			}
		}
	}
}

// apply makes the edits, bucket by bucket, each in order of key: bbolt takes
// keys in order ten times as fast as in disorder.
func (c *scratch) apply(tx *bbolt.Tx, next *tally, s *Store) error {
	for _, t := range scheduler.Tables() {
		var err error
		if t == scheduler.TableTasks {
			err = c.applyRuns(tx, &taskRuns, &next.rows[t], c.rows[t], nil)
		} else {
			err = applyTo(tx, tableBuckets[t], &next.rows[t], c.rows[t])
		}
		if err != nil {
			return err
		}
	}
	if err := c.applyRuns(tx, &bodyRuns, &next.bodies, c.bodies, s.lostBodies); err != nil {
		return err
	}
	if err := c.putAttempts(tx, &next.failures, s.lostAttempts); err != nil {
		return err
	}
	if len(c.finished) == 0 {
		return nil
	}
	w, err := newFinishedWriter(tx, next, s.queues)
	if err != nil {
		return err
	}
	if err := w.apply(c.finished); err != nil {
		return err
	}
	for _, p := range c.places.order {
		s.queues.change(uint32(p.group)).places++
	}
	return c.places.put(tx, &c.sorter)
}

// lostBodies says that bodies couldn't be read. Their tasks can't be handed out;
// all others can, and end, so the checkpoint goes on.
func (s *Store) lostBodies(err error) {
	s.o.Logger.Error("payloads of tasks are damaged, and left as they are", "error", err)
}

// lostAttempts says that a task's earlier attempts couldn't be read. They are
// history and nothing depends on them, so the checkpoint goes on without them.
func (s *Store) lostAttempts(id uint64, err error) {
	s.o.Logger.Error("a task's earlier attempts are damaged, and dropped; run `coordinator check` when it can be stopped",
		"task", id, "error", err)
}

func applyTo(tx *bbolt.Tx, bucket []byte, count *uint64, edits []edit) error {
	if len(edits) == 0 {
		return nil
	}
	w, err := newWriter(tx, bucket, count)
	if err != nil {
		return err
	}
	if err := w.apply(edits); err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	return nil
}
