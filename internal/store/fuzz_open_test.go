package store

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// fuzzHeapMax is more than reading a file of fuzzFile's size takes, whatever is wrong with it.
const fuzzHeapMax = 64 << 20

// fuzzFile is a small checkpoint with some of everything.
func fuzzFile(tb testing.TB) []byte {
	tb.Helper()
	dir := tb.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	rows := append(fuzzRows(), taskRow(11), taskRow(12))
	save(tb, s, &Checkpoint{
		Index: 9, Logic: 2, Rows: pulling(sortedRows(rows)), Bodies: []Blob{{3, []byte("body")}, {11, nil}}, Failures: []Blob{{3, someAttempts("w1")}},
		Finished: []FinishedRow{finishedRow(1, scheduler.Day), {ID: 10, Queue: "mail", ExpiresAt: scheduler.Day}, deadLetter(2, 1, scheduler.Day)},
	})
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// sortedRows puts rows in the order of their tables, as the core hands them out.
func sortedRows(rows []scheduler.Row) []scheduler.Row {
	var sorted []scheduler.Row
	for _, t := range scheduler.Tables() {
		for _, r := range rows {
			if r.Table == t {
				sorted = append(sorted, r)
			}
		}
	}
	return sorted
}

// damage writes bytes over a file: each of edits is where (3 bytes), how many (1), and those bytes.
func damage(file, edits []byte) {
	for len(edits) > 4 {
		at := (int(edits[0])<<16 | int(edits[1])<<8 | int(edits[2])) % len(file)
		n := min(int(edits[3])%64+1, len(edits)-4, len(file)-at)
		copy(file[at:], edits[4:4+n])
		edits = edits[4+n:]
	}
}

// readAll does with a file what a coordinator and its check do.
func readAllOf(dir string) (rows int, err error) {
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Load(func(*scheduler.Row) error { rows++; return nil }); err != nil {
		return rows, err
	}
	if _, err := s.SnapshotMeta(); err != nil {
		return rows, err
	}
	return rows, s.FinishedAfter(0, 1<<20, func(scheduler.TaskID, []byte) bool { return true })
}

// FuzzOpen damages a checkpoint: whatever is then read of it is an error that says so, or all of it; memory is bounded, and
// Check, which reads the pages that a start doesn't, ends as well.
func FuzzOpen(f *testing.F) {
	whole := fuzzFile(f)
	const page = 4096
	for p := range len(whole) / page {
		at := p * page
		for _, off := range []int{0, 8, 10, 12, 16, 24, 40, 64, 200, 4000} { // header, elements, values
			where := []byte{byte((at + off) >> 16), byte((at + off) >> 8), byte(at + off)}
			f.Add(append(append([]byte{}, where...), 1, 0xff, 0xff))
			f.Add(append(append([]byte{}, where...), 7, 0, 0, 0, 0, 0, 0, 0, 0x80))
		}
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, edits []byte) {
		if len(edits) > 1024 {
			return
		}
		file := append([]byte{}, whole...)
		damage(file, edits)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), file, 0o600); err != nil {
			t.Fatal(err)
		}
		defer debug.SetGCPercent(debug.SetGCPercent(50))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rows, err := readAllOf(dir)
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotCheckpoint) {
			t.Fatalf("%d rows, and not told as damage: %v", rows, err)
		}
		if want := len(fuzzRows()) + 2; err == nil && rows != want && rows != 0 {
			t.Fatalf("%d rows of %d were read without an error", rows, want)
		}
		r, checked := Check(dir, nil)
		if err != nil && checked == nil && r.OK() {
			t.Errorf("check finds nothing: %v", err)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > fuzzHeapMax {
			t.Fatalf("%d bytes were allocated for a file of %d", grown, len(file))
		}
	})
}
