package engine

import (
	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Task is a task as a reader sees it: exactly one of Live and Finished is set.
type Task struct {
	ID          scheduler.TaskID
	Live        *scheduler.TaskInfo
	Finished    *storagev1.Finished
	Body        *storagev1.Body    // live tasks and dead letters; in a List only if the task has labels
	LastFailure *storagev1.Attempt // live tasks whose last attempt failed
}

// ListFilter selects tasks; all conditions must hold.
type ListFilter struct {
	Queue, Kind string                // empty: all
	States      []scheduler.TaskState // empty: all
	After       scheduler.TaskID      // only ids above it
	Max         int                   // at most so many, at least 1
}

// Status is the coordinator's state in one look.
type Status struct {
	Leading                             bool
	Term, AppliedIndex, CheckpointIndex uint64
	Now, Started                        scheduler.Time
	Counts                              scheduler.Counts
	Limits                              scheduler.Limits
	StoreBytes, DiskFree                uint64
}
