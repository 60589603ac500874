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
	Body        *storagev1.Body    // live tasks and dead letters; in a Listed of live tasks with labels, and only these
	LastFailure *storagev1.Attempt // live tasks whose last attempt failed
	Unreadable  bool               // Body should be there, and can't be read
}

// ListFilter selects tasks; all conditions must hold.
type ListFilter struct {
	Queue, Kind     string                // empty: all
	States          []scheduler.TaskState // empty: all
	Labels          map[string]string     // all of them, exactly; at most scheduler.LabelsMax
	SubmittedFrom   scheduler.Time        // 0: no bound
	SubmittedBefore scheduler.Time        // 0: no bound
	After           scheduler.TaskID      // only ids above it
	Through         scheduler.TaskID      // only ids up to it; 0: no bound
	Max             int                   // at most so many, at least 1
	Looks           int                   // look at about so many tasks, then return what there is; 0: ListLooks
}

// ListLooks is how many tasks one FindPage looks at, by default.
const ListLooks = 50_000

// Listed is a page of tasks.
type Listed struct {
	Tasks []*Task
	Next  scheduler.TaskID // where to go on (ListFilter.After); 0: that was all
	Last  scheduler.TaskID // highest id assigned
}

// Timeline is what happened to a task.
type Timeline struct {
	Task     *Task
	Attempts []*storagev1.Attempt // charged ones without success, oldest first; a finished task's accepted outcome isn't among them
	Earlier  uint32               // how many came before those
}

// Event is an event and the log's time of its step.
type Event struct {
	scheduler.Event
	At scheduler.Time
}

// Totals count what happened since the process began to lead, without replay.
type Totals struct {
	Submitted, Granted, Succeeded, FailedAttempts, Dead, Cancelled, Expired, RejectedOutcomes, Returned uint64

	Causes [scheduler.CauseEnd]uint64 // of failed attempts
}

// Status is the coordinator's state in one look.
type Status struct {
	Leading                             bool
	Term, AppliedIndex, CheckpointIndex uint64
	Now, Started                        scheduler.Time
	Counts                              scheduler.Counts
	Limits                              scheduler.Limits
	StoreBytes, DiskFree                uint64
	Logic                               uint32
	LastPosition                        uint64
	Totals                              Totals
}
