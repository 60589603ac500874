package consensus

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"
)

var errDisk = errors.New("input/output error")

// brokenLog fails or stalls appends that carry a command.
type brokenLog struct {
	raft.LogStore
	store func(entries []*raft.Log) error // instead of the append
}

func (b *brokenLog) StoreLogs(entries []*raft.Log) error {
	for _, e := range entries {
		if e.Type == raft.LogCommand {
			return b.store(entries)
		}
	}
	return b.LogStore.StoreLogs(entries)
}

// brokenOptions open a log whose appends go to store. What Fatal gets goes to
// the channel.
func brokenOptions(t *testing.T, store func(inner raft.LogStore, entries []*raft.Log) error) (Options, chan error) {
	o, _ := testOptions(t, t.TempDir(), &memDisk{})
	fatal := make(chan error, 10)
	o.Fatal = func(err error) { fatal <- err }
	o.hooks.logs = func(inner raft.LogStore) raft.LogStore {
		return &brokenLog{LogStore: inner, store: func(e []*raft.Log) error { return store(inner, e) }}
	}
	return o, fatal
}

func TestFailedAppendIsFatal(t *testing.T) {
	writes := 0
	o, fatal := brokenOptions(t, func(raft.LogStore, []*raft.Log) error {
		writes++
		return errDisk
	})
	l := mustOpen(t, o)
	wait, err := l.Propose([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, wait(), ErrUnknown)
	wantError(t, <-fatal, errDisk)
	// Raft is stopped: an election would need a term that can't be saved.
	wantError(t, l.raft.BootstrapCluster(raft.Configuration{}).Error(), raft.ErrRaftShutdown)

	_, err = l.Propose([]byte("y"))
	wantError(t, err, ErrFailed)
	wantError(t, err, errDisk)
	wantError(t, l.Cut(t.Context()), ErrFailed)
	wantError(t, l.logs.StoreLog(&raft.Log{Index: 99}), ErrFailed)
	wantError(t, l.logs.DeleteRange(1, 1), ErrFailed)
	wantError(t, l.votes.Set([]byte("k"), nil), ErrFailed)
	mustClose(t, l)
	if writes != 1 || len(fatal) != 0 {
		t.Errorf("%d writes, %d more calls of Fatal", writes, len(fatal))
	}
}

func TestStalledAppendIsFatal(t *testing.T) {
	release := make(chan struct{})
	o, fatal := brokenOptions(t, func(inner raft.LogStore, e []*raft.Log) error {
		<-release
		return inner.StoreLogs(e)
	})
	o.hooks.logWriteMax = 20 * time.Millisecond
	l := mustOpen(t, o)
	wait, err := l.Propose([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := <-fatal; err == nil {
		t.Error("no error")
	}
	// It is answered while the disk still hangs.
	wantError(t, wait(), ErrUnknown)
	close(release)
	mustClose(t, l)
}

func TestStallWatchNeedsOneLongWrite(t *testing.T) {
	expired := 0
	w := newStallWatch(time.Hour, func() { expired++ })
	for range 5 {
		w.begin()
		w.tick() // half the limit
		w.end()
		w.tick() // late, after the write
	}
	if expired != 0 {
		t.Error("short writes expired")
	}
	w.begin()
	w.tick()
	w.tick()
	if expired != 1 {
		t.Error("a long write did not expire")
	}
	w.end()
}

func TestFailedVoteIsFatal(t *testing.T) {
	var fatal []error
	votes, err := openTermStore(t.TempDir(), LockWaitMax, newFault(func(err error) { fatal = append(fatal, err) }))
	if err != nil {
		t.Fatal(err)
	}
	if err := votes.SetUint64([]byte("term"), 7); err != nil {
		t.Fatal(err)
	}
	if got, err := votes.GetUint64([]byte("term")); err != nil || got != 7 {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := votes.GetUint64([]byte("absent")); err != nil || got != 0 {
		t.Errorf("got %d, %v", got, err)
	}
	if err := votes.Set([]byte("odd"), []byte("123")); err != nil {
		t.Fatal(err)
	}
	if _, err := votes.GetUint64([]byte("odd")); err == nil {
		t.Error("3 bytes pass for a number")
	}
	if err := votes.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantError(t, votes.SetUint64([]byte("term"), 8), ErrFailed)
	}
	if len(fatal) != 1 {
		t.Errorf("Fatal was called with %v", fatal)
	}
}

type brokenMeta struct{ types.MetaStore }

func (brokenMeta) CommitState(types.PersistentState) error { return errDisk }

type brokenFiler struct{ types.SegmentFiler }

func (brokenFiler) Create(types.SegmentInfo) (types.SegmentWriter, error) { return nil, errDisk }

func TestFailedRotationIsFatal(t *testing.T) {
	for name, write := range map[string]func(*fault) error{
		"list of segments": func(f *fault) error {
			return (&guardedMeta{MetaStore: brokenMeta{}, fault: f}).CommitState(types.PersistentState{})
		},
		"new segment": func(f *fault) error {
			_, err := (&guardedFiler{SegmentFiler: brokenFiler{}, fault: f}).Create(types.SegmentInfo{})
			return err
		},
	} {
		var fatal []error
		f := newFault(func(err error) { fatal = append(fatal, err) })
		for range 2 {
			wantError(t, write(f), errDisk)
		}
		if len(fatal) != 1 {
			t.Errorf("%s: Fatal was called with %v", name, fatal)
		}
	}
}

func TestAppendsAreBounded(t *testing.T) {
	entries := make([]*raft.Log, 20)
	for i := range entries {
		entries[i] = &raft.Log{Data: make([]byte, EntryBytesMax)}
	}
	if n, size := appendPrefix(entries); n != AppendBytesMax/EntryBytesMax || size != AppendBytesMax {
		t.Errorf("%d entries, %d bytes", n, size)
	}
	if n, size := appendPrefix([]*raft.Log{{Data: make([]byte, AppendBytesMax+1)}, {}}); n != 1 || size != AppendBytesMax+1 {
		t.Errorf("%d entries, %d bytes", n, size)
	}
	if n, size := appendPrefix([]*raft.Log{{}, {}}); n != 2 || size != 0 {
		t.Errorf("%d entries, %d bytes", n, size)
	}
}
