package rpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func tasksOf(n int, queue string) []*yardmasterv1.TaskSpec {
	var list []*yardmasterv1.TaskSpec
	for range n {
		list = append(list, &yardmasterv1.TaskSpec{Kind: "k", Queue: queue})
	}
	return list
}

func producerOf(id byte, number, lowest uint64) *yardmasterv1.Producer {
	p := &yardmasterv1.Producer{Id: make([]byte, 16), Number: number, LowestUnanswered: lowest}
	p.Id[0] = id
	return p
}

// submitting submits beside the test.
func (r *rig) submitting(ctx context.Context, req *yardmasterv1.SubmitRequest) chan error {
	done := make(chan error, 1)
	go func() {
		_, err := r.tasks.Submit(ctx, req)
		done <- err
	}()
	return done
}

// cancelled ends tasks that aren't leased.
func (r *rig) cancelled(from, to uint64) {
	r.t.Helper()
	req := &yardmasterv1.TaskServiceCancelRequest{}
	for id := from; id <= to; id++ {
		req.TaskIds = append(req.TaskIds, id)
	}
	if _, err := r.tasks.Cancel(r.ctx, req); err != nil {
		r.t.Fatal(err)
	}
}

func answered(done chan error) bool {
	synctest.Wait()
	select {
	case err := <-done:
		done <- err
		return true
	default:
		return false
	}
}

func (r *rig) depthOf(queue string, n uint32) {
	r.t.Helper()
	if _, err := r.queues.Configure(r.ctx, &yardmasterv1.ConfigureRequest{Name: queue, DepthLimit: &n}); err != nil {
		r.t.Fatal(err)
	}
}

// TestNobodyOvertakesTheLine: who comes while others wait for a queue stands behind them, though it would fit at once.
func TestNobodyOvertakesTheLine(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.depthOf("q", 10)
		if _, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(8, "q")}); err != nil {
			t.Fatal(err)
		}
		large := r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(6, "q"), Producer: producerOf(1, 1, 1)})
		r.pass(RoomPatience + 2*roomLook) // room is kept for it now
		small := r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(2, "q"), Producer: producerOf(2, 1, 1)})
		r.pass(2 * roomLook)
		if answered(small) {
			t.Fatal("it overtook the line")
		}
		other := r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(2, "other")})
		if !answered(other) {
			t.Fatal("one for another queue waits")
		}
		r.cancelled(1, 4)
		r.pass(2 * roomLook)
		if !answered(large) || answered(small) {
			t.Fatal("room was kept for the large one")
		}
		r.cancelled(5, 6)
		r.pass(2 * roomLook)
		if err := <-small; err != nil {
			t.Fatal(err)
		}
		if err := <-large; err != nil {
			t.Fatal(err)
		}
	})
}

// TestARepeatIsAnsweredThoughOthersWait: a request that was carried out is never refused for want of room.
func TestARepeatIsAnsweredThoughOthersWait(t *testing.T) {
	inBubble(t, func(r *rig) {
		first := &yardmasterv1.SubmitRequest{Tasks: tasksOf(500, ""), Producer: producerOf(1, 1, 1)} // the depth
		if _, err := r.tasks.Submit(r.ctx, first); err != nil {
			t.Fatal(err)
		}
		waits := r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(1, ""), Producer: producerOf(2, 1, 1)})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		defer cancel()
		if _, err := r.tasks.Submit(ctx, first); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, <-waits, codes.ResourceExhausted, ReasonLimitDepth)
	})
}

func TestWaitForRoomIsBounded(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.depthOf("q", 10)
		if _, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(10, "q")}); err != nil {
			t.Fatal(err)
		}
		wait := func(ctx context.Context) time.Duration {
			start := time.Now()
			st := wantStatus(t, <-r.submitting(ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(1, "q")}), codes.ResourceExhausted, ReasonLimitDepth)
			if !hasRetry(st) {
				t.Fatal("no RetryInfo")
			}
			return time.Since(start)
		}
		if d := wait(r.ctx); d != SubmitWaitMax {
			t.Fatalf("without a deadline it waited %s", d)
		}
		ctx, cancel := context.WithTimeout(r.ctx, 2*time.Minute)
		defer cancel()
		if d := wait(ctx); d < 119*time.Second || d >= 2*time.Minute {
			t.Fatalf("with a deadline of two minutes it waited %s", d)
		}
		start := time.Now()
		_, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(11, "q")})
		if st := wantStatus(t, err, codes.ResourceExhausted, ReasonLimitDepth); hasRetry(st) || time.Since(start) != 0 {
			t.Fatalf("what never fits: %v after %s", st, time.Since(start))
		}
		if n := len(r.e.ops(scheduler.OpSubmit)); n != 4 {
			t.Fatalf("%d log entries", n)
		}
		ended := r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(1, "q")})
		r.pass(time.Second)
		r.e.observer.TermEnded()
		wantStatus(t, <-ended, codes.Unavailable, ReasonNotLeader)
		r.e.lead(2)
		ended = r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(1, "q")})
		r.pass(time.Second)
		r.s.EndStreams()
		wantStatus(t, <-ended, codes.Unavailable, ReasonStopping)
	})
}

func TestATryThatFailsGoesOnWaiting(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.depthOf("q", 10)
		if _, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(10, "q")}); err != nil {
			t.Fatal(err)
		}
		done := r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(3, "q")})
		synctest.Wait()
		r.e.mu.Lock()
		r.e.settings["q"].Depth = 13 // the counts say that it fits,
		r.e.mu.Unlock()
		r.e.hold()
		r.pass(2 * roomLook)
		r.e.mu.Lock()
		r.e.settings["q"].Depth = 12 // and then it doesn't
		r.e.mu.Unlock()
		r.e.release()
		r.pass(2 * roomLook)
		if answered(done) {
			t.Fatal("it was answered")
		}
		r.cancelled(1, 1)
		r.pass(2 * roomLook)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := len(r.e.ops(scheduler.OpSubmit)); n != 4 {
			t.Fatalf("%d log entries", n)
		}
	})
}
