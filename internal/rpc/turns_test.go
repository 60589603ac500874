package rpc

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// deleting begins a Delete, whose answers come when it has ended.
func (r *rig) deleting(ctx context.Context, ids ...uint64) chan []*yardmasterv1.TaskResult {
	done := make(chan []*yardmasterv1.TaskResult, 1)
	go func() {
		res, err := r.tasks.Delete(ctx, &yardmasterv1.TaskServiceDeleteRequest{TaskIds: ids})
		if err != nil && status.Code(err) != codes.Canceled {
			r.t.Error(err)
		}
		done <- res.GetResults()
	}()
	synctest.Wait()
	return done
}

// TestDeletesTakeTurns: of two deletes of a task at the same time one has deleted it, and the other finds nothing. Other
// tasks' deletes don't wait, and one that is given up lets the next go on.
func TestDeletesTakeTurns(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.submit(3, 0)
		r.cancelled(1, 3)
		r.e.hold()
		first := r.deleting(r.ctx, 1, 2)
		ctx, cancel := context.WithCancel(r.ctx)
		givenUp := r.deleting(ctx, 2)
		second := r.deleting(r.ctx, 2, 1)
		other := r.deleting(r.ctx, 3)
		cancel()
		<-givenUp
		synctest.Wait() // the server knows
		r.e.release()
		if got := (<-first)[1].GetCode(); got != yardmasterv1.TaskResult_CODE_DONE {
			t.Errorf("the first: %s", got)
		}
		if got := (<-second)[0].GetCode(); got != yardmasterv1.TaskResult_CODE_NOT_FOUND {
			t.Errorf("the second: %s", got)
		}
		if got := (<-other)[0].GetCode(); got != yardmasterv1.TaskResult_CODE_DONE {
			t.Errorf("of another task: %s", got)
		}
		if n := len(r.e.ops(scheduler.OpDelete)); n != 3 {
			t.Errorf("%d deletes were carried out, want 3", n)
		}
	})
}

// TestDeleteOfTaskThatEnds: a task that lived when the delete read it and ended before the delete was carried out is there,
// and not NOT_FOUND. The script is what the core says of one that it was not told to have been found.
func TestDeleteOfTaskThatEnds(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.submit(1, 0)
		r.e.script = func(cmd scheduler.Command) (engine.Result, error, bool) {
			if cmd.Op != scheduler.OpDelete || cmd.Delete.Items[0].Found {
				return engine.Result{}, nil, false
			}
			missing := []scheduler.ItemResult{{ID: 1, Code: scheduler.ItemNotFound}, {ID: 99, Code: scheduler.ItemNotFound}}
			return engine.Result{Reply: scheduler.Reply{Code: scheduler.CodeOK}, Items: missing}, nil, true
		}
		got := <-r.deleting(r.ctx, 1, 99)
		if got[0].GetCode() != yardmasterv1.TaskResult_CODE_NOT_TERMINAL || got[1].GetCode() != yardmasterv1.TaskResult_CODE_NOT_FOUND {
			t.Errorf("%v", got)
		}
	})
}
