package consensus

import "errors"

// Returned by Propose: the entry is in no log.
var (
	// ErrEntryTooLarge is returned for an entry above EntryBytesMax.
	ErrEntryTooLarge = errors.New("log entry too large")

	// ErrBusy is returned when InFlightMax entries, or InFlightBytesMax bytes,
	// are proposed and not yet answered. Wait for some, then try again.
	ErrBusy = errors.New("too many log entries in flight")

	// ErrFailed is returned after a write error of the log or of raft's own
	// state; it wraps the first one. The process should be ending.
	ErrFailed = errors.New("log failed")
)

// Returned by Propose and by its wait.
var (
	// ErrNotLeader is returned when this node doesn't lead: the entry is in no
	// log.
	ErrNotLeader = errors.New("not the leader")

	// ErrClosed is returned when the log is closed or closing. From Propose it
	// means that the entry is in no log; from a wait it comes with ErrUnknown.
	ErrClosed = errors.New("log is closed")

	// ErrUnknown is returned by a wait when leadership was lost, a write failed
	// or the log was closed meanwhile: the entry may have been committed or not,
	// and may yet be applied.
	ErrUnknown = errors.New("fate of the log entry is unknown")
)

// damagedCure is what can be done about a damaged log.
const damagedCure = "look at the disk, then restore a backup into an empty directory"

// Returned by Open, Close and the snapshot store.
var (
	// ErrInUse is returned by Open when another process holds the directory.
	ErrInUse = errors.New("log directory is in use")

	// ErrMismatch is returned by Open when log, checkpoint and raft's state
	// don't belong together, so that starting would lose or repeat commands.
	ErrMismatch = errors.New("log and checkpoint do not belong together")

	// ErrDamaged is returned by Open when a file of the log isn't what was
	// written, and given to Fatal when an entry isn't.
	ErrDamaged = errors.New("log is damaged")

	// ErrCloseTimeout is returned by Close when raft or the machine did not
	// come to rest within CloseWaitMax. Files are then left open.
	ErrCloseTimeout = errors.New("log did not stop in time")

	// ErrClusterOfOne is returned when raft wants to install a streamed
	// snapshot, which only a follower needs.
	ErrClusterOfOne = errors.New("this build runs a cluster of one: it can't install a streamed snapshot")
)
