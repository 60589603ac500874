package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killChildEnv); dir != "" {
		killChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// memDisk is a Disk in memory.
type memDisk struct {
	mu    sync.Mutex
	index uint64
	meta  []byte
	fail  error // of PutSnapshotMeta
}

func (d *memDisk) DurableIndex() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.index
}

func (d *memDisk) hold(index uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.index = index
}

func (d *memDisk) SnapshotMeta() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta, nil
}

func (d *memDisk) PutSnapshotMeta(data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail == nil {
		d.meta = bytes.Clone(data)
	}
	return d.fail
}

func (d *memDisk) WriteTo(w io.Writer) (int64, error) {
	n, err := fmt.Fprintf(w, "checkpoint at %d", d.DurableIndex())
	return int64(n), err
}

type appliedEntry struct {
	index, term uint64
	data        string
}

// recorder is a Machine that remembers.
type recorder struct {
	disk       *memDisk
	checkpoint func(ctx context.Context, index uint64) error // default: the disk then holds index

	mu      sync.Mutex
	applied []appliedEntry
}

func (r *recorder) Apply(index, term uint64, entry []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied = append(r.applied, appliedEntry{index, term, string(entry)})
}

func (r *recorder) Checkpoint(ctx context.Context, index uint64) error {
	if r.checkpoint != nil {
		return r.checkpoint(ctx, index)
	}
	r.disk.hold(index)
	return nil
}

func (r *recorder) entries() []appliedEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]appliedEntry(nil), r.applied...)
}

func (r *recorder) data() (all []string) {
	for _, e := range r.entries() {
		all = append(all, e.data)
	}
	return all
}

// testOptions are those of a log in dir whose Fatal fails the test.
func testOptions(t testing.TB, dir string, disk *memDisk) (Options, *recorder) {
	machine := &recorder{disk: disk}
	return Options{
		Dir: dir, NodeID: "one", Machine: machine, Disk: disk, Now: time.Now,
		Logger: hclog.New(&hclog.LoggerOptions{Output: testWriter{t}, Level: hclog.Warn}),
		Fatal:  func(err error) { t.Errorf("Fatal: %v", err) },
		hooks:  hooks{raftTimeout: 10 * time.Millisecond, lockWait: 10 * time.Millisecond},
	}, machine
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

// mustOpen opens a log, waits until it leads, and closes it at the test's end.
func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	awaitLeader(t, l)
	return l
}

func awaitLeader(t testing.TB, l *Log) Term {
	t.Helper()
	for term := range l.Terms() {
		if term.Leader {
			return term
		}
	}
	t.Fatal("Terms ended without a leader")
	return Term{}
}

// propose proposes all entries at once and waits for them.
func propose(t testing.TB, l *Log, entries ...string) {
	t.Helper()
	var waits []func() error
	for _, e := range entries {
		wait, err := l.Propose([]byte(e))
		if err != nil {
			t.Fatalf("Propose: %v", err)
		}
		waits = append(waits, wait)
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			t.Fatalf("wait: %v", err)
		}
	}
}

func numbered(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprintf("entry %d", i))
	}
	return all
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error is %v, want %v", got, want)
	}
}

func segmentFiles(t testing.TB, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(walDir(dir), "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
