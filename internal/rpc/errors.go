package rpc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// Domain is that of every ErrorInfo.
const Domain = "yardmaster"

// Reasons of ErrorInfo: what scripts and clients may rely on.
const (
	ReasonInvalid        = "INVALID_REQUEST"      // INVALID_ARGUMENT, with BadRequest
	ReasonUnknownTask    = "TASK_UNKNOWN"         // NOT_FOUND: the id was never assigned
	ReasonNotRetained    = "OUTCOME_NOT_RETAINED" // NOT_FOUND: it existed, its retention is over
	ReasonUnknownQueue   = "QUEUE_UNKNOWN"        // NOT_FOUND
	ReasonUnknownWorker  = "WORKER_UNKNOWN"       // NOT_FOUND
	ReasonKeyConflict    = "KEY_CONFLICT"         // ALREADY_EXISTS; metadata: task_id, index
	ReasonProducerWindow = "PRODUCER_WINDOW"      // FAILED_PRECONDITION
	ReasonLimitTasks     = "LIMIT_TASKS"          // RESOURCE_EXHAUSTED, as the LIMIT_ below; metadata: index
	ReasonLimitDepth     = "LIMIT_QUEUE_DEPTH"
	ReasonLimitQueues    = "LIMIT_QUEUES"
	ReasonLimitShapes    = "LIMIT_SHAPES"
	ReasonLimitSessions  = "LIMIT_SESSIONS"
	ReasonLimitProducers = "LIMIT_PRODUCERS"
	ReasonLimitKeys      = "LIMIT_KEYS"
	ReasonLimitWatchers  = "LIMIT_WATCHERS"
	ReasonDisk           = "DISK_RESERVE"       // RESOURCE_EXHAUSTED
	ReasonBackupRoom     = "BACKUP_ROOM"        // RESOURCE_EXHAUSTED
	ReasonBackupRunning  = "BACKUP_RUNNING"     // RESOURCE_EXHAUSTED
	ReasonUnreadable     = "PAYLOAD_UNREADABLE" // DATA_LOSS; metadata: task_id
	ReasonNotLeader      = "NOT_LEADER"         // UNAVAILABLE
	ReasonStopping       = "STOPPING"           // UNAVAILABLE
	ReasonFateUnknown    = "FATE_UNKNOWN"       // UNAVAILABLE: it may or may not have been carried out
	ReasonProtocol       = "PROTOCOL_VERSION"   // FAILED_PRECONDITION
	ReasonNameTaken      = "NAME_TAKEN"         // ALREADY_EXISTS: another live process has the worker's name
	ReasonReplaced       = "SESSION_REPLACED"   // ABORTED
	ReasonExpired        = "SESSION_EXPIRED"    // ABORTED
	ReasonSlowReader     = "SLOW_READER"        // ABORTED
	ReasonNoHello        = "NO_HELLO"           // ABORTED
	ReasonInternal       = "INTERNAL"           // INTERNAL: a bug; the coordinator's log has it
	ReasonCallEnded      = "CALL_ENDED"         // CANCELLED, DEADLINE_EXCEEDED
)

// When to come back.
const (
	retryLimit    = time.Second
	retryDisk     = 10 * time.Second
	retryLeader   = 500 * time.Millisecond
	retryStopping = time.Second
)

// errEnded is the cause of contexts that EndStreams ends.
var errEnded = fmt.Errorf("streams are ended: %w", engine.ErrStopping)

// refuse makes a status with its details. meta are pairs.
func refuse(code codes.Code, reason string, retry time.Duration, message string, meta ...string) error {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: Domain}
	for i := 0; i+1 < len(meta); i += 2 {
		if info.Metadata == nil {
			info.Metadata = map[string]string{}
		}
		info.Metadata[meta[i]] = meta[i+1]
	}
	details := []protoadapt.MessageV1{info}
	if retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	}
	return withDetails(code, message, details)
}

func withDetails(code codes.Code, message string, details []protoadapt.MessageV1) error {
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		return status.Error(code, message)
	}
	return st.Err()
}

// err is the refusal of a request with fields at fault, or nil.
func (v *violations) err() error {
	if !v.any() {
		return nil
	}
	first := v.list[0]
	message := first.GetField() + ": " + first.GetDescription()
	if n := len(v.list) + v.more - 1; n > 0 {
		message += fmt.Sprintf(" (and %d more fields)", n)
	}
	return withDetails(codes.InvalidArgument, message, []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: ReasonInvalid, Domain: Domain}, &errdetails.BadRequest{FieldViolations: v.list},
	})
}

