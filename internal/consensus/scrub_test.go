package consensus

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// TestTornTwice: a loss of power tears an append, whose entries' headers reach the disk behind a hole; the next process
// appends where the torn one began, and is torn too. That append was answered to nobody, and is dropped.
func TestTornTwice(t *testing.T) {
	for _, whole := range []uint64{0, 3} { // entries before
		dir := t.TempDir()
		w := openHealed(t, dir)
		for index := uint64(1); index <= whole; index++ {
			if err := w.StoreLog(healEntry(index)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, segment.FileName(types.SegmentInfo{BaseIndex: 1}))
		end := lastByte(t, file)
		if whole == 0 {
			end = 32 // the file's header
		}
		stale := bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 2048) // entries without bytes
		writeTail(t, file, end+8, stale)

		w = openHealed(t, dir)
		if err := w.StoreLog(healEntry(whole + 1)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		writeTail(t, file, end+64, make([]byte, 64)) // of the entry's bytes
		wantEntries(t, dir, whole)
	}
}

// TestDamagedFrame: a bit that flips in the header of an entry or of a commit would end the log there. It is refused while
// appends stand behind it, and taken for torn in the last one.
func TestDamagedFrame(t *testing.T) {
	for _, last := range []uint64{1, 2, 5} {
		for flipped := uint64(1); flipped <= last; flipped++ {
			for _, commit := range []bool{false, true} {
				for _, kind := range []byte{0x41, 2, 0} { // nothing known, the index of a sealed segment, nothing at all
					dir := t.TempDir()
					w := openHealed(t, dir)
					for index := uint64(1); index <= last; index++ {
						if err := w.StoreLog(healEntry(index)); err != nil {
							t.Fatal(err)
						}
					}
					if err := w.Close(); err != nil {
						t.Fatal(err)
					}
					file := filepath.Join(dir, segment.FileName(types.SegmentInfo{BaseIndex: 1}))
					each := (lastByte(t, file) - headerBytes) / int64(last)
					at := headerBytes + each*int64(flipped-1)
					if commit {
						at += each - frameBytes
					}
					writeTail(t, file, at, []byte{kind})
					if flipped == last {
						wantLast(t, dir, last-1)
						continue
					}
					filer := segment.NewFiler(dir, fs.New())
					meta := &healingMeta{MetaStore: &metadb.BoltMetaDB{}, filer: filer, now: time.Now, logger: hclog.NewNullLogger()}
					if _, err := meta.Load(dir); !errors.Is(err, ErrDamaged) {
						t.Errorf("append %d of %d, commit: %t, is of kind %d: %v", flipped, last, commit, kind, err)
					}
					if err := meta.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
}

func wantLast(t *testing.T, dir string, last uint64) {
	t.Helper()
	w := openHealed(t, dir)
	if got, err := w.LastIndex(); err != nil || got != last {
		t.Errorf("last index is %d, %v, want %d", got, err, last)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestScrubKeeps: a tail that nothing tore stays as it is.
func TestScrubKeeps(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, segment.FileName(types.SegmentInfo{BaseIndex: 1}))
	var before []byte
	for last := uint64(1); last <= 8; last++ {
		w := openHealed(t, dir)
		after, err := os.ReadFile(file)
		if err != nil || before != nil && !bytes.Equal(before, after) {
			t.Fatalf("opening changed the tail that ends with entry %d: %v", last-1, err)
		}
		if err := w.StoreLog(healEntry(last)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if before, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	wantEntries(t, dir, 8)
}

// lastByte is where the last append ends: behind the last byte that isn't zero.
func lastByte(t *testing.T, file string) int64 {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(bytes.TrimRight(data, "\x00"))+7) / 8 * 8
}

func writeTail(t *testing.T, file string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
}
