package consensus

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestReopenReplaysWhatTheDiskLacks(t *testing.T) {
	dir, disk := t.TempDir(), &memDisk{}
	o, machine := testOptions(t, dir, disk)
	l := mustOpen(t, o)
	propose(t, l, numbered(1, 100)...)
	mustClose(t, l)
	first := machine.entries()
	if got := machine.data(); !slices.Equal(got, numbered(1, 100)) {
		t.Fatalf("applied %q", got)
	}

	for _, held := range []int{0, 1, 40, 99, 100} {
		disk.hold(0)
		if held > 0 {
			disk.hold(first[held-1].index)
		}
		o, machine := testOptions(t, dir, disk)
		l := mustOpen(t, o)
		propose(t, l, "barrier")
		mustClose(t, l)

		var got []appliedEntry
		for _, e := range machine.entries() {
			if e.data != "barrier" {
				got = append(got, e)
			}
		}
		if !slices.Equal(got, first[held:]) {
			t.Errorf("disk holds %d entries: replayed %d of %d", held, len(got), len(first)-held)
		}
	}
}

func TestProposeKeepsOrderAndIndicesGrow(t *testing.T) {
	o, machine := testOptions(t, t.TempDir(), &memDisk{})
	var told atomic.Int64
	o.OnAppend = func(entries, bytes int, took time.Duration) {
		if bytes < 0 || took < 0 {
			t.Errorf("told of %d entries of %d bytes in %v", entries, bytes, took)
		}
		told.Add(int64(entries))
	}
	l := mustOpen(t, o)
	for range 3 {
		propose(t, l, numbered(1, InFlightMax)...)
	}
	var before uint64
	for i, e := range machine.entries() {
		if e.index <= before {
			t.Fatalf("index %d follows %d", e.index, before)
		}
		before = e.index
		if want := numbered(i%InFlightMax+1, i%InFlightMax+1)[0]; e.data != want {
			t.Fatalf("entry %d is %q", i, e.data)
		}
	}
	s := l.Stats()
	if s.LastIndex != before || s.SeenIndex != before || s.InFlight != 0 || s.InFlightBytes != 0 || s.Writes == 0 {
		t.Errorf("stats: %+v", s)
	}
	if uint64(told.Load()) != s.Entries {
		t.Errorf("OnAppend was told of %d entries of %d", told.Load(), s.Entries)
	}
}

func TestProposeRefuses(t *testing.T) {
	o, _ := testOptions(t, t.TempDir(), &memDisk{})
	l := mustOpen(t, o)
	_, err := l.Propose(make([]byte, EntryBytesMax+1))
	wantError(t, err, ErrEntryTooLarge)
	if err == nil || !strings.Contains(err.Error(), "16777216") {
		t.Errorf("the error doesn't name the limit: %v", err)
	}
	propose(t, l, strings.Repeat("x", EntryBytesMax), "")

	for range InFlightMax {
		l.slots <- struct{}{}
	}
	_, err = l.Propose(nil)
	wantError(t, err, ErrBusy)
	for range InFlightMax {
		<-l.slots
	}
	l.inFlightBytes.Store(InFlightBytesMax)
	_, err = l.Propose([]byte("x"))
	wantError(t, err, ErrBusy)
	l.inFlightBytes.Store(0)

	mustClose(t, l)
	_, err = l.Propose(nil)
	wantError(t, err, ErrClosed)
	wantError(t, l.Cut(t.Context()), ErrClosed)
}

func TestProposeBeforeLeading(t *testing.T) {
	o, _ := testOptions(t, t.TempDir(), &memDisk{})
	o.hooks.raftTimeout = loneTimeout
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Propose(nil); err != nil {
		wantError(t, err, ErrNotLeader)
	}
	mustClose(t, l)
}

func TestCloseTwiceAndWaitAfterwards(t *testing.T) {
	o, _ := testOptions(t, t.TempDir(), &memDisk{})
	l := mustOpen(t, o)
	wait, err := l.Propose([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 3 {
		go func() { done <- l.Close() }()
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	// Close waits for what was proposed before.
	if err := errors.Join(wait(), wait()); err != nil {
		t.Error(err)
	}
	if s := l.Stats(); s.LastIndex != 0 {
		t.Errorf("stats of a closed log: %+v", s)
	}
}

func TestTerms(t *testing.T) {
	dir := t.TempDir()
	var before uint64
	for range 3 {
		o, machine := testOptions(t, dir, &memDisk{})
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		term := awaitLeader(t, l)
		if term.Term <= before {
			t.Errorf("term %d follows %d", term.Term, before)
		}
		before = term.Term
		propose(t, l, "x")
		if all := machine.entries(); all[len(all)-1].term != term.Term {
			t.Errorf("entry of term %d, want %d", all[len(all)-1].term, term.Term)
		}
		mustClose(t, l)
		last, open := <-l.Terms()
		if !open || last.Leader {
			t.Errorf("last term is %+v, %v", last, open)
		}
		if _, open := <-l.Terms(); open {
			t.Error("Terms is still open")
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir, disk := t.TempDir(), &memDisk{}
	o, machine := testOptions(t, dir, disk)
	l := mustOpen(t, o)
	propose(t, l, numbered(1, 10)...)

	_, err := Open(o)
	wantError(t, err, ErrInUse)
	if err == nil || !strings.Contains(err.Error(), "another coordinator") {
		t.Errorf("the error doesn't name the other process: %v", err)
	}

	mustClose(t, l)
	other := o
	other.NodeID = "two"
	_, err = Open(other)
	wantError(t, err, ErrMismatch)

	last := machine.entries()[9].index
	disk.hold(last + 1)
	_, err = Open(o)
	wantError(t, err, ErrMismatch)

	disk.hold(last)
	if err := os.Rename(walDir(dir), filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	_, err = Open(o)
	wantError(t, err, ErrMismatch)
	disk.hold(0)
	_, err = Open(o) // the term tells that there was a log
	wantError(t, err, ErrMismatch)

	if err := errors.Join(os.RemoveAll(walDir(dir)), os.Rename(filepath.Join(dir, "elsewhere"), walDir(dir)),
		os.Remove(filepath.Join(dir, "raft-state.db"))); err != nil {
		t.Fatal(err)
	}
	_, err = Open(o)
	wantError(t, err, ErrMismatch)
}

func TestBootstrapIsBegunAgain(t *testing.T) {
	dir := t.TempDir()
	votes, err := openTermStore(dir, LockWaitMax, newFault(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(votes.SetUint64(keyCurrentTerm, 1), votes.Close()); err != nil {
		t.Fatal(err)
	}
	o, _ := testOptions(t, dir, &memDisk{})
	propose(t, mustOpen(t, o), "x")
}

func TestOptionsAreChecked(t *testing.T) {
	good, _ := testOptions(t, t.TempDir(), &memDisk{})
	for name, spoil := range map[string]func(*Options){
		"dir":      func(o *Options) { o.Dir = "" },
		"node":     func(o *Options) { o.NodeID = "" },
		"fatal":    func(o *Options) { o.Fatal = nil },
		"segments": func(o *Options) { o.SegmentBytes = 1 },
	} {
		o := good
		spoil(&o)
		if _, err := Open(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