// invalid is the refusal of one field.
func invalid(field, format string, args ...any) error {
	var v violations
	v.add(field, format, args...)
	return v.err()
}

// engineError maps what the engine returned. known is false for what no caller can have caused.
func engineError(err error) (known bool, mapped error) {
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, engine.ErrUnknown):
		return true, refuse(codes.Unavailable, ReasonFateUnknown, retryLeader,
			"leadership was lost while the request was in flight; it may or may not have been carried out")
	case errors.Is(err, engine.ErrNotLeader):
		return true, refuse(codes.Unavailable, ReasonNotLeader, retryLeader, "this coordinator isn't the leader")
	case errors.Is(err, engine.ErrStopping):
		return true, refuse(codes.Unavailable, ReasonStopping, retryStopping, "the coordinator is stopping")
	case errors.Is(err, engine.ErrNoTask):
		return true, refuse(codes.NotFound, ReasonUnknownTask, 0, "task_id: no task has this id yet: check it")
	case errors.Is(err, engine.ErrNotRetained):
		return true, refuse(codes.NotFound, ReasonNotRetained, 0, "task_id: the task has ended and its retention is over: submit with a longer retention, or await it")
	case errors.Is(err, engine.ErrDiskReserve):
		return true, refuse(codes.ResourceExhausted, ReasonDisk, retryDisk, err.Error())
	case errors.Is(err, context.Canceled):
		return true, refuse(codes.Canceled, ReasonCallEnded, 0, "the call was cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		return true, refuse(codes.DeadlineExceeded, ReasonCallEnded, 0, "the call's deadline passed")
	}
	if _, ok := status.FromError(err); ok {
		return true, err
	}
	return false, refuse(codes.Internal, ReasonInternal, 0, "internal error; the coordinator's log has it")
}

// codeError maps what the core answered to a command other than a Submit or Hello.
func codeError(code scheduler.Code, what string) error {
	switch code {
	case scheduler.CodeOK:
		return nil
	case scheduler.CodeNotFound:
		return unknownQueue(what)
	case scheduler.CodeLimitQueues:
		return limitQueues()
	case scheduler.CodeInvalid:
		return refuse(codes.InvalidArgument, ReasonInvalid, 0, "the request breaks a limit of the core that this server doesn't check: please report it")
	}
	return refuse(codes.Internal, ReasonInternal, 0, "unexpected answer "+code.String())
}

func unknownQueue(name string) error {
	return refuse(codes.NotFound, ReasonUnknownQueue, 0, "no queue "+quote(name)+": it is made by its first submit or by yardctl queue configure")
}

// limitText says that there are too many of something: what, the limit, how many there are, and the cure.
func limitText(what string, limit, have uint64, cure string) string {
	return fmt.Sprintf("%s: want at most %d, there are %d: %s", what, limit, have, cure)
}

func limitQueues(meta ...string) error {
	return refuse(codes.ResourceExhausted, ReasonLimitQueues, retryLimit,
		limitText("queues", scheduler.QueuesMax, scheduler.QueuesMax, "use fewer, and labels to tell tasks apart"), meta...)
}

// submitError maps the core's refusal of a Submit. limits.Depth is that of the queue concerned.
func submitError(res engine.Result, tasks []scheduler.TaskSpec, limits scheduler.Limits) error {
	i := int(res.Index)
	at, queue := []string{"index", strconv.Itoa(i)}, ""
	if i < len(tasks) {
		queue = tasks[i].Queue
	}
	limit := func(reason, what string, most uint64, cure string) error {
		return refuse(codes.ResourceExhausted, reason, retryLimit, fmt.Sprintf("tasks[%d]: ", i)+limitText(what, most, most, cure), at...)
	}
	switch res.Code {
	case scheduler.CodeOK:
		return nil
	case scheduler.CodeKeyConflict:
		return keyConflict(i, res.First, at)
	case scheduler.CodeProducerWindow:
		return refuse(codes.FailedPrecondition, ReasonProducerWindow, 0, fmt.Sprintf(
			"producer.number: want one within the producer's window of %d, or 1 of a new producer (one unused for an hour is forgotten); nothing was carried out: draw a new producer id and start at 1",
			scheduler.ProducerWindow))
	case scheduler.CodeLimitTasks:
		return limit(ReasonLimitTasks, "unfinished tasks of the cluster", limits.MaxTasks, "wait, or raise --max-tasks")
	case scheduler.CodeLimitDepth:
		return depthError(i, queue, tasks, limits.Depth, at)
	case scheduler.CodeLimitShapes:
		return limit(ReasonLimitShapes, "combinations of kind, require and weight among the unfinished tasks of queue "+quote(queue), scheduler.ShapesMax,
			"use fewer, or another queue")
	case scheduler.CodeLimitQueues:
		return limitQueues(at...)
	case scheduler.CodeLimitProducers:
		return refuse(codes.ResourceExhausted, ReasonLimitProducers, retryLimit,
			limitText("producers used within 10 minutes", scheduler.ProducersMax, scheduler.ProducersMax, "share clients between submitters"))
	case scheduler.CodeLimitKeys:
		return limit(ReasonLimitKeys, "idempotency keys", scheduler.KeysMax, "use producers in place of keys")
	case scheduler.CodeInvalid:
		return refuse(codes.InvalidArgument, ReasonInvalid, 0, fmt.Sprintf("tasks[%d] breaks a limit of the core that this server doesn't check: please report it", i), at...)
	}
	return refuse(codes.Internal, ReasonInternal, 0, "unexpected answer "+res.Code.String())
}

