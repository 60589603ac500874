package rpc

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

var states = map[scheduler.TaskState]yardmasterv1.TaskState{
	scheduler.Scheduled: yardmasterv1.TaskState_TASK_STATE_SCHEDULED,
	scheduler.Waiting:   yardmasterv1.TaskState_TASK_STATE_WAITING,
	scheduler.Pending:   yardmasterv1.TaskState_TASK_STATE_PENDING,
	scheduler.Leased:    yardmasterv1.TaskState_TASK_STATE_LEASED,
	scheduler.Succeeded: yardmasterv1.TaskState_TASK_STATE_SUCCEEDED,
	scheduler.Dead:      yardmasterv1.TaskState_TASK_STATE_DEAD,
	scheduler.Cancelled: yardmasterv1.TaskState_TASK_STATE_CANCELLED,
	scheduler.Expired:   yardmasterv1.TaskState_TASK_STATE_EXPIRED,
}

// taskProto shows a task.
func (s *Server) taskProto(t *engine.Task, payload bool) *yardmasterv1.Task {
	if t.Finished != nil {
		return finishedProto(t, payload)
	}
	i := t.Live
	p := &yardmasterv1.Task{
		Id: uint64(i.ID), Kind: i.Kind, Queue: i.Queue, State: s.liveState(i), Priority: int32(i.Priority),
		Weight: uint32(i.Weight), Generation: i.Gen, Attempts: uint32(i.Attempts), WorkerLosses: uint32(i.Losses),
		CancelRequested: i.Flags&scheduler.FlagCancelRequested != 0, SubmitTime: at(i.Submitted),
		StartBy: at(i.StartBy), Deadline: at(i.Deadline), PayloadBytes: i.PayloadBytes, Require: labelMap(i.Require),
		LastFailure: failureProto(t.LastFailure), Suspect: i.Suspect,
	}
	if i.State == scheduler.Scheduled {
		p.DueTime = at(i.Due)
	}
	policyProto(p, i.Policy)
	bodyProto(p, t.Body, payload)
	if i.State == scheduler.Leased {
		p.Lease = &yardmasterv1.Lease{
			Token: uint64(i.Lease.Token), Worker: i.Worker, SessionId: uint64(i.Lease.Session), GrantTime: at(i.Lease.Granted),
		}
		p.Progress = s.progressProto(i.Lease.Session, i.Lease.Token)
	}
	return p
}

// progressProto shows what a handler last said of its progress; nil: nothing is known.
func (s *Server) progressProto(id scheduler.SessionID, token scheduler.Token) *yardmasterv1.Progress {
	permille, message, heard, ok := s.registry.progress(id, token)
	if !ok {
		return nil
	}
	return &yardmasterv1.Progress{Permille: permille, Message: message, ReportTime: at(heard)}
}

// eventProto shows an event.
func eventProto(e *engine.Event) *yardmasterv1.Event {
	return &yardmasterv1.Event{
		Position: e.Position, Time: at(e.At), Type: yardmasterv1.Event_Type(e.Type), TaskId: uint64(e.Task), Queue: e.Queue, Kind: e.Kind,
		Worker: e.Worker, SessionId: uint64(e.Session), Token: uint64(e.Token), Attempt: e.Attempt, Generation: e.Gen,
		Cause: yardmasterv1.Cause(e.Cause),
	}
}

// softProto shows a STARTED or PROGRESS event.
func softProto(e *softEvent) *yardmasterv1.Event {
	p := eventProto(&e.Event)
	if e.Type == scheduler.EventProgress {
		p.Progress = &yardmasterv1.Progress{Permille: e.permille, Message: e.message, ReportTime: at(e.At)}
	}
	return p
}

// liveState is RUNNING for a lease that this leader has heard the start of.
func (s *Server) liveState(i *scheduler.TaskInfo) yardmasterv1.TaskState {
	if i.State == scheduler.Leased && s.registry.started(i.Lease.Session, i.Lease.Token) {
		return yardmasterv1.TaskState_TASK_STATE_RUNNING
	}
	return states[i.State]
}

func finishedProto(t *engine.Task, payload bool) *yardmasterv1.Task {
	f := t.Finished
	spec := f.GetSpec()
	p := &yardmasterv1.Task{
		Id: uint64(t.ID), Kind: spec.GetKind(), Queue: spec.GetQueue(), State: states[scheduler.TaskState(f.GetState())],
		Priority: spec.GetPriority(), Weight: spec.GetWeight(), Generation: f.GetGen(), Attempts: f.GetAttempts(),
		WorkerLosses: f.GetLosses(), SubmitTime: at(scheduler.Time(f.GetSubmitted())),
		StartBy: at(scheduler.Time(spec.GetStartBy())), Deadline: at(scheduler.Time(spec.GetDeadline())),
		PayloadBytes: spec.GetPayloadBytes(), Require: storedLabels(spec.GetRequire()), Labels: storedLabels(f.GetLabels()),
		Outcome: outcomeProto(f),
	}
	policyProto(p, storedPolicy(spec.GetPolicy()))
	if payload {
		p.Payload = t.Body.GetPayload()
	}
	return p
}

