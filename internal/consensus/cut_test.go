package consensus

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// bulky are entries that fill several small segments.
func bulky(n int) []string {
	return slices.Repeat([]string{strings.Repeat("b", 4<<10)}, n)
}

func cutOptions(t testing.TB, dir string, disk *memDisk) (Options, *recorder) {
	o, machine := testOptions(t, dir, disk)
	o.SegmentBytes = 128 << 10
	o.TrailingEntries = 5
	return o, machine
}

func TestCutWaitsForTheCheckpointAndCuts(t *testing.T) {
	dir, disk := t.TempDir(), &memDisk{}
	o, machine := cutOptions(t, dir, disk)
	asked, proceed := make(chan uint64), make(chan struct{})
	machine.checkpoint = func(_ context.Context, index uint64) error {
		asked <- index
		<-proceed
		disk.hold(index)
		return nil
	}
	l := mustOpen(t, o)
	for range 20 { // raft puts a batch into one segment
		propose(t, l, bulky(10)...)
	}
	before, files := l.Stats(), segmentFiles(t, dir)
	if before.FirstIndex != 1 || files < 5 {
		t.Fatalf("log begins at %d, in %d files", before.FirstIndex, files)
	}

	cut := make(chan error)
	go func() { cut <- l.Cut(t.Context()) }()
	index := <-asked
	propose(t, l, "applied during the cut")
	if s := l.Stats(); s.FirstIndex != 1 || s.SnapshotIndex != 0 {
		t.Errorf("cut before the checkpoint: %+v", s)
	}
	if list, err := l.snapshots.List(); err != nil || len(list) != 0 {
		t.Errorf("unfinished snapshot is listed: %v %v", list, err)
	}
	close(proceed)
	if err := <-cut; err != nil {
		t.Fatal(err)
	}

	s := l.Stats()
	if s.SnapshotIndex != index || index != before.LastIndex || s.FirstIndex != s.LastIndex-o.TrailingEntries+1 || s.TailEntries != 1 {
		t.Errorf("after the cut: %+v", s)
	}
	if now := segmentFiles(t, dir); now > 2 {
		t.Errorf("%d segment files are left of %d", now, files)
	}
	mustClose(t, l)

	o, machine = cutOptions(t, dir, disk)
	l = mustOpen(t, o)
	propose(t, l, "barrier")
	if got := machine.data(); !slices.Equal(got, []string{"applied during the cut", "barrier"}) {
		t.Errorf("replayed %d entries", len(got))
	}
}

func TestCutToNothingLeavesAStartableLog(t *testing.T) {
	dir, disk := t.TempDir(), &memDisk{}
	for i := range 4 {
		o, machine := cutOptions(t, dir, disk)
		o.TrailingEntries = 1
		l := mustOpen(t, o)
		propose(t, l, bulky(40)...)
		if err := l.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(machine.entries()); got != 40 {
			t.Errorf("start %d applied %d entries", i, got)
		}
		mustClose(t, l)
	}
}

