package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

func hasRetry(st *status.Status) bool {
	for _, d := range st.Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok && r.GetRetryDelay().AsDuration() > 0 {
			return true
		}
	}
	return false
}

func TestErrorMapping(t *testing.T) {
	core := func(code scheduler.Code) error {
		return submitError(engine.Result{Reply: scheduler.Reply{Code: code, First: 7, Index: 1}}, make([]scheduler.TaskSpec, 2), scheduler.Limits{MaxTasks: 2, Depth: 2})
	}
	mapped := func(err error) error { _, out := engineError(fmt.Errorf("doing: %w", err)); return out }
	for _, x := range []struct {
		err    error
		code   codes.Code
		reason string
		retry  bool
	}{
		{mapped(engine.ErrNotLeader), codes.Unavailable, ReasonNotLeader, true},
		{mapped(engine.ErrStopping), codes.Unavailable, ReasonStopping, true},
		{mapped(errEnded), codes.Unavailable, ReasonStopping, true},
		{mapped(fmt.Errorf("%w: %w", engine.ErrUnknown, engine.ErrNotLeader)), codes.Unavailable, ReasonFateUnknown, true},
		{mapped(engine.ErrNoTask), codes.NotFound, ReasonUnknownTask, false},
		{mapped(engine.ErrNotRetained), codes.NotFound, ReasonNotRetained, false},
		{mapped(engine.ErrDiskReserve), codes.ResourceExhausted, ReasonDisk, true},
		{mapped(context.Canceled), codes.Canceled, ReasonCallEnded, false},
		{mapped(context.DeadlineExceeded), codes.DeadlineExceeded, ReasonCallEnded, false},
		{mapped(errors.New("/secret/path: broken")), codes.Internal, ReasonInternal, false},
		{core(scheduler.CodeKeyConflict), codes.AlreadyExists, ReasonKeyConflict, false},
		{core(scheduler.CodeProducerWindow), codes.FailedPrecondition, ReasonProducerWindow, false},
		{core(scheduler.CodeLimitTasks), codes.ResourceExhausted, ReasonLimitTasks, true},
		{core(scheduler.CodeLimitDepth), codes.ResourceExhausted, ReasonLimitDepth, true},
		{core(scheduler.CodeLimitQueues), codes.ResourceExhausted, ReasonLimitQueues, true},
		{core(scheduler.CodeLimitShapes), codes.ResourceExhausted, ReasonLimitShapes, true},
		{core(scheduler.CodeLimitProducers), codes.ResourceExhausted, ReasonLimitProducers, true},
		{core(scheduler.CodeLimitKeys), codes.ResourceExhausted, ReasonLimitKeys, true},
		{core(scheduler.CodeInvalid), codes.InvalidArgument, ReasonInvalid, false},
		{core(scheduler.CodeStale), codes.Internal, ReasonInternal, false},
		{codeError(scheduler.CodeNotFound, "q"), codes.NotFound, ReasonUnknownQueue, false},
		{codeError(scheduler.CodeLimitQueues, "q"), codes.ResourceExhausted, ReasonLimitQueues, true},
		{helloError(scheduler.CodeNameTaken, "w"), codes.AlreadyExists, ReasonNameTaken, false},
		{helloError(scheduler.CodeLimitSessions, "w"), codes.ResourceExhausted, ReasonLimitSessions, true},
		{helloError(scheduler.CodeInvalid, "w"), codes.InvalidArgument, ReasonInvalid, false},
		{endError(session.EndReplaced), codes.Aborted, ReasonReplaced, false},
		{endError(session.EndExpired), codes.Aborted, ReasonExpired, false},
		{endError(session.EndBadReceipt), codes.InvalidArgument, ReasonInvalid, false},
		{endError(session.EndTooMany), codes.InvalidArgument, ReasonInvalid, false},
		{endError(session.EndBadOutcomes), codes.InvalidArgument, ReasonInvalid, false},
	} {
		st := wantStatus(t, x.err, x.code, x.reason)
		if hasRetry(st) != x.retry {
			t.Errorf("%s: RetryInfo %v, want %v", x.reason, hasRetry(st), x.retry)
		}
		if strings.Contains(st.Message(), "/secret") || strings.ContainsRune(st.Message(), '\n') {
			t.Errorf("%s says too much: %q", x.reason, st.Message())
		}
	}
	if endError(session.EndClosed) != nil || codeError(scheduler.CodeOK, "") != nil || core(scheduler.CodeOK) != nil {
		t.Error("success is refused")
	}
	for _, d := range status.Convert(core(scheduler.CodeKeyConflict)).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && (info.GetMetadata()["task_id"] != "7" || info.GetMetadata()["index"] != "1") {
			t.Errorf("metadata %v", info.GetMetadata())
		}
	}
}
