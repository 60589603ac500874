package worker

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Limits of what a handler may return.
const (
	// ResultBytesMax is the largest result.
	ResultBytesMax = 1 << 20
	// MessageBytesMax is where the text of an error is cut.
	MessageBytesMax = 4 << 10
	// DetailBytesMax is where the detail of a failure is cut: stderr (CauseExit) at its beginning, all else at its end.
	DetailBytesMax = 16 << 10
	// RetryAfterMax is the longest wait that a handler may ask for.
	RetryAfterMax = 30 * 24 * time.Hour

	signalBytesMax = 64
)

// Cause says why an attempt failed.
type Cause int

// The causes. Timeouts are found by the worker itself.
const (
	CauseError Cause = iota // the handler returned an error
	CausePanic              // it panicked
	CauseExit               // its process ended with a non-zero exit code or by a signal
)

// Failure is an error with all that a coordinator keeps of a failed attempt. A handler may return one, wrapped or not, in
// place of a plain error.
type Failure struct {
	Cause      Cause
	Message    string        // cut at MessageBytesMax
	ExitCode   int           // CauseExit
	Signal     string        // CauseExit: the signal's name, or empty
	Detail     string        // cut at DetailBytesMax; the tail of stderr, or a stack
	Permanent  bool          // don't retry: the task becomes a dead letter
	RetryAfter time.Duration // retry not before this has passed, in place of the backoff; 0: the backoff
}

func (f *Failure) Error() string { return f.Message }

// Permanent makes an error that isn't retried: the task becomes a dead letter at once. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &hint{err: err, permanent: true}
}

// RetryAfter makes an error whose task is retried not before d has passed, in place of the backoff; d is at most
// RetryAfterMax. It returns nil for nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &hint{err: err, after: d}
}

// hint wraps an error with the handler's opinion on retrying.
type hint struct {
	err       error
	permanent bool
	after     time.Duration
}

func (h *hint) Error() string { return h.err.Error() }
func (h *hint) Unwrap() error { return h.err }

// failed translates what a handler returned. The outermost opinion on retrying counts. The error's own methods are the
// handler's code too, and may panic.
func failed(err error) (out *pb.AttemptFailed) {
	defer func() {
		if p := recover(); p != nil {
			out = failed(panicked(fmt.Sprintf("panic in the error (%T) that the handler returned: %v", err, p)))
		}
	}()
	f := &pb.Failure{Cause: pb.Cause_CAUSE_ERROR, Message: cut(err.Error(), MessageBytesMax)}
	out = &pb.AttemptFailed{Failure: f}
	var after time.Duration
	if failure, ok := errors.AsType[*Failure](err); ok {
		f.Cause = failure.Cause.proto()
		f.ExitCode = int32(failure.ExitCode)
		f.Signal = cut(failure.Signal, signalBytesMax)
		f.Detail = cutDetail(failure.Cause, failure.Detail)
		out.Permanent, after = failure.Permanent, failure.RetryAfter
	}
	if h, ok := errors.AsType[*hint](err); ok {
		out.Permanent, after = h.permanent, h.after
	}
	if after = min(after, RetryAfterMax); after > 0 && !out.Permanent {
		out.RetryAfter = durationpb.New(after)
	}
	return out
}

func (c Cause) proto() pb.Cause {
	switch c {
	case CausePanic:
		return pb.Cause_CAUSE_PANIC
	case CauseExit:
		return pb.Cause_CAUSE_EXIT
	}
	return pb.Cause_CAUSE_ERROR
}

// timedOut turns what a handler returned after its time-out into the failure that a time-out is.
func timedOut(out *pb.AttemptOutcome, reason string) *pb.AttemptFailed {
	f := &pb.Failure{Cause: pb.Cause_CAUSE_TIMEOUT, Message: reason}
	if was := out.GetFailed().GetFailure(); was != nil {
		f.Message = cut(reason+"; the handler returned: "+was.Message, MessageBytesMax)
		f.ExitCode, f.Signal, f.Detail = was.ExitCode, was.Signal, was.Detail
	}
	return &pb.AttemptFailed{Failure: f}
}

// tooLarge is the failure of a handler whose result is larger than the limit.
func tooLarge(size int) error {
	return Permanent(fmt.Errorf("result has %d bytes, the most is %d (1 MiB): store it elsewhere and return where it is", size, ResultBytesMax))
}

// panicked is the failure of a handler that is panicking.
func panicked(message string) *Failure {
	return &Failure{Cause: CausePanic, Message: message, Detail: string(debug.Stack())}
}

// cutDetail keeps the end of what a process said, and the beginning of anything else.
func cutDetail(cause Cause, s string) string {
	if cause != CauseExit || len(s) <= DetailBytesMax {
		return cut(s, DetailBytesMax)
	}
	s = s[len(s)-DetailBytesMax:]
	for i := 0; i < utf8.UTFMax && i < len(s); i++ { // not from the middle of a character
		if utf8.RuneStart(s[i]) {
			s = s[i:]
			break
		}
	}
	return cut(s, DetailBytesMax)
}

// cut returns s as valid UTF-8 of at most limit bytes.
func cut(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
		for i := 1; i <= utf8.UTFMax && i <= len(s); i++ { // not in the middle of a character
			if b := s[len(s)-i]; utf8.RuneStart(b) {
				if !utf8.FullRuneInString(s[len(s)-i:]) {
					s = s[:len(s)-i]
				}
				break
			}
		}
	}
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "?")
}
