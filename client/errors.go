package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Errors to compare with by errors.Is.
var (
	// ErrOutcomeUnknown is told by a Submit that was given up while its fate was open: its tasks may be stored or not.
	ErrOutcomeUnknown = errors.New("the tasks may or may not be stored")
	// ErrNotRetained is told for a task that existed and whose retention is over.
	ErrNotRetained = errors.New("the task has ended and is no longer retained")
	// ErrUnknownTask is told for an id that was never assigned.
	ErrUnknownTask = errors.New("no such task")
	// ErrClosed is told by calls on a closed Client or Submitter.
	ErrClosed = errors.New("the client is closed")
)

// Reasons (ErrorInfo) that the client knows.
const (
	reasonNotRetained = "OUTCOME_NOT_RETAINED"
	reasonUnknownTask = "TASK_UNKNOWN"
	reasonWindow      = "PRODUCER_WINDOW"
	reasonNotLeader   = "NOT_LEADER"
	reasonLimitDepth  = "LIMIT_QUEUE_DEPTH"
	reasonLimitShapes = "LIMIT_SHAPES"
)

// Error is what a call failed with. errors.As finds it, and errors.Is compares it with ErrOutcomeUnknown, ErrNotRetained,
// ErrUnknownTask, ErrClosed, context.Canceled and context.DeadlineExceeded. It is a gRPC status too (status.FromError).
type Error struct {
	Op         string           // what was being done, as "submit 3 tasks"
	Code       codes.Code       // the last attempt's
	Reason     string           // the coordinator's ErrorInfo reason, or ""
	Message    string           // the last attempt's
	Fields     []FieldViolation // INVALID_ARGUMENT: each field at fault
	RetryAfter time.Duration    // RESOURCE_EXHAUSTED, UNAVAILABLE: when to come back, or 0
	Metadata   map[string]string
	Attempts   int           // how often it was tried
	Elapsed    time.Duration // over how long

	// Unreached: no attempt of this call left this machine; the coordinator has seen nothing of it.
	Unreached bool
	// OutcomeUnknown: a Submit whose tasks may or may not be stored.
	OutcomeUnknown bool

	cause  error // why it was given up: context.Canceled, context.DeadlineExceeded, ErrClosed, or nil
	status *status.Status
}

// FieldViolation is a field at fault.
type FieldViolation struct {
	Field       string // as in the proto: tasks[0].kind
	Description string // limit, value and cure
}

// Error reads as "submit 1 task: invalid argument: tasks[0].kind: …".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	if e.OutcomeUnknown {
		b.WriteString(ErrOutcomeUnknown.Error() + ": ")
	}
	b.WriteString(e.what())
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Field, f.Description)
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (%d attempts in %v)", e.Attempts, e.Elapsed.Round(time.Millisecond))
	}
	return b.String()
}

// what says in words what the last attempt failed with.
func (e *Error) what() string {
	gaveUp := e.Code == codes.Canceled || e.Code == codes.DeadlineExceeded || e.Code == codes.Unknown
	switch {
	case e.cause != nil && gaveUp: // the attempt failed because of that
		return e.cause.Error()
	case e.cause != nil:
		return fmt.Sprintf("%s: %s (given up: %s)", codeWords(e.Code), e.Message, causeWords(e.cause))
	case e.Message == "":
		return codeWords(e.Code)
	}
	return codeWords(e.Code) + ": " + e.Message
}

// causeWords says why there was no further attempt.
func causeWords(cause error) string {
	switch {
	case errors.Is(cause, context.DeadlineExceeded):
		return "the time that the call was given has passed"
	case errors.Is(cause, context.Canceled):
		return "the call was cancelled"
	}
	return cause.Error()
}

// Is makes errors.Is work with this package's sentinels and context's.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrOutcomeUnknown:
		return e.OutcomeUnknown
	case ErrNotRetained:
		return e.Code == codes.NotFound && e.Reason == reasonNotRetained
	case ErrUnknownTask:
		return e.Code == codes.NotFound && e.Reason == reasonUnknownTask
	case context.Canceled:
		return e.Code == codes.Canceled
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	}
	return false
}

// Unwrap returns why the call was given up (context.Canceled, context.DeadlineExceeded, ErrClosed), or nil.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus returns the last attempt's status.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// AsError turns the error of a raw stub (Client.Tasks, Queues, Operator) into an *Error, or returns nil for nil.
func AsError(op string, err error) *Error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		named := *known
		named.Op = op
		return &named
	}
	return newError(op, err)
}

func newError(op string, err error) *Error {
	st := status.Convert(err)
	e := &Error{Op: op, Code: st.Code(), Message: plainMessage(st.Message()), Attempts: 1, status: st}
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, e.Metadata = d.GetReason(), d.GetMetadata()
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, f := range d.GetFieldViolations() {
				e.Fields = append(e.Fields, FieldViolation{f.GetField(), f.GetDescription()})
			}
		}
	}
	if len(e.Fields) > 0 {
		e.Message = dropFieldText(e.Message, e.Fields)
	}
	return e
}

// plainMessage strips gRPC's wrapping from what the dialer said.
func plainMessage(message string) string {
	const dialing = "transport: Error while dialing: "
	if i := strings.LastIndex(message, dialing); i >= 0 {
		return strings.TrimSuffix(message[i+len(dialing):], `"`)
	}
	return message
}

// dropFieldText forgets a message that only repeats what the field violations say.
func dropFieldText(message string, fields []FieldViolation) string {
	for _, f := range fields {
		if strings.Contains(message, f.Description) {
			return ""
		}
	}
	return message
}

// codeWords writes INVALID_ARGUMENT as "invalid argument".
func codeWords(code codes.Code) string {
	name := code.String()
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	if code == codes.OK {
		return name
	}
	return strings.ToLower(b.String())
}
