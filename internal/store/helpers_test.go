package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openTest opens a store in dir. At the test's end it is closed and the file
// checked, unless the test has damaged it.
func openTest(tb testing.TB, dir string, damaged ...bool) *Store {
	tb.Helper()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		if len(damaged) == 0 {
			checkTest(tb, dir)
		}
	})
	return s
}

// checkTest fails the test unless the file is whole.
func checkTest(tb testing.TB, dir string) Report {
	tb.Helper()
	r, err := Check(dir, nil)
	if err != nil {
		tb.Error(err)
	}
	for _, p := range r.Problems {
		tb.Error("check:", p)
	}
	return r
}

// pulling hands out rows as the engine does.
func pulling(rows []scheduler.Row) func(int, []scheduler.Row) ([]scheduler.Row, bool) {
	return func(limit int, buf []scheduler.Row) ([]scheduler.Row, bool) {
		n := min(limit, len(rows))
		buf = append(buf, rows[:n]...)
		rows = rows[n:]
		return buf, len(rows) == 0
	}
}

func save(tb testing.TB, s *Store, cp *Checkpoint) {
	tb.Helper()
	if cp.Index == 0 {
		cp.Index = s.DurableIndex() + 1
	}
	if err := s.Save(cp); err != nil {
		tb.Fatal(err)
	}
}

func saveRows(tb testing.TB, s *Store, rows ...scheduler.Row) {
	tb.Helper()
	save(tb, s, &Checkpoint{Rows: pulling(rows)})
}

// loadAll returns copies of all rows.
func loadAll(tb testing.TB, s *Store) []scheduler.Row {
	tb.Helper()
	var rows []scheduler.Row
	err := s.Load(func(r *scheduler.Row) error {
		rows = append(rows, *r)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return rows
}

// taskRow is a task like most.
func taskRow(id uint64) scheduler.Row {
	const now = 1_790_000_000_000_000_000
	return scheduler.Row{Table: scheduler.TableTasks, Key: id, Task: scheduler.TaskRow{
		ID: scheduler.TaskID(id), Submitted: now + scheduler.Time(id), Gen: 1, Shape: 3, Policy: 2,
		State: scheduler.Pending,
	}}
}

func deletion(t scheduler.Table, key uint64) scheduler.Row {
	return scheduler.Row{Table: t, Key: key, Deleted: true}
}

func finishedRow(id scheduler.TaskID, expires scheduler.Duration) FinishedRow {
	return FinishedRow{ID: id, Gen: 1, ExpiresAt: expires, Data: binary.BigEndian.AppendUint64([]byte("finished "), uint64(id))}
}

func deadLetter(id scheduler.TaskID, gen uint32, expires scheduler.Duration) FinishedRow {
	return FinishedRow{ID: id, Dead: true, Gen: gen, ExpiresAt: expires, Data: []byte("dead letter")}
}

// finishedIDs lists the ids of all finished tasks.
func finishedIDs(tb testing.TB, s *Store) []scheduler.TaskID {
	tb.Helper()
	var ids []scheduler.TaskID
	err := s.FinishedAfter(0, 1<<30, func(id scheduler.TaskID, _ []byte) bool {
		ids = append(ids, id)
		return true
	})
	if err != nil {
		tb.Fatal(err)
	}
	return ids
}

func wantErr(tb testing.TB, err, want error, texts ...string) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Fatalf("error %v, want %v", err, want)
	}
	for _, text := range texts {
		if !bytes.Contains([]byte(err.Error()), []byte(text)) {
			tb.Errorf("error %q doesn't say %q", err, text)
		}
	}
}

// copyDir copies the checkpoint of one directory to a new one.
func copyDir(tb testing.TB, from string) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(from, FileName))
	if err != nil {
		tb.Fatal(err)
	}
	to := tb.TempDir()
	if err := os.WriteFile(filepath.Join(to, FileName), data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return to
}
