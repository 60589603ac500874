package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

const crashPage = 4096

// TestCrash cuts a checkpoint off at every stage that a crash can leave: none,
// some or all of its pages written, its last page (which makes them count) torn
// or whole. The store then holds all of the checkpoint or nothing of it.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	save(t, s, &Checkpoint{Rows: taskBatches(1, 2000), Finished: benchFinished(5000, 1000, scheduler.Day)})
	before := readFile(t, s)
	rows := []scheduler.Row{deletion(scheduler.TableTasks, 1)}
	for id := uint64(1000); id < 3000; id++ {
		rows = append(rows, taskRow(id))
	}
	save(t, s, &Checkpoint{Rows: pulling(rows), Bodies: []Blob{{2999, []byte("body")}}, DropFinished: []scheduler.TaskID{5000}})
	after := readFile(t, s)
	s.Close()

	var data, meta []int // pages that the checkpoint wrote
	for at := 0; at < len(after); at += crashPage {
		if at < len(before) && bytes.Equal(before[at:at+crashPage], after[at:at+crashPage]) {
			continue
		}
		if at < 2*crashPage {
			meta = append(meta, at)
		} else {
			data = append(data, at)
		}
	}
	if len(meta) != 1 || len(data) < 10 {
		t.Fatalf("the checkpoint wrote pages %d and %d", meta, data)
	}
	for name, written := range map[string][]int{
		"none": nil, "first half": data[:len(data)/2], "second half": data[len(data)/2:], "all": data,
	} {
		wantCrashed(t, name, overlay(before, after, written), 1, 2000)
	}
	torn := overlay(before, after, data)
	copy(torn[meta[0]:], after[meta[0]:meta[0]+64])
	wantCrashed(t, "torn", torn, 1, 2000)
	wantCrashed(t, "whole", overlay(before, after, append(slices.Clone(data), meta...)), 2, 2998)
}

// overlay is a file with some pages of a later one.
func overlay(before, after []byte, pages []int) []byte {
	file := make([]byte, len(after))
	copy(file, before)
	for _, at := range pages {
		copy(file[at:at+crashPage], after[at:])
	}
	return file
}

// readFile returns the pages of an open store's file that are in use.
func readFile(t *testing.T, s *Store) []byte {
	t.Helper()
	data, err := os.ReadFile(s.path)
	err = errors.Join(err, s.read(func(tx *bbolt.Tx) error {
		data = data[:tx.Size()]
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func wantCrashed(t *testing.T, name string, file []byte, index uint64, tasks int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), file, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, dir)
	defer s.Close()
	if rows := loadAll(t, s); len(rows) != tasks || s.DurableIndex() != index {
		t.Errorf("%s: %d rows at index %d, want %d at %d", name, len(rows), s.DurableIndex(), tasks, index)
	}
	// The next checkpoint works as if nothing had happened.
	save(t, s, &Checkpoint{Rows: taskBatches(10_000, 1000)})
}

// TestCrashCreating leaves a torn new file: the next start makes another one.
func TestCrashCreating(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName+suffixNew), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	saveRows(t, openTest(t, dir), taskRow(1))
}

// TestCreateTogether lets another process make the file first.
func TestCreateTogether(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	saveRows(t, s, taskRow(1))
	s.Close()
	if err := createFile(filepath.Join(dir, FileName), LockWaitMax); err != nil {
		t.Fatal(err)
	}
	if rows := loadAll(t, openTest(t, dir)); len(rows) != 1 {
		t.Error("the other's file was replaced")
	}
}
