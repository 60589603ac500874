package engine

import (
	"errors"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Errors of the engine.
var (
	// ErrNotLeader is returned when this node doesn't lead: nothing was proposed. Retry elsewhere, or later.
	ErrNotLeader = errors.New("not the leader")
	// ErrStopping is returned once Stop has begun: nothing was proposed.
	ErrStopping = errors.New("the coordinator is stopping")
	// ErrUnknown is returned when leadership was lost while a command was in flight: it may or may not be carried out.
	ErrUnknown = errors.New("leadership was lost while the command was in flight; its fate is unknown")
	// ErrNoTask is returned for an id that was never assigned.
	ErrNoTask = errors.New("no such task")
	// ErrNotRetained is returned for a task that existed and whose retention is over.
	ErrNotRetained = errors.New("the task ended and is no longer retained")
	// ErrText is returned for a command with text that isn't UTF-8: nothing was proposed.
	ErrText = errors.New("text isn't valid UTF-8")
	// ErrNoQueue is returned for a queue that doesn't exist.
	ErrNoQueue = errors.New("no such queue")
	// ErrDiskReserve is returned for submits while free disk is below the reserve.
	ErrDiskReserve = errors.New("free disk space is below the reserve")
)

// Result is what a command did: its reply, and copies of the spans that the reply names.
type Result struct {
	scheduler.Reply
	Now     scheduler.Time // log time of the step
	IDs     []scheduler.TaskID
	Old     []int32
	Items   []scheduler.ItemResult
	Stop    []scheduler.Token
	Answers []scheduler.Answer
}

// Observer is told what happened, one thing at a time and in order, after the step is durable. It must not block, and must
// not keep the Effects. A step's Propose callbacks run first, in order of the commands, then TermBegan if the step began a
// term, then Applied. TermBegan and TermEnded come in turn; between them every step is told, whoever proposed it.
type Observer interface {
	// TermBegan: this node leads; sessions are all that exist, every one of them detached.
	TermBegan(term uint64, now scheduler.Time, sessions []scheduler.SessionInfo)
	// Applied: a step was applied while leading; now is the log's time then.
	Applied(now scheduler.Time, eff *scheduler.Effects)
	// TermEnded: this node doesn't lead any more. It comes from another goroutine than the others.
	TermEnded()
}
