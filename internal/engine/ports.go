package engine

import (
	"context"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Log makes entries durable in one order and hands each to Engine.Apply in that order (package consensus, through the
// wiring in cmd/coordinator).
type Log interface {
	// Propose takes an entry and returns; wait blocks until it was applied, or its fate is known or unknowable.
	// Errors are, or wrap, ErrNotLeader and ErrUnknown where they mean that.
	Propose(entry []byte) (wait func() error, err error)
	// Leadership tells the latest change; closed when the log is closed.
	Leadership() <-chan Leadership
	// Cut lets the log forget what checkpoints hold. It calls Engine.Checkpoint.
	Cut(ctx context.Context) error
}

// Leadership says whether this node leads, and in which term.
type Leadership struct {
	Leader bool
	Term   uint64
}

// Storage keeps checkpoints, bodies and finished tasks (package store, through the wiring in cmd/coordinator).
type Storage interface {
	// DurableIndex is the log index of the last checkpoint.
	DurableIndex() uint64
	// Load hands over every row, in the order that scheduler.Loader wants.
	Load(add func(*scheduler.Row) error) error
	// Save makes a checkpoint durable, atomically.
	Save(c *Checkpoint) error
	// Bodies reads bodies; each gets nil for an absent one. The data is good during the call only. Damaged ones are passed
	// over; the error then is, or wraps, one with a method DamagedTasks() []scheduler.TaskID that names them.
	Bodies(ids []scheduler.TaskID, each func(i int, data []byte) error) error
	// Failure returns a copy of the encoded storagev1.Attempts, or nil; Finished of the finished row.
	Failure(id scheduler.TaskID) ([]byte, error)
	Finished(id scheduler.TaskID) ([]byte, error)
	// FinishedAfter walks finished tasks in order of id until each says false.
	FinishedAfter(after scheduler.TaskID, limit int, each func(id scheduler.TaskID, data []byte) (more bool)) error
	// Expire deletes finished tasks whose retention is over and names dead letters that are due. limit bounds what it looks
	// at, whether it is deleted or was gone before; more says that there is more to look at.
	Expire(served scheduler.Duration, limit int) (deleted int, dead []scheduler.DeadRef, more bool, err error)
	// Bytes is the size of the file.
	Bytes() uint64
}

// Checkpoint is what one checkpoint writes.
type Checkpoint struct {
	Index      uint64
	Logic      uint32
	Rows       func(limit int, buf []scheduler.Row) (rows []scheduler.Row, done bool)
	Bodies     []Blob             // encoded storagev1.Body
	DropBodies []scheduler.TaskID // bodies alone, those above too

	// Failures are encoded storagev1.Attempts: new attempts, which are added to what is there; the last 10 stay. A task may
	// come more than once, in order.
	//
	// A task's attempts go by DropFailures, or with its finished row if that says FinishedRow.Attempts and Expire deletes
	// it; by nothing else. So a task that ends with retention gets FinishedRow{Attempts: true} and no DropFailures; one of
	// which nothing is kept, and one that was deleted or forgotten (DropFinished), gets DropFailures; a dead letter that is
	// revived (DropFinished) gets none, and goes on with the attempts it had.
	Failures     []Blob
	DropFailures []scheduler.TaskID // before Failures is put
	Finished     []FinishedRow
	DropFinished []scheduler.TaskID // before Finished is put
}

// Blob is bytes kept under a task's id.
type Blob struct {
	ID   scheduler.TaskID
	Data []byte
}

// FinishedRow is a finished task to keep.
type FinishedRow struct {
	ID        scheduler.TaskID
	Dead      bool
	Gen       uint32
	Queue     string // Expire deletes the oldest finished tasks of a queue beyond 1,000,000, dead letters apart
	Attempts  bool   // there is a row of attempts, which goes with it when Expire deletes it
	ExpiresAt scheduler.Duration
	Data      []byte // encoded storagev1.Finished
}