func TestCutWithNothingNew(t *testing.T) {
	dir, disk := t.TempDir(), &memDisk{}
	o, machine := cutOptions(t, dir, disk)
	calls := 0
	machine.checkpoint = func(_ context.Context, index uint64) error {
		calls++
		disk.hold(index)
		return nil
	}
	l := mustOpen(t, o)
	for range 2 {
		if err := l.Cut(t.Context()); err != nil {
			t.Error(err)
		}
	}
	propose(t, l, "x")
	for range 3 {
		if err := l.Cut(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if calls != 1 {
		t.Errorf("%d checkpoints", calls)
	}
	// Raft's own two refusals.
	for _, err := range []error{raft.ErrNothingNewToSnapshot, errors.New("cannot take snapshot now, wait until the configuration entry at 9 has been applied (have applied 8)")} {
		if err := l.cutOutcome(err, &cutRequest{}); err != nil {
			t.Error(err)
		}
	}
}

func TestCutFails(t *testing.T) {
	disk := &memDisk{}
	o, machine := cutOptions(t, t.TempDir(), disk)
	l := mustOpen(t, o)
	propose(t, l, bulky(100)...)

	bad := errors.New("bad disk")
	machine.checkpoint = func(context.Context, uint64) error { return bad }
	wantError(t, l.Cut(t.Context()), bad)

	ctx, cancel := context.WithCancel(t.Context())
	machine.checkpoint = func(ctx context.Context, _ uint64) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	wantError(t, l.Cut(ctx), context.Canceled)
	wantError(t, l.Cut(ctx), context.Canceled)

	machine.checkpoint = nil
	disk.fail = bad
	if err := l.Cut(t.Context()); err == nil || !strings.Contains(err.Error(), bad.Error()) {
		t.Errorf("lost record: %v", err)
	}
	if s := l.Stats(); s.FirstIndex != 1 || s.SnapshotIndex != 0 {
		t.Errorf("a failed cut cut: %+v", s)
	}
	disk.fail = nil

	// Close ends a Cut.
	waiting := make(chan struct{})
	machine.checkpoint = func(ctx context.Context, _ uint64) error {
		close(waiting)
		<-ctx.Done()
		return ctx.Err()
	}
	cut := make(chan error)
	go func() { cut <- l.Cut(context.Background()) }()
	<-waiting
	mustClose(t, l)
	wantError(t, <-cut, ErrClosed)
}

func TestCutDoesNotTrustTheCheckpoint(t *testing.T) {
	liar := &recorder{checkpoint: func(context.Context, uint64) error { return nil }}
	snapshot := &fsmSnapshot{fsm: newFSM(liar, &memDisk{index: 4}, "", nil), request: &cutRequest{ctx: t.Context()}}
	defer func() {
		if recover() == nil {
			t.Error("a checkpoint at 4 passes for one at 5")
		}
	}()
	_ = snapshot.Persist(&snapshotSink{record: snapshotRecord{Index: 5}})
}

func TestSnapshotStore(t *testing.T) {
	disk := &memDisk{index: 12}
	s, err := openSnapshots(disk, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	configuration := raft.Configuration{Servers: []raft.Server{{ID: "one", Address: "one"}}}
	sink, err := s.Create(1, 10, 3, configuration, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sink.Write([]byte("x"))
	wantError(t, err, ErrClusterOfOne)
	wantError(t, newFSM(nil, disk, "", nil).Restore(nil), ErrClusterOfOne)
	if list, _ := s.List(); len(list) != 0 {
		t.Error("an open snapshot is listed")
	}
	if err := errors.Join(sink.Cancel(), sink.Close()); err != nil || disk.meta != nil {
		t.Errorf("a cancelled snapshot was written: %v", err)
	}
	sink, _ = s.Create(1, 10, 3, configuration, 7, nil)
	if err := errors.Join(sink.Close(), sink.Close()); err != nil {
		t.Fatal(err)
	}

	if s, err = openSnapshots(disk, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	list, _ := s.List()
	if len(list) != 1 || list[0].Index != 10 || list[0].Term != 3 || list[0].ConfigurationIndex != 7 ||
		!slices.Equal(list[0].Configuration.Servers, configuration.Servers) {
		t.Fatalf("listed: %+v", list)
	}
	meta, body, err := s.Open(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil || string(all) != "checkpoint at 12" || meta.Size != int64(len(all)) {
		t.Errorf("body %q of size %d, %v", all, meta.Size, err)
	}
	if _, _, err := s.Open("other"); err == nil {
		t.Error("opened a snapshot that doesn't exist")
	}
	for _, blob := range []string{`{"version":9}`, `{`} {
		if _, err := openSnapshots(&memDisk{meta: []byte(blob)}, ""); err == nil {
			t.Errorf("record %s is accepted", blob)
		}
	}
}

func TestSnapshotFloorIsKeptUntilPassed(t *testing.T) {
	s, err := openSnapshots(&memDisk{meta: []byte(`{"version":1,"index":10,"term":3,"floor":20}`)}, "")
	if err != nil {
		t.Fatal(err)
	}
	for index, want := range map[uint64]uint64{15: 20, 20: 0, 25: 0} {
		sink, _ := s.Create(1, index, 3, raft.Configuration{}, 1, nil)
		if got := sink.(*snapshotSink).record.Floor; got != want {
			t.Errorf("floor of a snapshot at %d is %d, want %d", index, got, want)
		}
	}
}
