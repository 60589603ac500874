package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Names of the contract's types, for readers of Get, List, Explain, Cancel and Retry.
type (
	// TaskInfo is a task as the coordinator sees it.
	TaskInfo = yardmasterv1.Task
	// TaskState is where a task stands.
	TaskState = yardmasterv1.TaskState
	// Cause says why a task ended otherwise than by success.
	Cause = yardmasterv1.Cause
	// Failure is what a failed attempt reported.
	Failure = yardmasterv1.Failure
	// TaskResult is what Cancel or Retry did to one task.
	TaskResult = yardmasterv1.TaskResult
	// Explanation says why a task is where it is.
	Explanation = yardmasterv1.TaskServiceExplainResponse
)

// The states of a task. The last four are terminal.
const (
	Scheduled = yardmasterv1.TaskState_TASK_STATE_SCHEDULED
	Waiting   = yardmasterv1.TaskState_TASK_STATE_WAITING
	Pending   = yardmasterv1.TaskState_TASK_STATE_PENDING
	Leased    = yardmasterv1.TaskState_TASK_STATE_LEASED
	Running   = yardmasterv1.TaskState_TASK_STATE_RUNNING
	Succeeded = yardmasterv1.TaskState_TASK_STATE_SUCCEEDED
	Dead      = yardmasterv1.TaskState_TASK_STATE_DEAD
	Cancelled = yardmasterv1.TaskState_TASK_STATE_CANCELLED
	Expired   = yardmasterv1.TaskState_TASK_STATE_EXPIRED
)

// Outcome is how a task ended.
type Outcome struct {
	ID         uint64
	State      TaskState // Succeeded, Dead, Cancelled or Expired; unspecified if Lost isn't nil
	Cause      Cause     // why, if it didn't succeed
	Result     []byte    // Succeeded: what the handler returned. Result decodes it
	Failure    *Failure  // what the last failed attempt reported, or nil
	FinishTime time.Time
	Attempts   int
	Token      uint64 // of the accepted outcome; 0 if it ended without one
	Worker     string // whose outcome was accepted, or ""

	// Lost is ErrNotRetained or ErrUnknownTask when the coordinator can't tell the outcome any more; else nil.
	Lost error
	raw  *yardmasterv1.AwaitResponse
}

func newOutcome(resp *yardmasterv1.AwaitResponse) *Outcome {
	out := &Outcome{ID: resp.GetTaskId(), raw: resp}
	o := resp.GetOutcome()
	if o == nil {
		switch reason := resp.GetMissingReason(); reason {
		case reasonNotRetained:
			out.Lost = ErrNotRetained
		case reasonUnknownTask:
			out.Lost = ErrUnknownTask
		default:
			out.Lost = fmt.Errorf("the coordinator doesn't tell the outcome: %s", reason)
		}
		return out
	}
	out.State, out.Cause, out.Result, out.Failure = o.GetState(), o.GetCause(), o.GetResult(), o.GetFailure()
	out.Attempts, out.Token, out.Worker = int(o.GetAttempts()), o.GetToken(), o.GetWorker()
	if t := o.GetFinishTime(); t != nil {
		out.FinishTime = t.AsTime()
	}
	return out
}

// Proto returns the message that the coordinator sent. It must not be changed.
func (o *Outcome) Proto() *yardmasterv1.AwaitResponse { return o.raw }

// Err returns nil if the task succeeded, Lost if its outcome isn't known, else a *TaskError.
func (o *Outcome) Err() error {
	switch {
	case o.Lost != nil:
		return o.Lost
	case o.State == Succeeded:
		return nil
	}
	return &TaskError{o}
}

// TaskError says that a task didn't succeed.
type TaskError struct{ Outcome *Outcome }

func (e *TaskError) Error() string {
	o := e.Outcome
	text := fmt.Sprintf("task %d is %s", o.ID, StateWord(o.State))
	if word := CauseWord(o.Cause); word != "" && word != StateWord(o.State) {
		text += " (" + word + ")"
	}
	if m := o.Failure.GetMessage(); m != "" {
		text += ": " + m
	}
	return text
}

// Result decodes the JSON that the task's handler returned, or returns why there is none: o.Err().
func Result[T any](o *Outcome) (T, error) {
	var v T
	if err := o.Err(); err != nil {
		return v, err
	}
	if err := json.Unmarshal(o.Result, &v); err != nil {
		return v, fmt.Errorf("decode the result of task %d: %w", o.ID, err)
	}
	return v, nil
}

// StateWord writes a state as a person would: "succeeded".
func StateWord(s TaskState) string { return word(s.String(), "TASK_STATE_") }

// CauseWord writes a cause as a person would: "worker lost". Unspecified is "".
func CauseWord(c Cause) string { return word(c.String(), "CAUSE_") }

func word(name, prefix string) string {
	name = strings.TrimPrefix(name, prefix)
	if name == "UNSPECIFIED" {
		return ""
	}
	return strings.ToLower(strings.ReplaceAll(name, "_", " "))
}
