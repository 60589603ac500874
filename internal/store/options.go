package store

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/go-hclog"
)

// FileName is the checkpoint's name in Options.Dir.
const FileName = "yardmaster.db"

// Limits and defaults.
const (
	// FormatVersion is the version of the disk format, in the manifest. Open
	// carries a file of an older one over.
	FormatVersion = 3

	// InitialMmapSizeDefault is how much address space is mapped at Open. It
	// costs no memory. While the file is smaller, growth never has to remap,
	// which would wait for every read transaction, a backup's too.
	InitialMmapSizeDefault = 64 << 30

	// CheckpointRowsMax bounds what one Save writes: rows, bodies, failures,
	// finished tasks and drops together. A million rows in one transaction take
	// 1.5 GB; a checkpoint near this bound is our own bug.
	CheckpointRowsMax = 2_000_000

	// LockWaitMax is how long Open, Check and Compact wait for another process
	// to let go of the file.
	LockWaitMax = 2 * time.Second

	// PullRows is how many rows Save asks Checkpoint.Rows for at a time.
	PullRows = 1000

	// ExpireTxRows bounds one transaction of Expire, and the dead letters'
	// entries that one Expire looks at.
	ExpireTxRows = 10_000

	// DeadDueMax is the most dead letters that one Expire returns.
	DeadDueMax = 1000

	// FinishedQueueMax is the most finished tasks of a queue that are kept, dead
	// letters apart: Expire deletes the oldest beyond.
	FinishedQueueMax = 1_000_000

	// ProblemsMax is the most problems that a Report lists.
	ProblemsMax = 100

	// arenaKeepBytes is the most memory kept between two checkpoints.
	arenaKeepBytes = 64 << 20

	// allocBytes is by how much the file grows at a time: each growth costs an
	// fsync of its own.
	allocBytes = 16 << 20
)

// Returned by Open, Check and Compact.
var (
	// ErrInUse is returned when another process holds the file.
	ErrInUse = errors.New("checkpoint is in use")

	// ErrNewerFormat is returned for a file that a newer build wrote.
	ErrNewerFormat = errors.New("checkpoint has a newer format")

	// ErrNotCheckpoint is returned for a file that isn't a checkpoint.
	ErrNotCheckpoint = errors.New("not a checkpoint")
)

// Returned by Backup, CheckBackup and Restore.
var (
	// ErrNoRoom is returned by Backup when the disk's free space above the
	// reserve doesn't take the copy.
	ErrNoRoom = errors.New("no room for a backup")

	// ErrNotBackup is returned for a file that isn't a backup, or lacks its end.
	ErrNotBackup = errors.New("not a backup")

	// ErrNotEmpty is returned by Restore for a directory that holds something.
	ErrNotEmpty = errors.New("the directory isn't empty")
)

// Returned while a store is open.
var (
	// ErrDamaged is returned when what was read isn't what was written.
	ErrDamaged = errors.New("checkpoint is damaged")

	// ErrFailed is returned by every write after the first that failed; it
	// wraps the first one's error. The process should be ending.
	ErrFailed = errors.New("checkpoint store failed")

	// ErrTooLarge is returned by Save for a checkpoint above CheckpointRowsMax.
	ErrTooLarge = errors.New("checkpoint too large for one transaction")

	// ErrClosed is returned after Close.
	ErrClosed = errors.New("checkpoint store is closed")
)

// Options configure Open.
type Options struct {
	// Dir holds the checkpoint; it is made with mode 0700 if absent.
	Dir string

	// Logger is told of what a person may have to look at. Default: none.
	Logger hclog.Logger

	// InitialMmapSize is the address space to map, in bytes. Default
	// InitialMmapSizeDefault.
	InitialMmapSize int64

	// RowsMax bounds one Save. Default and maximum CheckpointRowsMax.
	RowsMax int

	// FinishedQueueMax bounds the finished tasks kept of a queue. Default and
	// maximum FinishedQueueMax.
	FinishedQueueMax int

	// Now tells the time, for Stats.SaveTook alone. Default: it isn't measured.
	Now func() time.Time

	// LockWait bounds the wait for another process. Default LockWaitMax.
	LockWait time.Duration

	hooks hooks
}

// hooks let this package's tests get below bbolt.
type hooks struct {
	openFile openFileFunc
	runs     runLimits
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("store: Dir is empty")
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.InitialMmapSize == 0 {
		o.InitialMmapSize = InitialMmapSizeDefault
	}
	if o.InitialMmapSize < 0 {
		return o, fmt.Errorf("store: InitialMmapSize is %d: choose a positive number of bytes", o.InitialMmapSize)
	}
	o.InitialMmapSize = min(o.InitialMmapSize, math.MaxInt)
	if o.RowsMax == 0 {
		o.RowsMax = CheckpointRowsMax
	}
	if o.RowsMax < 1 || o.RowsMax > CheckpointRowsMax {
		return o, fmt.Errorf("store: RowsMax is %d: choose 1 to %d", o.RowsMax, CheckpointRowsMax)
	}
	if o.FinishedQueueMax == 0 {
		o.FinishedQueueMax = FinishedQueueMax
	}
	if o.FinishedQueueMax < 1 || o.FinishedQueueMax > FinishedQueueMax {
		return o, fmt.Errorf("store: FinishedQueueMax is %d: choose 1 to %d", o.FinishedQueueMax, FinishedQueueMax)
	}
	if o.Now == nil {
		o.Now = func() time.Time { return time.Time{} }
	}
	if o.LockWait == 0 {
		o.LockWait = LockWaitMax
	}
	return o, nil
}
