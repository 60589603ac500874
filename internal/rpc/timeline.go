package rpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Timeline returns a task and its ended attempts. Of a finished task the accepted outcome is the last of them.
func (t *taskService) Timeline(ctx context.Context, req *yardmasterv1.TimelineRequest) (*yardmasterv1.TimelineResponse, error) {
	x, err := t.s.engine.Timeline(ctx, scheduler.TaskID(req.GetTaskId()))
	if err != nil {
		return nil, t.s.fail("read a task's timeline", err)
	}
	res := &yardmasterv1.TimelineResponse{Task: t.s.taskProto(x.Task, false), EarlierAttempts: x.Earlier}
	for _, a := range x.Attempts {
		res.Attempts = append(res.Attempts, attemptProto(a))
	}
	if last := lastAttempt(x.Task.Finished, x.Attempts); last != nil {
		res.Attempts = append(res.Attempts, last)
	}
	return res, nil
}

func attemptProto(a *storagev1.Attempt) *yardmasterv1.Attempt {
	return &yardmasterv1.Attempt{
		Number: a.GetAttempt(), Generation: a.GetGen(), Token: a.GetToken(), Worker: a.GetWorker(), SessionId: a.GetSession(),
		GrantTime: at(scheduler.Time(a.GetGranted())), EndTime: at(scheduler.Time(a.GetEnded())), RunTime: ran(a.GetDetail()),
		Failure: failureProto(a),
	}
}

// lastCharged is the number of the last of some attempts that spent one of a generation.
func lastCharged(list []*storagev1.Attempt, gen uint32) (number uint32) {
	for _, a := range list {
		if a.GetGen() == gen && scheduler.Cause(a.GetCause()) != scheduler.CauseWorkerLost {
			number = max(number, a.GetAttempt())
		}
	}
	return number
}

// lastAttempt is the one whose outcome ended a task; nil: none did.
func lastAttempt(f *storagev1.Finished, earlier []*storagev1.Attempt) *yardmasterv1.Attempt {
	if f.GetToken() == 0 {
		return nil
	}
	a := &yardmasterv1.Attempt{
		Number: f.GetAttempts(), Generation: f.GetGen(), Token: f.GetToken(), Worker: f.GetWorker(), SessionId: f.GetSession(),
		GrantTime: at(scheduler.Time(f.GetGranted())), EndTime: at(scheduler.Time(f.GetFinished())), RunTime: ran(f.GetDetail()),
		Succeeded: scheduler.TaskState(f.GetState()) == scheduler.Succeeded,
	}
	if !a.GetSucceeded() {
		a.Failure = failureOf(f.GetCause(), f.GetDetail())
	}
	if state := scheduler.TaskState(f.GetState()); state == scheduler.Cancelled || state == scheduler.Expired {
		a.Number = max(a.Number, lastCharged(earlier, f.GetGen())+1) // a stop that was asked for spends no attempt
	}
	return a
}

// ran is how long a handler ran, as its worker measured it: stored plus one.
func ran(d *storagev1.Detail) *durationpb.Duration {
	if d.GetRan() <= 0 {
		return nil
	}
	return durationpb.New(time.Duration(d.GetRan() - 1))
}
