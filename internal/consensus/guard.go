package consensus

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// guardedLog is raft's log store: raft-wal, with raft's blind spots covered. A
// failed write trips the fault, a stalled one does too, and no append is larger
// than raft-wal can count.
type guardedLog struct {
	raft.LogStore
	fault *fault
	dir   string
	watch *stallWatch
	now   func() time.Time

	onAppend func(entries, bytes int, took time.Duration) // nil: nobody is told

	// Written by the one goroutine that appends (raft's main loop).
	writes, entries, bytes   atomic.Uint64
	writeNanos, writeSlowest atomic.Int64
}

func newGuardedLog(inner raft.LogStore, f *fault, o Options) *guardedLog {
	limit := o.hooks.logWriteMax
	return &guardedLog{
		LogStore: inner,
		fault:    f,
		dir:      o.Dir,
		now:      o.Now,
		onAppend: o.OnAppend,
		watch: newStallWatch(limit, func() {
			_ = f.trip(fmt.Errorf("a log write takes longer than %v: the disk under %s stalls", limit, o.Dir))
		}),
	}
}

// IsMonotonic implements raft.MonotonicLogStore.
func (g *guardedLog) IsMonotonic() bool { return true }

// StoreLog implements raft.LogStore.
func (g *guardedLog) StoreLog(entry *raft.Log) error { return g.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore, in appends of at most AppendBytesMax.
func (g *guardedLog) StoreLogs(entries []*raft.Log) error {
	for len(entries) > 0 {
		n, size := appendPrefix(entries)
		if err := g.append(entries[:n], size); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// appendPrefix is how many entries go into the next append, at least one, and
// how many bytes they hold.
func appendPrefix(entries []*raft.Log) (n, size int) {
	for n < len(entries) {
		next := size + len(entries[n].Data)
		if n > 0 && next > AppendBytesMax {
			break
		}
		size = next
		n++
	}
	return n, size
}

func (g *guardedLog) append(entries []*raft.Log, size int) error {
	if err := g.fault.err(); err != nil {
		return err
	}
	began := g.now()
	g.watch.begin()
	err := g.LogStore.StoreLogs(entries)
	g.watch.end()
	if err != nil {
		return g.fault.trip(fmt.Errorf("append log entries %d to %d: %w",
			entries[0].Index, entries[len(entries)-1].Index, explainFull(err)))
	}
	took := int64(g.now().Sub(began))
	g.writes.Add(1)
	g.entries.Add(uint64(len(entries)))
	g.bytes.Add(uint64(size))
	g.writeNanos.Add(took)
	if took > g.writeSlowest.Load() {
		g.writeSlowest.Store(took)
	}
	if g.onAppend != nil {
		g.onAppend(len(entries), size, time.Duration(took))
	}
	// Tripped meanwhile: the write is durable, but nobody may hear of it.
	return g.fault.err()
}

// GetLog implements raft.LogStore. raft-wal decodes what it finds where the
// entry should be; that must be the entry, or ErrDamaged is returned.
func (g *guardedLog) GetLog(index uint64, entry *raft.Log) (err error) {
	defer func() {
		if p := recover(); p != nil { // its decoder does that over a number without an end
			err = damagedEntry(g.dir, index, fmt.Sprintf("can't be read: %v", p))
		}
	}()
	err = g.LogStore.GetLog(index, entry)
	var disk *os.PathError
	switch {
	case errors.Is(err, raft.ErrLogNotFound), errors.Is(err, wal.ErrClosed), errors.As(err, &disk):
		return err
	case err != nil:
		return damagedEntry(g.dir, index, fmt.Sprintf("can't be read: %v", err))
	case entry.Index != index:
		return damagedEntry(g.dir, index, fmt.Sprintf("says that it is entry %d", entry.Index))
	}
	return checkKind(g.dir, entry)
}

// DeleteRange implements raft.LogStore.
func (g *guardedLog) DeleteRange(from, to uint64) error {
	if err := g.fault.err(); err != nil {
		return err
	}
	if err := g.LogStore.DeleteRange(from, to); err != nil {
		return g.fault.trip(fmt.Errorf("delete log entries %d to %d: %w", from, to, err))
	}
	return nil
}

// stallWatch calls expired once if a write takes longer than a limit. It counts
// two half limits: a process that was itself stopped for a while finds one of
// them over when it wakes, not both.
type stallWatch struct {
	half    time.Duration
	expired func()

	mu      sync.Mutex
	timer   *time.Timer
	writing bool
	halves  int // over since begin
}

func newStallWatch(limit time.Duration, expired func()) *stallWatch {
	w := &stallWatch{half: limit / 2, expired: expired}
	w.timer = time.AfterFunc(time.Hour, w.tick)
	w.timer.Stop()
	return w
}

func (w *stallWatch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing, w.halves = true, 0
	w.timer.Reset(w.half)
}

func (w *stallWatch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = false
	w.timer.Stop()
}

func (w *stallWatch) tick() {
	if w.overdue() {
		w.expired()
	}
}

func (w *stallWatch) overdue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.writing {
		return false
	}
	if w.halves++; w.halves < 2 {
		w.timer.Reset(w.half)
		return false
	}
	return true
}
