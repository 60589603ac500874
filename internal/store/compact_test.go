package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func TestCompact(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	var bodies []Blob
	var rows []scheduler.Row
	var drop []scheduler.TaskID
	for id := scheduler.TaskID(1); id <= 3000; id++ {
		bodies = append(bodies, Blob{id, make([]byte, 5000)})
		if id%10 != 0 {
			drop = append(drop, id)
			rows = append(rows, deletion(scheduler.TableTasks, uint64(id)))
		}
	}
	save(t, s, &Checkpoint{Rows: taskBatches(1, 3000), Bodies: bodies, Finished: benchFinished(1, 3000, scheduler.Day)})
	save(t, s, &Checkpoint{Index: 9, Logic: 1, Rows: pulling(rows), DropBodies: drop})
	if err := s.PutSnapshotMeta([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.FreePages < 1000 || st.FreeBytes < 4<<20 || st.FreelistBytes < 8000 {
		t.Errorf("%+v", st)
	}
	if _, _, err := compactLocked(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("compacted an open store: %v", err)
	}
	want := loadAll(t, s)
	s.Close()
	before, after, err := Compact(dir)
	if info, serr := os.Stat(filepath.Join(dir, FileName)); err != nil || serr != nil || after != info.Size() || after > before/3 {
		t.Errorf("%d to %d bytes, %v, %v", before, after, err, serr)
	}
	s = openTest(t, dir)
	if got := loadAll(t, s); len(got) != len(want) || got[7].Task != want[7].Task || s.DurableIndex() != 9 || s.Logic() != 1 {
		t.Errorf("%d rows, index %d", len(got), s.DurableIndex())
	}
	if meta, err := s.SnapshotMeta(); string(meta) != "kept" || err != nil {
		t.Errorf("%q, %v", meta, err)
	}
	// Sequences went along: new places of the order of expiry replace no old ones.
	save(t, s, &Checkpoint{Finished: benchFinished(4000, 10, scheduler.Day)})
	if n, _, _ := expire(t, s, scheduler.Day, 10_000); n != 3010 {
		t.Errorf("%d expired", n)
	}
	if _, _, err := Compact(t.TempDir()); err == nil {
		t.Error("compacted nothing")
	}
}

// compactLocked is Compact with no patience.
func compactLocked(dir string) (*Store, int64, error) {
	_, err := openFile(filepath.Join(dir, FileName), fileOptions{lockWait: 1})
	return nil, 0, err
}
