package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

const healSegmentBytes = 128 << 10

// momentMeta calls before at the first rotation: the append that sealed the
// segment is on disk, its metadata is not.
type momentMeta struct {
	types.MetaStore
	commits int
	before  func(types.PersistentState)
	done    chan struct{}
}

func (m *momentMeta) CommitState(state types.PersistentState) error {
	if m.commits++; m.commits == 2 {
		m.before(state)
		close(m.done)
	}
	return m.MetaStore.CommitState(state)
}

// killedAtRotation makes a log and copies its files as a kill at the first
// rotation would leave them. It returns the copy and its last index.
func killedAtRotation(t *testing.T) (dir string, last uint64) {
	t.Helper()
	from, dir := t.TempDir(), t.TempDir()
	meta := &momentMeta{MetaStore: &metadb.BoltMetaDB{}, done: make(chan struct{})}
	meta.before = func(next types.PersistentState) {
		last = next.Segments[0].MaxIndex // the entry that waits for the rotation is in the next segment
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Error(err)
		}
	}
	w, err := wal.Open(from, wal.WithMetaStore(meta), wal.WithSegmentSize(healSegmentBytes))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for index := uint64(1); ; index++ {
		select {
		case <-meta.done:
			return dir, last
		default:
		}
		if err := w.StoreLog(healEntry(index)); err != nil {
			t.Fatal(err)
		}
	}
}

func healEntry(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Data: []byte(strings.Repeat(fmt.Sprintf("%8d", index), 500))}
}

func openHealed(t *testing.T, dir string) *wal.WAL {
	t.Helper()
	filer := segment.NewFiler(dir, fs.New())
	meta := &healingMeta{MetaStore: &metadb.BoltMetaDB{}, filer: filer, now: time.Now, logger: hclog.NewNullLogger()}
	w, err := wal.Open(dir, wal.WithMetaStore(meta), wal.WithSegmentFiler(filer), wal.WithSegmentSize(healSegmentBytes),
		wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// wantEntries checks that the log holds 1 to last, then that it takes two more
// segments' worth of entries and still has them all after a reopen.
func wantEntries(t *testing.T, dir string, last uint64) {
	t.Helper()
	for round := range 2 {
		w := openHealed(t, dir)
		if got, err := w.LastIndex(); err != nil || got != last {
			t.Fatalf("round %d: last index is %d, %v, want %d", round, got, err, last)
		}
		for index := uint64(1); index <= last; index++ {
			var got raft.Log
			if err := w.GetLog(index, &got); err != nil || string(got.Data) != string(healEntry(index).Data) {
				t.Fatalf("round %d: entry %d: %v", round, index, err)
			}
		}
		for range 70 {
			last++
			if err := w.StoreLog(healEntry(last)); err != nil {
				t.Fatalf("round %d: append %d: %v", round, last, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHealSealedTail(t *testing.T) {
	dir, last := killedAtRotation(t)

	// Without the cure. If this fails, raft-wal has learnt it: heal.go can go.
	plain := t.TempDir()
	if err := os.CopyFS(plain, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w, err := wal.Open(plain, wal.WithSegmentSize(healSegmentBytes))
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, w.StoreLog(healEntry(last+1)), types.ErrSealed)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}

	wantEntries(t, dir, last)
}

// tornTail is killedAtRotation with the seal damaged by damage, which gets the
// segment's file, the offset of its index and the number of entries.
func tornTail(t *testing.T, damage func(f *os.File, indexStart int64, entries int)) (dir string, last uint64) {
	t.Helper()
	dir, last = killedAtRotation(t)
	meta := &metadb.BoltMetaDB{}
	state, err := meta.Load(dir)
	if err := errors.Join(err, meta.Close()); err != nil {
		t.Fatal(err)
	}
	info := state.Segments[0]
	w, err := segment.NewFiler(dir, fs.New()).RecoverTail(info)
	if err != nil {
		t.Fatal(err)
	}
	sealed, indexStart, err := w.Sealed()
	if err != nil || !sealed {
		t.Fatalf("sealed %v, %v", sealed, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, segment.FileName(info)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	damage(f, int64(indexStart), int(last))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, last
}

func zero(t *testing.T, f *os.File, offset int64, n int) {
	if _, err := f.WriteAt(make([]byte, n), offset); err != nil {
		t.Fatal(err)
	}
}

func TestHealTornSeal(t *testing.T) {
	t.Run("index", func(t *testing.T) {
		dir, last := tornTail(t, func(f *os.File, indexStart int64, _ int) { zero(t, f, indexStart, 4) })
		wantEntries(t, dir, last-1) // the last append was the torn one
	})
	t.Run("rest", func(t *testing.T) {
		// Only the seal's header and nothing behind it reached the disk.
		dir, last := tornTail(t, func(f *os.File, indexStart int64, entries int) { zero(t, f, indexStart, 4*entries+64) })
		wantEntries(t, dir, last-1)
	})
	t.Run("entry", func(t *testing.T) {
		// The seal is whole, the entry before it is not.
		dir, last := tornTail(t, func(f *os.File, indexStart int64, _ int) { zero(t, f, indexStart-1000, 16) })
		wantEntries(t, dir, last-1)
	})
	t.Run("repair killed", func(t *testing.T) {
		dir, last := tornTail(t, func(f *os.File, indexStart int64, _ int) { zero(t, f, indexStart, 4) })
		left := segment.FileName(types.SegmentInfo{BaseIndex: 1, ID: 1})
		if err := os.WriteFile(filepath.Join(dir, left), []byte("half a copy"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, dir, last-1)
	})
}

func TestCloseDuringRotationIsHealed(t *testing.T) {
	dir := t.TempDir()
	last := uint64(0)
	for range 30 {
		w := openHealed(t, dir)
		for size := 0; size <= healSegmentBytes; size += 4000 {
			last++
			if err := w.StoreLog(healEntry(last)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil { // often before the rotation
			t.Fatal(err)
		}
	}
	wantEntries(t, dir, last)
}
