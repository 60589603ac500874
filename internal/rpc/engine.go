package rpc

import (
	"context"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/watch"
)

// Engine is what the shell needs of internal/engine.
type Engine interface {
	// Propose never blocks. done runs exactly once, on another goroutine: the apply goroutine after the batch is durable,
	// or any with an error.
	Propose(cmd scheduler.Command, done func(engine.Result, error))
	// Do admits a command, proposes it and waits.
	Do(ctx context.Context, cmd scheduler.Command) (engine.Result, error)
	// Admit waits while the engine is behind.
	Admit(ctx context.Context, rows int) error
	// Quiesce refuses new proposals and returns once those in line are carried out and told: no event comes after that.
	Quiesce(ctx context.Context) error
	// SetObserver is called once, by New.
	SetObserver(engine.Observer)
	// Now is the log's time as the leader estimates it.
	Now() scheduler.Time
	// Task returns a task. Errors: ErrNoTask, ErrNotRetained.
	Task(ctx context.Context, id scheduler.TaskID) (*engine.Task, error)
	// FindPage returns tasks in order of id, after a bounded number of looks.
	FindPage(ctx context.Context, f engine.ListFilter) (*engine.Listed, error)
	// Timeline returns what happened to a task. Errors: as Task.
	Timeline(ctx context.Context, id scheduler.TaskID) (*engine.Timeline, error)
	// Events is the ring of events, numbered by position; the same one throughout.
	Events() *watch.Ring[engine.Event]
	// WatchTask begins a watch of one task, which must be stopped.
	WatchTask(id scheduler.TaskID) engine.TaskWatch
	// Await calls each on the caller's goroutine as tasks end, and returns when all have been delivered.
	Await(ctx context.Context, ids []scheduler.TaskID, each func(scheduler.TaskID, *storagev1.Finished, error) error) error
	// Explain says why a live task is where it is.
	Explain(id scheduler.TaskID) (scheduler.Explanation, error)
	// Queues, by name.
	Queues() []scheduler.QueueInfo
	// Queue returns one queue, or false.
	Queue(name string) (scheduler.QueueInfo, bool)
	// QueueSettings returns one queue's settings, or false; cheap enough for every submit.
	QueueSettings(name string) (scheduler.QueueRow, bool)
	// ExplainQueue says why a queue's tasks wait; false: there is no such queue.
	ExplainQueue(name string) (scheduler.QueueExplanation, bool)
	// Sessions, by worker's name, then id.
	Sessions() []scheduler.SessionInfo
	// SessionLeases returns the first tokens of a session.
	SessionLeases(id scheduler.SessionID, most int) []scheduler.LeaseInfo
	// Recallable returns unstarted leases that their workers should give up, as far as the log tells, at most so many. It
	// is cheap if there are none.
	Recallable(most int) []scheduler.RecallItem
	// Bodies calls each with encoded storagev1.Body, good during the call only; nil: the lease is over.
	Bodies(ids []scheduler.TaskID, each func(i int, body []byte) error) error
	// Checkpoint returns once storage holds a log index at or past the given one.
	Checkpoint(ctx context.Context, index uint64) error
	// Status is the coordinator's state in one look.
	Status() engine.Status
	// Hash walks the whole state.
	Hash() uint64
}
