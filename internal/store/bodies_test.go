package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// damagedBodies is a store with the bodies "body 1" to "body n", in runs, after an edit of its file.
func damagedBodies(t *testing.T, n int, edit func(dir string)) *Store {
	t.Helper()
	dir := t.TempDir()
	s := openTest(t, dir, true)
	cp := &Checkpoint{}
	for i := range n {
		cp.Bodies = append(cp.Bodies, Blob{scheduler.TaskID(i + 1), fmt.Appendf(nil, "body %d", i+1)})
	}
	save(t, s, cp)
	s.Close()
	edit(dir)
	return openTest(t, dir, true)
}

// readBodies asks for bodies and returns those that were handed over and the damaged ones.
func readBodies(t *testing.T, s *Store, ids []scheduler.TaskID) (got, damaged []scheduler.TaskID) {
	t.Helper()
	err := s.Bodies(ids, func(i int, data []byte) error {
		if want := fmt.Sprint("body ", ids[i]); string(data) != want {
			t.Errorf("body of task %d is %q", ids[i], data)
		}
		got = append(got, ids[i])
		return nil
	})
	var bad *DamagedBodies
	if err != nil && (!errors.As(err, &bad) || !errors.Is(err, ErrDamaged)) {
		t.Fatal(err)
	}
	if bad != nil {
		damaged = bad.DamagedTasks()
	}
	return got, damaged
}

// TestDamagedBodiesAreConfined: a damaged row costs what stands in it; all other bodies are handed over.
func TestDamagedBodiesAreConfined(t *testing.T) {
	const n = 60
	s := damagedBodies(t, n, func(dir string) {
		tamper(t, dir, func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketBodies)
			v := bytes.Clone(b.Get(rowKey(17))) // the second run: 17 to 32
			v[len(v)/2] ^= 1
			return b.Put(rowKey(17), v)
		})
	})
	var all, want []scheduler.TaskID
	for id := scheduler.TaskID(n); id > 0; id-- {
		all = append(all, id)
	}
	for id := scheduler.TaskID(17); id <= 32; id++ {
		want = append(want, id)
	}
	got, damaged := readBodies(t, s, all)
	if !slices.Equal(damaged, want) || len(got) != n-len(want) {
		t.Errorf("handed over %v, damaged %v", got, damaged)
	}
	if got, damaged = readBodies(t, s, []scheduler.TaskID{20}); len(got) != 0 || len(damaged) != 1 {
		t.Errorf("handed over %v, damaged %v", got, damaged)
	}
}

// TestDamagedPageOfBodies: elements of a page that lie far out of it don't end the process, and cost what stands on the page.
func TestDamagedPageOfBodies(t *testing.T) {
	const n = 2000
	s := damagedBodies(t, n, func(dir string) {
		editFile(t, dir, func(data []byte) {
			spoilPage(t, data, "body 1000")
		})
	})
	var all []scheduler.TaskID
	for id := scheduler.TaskID(1); id <= n; id++ {
		all = append(all, id)
	}
	got, damaged := readBodies(t, s, all)
	if len(got)+len(damaged) != n || !slices.Contains(damaged, 1000) || len(damaged) > n/4 {
		t.Errorf("%d were handed over, %d are damaged: %v", len(got), len(damaged), damaged)
	}
}

// TestBodiesPanics holds that a panic of each isn't taken for damage.
func TestBodiesPanics(t *testing.T) {
	s := damagedBodies(t, 3, func(string) {})
	defer func() {
		if r := recover(); fmt.Sprint(r) != "each's own" {
			t.Errorf("recovered %v", r)
		}
	}()
	_ = s.Bodies([]scheduler.TaskID{1}, func(int, []byte) error { panic("each's own") })
}

// spoilPage lets the elements of the leaf that holds a needle lie far out of it.
func spoilPage(t *testing.T, data []byte, needle string) {
	t.Helper()
	page := bytes.LastIndex(data, []byte(needle)) / 4096 * 4096
	if binary.NativeEndian.Uint16(data[page+8:]) != pageLeaf {
		t.Fatalf("page %d is no leaf", page/4096)
	}
	for i := range int(binary.NativeEndian.Uint16(data[page+10:])) { // position of key and value
		binary.NativeEndian.PutUint32(data[page+pageHead+i*elementBytes+4:], 0xfffffff0)
	}
}

// TestDamagedPageUnderWork: a damaged page that is met by another read, or by a checkpoint, is an error of that.
func TestDamagedPageUnderWork(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, true)
	cp := &Checkpoint{}
	for id := scheduler.TaskID(1); id <= 500; id++ {
		cp.Finished = append(cp.Finished, FinishedRow{ID: id, ExpiresAt: scheduler.Day, Data: fmt.Appendf(nil, "finished-to-find %d", id)})
	}
	save(t, s, cp)
	s.Close()
	editFile(t, dir, func(data []byte) { spoilPage(t, data, "finished-to-find 250") })
	s = openTest(t, dir, true)
	_, err := s.Finished(250)
	wantErr(t, err, ErrDamaged, "unreadable page", "coordinator check")
	wantErr(t, s.Save(&Checkpoint{Index: 9, Rows: pulling(nil), DropFinished: []scheduler.TaskID{250}}), ErrDamaged, "unreadable page")
}

// TestFreePageInUse: a page in use that the free list names too would be written over.
func TestFreePageInUse(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, true)
	for range 3 {
		saveRows(t, s, taskRow(1))
	}
	s.Close()
	editFile(t, dir, func(data []byte) {
		m := newestMeta(data)
		list, root := data[native.Uint64(m[32:])*4096:], native.Uint64(m[16:])
		if native.Uint16(list[10:]) == 0 {
			t.Fatal("no page is free")
		}
		native.PutUint64(list[pageHead:], root)
	})
	_, err := Open(Options{Dir: dir})
	wantErr(t, err, ErrDamaged, "multiple references")
}
