package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Limits and defaults.
const (
	// EntryBytesMax is the largest entry. raft-wal would accept more than
	// 64 MiB and then fail to read it back.
	EntryBytesMax = 16 << 20

	// InFlightMax is how many entries may be proposed and unanswered. It equals
	// raft's queue (MaxAppendEntries), so handing an entry over never blocks.
	InFlightMax = 1024

	// InFlightBytesMax is how many bytes these may hold together.
	InFlightBytesMax = 256 << 20

	// AppendBytesMax bounds one append (one fsync) to a segment file. Raft may
	// hand over InFlightMax entries at once, and raft-wal counts offsets in 32
	// bits, unchecked.
	AppendBytesMax = 64 << 20

	// SegmentBytesDefault, SegmentBytesMin and SegmentBytesMax bound the size
	// of a preallocated segment file.
	SegmentBytesDefault = 64 << 20
	SegmentBytesMin     = 64 << 10
	SegmentBytesMax     = 1 << 30

	// SegmentsFreeMin is how many segments' worth of disk should stay free:
	// after a failed preallocation raft-wal can't append until a restart.
	SegmentsFreeMin = 4

	// TrailingEntriesDefault is how many entries a cut leaves behind the log's
	// end, so that a briefly absent follower needs no snapshot.
	TrailingEntriesDefault = 1000

	// LogWriteMax is how long one append may take. A leader with a stalled disk
	// would go on heartbeating, so nobody would take over.
	LogWriteMax = 5 * time.Second

	// CloseWaitMax is how long Close waits for raft and the machine.
	CloseWaitMax = 10 * time.Second

	// LockWaitMax is how long Open waits for another process to let go.
	LockWaitMax = 2 * time.Second
)

// Timings of a lone voter. Raft's own defaults are for networks and cost 1.5 s
// at each start.
const (
	loneTimeout       = 50 * time.Millisecond
	loneCommitTimeout = 5 * time.Millisecond
)

// Machine is the replicated state machine, as this package drives it.
type Machine interface {
	// Apply is handed every committed command above the Disk.DurableIndex found
	// at Open: in order, each once, always on the same goroutine. Indices grow
	// but have gaps (raft's own entries). Neither keep nor change entry: on the
	// leader it is the proposer's slice. Apply must not wait for a proposal and
	// must not call Cut or Close.
	Apply(index, term uint64, entry []byte)

	// Checkpoint returns nil once storage has fsynced a checkpoint that holds
	// index or a later one. It is called by Cut, never on Apply's goroutine,
	// at most one at a time, with an index that Apply was handed before or that
	// Disk held at Open. It must return soon after ctx ends.
	Checkpoint(ctx context.Context, index uint64) error
}

// Disk is what this package needs of the checkpoint store.
type Disk interface {
	// DurableIndex is the index held by the last fsynced checkpoint (0: none).
	DurableIndex() uint64
	// SnapshotMeta is the blob last put, nil if there is none.
	SnapshotMeta() ([]byte, error)
	// PutSnapshotMeta replaces the blob; it is fsynced on return.
	PutSnapshotMeta(data []byte) error
	// WriteTo writes a consistent copy of the checkpoint, a snapshot's body.
	WriteTo(w io.Writer) (int64, error)
}

// Options configure Open. Fields without a stated default must be set.
type Options struct {
	// Dir holds the log; it is made with mode 0700 if absent.
	Dir string

	// NodeID names this node for ever: the log's first entry records it.
	NodeID string

	Machine Machine
	Disk    Disk

	// Fatal is called once, on the first failed write or sync and on a log
	// write over LogWriteMax, possibly on a goroutine that holds raft's
	// innermost loop. It should report and end the process; it must not call
	// Close.
	Fatal func(error)

	// Now reads the clock. It feeds statistics and a segment's seal time only.
	Now func() time.Time

	// OnAppend is told of every append to the log: how many entries, their bytes, and how long it took, fsync included.
	// It is called by the goroutine that appends and must return at once. Default: nobody is told.
	OnAppend func(entries, bytes int, took time.Duration)

	// Logger gets raft's own words under the name "raft": warnings and errors,
	// the rest if it is at debug. Default: none.
	Logger hclog.Logger

	// SegmentBytes is the size of a segment file. Default SegmentBytesDefault.
	SegmentBytes int

	// TermMin is the least term that a new log's first term comes after: that of the state which a checkpoint of index 0
	// brings along, as one restored from a backup does. Default 0.
	TermMin uint64

	// TrailingEntries stay in the log behind a cut. Default
	// TrailingEntriesDefault.
	TrailingEntries uint64

	hooks hooks
}

// hooks let this package's tests get between the layers.
type hooks struct {
	logs        func(raft.LogStore) raft.LogStore // below the guard
	logWriteMax time.Duration
	lockWait    time.Duration
	raftTimeout time.Duration
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Dir == "":
		return o, errors.New("consensus: Dir is empty")
	case o.NodeID == "":
		return o, errors.New("consensus: NodeID is empty")
	case o.Machine == nil || o.Disk == nil || o.Fatal == nil || o.Now == nil:
		return o, errors.New("consensus: Machine, Disk, Fatal and Now must be set")
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = SegmentBytesDefault
	}
	if o.SegmentBytes < SegmentBytesMin || o.SegmentBytes > SegmentBytesMax {
		return o, fmt.Errorf("consensus: SegmentBytes is %d: choose %d to %d", o.SegmentBytes, SegmentBytesMin, SegmentBytesMax)
	}
	if o.TrailingEntries == 0 {
		o.TrailingEntries = TrailingEntriesDefault
	}
	if o.hooks.logWriteMax == 0 {
		o.hooks.logWriteMax = LogWriteMax
	}
	if o.hooks.lockWait == 0 {
		o.hooks.lockWait = LockWaitMax
	}
	if o.hooks.raftTimeout == 0 {
		o.hooks.raftTimeout = loneTimeout
	}
	if o.hooks.logs == nil {
		o.hooks.logs = func(s raft.LogStore) raft.LogStore { return s }
	}
	return o, nil
}

func (o Options) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(o.NodeID)
	c.Logger = newRaftLogger(o.Logger)
	c.HeartbeatTimeout = o.hooks.raftTimeout
	c.ElectionTimeout = o.hooks.raftTimeout
	c.LeaderLeaseTimeout = o.hooks.raftTimeout
	c.CommitTimeout = loneCommitTimeout
	c.BatchApplyCh = true
	c.MaxAppendEntries = InFlightMax
	c.TrailingLogs = o.TrailingEntries
	c.NoSnapshotRestoreOnStart = true
	c.NoLegacyTelemetry = true
	// Only Cut takes snapshots: raft's own trigger never finds enough entries.
	c.SnapshotInterval = 24 * time.Hour
	c.SnapshotThreshold = 1 << 62
	return c
}
