package rpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

type submitClient struct {
	r  *rig
	gs grpc.BidiStreamingClient[yardmasterv1.SubmitStreamRequest, yardmasterv1.SubmitStreamResponse]
}

func (r *rig) submitStream(ctx context.Context) *submitClient {
	r.t.Helper()
	gs, err := r.tasks.SubmitStream(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return &submitClient{r, gs}
}

func (c *submitClient) send(p *yardmasterv1.Producer, tasks ...*yardmasterv1.TaskSpec) {
	c.r.t.Helper()
	err := c.gs.Send(&yardmasterv1.SubmitStreamRequest{Submit: &yardmasterv1.SubmitRequest{Producer: p, Tasks: tasks}})
	if err != nil && !errors.Is(err, io.EOF) {
		c.r.t.Fatal(err)
	}
}

// stored receives an answer and returns its ids.
func (c *submitClient) stored() []uint64 {
	c.r.t.Helper()
	m, err := c.gs.Recv()
	if err != nil || m.GetStored() == nil {
		c.r.t.Fatalf("%v, %v", m, err)
	}
	return m.GetStored().GetTaskIds()
}

// refused receives a refusal.
func (c *submitClient) refused(code codes.Code, reason string) *status.Status {
	c.r.t.Helper()
	m, err := c.gs.Recv()
	if err != nil || m.GetError() == nil {
		c.r.t.Fatalf("%v, %v", m, err)
	}
	e := m.GetError()
	return wantStatus(c.r.t, status.FromProto(&spb.Status{Code: e.GetCode(), Message: e.GetMessage(), Details: e.GetDetails()}).Err(), code, reason)
}

func (c *submitClient) ends(code codes.Code, reason string) {
	c.r.t.Helper()
	m, err := c.gs.Recv()
	if code == codes.OK {
		if !errors.Is(err, io.EOF) {
			c.r.t.Fatalf("%v, %v", m, err)
		}
		return
	}
	wantStatus(c.r.t, err, code, reason)
}

func TestSubmitStreamAnswersInOrder(t *testing.T) {
	inBubble(t, func(r *rig) {
		c := r.submitStream(r.ctx)
		r.e.hold()
		c.send(producerOf(1, 1, 1), tasksOf(2, "")...)
		c.send(nil)
		c.send(producerOf(1, 2, 1), tasksOf(1, "")...)
		c.send(producerOf(2, 1, 1), tasksOf(1, "")...) // another producer has its own numbers
		synctest.Wait()
		if n := len(r.e.ops(scheduler.OpSubmit)); n != 0 {
			t.Fatal("held")
		}
		if err := c.gs.CloseSend(); err != nil {
			t.Fatal(err)
		}
		r.e.release()
		if ids := c.stored(); len(ids) != 2 || ids[0] != 1 {
			t.Fatal(ids)
		}
		if st := c.refused(codes.InvalidArgument, ReasonInvalid); len(fieldsAtFault(t, st.Err())) != 1 {
			t.Fatal(st)
		}
		if a, b := c.stored(), c.stored(); a[0] != 3 || b[0] != 4 {
			t.Fatal(a, b)
		}
		c.ends(codes.OK, "")
		again := r.submitStream(r.ctx) // repeats what a broken stream left unanswered
		again.send(producerOf(1, 2, 2), tasksOf(1, "")...)
		if ids := again.stored(); ids[0] != 3 {
			t.Fatal(ids)
		}
		again.send(producerOf(1, 2, 2), tasksOf(1, "")...)
		again.ends(codes.InvalidArgument, ReasonInvalid)
	})
}

// TestSubmitStreamReadsNoFurther: while 64 requests, or 16 MiB, are unanswered.
func TestSubmitStreamReadsNoFurther(t *testing.T) {
	for _, x := range []struct {
		bytes, sent, taken int
	}{{0, 100, StreamUnanswered}, {1 << 20, 40, 16}} {
		inBubble(t, func(r *rig) {
			c := r.submitStream(r.ctx)
			r.e.hold()
			go func() {
				for range x.sent {
					_ = c.gs.Send(&yardmasterv1.SubmitStreamRequest{Submit: &yardmasterv1.SubmitRequest{
						Tasks: []*yardmasterv1.TaskSpec{{Kind: "k", Payload: make([]byte, x.bytes)}}}})
				}
				_ = c.gs.CloseSend()
			}()
			synctest.Wait()
			r.e.mu.Lock()
			n := len(r.e.line)
			r.e.mu.Unlock()
			if n != x.taken {
				t.Fatalf("%d were taken, want %d", n, x.taken)
			}
			r.e.release()
			for i := range x.sent {
				if ids := c.stored(); ids[0] != uint64(i+1) {
					t.Fatal(i, ids)
				}
			}
			c.ends(codes.OK, "")
		})
	}
}

func TestSubmitStreamWaitsForRoom(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.depthOf("q", 10)
		ctx, cancel := context.WithTimeout(r.ctx, time.Hour)
		defer cancel()
		c := r.submitStream(ctx)
		c.send(nil, tasksOf(10, "q")...)
		c.send(nil, tasksOf(11, "q")...)
		c.send(nil, tasksOf(1, "q")...)
		c.send(nil, tasksOf(2, "q")...)
		c.stored()
		if st := c.refused(codes.ResourceExhausted, ReasonLimitDepth); hasRetry(st) {
			t.Fatal("what never fits is to be retried")
		}
		start := time.Now()
		if st := c.refused(codes.ResourceExhausted, ReasonLimitDepth); !hasRetry(st) {
			t.Fatal(st)
		}
		if d := time.Since(start); d != SubmitWaitMax {
			t.Fatalf("it waited %s", d)
		}
		r.cancelled(1, 2)
		c.stored()
		c.send(nil, tasksOf(1, "q")...)
		r.pass(time.Second)
		r.s.EndStreams()
		c.ends(codes.Unavailable, ReasonStopping)
	})
}

