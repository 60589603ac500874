package consensus

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metadb"
)

// written leaves a log behind that holds entries.
func written(t *testing.T, entries ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	o, _ := testOptions(t, dir, &memDisk{})
	l := mustOpen(t, o)
	propose(t, l, entries...)
	propose(t, l, "last") // raft-wal looks at the last append itself, and takes what is damaged in it for torn
	mustClose(t, l)
	return dir
}

// damage changes a file of the log.
func damage(t *testing.T, path string, change func(data []byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func onlySegment(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(walDir(dir), "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments %v, %v", files, err)
	}
	return files[0]
}

// TestDamagedEntryIsNotApplied: a bit that flipped in an entry ends the process; what came before it is applied, nothing after.
func TestDamagedEntryIsNotApplied(t *testing.T) {
	dir := written(t, numbered(1, 9)...)
	damage(t, onlySegment(t, dir), func(data []byte) []byte {
		at := bytes.Index(data, []byte("entry 4"))
		data[at] ^= 1
		return data
	})
	fatal := make(chan error, 1)
	o, machine := testOptions(t, dir, &memDisk{})
	o.Fatal = func(err error) { fatal <- err }
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err = <-fatal:
	case <-time.After(10 * time.Second):
		t.Fatal("the damage goes unnoticed")
	}
	wantError(t, err, ErrDamaged)
	if !strings.Contains(err.Error(), walDir(dir)) || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("%v names neither place nor cure", err)
	}
	_ = l.Close() // raft is stopped
	if got, want := machine.data(), numbered(1, 3); !slices.Equal(got, want) {
		t.Errorf("applied %q, want %q", got, want)
	}
}

// TestDamagedHeadOfEntry: an entry that isn't the one that was written, by its index or kind, or that ends too soon, is refused
// at the start. A command that became an entry of raft's own would be skipped without a word.
func TestDamagedHeadOfEntry(t *testing.T) {
	for name, change := range map[string]func(data []byte, at int){
		"index":  func(data []byte, at int) { data[at] ^= 0x40 },
		"kind":   func(data []byte, at int) { data[at+2] ^= byte(raft.LogNoop) },
		"length": func(data []byte, at int) { data[at+3] ^= 0x40 },
		"number": func(data []byte, at int) { copy(data[at:], bytes.Repeat([]byte{0xff}, 20)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := written(t, numbered(1, 9)...)
			damage(t, onlySegment(t, dir), func(data []byte) []byte {
				change(data, bytes.Index(data, []byte("entry 4"))-4) // index, term, kind and length take a byte each
				return data
			})
			o, machine := testOptions(t, dir, &memDisk{})
			_, err := Open(o)
			wantError(t, err, ErrDamaged)
			if err == nil || !strings.Contains(err.Error(), "restore a backup") || len(machine.data()) > 0 {
				t.Errorf("applied %q, and said %v", machine.data(), err)
			}
		})
	}
}

// TestEntriesWithoutSeal: those of releases before the checksums are applied.
func TestEntriesWithoutSeal(t *testing.T) {
	if err := checkSeal("", &raft.Log{Data: []byte("x")}); err != nil {
		t.Error(err)
	}
	wantError(t, checkSeal("", &raft.Log{Data: []byte("x"), Extensions: sealOf([]byte("y"))}), ErrDamaged)
}

func TestDamagedFilesAreRefused(t *testing.T) {
	pages := func(data []byte) []byte { clear(data[:8192]); return data }
	head := func(data []byte) []byte { clear(data[:32]); return data }
	for name, test := range map[string]struct {
		file   func(dir string) string
		change func(data []byte) []byte
		says   string
	}{
		"head of a segment": {func(dir string) string { return onlySegment(t, dir) }, head, "restore a backup"},
		"list of segments":  {func(dir string) string { return filepath.Join(walDir(dir), metadb.FileName) }, pages, "restore a backup"},
		"term":              {func(dir string) string { return filepath.Join(dir, "raft-state.db") }, pages, "raft-state.db"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := written(t, "x")
			damage(t, test.file(dir), test.change)
			o, _ := testOptions(t, dir, &memDisk{})
			_, err := Open(o)
			wantError(t, err, ErrDamaged)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v doesn't say %q", err, test.says)
			}
		})
	}
	t.Run("no list", func(t *testing.T) {
		dir := written(t, "x")
		if err := os.Remove(filepath.Join(walDir(dir), metadb.FileName)); err != nil {
			t.Fatal(err)
		}
		o, _ := testOptions(t, dir, &memDisk{})
		_, err := Open(o)
		wantError(t, err, ErrDamaged)
	})
}
