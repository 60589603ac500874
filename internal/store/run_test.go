package store

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

func TestRunDamaged(t *testing.T) {
	var piece []member
	for id := uint64(20); id < 36; id++ {
		piece = append(piece, member{id, []byte("body")})
	}
	w := runWriter{kind: &bodyRuns, arena: &arena{}, bytes: 200}
	value := w.pack(20, piece)
	read := func(key uint64, v []byte) (n int, err error) {
		m, err := bodyRuns.open(key, v)
		for ok := err == nil; ok; n++ {
			ok, err = m.next()
		}
		return n - 1, err
	}
	if n, err := read(20, value); n != 16 || err != nil {
		t.Fatal(n, err)
	}
	for i := range value {
		for _, bit := range []byte{1, 0x80} {
			v := bytes.Clone(value)
			v[i] ^= bit
			if _, err := read(20, v); err == nil {
				t.Errorf("byte %d changed, and nobody saw", i)
			} else {
				wantErr(t, err, ErrDamaged, "bodies, key 20: ")
			}
			if _, err := read(20, v[:i]); err == nil {
				t.Errorf("cut at %d, and nobody saw", i)
			}
		}
	}
	_, err := read(21, value)
	wantErr(t, err, ErrDamaged, "bodies, key 21: the first of a run of 16: it doesn't match its checksum")
	if _, err := taskRuns.open(20, value); err == nil {
		t.Error("bodies passed for tasks")
	}
	// What a bug might write under a right checksum.
	for _, data := range []string{"\x07\x00", "\x07\x01", "\x07\x01\x00", "\x07\x01\x00\x05abcd", "\x07\x01\x00\x01ab",
		"\x07\x02\x00\x01a\x00\x01b", "\x07\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "\x07\x02\x00\x00"} {
		if n, err := read(20, seal([]byte(data), 0, place(tagBodyRun, 20))); err == nil {
			t.Errorf("%q has %d members", data, n)
		} else {
			wantErr(t, err, ErrDamaged, "bodies, key 20: ", "its members can't be read")
		}
	}
}

func TestRunDamagedStored(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, true)
	save(t, s, benchBodies(1, 64))
	s.Close()
	tamper(t, dir, func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketBodies, tableBuckets[scheduler.TableTasks]} {
			v := bytes.Clone(tx.Bucket(b).Get(rowKey(33)))
			v[len(v)-1] ^= 1
			if err := tx.Bucket(b).Put(rowKey(33), v); err != nil {
				return err
			}
		}
		return nil
	})
	wantProblem(t, dir, "bodies, key 33: the first of a run of 16", "tasks, key 33: the first of a run of 32")
	if r, err := Check(dir, nil); err != nil || len(r.Problems) != 2 || r.Bodies != 64 || r.Rows[scheduler.TableTasks] != 32 {
		t.Errorf("%+v, %v", r, err)
	}
	s = openTest(t, dir, true)
	read := func(ids ...scheduler.TaskID) error {
		return s.Bodies(ids, func(_ int, data []byte) error {
			if data == nil {
				return fmt.Errorf("no body")
			}
			return nil
		})
	}
	if err := read(1, 32, 49, 64); err != nil {
		t.Error("bodies beside the damage:", err)
	}
	wantErr(t, read(1, 40), ErrDamaged, "bodies, key 33: the first of a run of 16", "coordinator check")
	save(t, s, &Checkpoint{DropBodies: []scheduler.TaskID{5, 40, 60}, Bodies: []Blob{{41, []byte("again")}}})
	if err := read(32, 41, 49, 64); err != nil {
		t.Error("bodies beside the damage:", err)
	}
	wantErr(t, read(40), ErrDamaged, "bodies, key 33")
	if r, err := checkFile(s.db, nil); err != nil || len(r.Problems) != 2 || r.Bodies != 63 {
		t.Errorf("%+v, %v", r, err)
	}
	save(t, s, &Checkpoint{DropBodies: []scheduler.TaskID{41}, Bodies: []Blob{{33, []byte("again")}}})
	if err := read(33); err != nil {
		t.Error("a body in place of the damage:", err)
	}
	if r, err := checkFile(s.db, nil); err != nil || len(r.Problems) != 1 || r.Bodies != 47 {
		t.Errorf("%+v, %v", r, err)
	}
	err := s.Save(&Checkpoint{Index: 9, Rows: pulling([]scheduler.Row{deletion(scheduler.TableTasks, 64)})})
	wantErr(t, err, ErrDamaged, "tasks, key 33", "coordinator check")
	wantErr(t, s.Save(&Checkpoint{Index: 10}), ErrFailed)
	s.Close()

	// A whole row that begins before the end of the one before it.
	tamper(t, dir, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketBodies).Put(rowKey(20), seal([]byte("x"), 0, place(tagBodies, 20)))
	})
	wantProblem(t, dir, "bodies, key 20: it begins before the end of the row before it")
}

func benchBodies(from scheduler.TaskID, n int) *Checkpoint {
	cp := &Checkpoint{Rows: taskBatches(uint64(from), n)}
	for i := range scheduler.TaskID(n) {
		cp.Bodies = append(cp.Bodies, Blob{from + i, make([]byte, 100)})
	}
	return cp
}