// unreadableText says what became of a task whose payload was to be read, and what to do.
const unreadableText = "its payload is damaged in the coordinator's storage and can't be read: run `coordinator check` to see all damage, " +
	"then restore a backup, or submit the task again"

// outcomeProto shows how a task ended.
func outcomeProto(f *storagev1.Finished) *yardmasterv1.Outcome {
	state := scheduler.TaskState(f.GetState())
	o := &yardmasterv1.Outcome{
		State: states[state], Cause: yardmasterv1.Cause(f.GetCause()), FinishTime: at(scheduler.Time(f.GetFinished())),
		Attempts: f.GetAttempts(), Token: f.GetToken(), Worker: f.GetWorker(), Failure: failureProto(f.GetLastFailure()),
	}
	switch {
	case scheduler.Cause(f.GetCause()) == scheduler.CauseUnreadable:
		o.Failure = &yardmasterv1.Failure{Cause: o.Cause, Message: unreadableText}
	case state == scheduler.Succeeded:
		o.Result = f.GetDetail().GetResult()
	case f.GetDetail().GetMessage() != "" || state == scheduler.Dead && f.GetDetail() != nil:
		o.Failure = failureOf(f.GetCause(), f.GetDetail())
	}
	return o
}

func failureProto(a *storagev1.Attempt) *yardmasterv1.Failure {
	if a == nil {
		return nil
	}
	return failureOf(a.GetCause(), a.GetDetail())
}

func failureOf(cause uint32, d *storagev1.Detail) *yardmasterv1.Failure {
	return &yardmasterv1.Failure{
		Cause: yardmasterv1.Cause(cause), Message: d.GetMessage(), ExitCode: d.GetExitCode(), Signal: d.GetSignal(), Detail: d.GetText(),
	}
}

func policyProto(p *yardmasterv1.Task, x scheduler.Policy) {
	p.AttemptTimeout, p.Retention, p.DeadRetention = span(x.AttemptTimeout), span(x.Retention), span(x.DeadRetention)
	p.Retry = &yardmasterv1.RetryPolicy{
		MaxAttempts: uint32(x.MaxAttempts), MaxWorkerLosses: uint32(x.MaxLosses), Backoff: span(x.Backoff),
		BackoffFactor: uint32(x.Factor), BackoffMax: span(x.BackoffMax),
	}
}

func bodyProto(p *yardmasterv1.Task, b *storagev1.Body, payload bool) {
	p.Labels = storedLabels(b.GetLabels())
	if payload {
		p.Payload = b.GetPayload()
	}
}

// storedPolicy is the policy of a finished task's spec.
func storedPolicy(p *storagev1.Policy) scheduler.Policy {
	if p == nil {
		return scheduler.DefaultPolicy()
	}
	return scheduler.Policy{
		AttemptTimeout: scheduler.Duration(p.GetAttemptTimeout()), Backoff: scheduler.Duration(p.GetBackoff()),
		BackoffMax: scheduler.Duration(p.GetBackoffMax()), Retention: scheduler.Duration(p.GetRetention()),
		DeadRetention: scheduler.Duration(p.GetDeadRetention()), MaxAttempts: uint16(p.GetMaxAttempts()),
		MaxLosses: uint8(p.GetMaxLosses()), Factor: uint8(p.GetFactor()),
	}
}

// storedSpec is the spec of a dead letter's row, for a retry. Body, times and key stay what they are.
func storedSpec(p *storagev1.TaskSpec) scheduler.TaskSpec {
	spec := scheduler.TaskSpec{
		Kind: p.GetKind(), Queue: p.GetQueue(), Priority: int8(p.GetPriority()), Weight: uint16(p.GetWeight()),
		HasLabels: p.GetHasLabels(), Policy: storedPolicy(p.GetPolicy()), PayloadBytes: p.GetPayloadBytes(),
	}
	for _, l := range p.GetRequire() {
		spec.Require = append(spec.Require, scheduler.Label{Key: l.GetKey(), Value: l.GetValue()})
	}
	return spec
}

func storedLabels(list []*storagev1.Label) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list))
	for _, l := range list {
		m[l.GetKey()] = l.GetValue()
	}
	return m
}

func labelMap(list []scheduler.Label) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list))
	for _, l := range list {
		m[l.Key] = l.Value
	}
	return m
}

// at shows a point of time; 0 is none.
func at(t scheduler.Time) *timestamppb.Timestamp {
	if t == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, int64(t)))
}

func span(d scheduler.Duration) *durationpb.Duration { return durationpb.New(time.Duration(d)) }
