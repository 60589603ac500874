package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

const (
	fuzzSegmentBytes = 4 << 10 // about ten appends each
	fuzzAppendsMax   = 24
	fuzzTornMax      = 4
	fuzzFlipsMax     = 4
)

// FuzzTornLog writes a log of a few segments, loses power in the midst of appends, and then damages its files. After a loss
// of power it opens with what was answered, whatever part of the last append is there, also time after time. Damaged it is
// refused, at open or at a read, or has all from before the damage; no entry is ever another than was written. Where it
// opens it takes more, and opens again to the same.
//
// A byte of appends is one of them: so many entries of so many bytes. Three bytes of torn are an append and a loss of power
// in it: which, the size of the blocks that reach the disk or don't, and which do. Four bytes of flips are a file, a place in
// it, and what a byte there is changed by; 0: the file is cut there.
func FuzzTornLog(f *testing.F) {
	f.Add([]byte{0}, []byte{}, []byte{})
	f.Add(bytes.Repeat([]byte{0x26, 0x81, 0x03}, 8), []byte{0x47, 0, 0x55, 0x13, 1, 0xaa, 0xff, 2, 1}, []byte{})
	f.Add(bytes.Repeat([]byte{0xfc}, 9), []byte{0xff, 0, 0x0f, 0xfc, 0, 0xf0}, []byte{})
	f.Add(bytes.Repeat([]byte{0x10}, 24), []byte{}, []byte{0, 0, 40, 0x40})
	f.Add(bytes.Repeat([]byte{0x51}, 20), []byte{}, []byte{1, 2, 0, 0})
	// Each of these fails without a part of the repair.
	f.Add([]byte{0xda, 0x2e, 0xca, 0xa0, 0x96, 0xf8, 0x2b, 0xb2, 0xc}, []byte{0x63, 0x0, 0xf6, 0xd4, 0x0, 0x2d}, []byte{}) // scrub
	f.Add([]byte{0xc, 0x7f, 0x89, 0x64, 0x74, 0x6d, 0xd0, 0x7d, 0x55}, []byte{0xc5, 0x1, 0xc0, 0x93, 0x1, 0x4d}, []byte{}) // healingMeta.indexed
	f.Add([]byte{0xa, 0x1e, 0xee, 0x1b, 0xa, 0x11, 0xbc, 0xb9, 0xc9, 0x44}, []byte{}, []byte{0x9b, 0x0, 0xb0, 0x1})        // checkEnd
	f.Add([]byte{0xec, 0xc6, 0x4, 0xdb, 0xfd}, []byte{}, []byte{0xef, 0xb, 0x60, 0x1})                                     // entriesEnd
	f.Fuzz(func(t *testing.T, appends, torn, flips []byte) {
		x := newFuzzLog(t)
		x.open()
		for _, b := range appends[:min(len(appends), fuzzAppendsMax)] {
			x.answered(x.append(b))
		}
		x.close()
		for n := 0; len(torn) >= 3 && n < fuzzTornMax; n++ {
			x.tear(torn[0], torn[1], torn[2])
			torn = torn[3:]
		}
		x.damage(flips)
	})
}

// fuzzLog is a log whose every append is known.
type fuzzLog struct {
	t     *testing.T
	o     Options
	store *wal.WAL
	log   *guardedLog

	appends []fuzzAppend // that were answered, or found whole
	sizes   map[uint64]int
}

// fuzzAppend is one append: its last entry, and where it stands.
type fuzzAppend struct {
	last     uint64
	file     string
	from, to int64
}

