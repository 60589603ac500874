package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// Report is what Check found.
type Report struct {
	Path   string
	Bytes  int64
	Format uint32 // of the disk format
	Index  uint64 // log index of the checkpoint
	Logic  uint32 // logic version of the checkpoint

	Rows     [tableCount]uint64 // by scheduler.Table, as counted
	Bodies   uint64
	Failures uint64
	Finished uint64 // dead letters included
	Dead     uint64 // dead letters

	Problems []string // at most ProblemsMax
	Omitted  int      // problems beyond these
}

// OK reports whether no problem was found.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// Check reads all of a checkpoint that no coordinator has open and lists what
// is wrong with it: pages, checksums, counts, rows that don't decode, payloads
// that are missing, finished tasks that would never go. It knows the older
// formats too. progress, if not nil, is called now and then with the values read so far and in all. An error
// means that the file couldn't be opened at all.
func Check(dir string, progress func(done, total int)) (Report, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return Report{}, fmt.Errorf("there is no checkpoint %s: is %s the data directory?", path, dir)
	}
	if err := inspect(path, true); err != nil {
		return unreadable(path, err)
	}
	db, err := openFile(path, fileOptions{lockWait: LockWaitMax, readOnly: true})
	if err != nil {
		return Report{}, err
	}
	r, err := checkFile(db, progress)
	return r, errors.Join(err, db.Close())
}

// unreadable reports a file whose tree of pages is damaged: what the pages seem to say would only confuse.
func unreadable(path string, err error) (Report, error) {
	info, statErr := os.Stat(path)
	if !errors.Is(err, ErrDamaged) || statErr != nil {
		return Report{}, errors.Join(err, statErr)
	}
	return Report{Path: path, Bytes: info.Size(), Problems: []string{err.Error()}}, nil
}

// checkFile checks an open file.
func checkFile(db *bbolt.DB, progress func(done, total int)) (Report, error) {
	c := checker{progress: progress, report: Report{Path: db.Path()}}
	info, err := os.Stat(db.Path())
	if err != nil {
		return c.report, err
	}
	c.report.Bytes = info.Size()
	if err := readAhead(db.Path()); err != nil {
		return c.report, fmt.Errorf("read %s: %w", db.Path(), err)
	}
	err = guard(&c.inCallback, func() error { return db.View(c.run) })
	if errors.Is(err, ErrDamaged) {
		err = c.problem(err)
	}
	return c.report, err
}

// checker is one run of Check.
type checker struct {
	report     Report
	want       tally
	queues     *finishedQueues
	seen       []uint64 // finished tasks that count, by number of their queue
	done       int
	total      int
	progress   func(done, total int)
	inCallback bool
}

// problem notes a problem. It returns nil: the check goes on.
func (c *checker) problem(err error) error {
	if len(c.report.Problems) == ProblemsMax {
		c.report.Omitted++
	} else {
		c.report.Problems = append(c.report.Problems, err.Error())
	}
	return nil
}

// progressEvery is after how many values progress is told.
const progressEvery = 1 << 16

func (c *checker) step() {
	if c.done++; c.done%progressEvery == 0 {
		c.tell()
	}
}

func (c *checker) tell() {
	if c.progress == nil {
		return
	}
	c.inCallback = true
	c.progress(c.done, max(c.done, c.total))
	c.inCallback = false
}

func (c *checker) run(tx *bbolt.Tx) (err error) {
	if c.want, err = readTally(tx); err != nil {
		return err
	}
	c.report.Format, c.report.Index, c.report.Logic = c.want.format, c.want.index, c.want.logic
	c.queues = &finishedQueues{}
	if c.want.format > 1 {
		if c.queues, err = readQueues(tx); err != nil {
			return err
		}
	}
	for _, n := range c.want.rows {
		c.total += int(n)
	}
	// A finished task is seen twice: itself, and its place in the order of expiry.
	c.total += int(c.want.bodies + c.want.failures + 2*c.want.finished)
	for _, q := range c.queues.all() {
		c.total += int(q.places)
	}
	c.seen = make([]uint64, len(c.queues.all())+1)
	c.tell()
	pages := 0
	for err := range tx.Check() {
		pages++
		_ = c.problem(fmt.Errorf("%w: pages: %w", ErrDamaged, err))
	}
	if pages > 0 {
		return nil // what damaged pages seem to say would only confuse
	}
	if err := c.rows(tx); err != nil {
		return err
	}
	if err := c.blobs(tx); err != nil {
		return err
	}
	if err := c.expiry(tx); err != nil {
		return err
	}
	if err := c.order(tx); err != nil {
		return err
	}
	c.tell()
	return nil
}

