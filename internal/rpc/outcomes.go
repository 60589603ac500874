package rpc

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Limits of a failure's texts in bytes; longer ones are cut.
const (
	FailureMessageMax = 4 << 10
	FailureDetailMax  = 16 << 10
	SignalMax         = 64
)

// Field numbers of storage.v1.Detail.
const (
	detailResult   protowire.Number = 1
	detailMessage  protowire.Number = 2
	detailExitCode protowire.Number = 3
	detailSignal   protowire.Number = 4
	detailText     protowire.Number = 5
	detailRan      protowire.Number = 6
)

// outcomesCommand checks reports and turns them into a command; the session's machine adds session and attach number.
// The encoded details share one piece of memory.
func outcomesCommand(m *yardmasterv1.Outcomes, answersThrough uint64) (*scheduler.Outcomes, error) {
	var v violations
	list := m.GetOutcomes()
	if m.GetFirstSeq() == 0 {
		v.add("outcomes.first_seq", "want the number of the first, from 1")
	}
	if len(list) > scheduler.AnswersMax {
		v.add("outcomes.outcomes", "want at most %d, got %d", scheduler.AnswersMax, len(list))
		return nil, v.err()
	}
	c := &scheduler.Outcomes{FirstSeq: m.GetFirstSeq(), AnswersThrough: answersThrough, List: make([]scheduler.Outcome, len(list))}
	room := 0
	for _, o := range list {
		room += detailSize(o) + ranSize
	}
	details := make([]byte, 0, room)
	v.at.list = "outcomes.outcomes"
	for i, o := range list {
		v.at.i = i
		from := len(details)
		details = appendRan(outcome(&v, o, &c.List[i], details), o.GetRunTime())
		if len(details) > from {
			c.List[i].Detail = details[from:len(details):len(details)]
		}
	}
	return c, v.err()
}

// outcome checks one report and appends its encoded detail.
func outcome(v *violations, o *yardmasterv1.AttemptOutcome, out *scheduler.Outcome, b []byte) []byte {
	out.Token, out.Task = scheduler.Token(o.GetToken()), scheduler.TaskID(o.GetTaskId())
	if out.Token == 0 {
		v.add("token", "want a token, got 0")
	}
	switch kind := o.GetKind().(type) {
	case *yardmasterv1.AttemptOutcome_Succeeded:
		out.Kind = scheduler.OutcomeSucceeded
		result := kind.Succeeded.GetResult()
		if len(result) > scheduler.PayloadBytesMax {
			v.add("succeeded.result", "want at most %d bytes, got %d: store it elsewhere and report a reference",
				scheduler.PayloadBytesMax, len(result))
			return b
		}
		if len(result) > 0 {
			b = protowire.AppendTag(b, detailResult, protowire.BytesType)
			b = protowire.AppendBytes(b, result)
		}
	case *yardmasterv1.AttemptOutcome_Failed:
		out.Kind = scheduler.OutcomeFailed
		return failed(v, kind.Failed, out, b)
	case *yardmasterv1.AttemptOutcome_Cancelled:
		out.Kind = scheduler.OutcomeCancelled
	case *yardmasterv1.AttemptOutcome_Interrupted:
		out.Kind = scheduler.OutcomeInterrupted
		b = appendText(b, detailMessage, cut(kind.Interrupted.GetReason(), FailureMessageMax))
	default:
		v.add("kind", "want one of succeeded, failed, cancelled, interrupted")
	}
	return b
}

// failed checks a failure. A retry_after beyond its bounds comes from a handler, which must not cost its worker the
// stream: it is cut, like texts.
func failed(v *violations, f *yardmasterv1.AttemptFailed, out *scheduler.Outcome, b []byte) []byte {
	x := f.GetFailure()
	switch x.GetCause() {
	case yardmasterv1.Cause_CAUSE_ERROR, yardmasterv1.Cause_CAUSE_PANIC, yardmasterv1.Cause_CAUSE_TIMEOUT, yardmasterv1.Cause_CAUSE_EXIT:
		out.Cause = scheduler.Cause(x.GetCause())
	default:
		v.add("failed.failure.cause", "want ERROR, PANIC, TIMEOUT or EXIT, got %s", x.GetCause())
	}
	out.Permanent = f.GetPermanent()
	if d := f.GetRetryAfter(); d != nil {
		out.RetryAfter = min(max(0, scheduler.Duration(d.AsDuration())), scheduler.RetryAfterMax)
	}
	text := x.GetDetail()
	if out.Cause == scheduler.CauseExit {
		text = cutTail(text, FailureDetailMax)
	}
	b = appendText(b, detailMessage, cut(x.GetMessage(), FailureMessageMax))
	if code := x.GetExitCode(); code != 0 {
		b = protowire.AppendTag(b, detailExitCode, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(int64(code)))
	}
	b = appendText(b, detailSignal, cut(x.GetSignal(), SignalMax))
	return appendText(b, detailText, cut(text, FailureDetailMax))
}

// ranSize is the most that appendRan takes.
const ranSize = 11

// appendRan appends how long the handler ran, plus one, if the worker says it.
func appendRan(b []byte, ran *durationpb.Duration) []byte {
	if ran == nil {
		return b
	}
	nanos := min(max(0, ran.AsDuration()), math.MaxInt64-1)
	return protowire.AppendVarint(protowire.AppendTag(b, detailRan, protowire.VarintType), uint64(nanos)+1)
}

func appendText(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

// detailSize is at least the size of a report's encoded detail.
func detailSize(o *yardmasterv1.AttemptOutcome) int {
	const rest = 48 // tags, lengths, exit code
	switch kind := o.GetKind().(type) {
	case *yardmasterv1.AttemptOutcome_Succeeded:
		if n := len(kind.Succeeded.GetResult()); n > 0 {
			return n + 8
		}
	case *yardmasterv1.AttemptOutcome_Failed:
		x := kind.Failed.GetFailure()
		return rest + min(len(x.GetMessage()), FailureMessageMax) + min(len(x.GetDetail()), FailureDetailMax) + min(len(x.GetSignal()), SignalMax)
	case *yardmasterv1.AttemptOutcome_Interrupted:
		return 8 + min(len(kind.Interrupted.GetReason()), FailureMessageMax)
	}
	return 0
}