func newFuzzLog(t *testing.T) *fuzzLog {
	dir := t.TempDir()
	if err := os.Mkdir(walDir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	return &fuzzLog{t: t, o: Options{Dir: dir, Now: time.Now, Logger: hclog.NewNullLogger(), SegmentBytes: fuzzSegmentBytes,
		hooks: hooks{logWriteMax: time.Hour}}, sizes: map[uint64]int{}}
}

// last is the last entry that must be there.
func (x *fuzzLog) last() uint64 {
	if len(x.appends) == 0 {
		return 0
	}
	return x.appends[len(x.appends)-1].last
}

// tryOpen opens the log as Open does.
func (x *fuzzLog) tryOpen() (err error) {
	fault := newFault(func(err error) { x.t.Errorf("a write failed: %v", err) })
	if x.store, err = openWAL(x.o, fault); err == nil {
		x.log = newGuardedLog(x.store, fault, x.o)
	}
	return err
}

func (x *fuzzLog) open() {
	x.t.Helper()
	if err := x.tryOpen(); err != nil {
		x.t.Fatal(err)
	}
}

func (x *fuzzLog) close() {
	x.t.Helper()
	if err := x.store.Close(); err != nil {
		x.t.Fatal(err)
	}
}

// fuzzEntry is an entry as raft and Propose make it; every fourth is one of raft's own.
func fuzzEntry(index uint64, size int) *raft.Log {
	e := &raft.Log{Index: index, Term: 1 + index/8, AppendedAt: time.Unix(int64(index), 0).UTC()}
	if index%4 == 1 {
		e.Type = raft.LogNoop
		return e
	}
	e.Data = bytes.Repeat([]byte{byte(index), byte(size)}, 4*size)
	e.Extensions = sealOf(e.Data)
	return e
}

// append writes what a byte asks for, and returns where that stands.
func (x *fuzzLog) append(b byte) fuzzAppend {
	x.t.Helper()
	var list []*raft.Log
	for i := range uint64(b&3) + 1 {
		index := x.last() + 1 + i
		x.sizes[index] = int(b>>2) + 1
		list = append(list, fuzzEntry(index, x.sizes[index]))
	}
	if err := x.log.StoreLogs(list); err != nil {
		x.t.Fatal(err)
	}
	a := fuzzAppend{last: list[len(list)-1].Index, file: x.fileOf(list[0].Index)}
	a.to = lastByte(x.t, a.file)
	if n := len(x.appends); n > 0 && x.appends[n-1].file == a.file {
		a.from = x.appends[n-1].to
	}
	return a
}

func (x *fuzzLog) answered(a fuzzAppend) { x.appends = append(x.appends, a) }

// segments lists the log's files, in order of their entries.
func (x *fuzzLog) segments() []string {
	list, err := filepath.Glob(filepath.Join(walDir(x.o.Dir), "*.wal"))
	if err != nil || len(list) == 0 {
		x.t.Fatalf("segments %v, %v", list, err)
	}
	slices.Sort(list)
	return list
}

// fileOf is the segment that holds an entry.
func (x *fuzzLog) fileOf(index uint64) (file string) {
	for _, path := range x.segments() {
		var base, id uint64
		if _, err := fmt.Sscanf(filepath.Base(path), "%d-%x.wal", &base, &id); err != nil {
			x.t.Fatal(err)
		}
		if base <= index {
			file = path
		}
	}
	return file
}

func (x *fuzzLog) files() map[string][]byte {
	list, err := filepath.Glob(filepath.Join(walDir(x.o.Dir), "*"))
	if err != nil {
		x.t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, path := range list {
		if files[path], err = os.ReadFile(path); err != nil {
			x.t.Fatal(err)
		}
	}
	return files
}

// tear loses power in an append: of what it wrote, some blocks are on the disk.
func (x *fuzzLog) tear(b, grain, mask byte) {
	t := x.t
	t.Helper()
	x.open()
	x.wantWhole(x.last())
	before := x.files()
	a := x.append(b)
	x.close()
	after, err := os.ReadFile(a.file)
	if err != nil {
		t.Fatal(err)
	}
	data, there := before[a.file], 0
	if data == nil {
		t.Fatalf("entry %d is in %s, which wasn't there before", a.last, a.file)
	}
	data = append(bytes.Clone(data), make([]byte, max(0, len(after)-len(data)))...) // the last append may pass the file's end
	block := []int{8, 64, 512}[grain%3]
	for at := 0; at < len(data); at += block {
		to := min(at+block, len(data))
		if bytes.Equal(data[at:to], after[at:to]) {
			continue
		}
		if mask>>(there%8)&1 == 1 {
			copy(data[at:to], after[at:to])
		}
		there++
	}
	whole := bytes.Equal(data, after)
	for path := range x.files() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	before[a.file] = data
	for path, data := range maps.All(before) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x.open()
	if last, err := x.store.LastIndex(); err != nil || last != x.last() && (!whole || last != a.last) {
		t.Fatalf("the last entry is %d, %v, want %d; torn up to %d, whole: %t", last, err, x.last(), a.last, whole)
	} else if last == a.last {
		x.answered(a)
	}
	x.wantWhole(x.last())
	x.close()
	x.moved()
}

// moved takes note of a repair that has copied the tail: to another file, as one append.
func (x *fuzzLog) moved() {
	x.t.Helper()
	list := x.segments()
	at := slices.IndexFunc(x.appends, func(a fuzzAppend) bool { return !slices.Contains(list, a.file) })
	if at < 0 {
		return
	}
	a := fuzzAppend{last: x.last(), file: x.fileOf(x.last())}
	a.to = lastByte(x.t, a.file)
	x.appends = append(x.appends[:at], a)
}

// wantWhole holds that the log has all entries up to last, and no more.
func (x *fuzzLog) wantWhole(last uint64) {
	x.t.Helper()
	if got, err := x.store.LastIndex(); err != nil || got != last {
		x.t.Fatalf("the last entry is %d, %v, want %d", got, err, last)
	}
	if err := x.read(last); err != nil {
		x.t.Fatal(err)
	}
}

// read reads the entries up to last as raft and the fsm do. An error says why they are refused.
func (x *fuzzLog) read(last uint64) error {
	x.t.Helper()
	for index := uint64(1); index <= last; index++ {
		var got raft.Log
		if err := x.log.GetLog(index, &got); err != nil {
			return err
		}
		if got.Type == raft.LogCommand {
			if err := checkSeal(x.o.Dir, &got); err != nil {
				return err
			}
		}
		want := fuzzEntry(index, x.sizes[index])
		if got.Index != index || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) {
			x.t.Fatalf("entry %d is %+v", index, got)
		}
	}
	return nil
}

// damage changes bytes of the files, and holds that what is lost is told, or stood behind the first change.
func (x *fuzzLog) damage(flips []byte) {
	t := x.t
	t.Helper()
	files := x.files()
	list := x.segments()
	intact, changed, cut := len(x.appends), 0, false // appends before the first change
	for n := 0; len(flips) >= 4 && n < fuzzFlipsMax; n++ {
		path, by := list[int(flips[0])%len(list)], flips[3]
		data := files[path]
		if len(data) == 0 {
			break // cut to nothing
		}
		at := (int(flips[1])<<8 | int(flips[2])) % len(data)
		end := int64(at) + 1
		if data[at] ^= by; by == 0 {
			end = int64(len(data))
			files[path], cut = data[:at], true
		}
		flips = flips[4:]
		changed++
		for i, a := range x.appends {
			if a.file == path && int64(at) < a.to && a.from < end {
				intact = min(intact, i)
			}
		}
		if err := os.WriteFile(path, files[path], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := x.tryOpen()
	if err != nil {
		x.wantRefusal(err, changed)
		return
	}
	last, err := x.store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	floor := uint64(0)
	if intact > 0 {
		floor = x.appends[intact-1].last
	}
	if last < floor || last > x.last() {
		t.Fatalf("the last entry is %d; %d was written, and all up to %d before the first change", last, x.last(), floor)
	}
	if err := x.read(last); err != nil {
		x.wantRefusal(err, changed)
		x.close()
		return
	}
	if lost := last < x.last(); lost && changed == 1 && !cut && intact < len(x.appends)-1 {
		t.Fatalf("the last entry is %d; %d was written, and append %d of %d is damaged: nobody is told", last, x.last(), intact+1, len(x.appends))
	}
	x.appends = x.appends[:slices.IndexFunc(append(x.appends, fuzzAppend{last: last}), func(a fuzzAppend) bool { return a.last >= last })]
	x.answered(fuzzAppend{last: last})
	x.answered(x.append(0x42))
	x.close()
	x.open()
	x.wantWhole(x.last())
	x.close()
}

// wantRefusal holds that an error tells of damage, and that there is some.
func (x *fuzzLog) wantRefusal(err error, changed int) {
	x.t.Helper()
	if !errors.Is(err, ErrDamaged) || changed == 0 {
		x.t.Fatalf("refused after %d changes: %v", changed, err)
	}
}
