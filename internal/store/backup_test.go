package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// globalsOf is a globals row as a checkpoint holds it.
func globalsOf(term uint64) scheduler.Row {
	return scheduler.Row{Table: scheduler.TableGlobals, Key: 1, Globals: &scheduler.GlobalsRow{
		Now: 5, Term: term, LastTask: 7, LastToken: 9, LastSession: 2, LastPosition: 40, Logic: scheduler.LogicVersion,
	}}
}

// backedUp makes a store with something in it, and a backup file of that.
func backedUp(t *testing.T) (s *Store, file string) {
	t.Helper()
	s = openTest(t, t.TempDir())
	if err := s.PutSnapshotMeta([]byte("of the lost log")); err != nil {
		t.Fatal(err)
	}
	save(t, s, &Checkpoint{Index: 100, Logic: scheduler.LogicVersion, Rows: pulling([]scheduler.Row{globalsOf(6)}),
		Bodies: []Blob{{ID: 7, Data: []byte("body of seven")}}})
	b, err := s.Backup(context.Background(), BackupOptions{Release: "v-test", Created: 77})
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != b.Bytes || sha256.Sum256(data) != b.Sum {
		t.Errorf("%d bytes were told, %d came; sum %x", b.Bytes, len(data), b.Sum)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(s.path + suffixBackup); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	file = filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, file
}

func TestBackupRestores(t *testing.T) {
	_, file := backedUp(t)
	h, r, err := CheckBackup(file, nil)
	want := BackupHeader{Version: 1, Format: FormatVersion, Index: 100, Logic: scheduler.LogicVersion, CheckpointBytes: h.CheckpointBytes,
		Created: 77, Release: "v-test"}
	if err != nil || !r.OK() || h != want || r.Index != 100 || r.Bodies != 1 {
		t.Fatalf("check: %v, %+v, %+v", err, h, r)
	}
	dir := filepath.Join(t.TempDir(), "new", "data")
	if _, r, err := Restore(dir, file, nil); err != nil || r.Index != 100 {
		t.Fatalf("restore: %v, %+v", err, r)
	}
	s := openTest(t, dir)
	if meta, err := s.SnapshotMeta(); s.DurableIndex() != 0 || s.Logic() != scheduler.LogicVersion || meta != nil || err != nil {
		t.Errorf("index %d, logic %d, snapshot %q, %v", s.DurableIndex(), s.Logic(), meta, err)
	}
	var got *scheduler.GlobalsRow
	err = s.Load(func(row *scheduler.Row) error { got = row.Globals; return nil })
	wanted := *globalsOf(6).Globals
	wanted.Restoring = true
	if err != nil || got == nil || *got != wanted {
		t.Errorf("load: %v, %+v", err, got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("in the directory: %v, %v", entries, err)
	}
	if _, _, err := Restore(dir, file, nil); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a second restore: %v", err)
	}
}

// TestRestoreRefuses: a damaged, short or strange file is refused, and nothing is put in place. Every byte counts.
func TestRestoreRefuses(t *testing.T) {
	_, file := backedUp(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	refused := func(what string, data []byte, want error, says string) {
		t.Helper()
		if err := os.WriteFile(bad, data, 0o600); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "data")
		_, _, err := Restore(dir, bad, nil)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: restore: %v", what, err)
		}
		if _, _, err := CheckBackup(bad, nil); !errors.Is(err, want) {
			t.Errorf("%s: check: %v", what, err)
		}
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			t.Errorf("%s: left in the directory: %v", what, entries)
		}
	}
	for _, at := range []int{0, 5000, len(whole) / 2, len(whole) - backupEndBytes - 1, len(whole) - 1} {
		data := append([]byte(nil), whole...)
		data[at] ^= 1
		refused("a flipped bit", data, ErrDamaged, "")
	}
	cut := append([]byte(nil), whole[4096:]...)
	refused("a cut beginning", cut, ErrDamaged, "it has ")
	refused("a cut end", whole[:len(whole)-1], ErrNotBackup, "its end is missing")
	refused("nothing", nil, ErrNotBackup, "too short")
	refused("something else", make([]byte, 20_000), ErrNotBackup, "it is something else")
	h := BackupHeader{Version: 2, Format: FormatVersion, Logic: 1, Release: "v9"}
	newer, err := h.footer()
	if err != nil {
		t.Fatal(err)
	}
	refused("a newer form", append(newer, make([]byte, 32)...), ErrNewerFormat, "the build that wrote it (v9)")
	h = BackupHeader{Version: 1, Format: FormatVersion, Logic: scheduler.LogicVersion + 1}
	if newer, err = h.footer(); err != nil {
		t.Fatal(err)
	}
	refused("newer rules", append(newer, make([]byte, 32)...), ErrNewerFormat, "logic version")
}

// TestRestoreAgain: what a killed restore has left is removed by the next one.
func TestRestoreAgain(t *testing.T) {
	_, file := backedUp(t)
	dir := t.TempDir()
	for _, name := range []string{FileName + ".restore-123", FileName + ".restore-9"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := Restore(dir, file, nil); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != FileName {
		t.Errorf("in the directory: %v, %v", entries, err)
	}
	checkTest(t, dir)
}

// TestRestoreOfDamage: a backup of a checkpoint that was damaged already is refused, though its checksum is right.
func TestRestoreOfDamage(t *testing.T) {
	s := openTest(t, t.TempDir(), true)
	save(t, s, &Checkpoint{Index: 3, Logic: 1, Rows: pulling([]scheduler.Row{globalsOf(6)}), Bodies: []Blob{{ID: 7, Data: []byte("body")}}})
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketBodies)
		k, v := b.Cursor().First()
		v = append([]byte(nil), v...)
		v[0] ^= 1
		return b.Put(k, v)
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Backup(context.Background(), BackupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	data, err := io.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	file, dir := filepath.Join(t.TempDir(), "backup"), t.TempDir()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Restore(dir, file, nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "the backup was made of a damaged checkpoint") {
		t.Errorf("restore: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("in the directory: %v, %v", entries, err)
	}
}

// TestBackupRoom: a backup leaves the reserve alone, at its beginning and on its way, and stops when its caller does.
func TestBackupRoom(t *testing.T) {
	s, _ := backedUp(t)
	free := uint64(1<<20 + 10)
	o := BackupOptions{Reserve: 1 << 20, Free: func() (uint64, error) { return free, nil }}
	if b, err := s.Backup(context.Background(), o); err == nil {
		t.Error("a backup has taken the reserve")
		_ = b.Close()
	} else if !errors.Is(err, ErrNoRoom) {
		t.Error(err)
	}
	looks := 0
	o.Free = func() (uint64, error) {
		if looks++; looks > 1 {
			return 0, nil
		}
		return 1 << 40, nil
	}
	save(t, s, &Checkpoint{Index: 100, Logic: scheduler.LogicVersion, Bodies: []Blob{{ID: 8, Data: make([]byte, 20<<20)}}})
	if _, err := s.Backup(context.Background(), o); !errors.Is(err, ErrNoRoom) {
		t.Errorf("while the disk fills: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := s.Backup(ctx, BackupOptions{}); !errors.Is(err, gone) {
		t.Errorf("cancelled: %v", err)
	}
	save(t, s, &Checkpoint{Index: 101, Logic: scheduler.LogicVersion}) // none of them was the store's last
	if left, err := filepath.Glob(s.path + suffixBackup); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