func keyConflict(i int, other scheduler.TaskID, at []string) error {
	message := fmt.Sprintf("tasks[%d].idempotency_key: want the spec that it was used with by task %d, got another: send the same spec, or another key", i, other)
	if other == 0 {
		message = fmt.Sprintf("tasks[%d].idempotency_key: stands in the same request with another spec: send the same spec, or another key", i)
	}
	return refuse(codes.AlreadyExists, ReasonKeyConflict, 0, message,
		append(at, "task_id", strconv.FormatUint(uint64(other), 10))...)
}

// depthError tells a queue that is full from a batch that is larger than the queue may ever be.
func depthError(i int, queue string, tasks []scheduler.TaskSpec, depth uint64, at []string) error {
	n := uint64(0)
	for j := range tasks {
		if tasks[j].Queue == queue {
			n++
		}
	}
	retry := retryLimit
	message := fmt.Sprintf("tasks[%d]: unfinished tasks of queue %s: want at most %d, and it is full: wait, add workers, or raise its depth_limit (yardctl queue configure --depth)",
		i, quote(queue), depth)
	if n > depth {
		retry = 0
		message = fmt.Sprintf("tasks: queue %s may hold %d unfinished tasks, got %d in one batch: split the batch, or raise its depth_limit (yardctl queue configure --depth)", quote(queue), depth, n)
	}
	return refuse(codes.ResourceExhausted, ReasonLimitDepth, retry, message, at...)
}

// helloError maps the core's refusal of a session.
func helloError(code scheduler.Code, worker string) error {
	switch code {
	case scheduler.CodeNameTaken:
		return refuse(codes.AlreadyExists, ReasonNameTaken, 0,
			"hello.worker_name: another live process is the worker "+quote(worker)+": give this one another --name, or stop the other")
	case scheduler.CodeLimitSessions:
		return refuse(codes.ResourceExhausted, ReasonLimitSessions, retryLimit,
			limitText("sessions", scheduler.SessionsMax, scheduler.SessionsMax, "run fewer workers with more slots"))
	case scheduler.CodeInvalid:
		return invalid("hello", "breaks a limit, or answers_through is beyond what was answered")
	}
	return refuse(codes.Internal, ReasonInternal, 0, "unexpected answer "+code.String())
}

// endError is the status of a stream that the session's machine ends.
func endError(why session.EndReason) error {
	switch why {
	case session.EndClosed:
		return nil
	case session.EndReplaced:
		return refuse(codes.Aborted, ReasonReplaced, 0, "a newer stream of this process has taken the session over")
	case session.EndExpired:
		return refuse(codes.Aborted, ReasonExpired, 0, "the session is over: open a new one")
	case session.EndBadReceipt:
		return invalid("received_through", "is beyond the last Grants sent on this stream")
	case session.EndTooMany:
		return invalid("outcomes", "want at most %d unanswered", session.OutcomesUnanswered)
	case session.EndBadOutcomes:
		return invalid("outcomes.first_seq", "numbers must run on without gaps, at most %d above answers_through, which must have been answered",
			session.OutcomesUnanswered)
	case session.EndBadRecalled:
		return invalid("recalled.tokens", "want only tokens that a Recall on this stream asked for and that were not started")
	}
	return refuse(codes.Internal, ReasonInternal, 0, "unknown end of a stream")
}

func notLeader() error { _, err := engineError(engine.ErrNotLeader); return err }

func slowReader() error {
	return refuse(codes.Aborted, ReasonSlowReader, 0, fmt.Sprintf("nothing was read for %s while there was something to read", SendBlockedMax))
}

func noHello() error {
	return refuse(codes.Aborted, ReasonNoHello, 0, fmt.Sprintf("no Hello came within %s", HelloMax))
}
