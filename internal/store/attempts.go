package store

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
)

// AttemptsKept is how many attempts of a task are kept, the last ones.
const AttemptsKept = 10

// Fields of storagev1.Attempts that aren't those of format 1's one attempt.
const (
	attemptsList    = 4
	attemptsEarlier = 5
)

var errAttempts = errors.New("its attempts can't be read")

// attempts is a storagev1.Attempts, taken apart as far as adding to it needs.
type attempts struct {
	list    [][]byte // encoded storagev1.Attempt, the oldest first
	earlier uint64   // how many came before
}

// add appends the attempts of an encoded storagev1.Attempts. What it keeps refers
// to data.
func (a *attempts) add(data []byte) error {
	if len(data) > 0 && data[0]>>3 < attemptsList {
		return a.addFirst(data)
	}
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeField(data)
		if n < 0 {
			return errAttempts
		}
		_, _, tag := protowire.ConsumeTag(data)
		body := data[tag:n]
		data = data[n:]
		switch {
		case field == attemptsList && kind == protowire.BytesType:
			attempt, _ := protowire.ConsumeBytes(body)
			a.list = append(a.list, attempt)
		case field == attemptsEarlier && kind == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(body)
			a.earlier = min(a.earlier+min(v, math.MaxUint32), math.MaxUint32)
		}
	}
	return nil
}

// addFirst appends format 1's one attempt: its fields have the numbers that they
// have in an Attempt.
func (a *attempts) addFirst(data []byte) error {
	for rest := data; len(rest) > 0; {
		_, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return errAttempts
		}
		rest = rest[n:]
	}
	a.list = append(a.list, data)
	return nil
}

// trim drops all but the last AttemptsKept.
func (a *attempts) trim() {
	if over := len(a.list) - AttemptsKept; over > 0 {
		a.list = a.list[over:]
		a.earlier = min(a.earlier+uint64(over), math.MaxUint32)
	}
}

// size is how long append's result is at most.
func (a *attempts) size() int {
	size := 2 * (1 + protowire.SizeVarint(math.MaxUint32))
	for _, attempt := range a.list {
		size += 1 + protowire.SizeBytes(len(attempt))
	}
	return size
}

func (a *attempts) append(b []byte) []byte {
	for _, attempt := range a.list {
		b = protowire.AppendTag(b, attemptsList, protowire.BytesType)
		b = protowire.AppendBytes(b, attempt)
	}
	if a.earlier > 0 {
		b = protowire.AppendTag(b, attemptsEarlier, protowire.VarintType)
		b = protowire.AppendVarint(b, a.earlier)
	}
	return b
}

// attemptEdits are a checkpoint's new attempts and the drops before them, in
// order of id, those of one id in order of arrival.
func (c *scratch) attemptEdits(puts []Blob, drops []scheduler.TaskID) error {
	c.news = puts
	for _, id := range drops {
		c.failures = append(c.failures, edit{key: uint64(id)})
	}
	for i, b := range puts {
		c.failures = append(c.failures, edit{key: uint64(b.ID), from: int32(i + 1)})
		c.attempts.list = c.attempts.list[:0]
		if err := c.attempts.add(b.Data); err != nil {
			return fmt.Errorf("attempts of task %d: %w", b.ID, err)
		}
	}
	c.sortEdits(c.failures)
	return nil
}

// putAttempts adds new attempts to what is there.
func (c *scratch) putAttempts(tx *bbolt.Tx, count *uint64, damaged func(id uint64, err error)) error {
	if len(c.failures) == 0 {
		return nil
	}
	w, err := newWriter(tx, bucketFailures, count)
	if err != nil {
		return err
	}
	for edits := c.failures; len(edits) > 0; {
		n := 1
		for n < len(edits) && edits[n].key == edits[0].key {
			n++
		}
		if err := c.putTaskAttempts(w, edits[:n], damaged); err != nil {
			return fmt.Errorf("bucket %s: %w", bucketFailures, err)
		}
		edits = edits[n:]
	}
	return nil
}

// putTaskAttempts makes the edits of one task.
func (c *scratch) putTaskAttempts(w *writer, edits []edit, damaged func(id uint64, err error)) error {
	id, there := edits[0].key, w.seek(edits[0].key)
	a := &c.attempts
	a.list, a.earlier = a.list[:0], 0
	news := slices.IndexFunc(edits, func(e edit) bool { return e.from > 0 })
	if news < 0 {
		if !there {
			return nil
		}
		return w.removeFound()
	}
	if there && news == 0 {
		data, err := openValue(bucketFailures, tagFailures, id, w.found)
		if err == nil {
			err = a.add(data)
		}
		if err != nil {
			a.list = a.list[:0]
			damaged(id, err)
		}
	}
	for _, e := range edits[news:] {
		if err := a.add(c.news[e.from-1].Data); err != nil {
			return err
		}
	}
	a.trim()
	v := a.append(c.arena.tail(a.size() + sumBytes))
	return w.store(id, c.arena.keep(seal(v, 0, place(tagFailures, id))), there)
}

// Failure returns a copy of a task's last attempts, an encoded
// storagev1.Attempts with at most AttemptsKept of them in its list; nil if there
// are none. The one attempt of a checkpoint of format 1 is a list of one.
func (s *Store) Failure(id scheduler.TaskID) (data []byte, err error) {
	err = s.read(func(tx *bbolt.Tx) error {
		v, err := getTask(tx, bucketFailures, tagFailures, id)
		if v == nil || err != nil {
			return err
		}
		var a attempts
		if err := a.add(v); err != nil {
			return damagedAt(bucketFailures, uint64(id), err)
		}
		data = a.append(make([]byte, 0, a.size()))
		return nil
	})
	return data, err
}
