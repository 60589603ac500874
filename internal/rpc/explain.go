package rpc

import (
	"context"
	"fmt"
	"time"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Explain says why a task is where it is. A task that ends between the two looks is explained as ended.
func (t *taskService) Explain(ctx context.Context, req *yardmasterv1.TaskServiceExplainRequest) (*yardmasterv1.TaskServiceExplainResponse, error) {
	id := scheduler.TaskID(req.GetTaskId())
	x, err := t.s.engine.Explain(id)
	if err == nil {
		return t.explainLive(id, &x), nil
	}
	if !missing(err) {
		return nil, t.s.fail("explain a task", err)
	}
	task, err := t.s.engine.Task(ctx, id)
	if err != nil {
		return nil, t.s.fail("explain a task", err)
	}
	if task.Finished == nil { // revived meanwhile
		if x, err = t.s.engine.Explain(id); err != nil {
			return nil, t.s.fail("explain a task", err)
		}
		return t.explainLive(id, &x), nil
	}
	return explainEnd(task), nil
}

func (t *taskService) explainLive(id scheduler.TaskID, x *scheduler.Explanation) *yardmasterv1.TaskServiceExplainResponse {
	res := &yardmasterv1.TaskServiceExplainResponse{TaskId: uint64(id), State: t.s.liveState(&x.Task)}
	q, _ := t.s.engine.Queue(x.Task.Queue)
	res.Reasons = reasons(&situation{
		task: &x.Task, queue: &q, running: res.State == yardmasterv1.TaskState_TASK_STATE_RUNNING, now: t.s.engine.Now(),
	}, x.Reasons)
	where := fmt.Sprintf("task %d (%s in queue %s) is %s", id, x.Task.Kind, x.Task.Queue, stateWord(res.State))
	res.Summary = summary(where, res.Reasons, "nothing holds it back, it is granted next.")
	return res
}

// summary is where something stands and the first reason for it.
func summary(where string, reasons []*yardmasterv1.Reason, otherwise string) string {
	switch len(reasons) {
	case 0:
		return where + ": " + otherwise
	case 1:
		return where + ": " + reasons[0].GetDetail()
	}
	return fmt.Sprintf("%s: %s (%d conditions in all)", where, reasons[0].GetDetail(), len(reasons))
}

// situation is what sentences about a task are made of.
type situation struct {
	task    *scheduler.TaskInfo
	queue   *scheduler.QueueInfo // its
	running bool
	now     scheduler.Time
}

func reasons(x *situation, list []scheduler.Reason) []*yardmasterv1.Reason {
	var out []*yardmasterv1.Reason
	for i := range list {
		r := &list[i]
		out = append(out, &yardmasterv1.Reason{Code: yardmasterv1.Reason_Code(r.Code), Count: uint32(r.Count), Detail: x.detail(r)})
	}
	return out
}

func explainEnd(t *engine.Task) *yardmasterv1.TaskServiceExplainResponse {
	f := t.Finished
	state := states[scheduler.TaskState(f.GetState())]
	text := fmt.Sprintf("it ended as %s at %s, attempts spent: %d", stateWord(state),
		time.Unix(0, f.GetFinished()).UTC().Format(time.RFC3339), f.GetAttempts())
	if cause := scheduler.Cause(f.GetCause()); cause != scheduler.CauseNone {
		text += ", cause " + cause.String()
	}
	if message := f.GetDetail().GetMessage(); message != "" {
		text += ": " + quote(message)
	}
	switch {
	case scheduler.Cause(f.GetCause()) == scheduler.CauseUnreadable:
		text += ": " + unreadableText
	case scheduler.TaskState(f.GetState()) == scheduler.Dead:
		text += fmt.Sprintf("; yardctl task retry %d gives it a new generation", t.ID)
	}
	text += "."
	return &yardmasterv1.TaskServiceExplainResponse{
		TaskId: uint64(t.ID), State: state, Summary: fmt.Sprintf("task %d: %s", t.ID, text),
		Reasons: []*yardmasterv1.Reason{{Code: yardmasterv1.Reason_CODE_TERMINAL, Count: 1, Detail: text}},
	}
}

// stateWord is a state's name without its prefix.
func stateWord(s yardmasterv1.TaskState) string { return s.String()[len("TASK_STATE_"):] }

// detail is one condition as a sentence, with what would cure it.
func (x *situation) detail(r *scheduler.Reason) string {
	t := x.task
	who := fmt.Sprintf("%d workers (such as %s)", r.Count, r.Example)
	verb := func(one, many string) string {
		if r.Count == 1 {
			return "worker " + r.Example + " " + one
		}
		return who + " " + many
	}
	switch r.Code {
	case scheduler.ReasonQueuePaused:
		return fmt.Sprintf("queue %s is paused; yardctl queue resume %s ends that.", t.Queue, t.Queue)
	case scheduler.ReasonNoWorkers:
		if t.Kind == "" { // of a queue as a whole
			return "no worker is registered; start one."
		}
		return fmt.Sprintf("no worker is registered; start one that runs kind %s.", t.Kind)
	case scheduler.ReasonKindNotServed:
		return verb("doesn't", "don't") + fmt.Sprintf(" run kind %s; add it to their handlers, or start a worker that has it.", t.Kind)
	case scheduler.ReasonQueueNotServed:
		return verb("doesn't", "don't") + fmt.Sprintf(" serve queue %s; add --queue %s there, or start a worker that serves it.", t.Queue, t.Queue)
	case scheduler.ReasonLabelMissing:
		return verb("lacks", "lack") + fmt.Sprintf(" the label %s=%s that it requires; start a worker with --label %s=%s.",
			r.Label.Key, r.Label.Value, r.Label.Key, r.Label.Value)
	case scheduler.ReasonPoolTooSmall:
		return verb("has", "have") + fmt.Sprintf(" fewer slots than the %d it weighs in the pool for %s; give that pool more slots.", t.Weight, t.Kind)
	case scheduler.ReasonSlotsBusy:
		return verb("has", "have") + fmt.Sprintf(" fewer free slots than the %d it needs; wait, or add workers or slots.", t.Weight)
	case scheduler.ReasonDetached:
		return verb("is", "are") + " not connected or didn't confirm the last grants; check their network, they get work again when they answer."
	case scheduler.ReasonDraining:
		return verb("is", "are") + " stopping; start another worker, or wait until they are back."
	case scheduler.ReasonNotDue:
		return notDue(t, r, x.now)
	case scheduler.ReasonBehindOthers:
		n := fmt.Sprint(r.Count)
		if r.Count >= 1000 {
			n = "1,000 or more"
		}
		return fmt.Sprintf("%s ready tasks of queue %s go before it (priority, then id); add workers, or submit with a higher priority.", n, t.Queue)
	case scheduler.ReasonLeased:
		return leased(t, x.running, x.now)
	}
	return x.detailOfRest(r, verb)
}

// detailOfRest is detail for what depends on other tasks and on the queue's settings.
func (x *situation) detailOfRest(r *scheduler.Reason, verb func(one, many string) string) string {
	q := x.queue
	switch r.Code {
	case scheduler.ReasonReserved:
		return verb("keeps its", "keep their") + fmt.Sprintf(" free slots for a heavier task that has waited for more than %s; wait, or add workers or slots.",
			time.Duration(scheduler.HeavyWait))
	case scheduler.ReasonSuspectsApart:
		return verb("runs", "run") + fmt.Sprintf(" another suspect, and two are never run on one worker: it is a suspect since its worker was lost %d times; wait, or add workers.",
			scheduler.SuspectLosses)
	case scheduler.ReasonQueueMaxLeases:
		return fmt.Sprintf("queue %s has %d leases and may have %d; wait, or raise it with yardctl queue configure %s --max-leases.",
			q.Name, q.Leased, q.MaxLeases, q.Name)
	case scheduler.ReasonQueueEmpty:
		return fmt.Sprintf("queue %s has no pending task (%d scheduled, %d leased); submit some, or wait for the scheduled ones.",
			q.Name, q.Scheduled, q.Leased)
	}
	return "condition " + fmt.Sprint(r.Code) + "."
}

func notDue(t *scheduler.TaskInfo, r *scheduler.Reason, now scheduler.Time) string {
	why := "its not-before"
	if t.Attempts > 0 {
		why = fmt.Sprintf("the backoff after attempt %d", t.Attempts)
	}
	return fmt.Sprintf("it waits for %s, %s from now (%s).", why,
		time.Duration(max(0, r.Until-now)).Round(time.Millisecond), time.Unix(0, int64(r.Until)).UTC().Format(time.RFC3339))
}

func leased(t *scheduler.TaskInfo, running bool, now scheduler.Time) string {
	text := fmt.Sprintf("worker %s has had it for %s (session %d, token %d)", t.Worker,
		time.Duration(max(0, now-t.Lease.Granted)).Round(time.Millisecond), t.Lease.Session, t.Lease.Token)
	if running {
		text += " and has started it"
	} else {
		text += ", and its start hasn't been heard of"
	}
	if t.Flags&scheduler.FlagCancelRequested != 0 {
		text += fmt.Sprintf("; it was asked to cancel, yardctl task cancel --force %d doesn't wait for that", t.ID)
	}
	return text + "."
}