// TestSubmitStreamStandsInLine: its requests don't overtake others that wait.
func TestSubmitStreamStandsInLine(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.depthOf("q", 10)
		c := r.submitStream(r.ctx)
		c.send(nil, tasksOf(8, "q")...)
		c.stored()
		large := r.submitting(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(6, "q"), Producer: producerOf(1, 1, 1)})
		r.pass(RoomPatience + 2*roomLook)
		n := len(r.e.ops(scheduler.OpSubmit))
		c.send(nil, tasksOf(1, "q")...)
		r.pass(roomLook)
		if len(r.e.ops(scheduler.OpSubmit)) != n {
			t.Fatal("it overtook the line")
		}
		r.cancelled(1, 5)
		if err := <-large; err != nil {
			t.Fatal(err)
		}
		c.stored()
	})
}

func TestSubmitStreamEnds(t *testing.T) {
	inBubble(t, func(r *rig) {
		script := func(err error) {
			r.e.mu.Lock()
			defer r.e.mu.Unlock()
			r.e.script = nil
			if err != nil {
				r.e.script = func(scheduler.Command) (engine.Result, error, bool) { return engine.Result{}, err, true }
			}
		}
		c := r.submitStream(r.ctx)
		script(engine.ErrDiskReserve)
		c.send(nil, tasksOf(1, "")...)
		if st := c.refused(codes.ResourceExhausted, ReasonDisk); !hasRetry(st) {
			t.Fatal(st)
		}
		script(engine.ErrUnknown)
		c.send(nil, tasksOf(1, "")...)
		c.ends(codes.Unavailable, ReasonFateUnknown)
		script(nil)
		c = r.submitStream(r.ctx)
		r.e.hold()
		c.send(nil, tasksOf(1, "")...)
		synctest.Wait()
		r.s.EndStreams()
		c.ends(codes.Unavailable, ReasonStopping)
		r.e.release()
		late := r.submitStream(r.ctx)
		late.ends(codes.Unavailable, ReasonStopping)
	})
}