// rows reads the core's tables as Load does, and looks for the payloads of the
// tasks.
func (c *checker) rows(tx *bbolt.Tx) error {
	bodies, err := openBucket(tx, bucketBodies)
	if err != nil {
		return err
	}
	find := newFinder(&bodyRuns, bodies)
	l := loader{tx: tx, want: c.want, bad: c.problem, add: func(row *scheduler.Row) error {
		c.step()
		c.report.Rows[row.Table]++
		if row.Table != scheduler.TableTasks || row.Task.PayloadBytes == 0 {
			return nil
		}
		if body, err := find.find(row.Key); body == nil && err == nil { // of damage the bodies tell
			return c.problem(fmt.Errorf("%w: tasks, key %d: its payload of %d bytes is missing",
				ErrDamaged, row.Key, row.Task.PayloadBytes))
		}
		return nil
	}}
	return l.run()
}

// blobs reads the values that the core never sees.
func (c *checker) blobs(tx *bbolt.Tx) error {
	for _, s := range []struct {
		bucket     []byte
		tag        tag
		seen, want *uint64
	}{
		{bucketBodies, tagBodies, &c.report.Bodies, &c.want.bodies},
		{bucketFailures, tagFailures, &c.report.Failures, &c.want.failures},
		{bucketFinished, tagFinished, &c.report.Finished, &c.want.finished},
	} {
		b, err := openBucket(tx, s.bucket)
		if err != nil {
			return err
		}
		one := func(key uint64, data []byte) error {
			c.step()
			*s.seen++
			if s.tag != tagFinished {
				return nil
			}
			if err := c.finished(key, data); err != nil {
				return c.problem(err)
			}
			return nil
		}
		unread := func(n int, err error) error {
			c.step()
			*s.seen += uint64(n)
			return c.problem(err)
		}
		if s.tag == tagBodies {
			err = bodyRuns.each(b, one, unread)
		} else {
			err = eachRow(b, s.bucket, s.tag, one, unread)
		}
		if err != nil {
			return err
		}
		if *s.seen != *s.want {
			_ = c.problem(miscounted(s.bucket, *s.seen, *s.want))
		}
	}
	return nil
}

// finished reads the header of a finished task and counts it.
func (c *checker) finished(id uint64, data []byte) error {
	h, data, err := parseFinished(data)
	if err != nil {
		return damagedAt(bucketFinished, id, err)
	}
	if h.dead {
		c.report.Dead++
		return nil
	}
	n := c.queues.of(h, data)
	if int(n) >= len(c.seen) {
		return damagedAt(bucketFinished, id, fmt.Errorf("there is no queue %d", n))
	}
	c.seen[n]++
	return nil
}

// expiry reads the order of expiry, and counts the finished tasks in it.
func (c *checker) expiry(tx *bbolt.Tx) error {
	finished, err := openBucket(tx, bucketFinished)
	if err != nil {
		return err
	}
	placed := uint64(0)
	for _, s := range []struct {
		bucket []byte
		tag    tag
		dead   bool
	}{{bucketExpiry, tagExpiry, false}, {bucketExpiryDead, tagExpiryDead, true}} {
		b, err := openBucket(tx, s.bucket)
		if err != nil {
			return err
		}
		cursor := b.Cursor()
		for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
			row, err := readPlaces(s.bucket, s.tag, k, v, nil)
			if err != nil {
				_ = c.problem(err)
				continue
			}
			find := walk{cursor: finished.Cursor()}
			for _, id := range row.ids {
				c.step()
				value := find.find(id)
				if value == nil {
					continue
				}
				if h, _, err := parseFinished(value); err == nil && h.dead == s.dead && dueSecond(h.expires) == row.key.group {
					placed++
				}
			}
		}
	}
	if placed < c.report.Finished {
		_ = c.problem(fmt.Errorf("%w: %d of %d finished tasks have no place in the order of expiry and would never be deleted",
			ErrDamaged, c.report.Finished-placed, c.report.Finished))
	}
	return nil
}
