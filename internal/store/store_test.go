package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
)

func TestNewStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	s := openTest(t, dir)
	if s.DurableIndex() != 0 || s.Logic() != 0 || len(loadAll(t, s)) != 0 {
		t.Error("a new store isn't empty")
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, FileName): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("files left behind: %v", names)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	save(t, s, &Checkpoint{Index: 70, Logic: 1, Rows: pulling([]scheduler.Row{taskRow(2), taskRow(1)})})
	// Leftovers of a crash while creating, or compacting.
	for _, suffix := range []string{suffixNew, suffixCompact} {
		if err := os.WriteFile(filepath.Join(dir, FileName+suffix), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // Close is idempotent
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = openTest(t, dir)
	if s.DurableIndex() != 70 || s.Logic() != 1 {
		t.Errorf("index %d, logic %d", s.DurableIndex(), s.Logic())
	}
	if rows := loadAll(t, s); len(rows) != 2 || rows[0].Task != taskRow(1).Task || rows[1].Task != taskRow(2).Task {
		t.Errorf("rows %+v", rows)
	}
	if st := s.Stats(); st.Rows[scheduler.TableTasks] != 2 || st.Index != 70 || st.FileBytes == 0 {
		t.Errorf("stats %+v", st)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("files left behind: %v", names)
	}
}

func TestClosed(t *testing.T) {
	s := openTest(t, t.TempDir())
	s.Close()
	wantErr(t, s.Save(&Checkpoint{Index: 1}), ErrClosed)
	wantErr(t, s.Load(func(*scheduler.Row) error { return nil }), ErrClosed)
	wantErr(t, s.Bodies([]scheduler.TaskID{1}, func(int, []byte) error { return nil }), ErrClosed)
	wantErr(t, s.PutSnapshotMeta(nil), ErrClosed)
	_, _, _, err := s.Expire(scheduler.Day, 1)
	wantErr(t, err, ErrClosed)
	s.Stats()
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	openTest(t, dir)
	_, err := Open(Options{Dir: dir, LockWait: time.Millisecond})
	wantErr(t, err, ErrInUse, FileName, "another coordinator", "--data-dir")
	if _, err := openFile(filepath.Join(dir, FileName), fileOptions{lockWait: time.Millisecond, readOnly: true}); !errors.Is(err, ErrInUse) {
		t.Errorf("reading: %v", err)
	}
}

// TestReplaced is a process that gets the lock of a file that Compact has
// replaced while it waited.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	openTest(t, dir).Close()
	path := filepath.Join(dir, FileName)
	swap := func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		return f, errors.Join(err, os.Rename(filepath.Join(copyDir(t, dir), FileName), path))
	}
	_, err := Open(Options{Dir: dir, hooks: hooks{openFile: swap}})
	wantErr(t, err, ErrInUse, "replaced")
}

func TestOpenRefuses(t *testing.T) {
	write := func(data []byte) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	whole := t.TempDir()
	s := openTest(t, whole)
	save(t, s, &Checkpoint{Rows: taskBatches(1, 10_000)})
	s.Close()
	data, err := os.ReadFile(filepath.Join(whole, FileName))
	if err != nil {
		t.Fatal(err)
	}
	newer := copyDir(t, whole)
	tamper(t, newer, func(tx *bbolt.Tx) error {
		m, err := proto.Marshal(&storagev1.Manifest{Format: 99})
		if err != nil {
			return err
		}
		return putMeta(tx, keyManifest, m, placeManifest)
	})
	foreign := t.TempDir()
	tamper(t, foreign, func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("theirs"))
		return err
	})
	for _, test := range []struct {
		name string
		dir  string
		want error
		text string
	}{
		{"empty", write(nil), ErrNotCheckpoint, "restore a backup"},
		{"text", write([]byte(strings.Repeat("text", 10_000))), ErrNotCheckpoint, FileName},
		{"foreign", foreign, ErrNotCheckpoint, "no manifest"},
		{"cut short", write(data[:8*4096]), ErrDamaged, ""},
		{"newer", newer, ErrNewerFormat, "format 99, this build knows 1 to 3: start the build that wrote it"},
	} {
		_, err := Open(Options{Dir: test.dir})
		if wantErr(t, err, test.want, test.text); t.Failed() {
			t.Fatal(test.name)
		}
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("no directory, no error")
	}
	if _, err := Open(Options{Dir: whole, RowsMax: CheckpointRowsMax + 1}); err == nil {
		t.Error("RowsMax beyond its bound")
	}
	if os.Getuid() == 0 {
		return // root may do everything
	}
	if err := os.Chmod(filepath.Join(whole, FileName), 0); err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Dir: whole})
	wantErr(t, err, os.ErrPermission, "user")
}

