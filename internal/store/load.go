package store

import (
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// Load calls add with every row, table by table in the order of
// scheduler.Tables, each in order of key. The row is used again for the next
// call; what its pointers refer to is add's to keep. Load ends with add's
// error, with one that names table and key of a damaged row, or with one that
// says that rows are missing. It is one read transaction, so call it before the
// first Save.
func (s *Store) Load(add func(*scheduler.Row) error) error {
	if err := readAhead(s.path); err != nil {
		return fmt.Errorf("load checkpoint: %w", err)
	}
	var inAdd bool
	err := guard(&inAdd, func() error {
		return s.read(func(tx *bbolt.Tx) error {
			want, err := readTally(tx)
			if err != nil {
				return err
			}
			l := loader{tx: tx, want: want, add: func(row *scheduler.Row) error {
				inAdd = true
				err := add(row)
				inAdd = false
				return err
			}}
			return l.run()
		})
	})
	if err != nil {
		return fmt.Errorf("load checkpoint: %w", err)
	}
	return nil
}

// loader walks the tables.
type loader struct {
	tx   *bbolt.Tx
	want tally
	add  func(*scheduler.Row) error

	// bad is told of damage; what it returns, if not nil, ends the walk.
	// nil: the first damage ends it.
	bad func(error) error

	codec codec
	row   scheduler.Row
}

func (l *loader) run() error {
	for _, t := range scheduler.Tables() {
		if err := l.table(t); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) table(t scheduler.Table) error {
	b, err := openBucket(l.tx, tableBuckets[t])
	if err != nil {
		return l.damage(err)
	}
	seen := uint64(0)
	one := func(key uint64, data []byte) error {
		seen++
		if err := l.codec.decode(t, key, data, &l.row); err != nil {
			return l.damage(damagedAt(tableBuckets[t], key, err))
		}
		return l.add(&l.row)
	}
	unread := func(n int, err error) error {
		seen += uint64(n)
		return l.damage(err)
	}
	if t == scheduler.TableTasks {
		err = taskRuns.each(b, one, unread)
	} else {
		err = eachRow(b, tableBuckets[t], tag(t), one, unread)
	}
	if err != nil {
		return err
	}
	if want := l.want.rows[t]; seen != want {
		return l.damage(miscounted(tableBuckets[t], seen, want))
	}
	return nil
}

// eachRow walks a bucket without runs as runKind.each does one with them.
func eachRow(b *bbolt.Bucket, name []byte, t tag, fn func(key uint64, data []byte) error, bad func(n int, err error) error) error {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		key := parseKey(k)
		data, whole := unseal(v, place(t, key))
		var err error
		if whole && key != 0 {
			err = fn(key, data)
		} else {
			err = bad(1, damagedAt(name, key, errSum))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) damage(err error) error {
	if l.bad == nil {
		return err
	}
	return l.bad(err)
}

func miscounted(bucket []byte, seen, want uint64) error {
	return fmt.Errorf("%w: %s has %d rows and the manifest counts %d; run `coordinator check` to see all of it, then restore a backup",
		ErrDamaged, bucket, seen, want)
}