// tamper changes a file behind the store's back.
func tamper(tb testing.TB, dir string, fn func(*bbolt.Tx) error) {
	tb.Helper()
	db, err := bbolt.Open(filepath.Join(dir, FileName), 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		tb.Fatal(err)
	}
}

// TestWriteFails pulls the file away from under bbolt.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	var file *os.File
	s, err := Open(Options{Dir: dir, hooks: hooks{openFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}}})
	if err != nil {
		t.Fatal(err)
	}
	saveRows(t, s, taskRow(1))
	if err := s.PutSnapshotMeta([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	err = s.Save(&Checkpoint{Index: 9, Rows: pulling([]scheduler.Row{taskRow(2)})})
	wantErr(t, err, os.ErrClosed, dir)
	if errors.Is(err, ErrFailed) {
		t.Error("the first error is its own")
	}
	wantErr(t, s.Save(&Checkpoint{Index: 10}), ErrFailed, "save the checkpoint")
	wantErr(t, s.PutSnapshotMeta(nil), ErrFailed)
	if s.DurableIndex() != 1 {
		t.Errorf("index %d is called durable", s.DurableIndex())
	}
	if err := s.Close(); err == nil {
		t.Error("closed a closed file")
	}
	s = openTest(t, dir)
	if rows := loadAll(t, s); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
	if meta, err := s.SnapshotMeta(); string(meta) != "kept" || err != nil {
		t.Errorf("snapshot %q, %v", meta, err)
	}
}

func TestNoRoom(t *testing.T) {
	for _, err := range []error{
		&os.PathError{Op: "write", Path: FileName, Err: syscall.ENOSPC},
		errors.New("file resize error: truncate: no space left on device"), // as bbolt passes it on
		syscall.EDQUOT,
	} {
		wantErr(t, explainWrite("/var/lib/yard", "save the checkpoint", err), err, "no room left in /var/lib/yard", "free some disk space")
	}
}

func TestSnapshotMeta(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	if data, err := s.SnapshotMeta(); data != nil || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	for _, want := range []string{"one", "two"} {
		if err := s.PutSnapshotMeta([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if data, err := s.SnapshotMeta(); string(data) != want || err != nil {
			t.Errorf("%q, %v, want %q", data, err, want)
		}
	}
}

// TestBackup opens what WriteTo wrote.
func TestBackup(t *testing.T) {
	s := openTest(t, t.TempDir())
	save(t, s, &Checkpoint{Rows: taskBatches(1, 5000)})
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.WriteTo(f)
	if info, serr := f.Stat(); err != nil || serr != nil || info.Size() != n {
		t.Errorf("%d bytes, %v", n, err)
	}
	f.Close()
	if rows := loadAll(t, openTest(t, dir)); len(rows) != 5000 {
		t.Errorf("%d rows", len(rows))
	}
}

// TestTogether runs everything at the same time, for the race detector, and
// closes the store under it.
func TestTogether(t *testing.T) {
	s := openTest(t, t.TempDir())
	var all sync.WaitGroup
	until := make(chan struct{})
	for _, call := range []func() error{
		func() error {
			return s.Bodies([]scheduler.TaskID{1, 2, 3}, func(int, []byte) error { return nil })
		},
		func() error { _, err := s.Finished(5); return err },
		func() error { _, _, _, err := s.Expire(scheduler.Day, 100); return err },
		func() error { s.Stats(); return s.PutSnapshotMeta([]byte("x")) },
		func() error { _, err := s.WriteTo(discard{}); return err },
		func() error { return s.Load(func(*scheduler.Row) error { return nil }) },
	} {
		all.Go(func() {
			for {
				if err := call(); errors.Is(err, ErrClosed) {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Go(func() {
		defer close(until)
		for i := uint64(1); i <= 20; i++ {
			id := scheduler.TaskID(i)
			err := s.Save(&Checkpoint{
				Index: i, Rows: taskBatches(i*100, 100), Bodies: []Blob{{id, []byte("body")}},
				Finished: []FinishedRow{finishedRow(id, scheduler.Second), deadLetter(id+1000, 1, scheduler.Second)},
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	<-until
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
