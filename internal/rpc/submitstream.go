package rpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
)

// Bounds of a SubmitStream: it reads no further while so much is unanswered. The request that crosses the second is still
// taken, so a stream holds up to one more request than that.
const (
	StreamUnanswered      = 64
	StreamUnansweredBytes = 16 << 20
)

const submitStreamMethod = yardmasterv1.TaskService_SubmitStream_FullMethodName

// submitStream is one SubmitStream. Its recvLoop alone receives: it checks requests and proposes them without waiting for
// their answers. Its sendLoop alone sends: it waits for the answers in the order of the requests, and while the first of
// them is refused for want of room, stands in line for it.
type submitStream struct {
	t   *taskService
	gs  grpc.BidiStreamingServer[yardmasterv1.SubmitStreamRequest, yardmasterv1.SubmitStreamResponse]
	ctx context.Context
	x   *sender

	line    chan *streamed // in order; room for all that may be unanswered, so that recvLoop never waits for sendLoop here
	recvErr error          // once line is closed: why recvLoop ended; nil: the client has sent its last
	last    *yardmasterv1.Producer

	mu         sync.Mutex
	unanswered int
	bytes      int
	freed      chan struct{} // room for one: an answer was sent
}

// streamed is one request of a stream.
type streamed struct {
	*submission       // nil: err says why
	err         error // a refusal before anything was proposed
	behind      bool  // others wait for its queues: it stands in line without having been proposed
	done        chan struct{}
	res         engine.Result // after done
	resErr      error         // after done
}

// SubmitStream stores the tasks of many requests, pipelined.
func (t *taskService) SubmitStream(gs grpc.BidiStreamingServer[yardmasterv1.SubmitStreamRequest, yardmasterv1.SubmitStreamResponse]) error {
	ctx, cancel := context.WithCancelCause(gs.Context())
	defer cancel(nil)
	st := &submitStream{
		t: t, gs: gs, ctx: ctx, x: &sender{end: func(err error) { cancel(err) }}, line: make(chan *streamed, StreamUnanswered),
		freed: make(chan struct{}, 1),
	}
	t.s.watchdog.add(st.x)
	defer t.s.watchdog.drop(st.x)
	t.s.loops.Go(func() {
		st.recvErr = t.s.guarded("receive submits", st.recvLoop)
		close(st.line)
	})
	return t.s.beside(ctx, "submit tasks of a stream", st.sendLoop)
}

// recvLoop takes requests until the client has sent its last.
func (st *submitStream) recvLoop() error {
	for {
		if err := st.waitForAnswers(); err != nil {
			return err
		}
		req, err := st.gs.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(st.ctx, err)
		}
		if err := st.inOrder(req.GetSubmit().GetProducer()); err != nil {
			return err
		}
		x := &streamed{done: make(chan struct{})}
		if x.submission, x.err = st.t.submission(st.ctx, req.GetSubmit()); x.err == nil {
			x.bounded = true
			if err := st.propose(x); err != nil {
				return err
			}
		}
		st.mu.Lock()
		st.unanswered++
		st.bytes += x.size()
		st.mu.Unlock()
		st.line <- x
	}
}

// waitForAnswers waits until another request may be read.
func (st *submitStream) waitForAnswers() error {
	for {
		st.mu.Lock()
		may := st.unanswered < StreamUnanswered && st.bytes < StreamUnansweredBytes
		st.mu.Unlock()
		if may {
			return nil
		}
		select {
		case <-st.freed:
		case <-st.ctx.Done():
			return context.Cause(st.ctx)
		}
	}
}

// inOrder refuses a number that isn't above that of the request before, if both are of the same producer. A client that
// repeats one on the same stream has lost count of its answers.
func (st *submitStream) inOrder(p *yardmasterv1.Producer) error {
	if p == nil {
		return nil
	}
	if last := st.last; last != nil && string(last.GetId()) == string(p.GetId()) && p.GetNumber() <= last.GetNumber() {
		return invalid("submit.producer.number", "want one above that of the request before (%d), got %d: number requests in the order in which they are sent",
			last.GetNumber(), p.GetNumber())
	}
	st.last = p
	return nil
}

// propose hands a request to the engine, in the order of the stream. Errors end the stream.
func (st *submitStream) propose(x *streamed) error {
	if st.t.s.room.crowded(x.submission) {
		x.behind = true
		return nil
	}
	if err := st.t.s.engine.Admit(st.ctx, len(x.cmd.Submit.Tasks)); err != nil {
		return err
	}
	st.t.s.engine.Propose(x.cmd, func(res engine.Result, err error) {
		x.res, x.resErr = res, err
		close(x.done)
	})
	return nil
}

// size is what a request counts of the stream's bytes.
func (x *streamed) size() int {
	if x.submission == nil {
		return 0
	}
	return x.bytes
}

// sendLoop answers in the order of the requests until recvLoop has ended and all before that are answered.
func (st *submitStream) sendLoop() error {
	for {
		select {
		case <-st.ctx.Done():
			return context.Cause(st.ctx)
		case x, ok := <-st.line:
			if !ok {
				return st.recvErr
			}
			if err := st.answer(x); err != nil {
				return err
			}
		}
	}
}

// answer waits for a request's fate and tells it.
func (st *submitStream) answer(x *streamed) error {
	m, err := st.fate(x)
	if err != nil {
		return err
	}
	if err := st.x.send(st.t.s.monotonic, func() error { return st.gs.Send(m) }); err != nil {
		return broken(st.ctx, err)
	}
	st.mu.Lock()
	st.unanswered--
	st.bytes -= x.size()
	st.mu.Unlock()
	select {
	case st.freed <- struct{}{}:
	default:
	}
	return nil
}

// fate is the answer to a request, or the error that ends the stream.
func (st *submitStream) fate(x *streamed) (*yardmasterv1.SubmitStreamResponse, error) {
	if x.err != nil {
		return st.refusal(x.err)
	}
	if x.behind {
		x.res, x.resErr = st.t.s.room.submit(st.ctx, x.submission)
	} else {
		select {
		case <-x.done:
		case <-st.ctx.Done():
			return nil, context.Cause(st.ctx)
		}
		if x.resErr == nil && isFull(x.res.Code) {
			refused := x.res
			x.res, x.resErr = st.t.s.room.wait(st.ctx, x.submission, &refused)
		}
	}
	if cause := context.Cause(st.ctx); cause != nil && x.resErr != nil {
		return nil, cause
	}
	res, err := st.t.submitAnswer(x.submission, &x.res, x.resErr)
	if err != nil {
		return st.refusal(err)
	}
	return &yardmasterv1.SubmitStreamResponse{Answer: &yardmasterv1.SubmitStreamResponse_Stored{Stored: res}}, nil
}

// refusal turns a status into an answer. UNAVAILABLE ends the stream: what follows would meet the same.
func (st *submitStream) refusal(err error) (*yardmasterv1.SubmitStreamResponse, error) {
	p := status.Convert(err).Proto()
	if codes.Code(p.GetCode()) == codes.Unavailable {
		return nil, err
	}
	st.t.s.refused(submitStreamMethod, err)
	return &yardmasterv1.SubmitStreamResponse{Answer: &yardmasterv1.SubmitStreamResponse_Error{
		Error: &yardmasterv1.SubmitError{Code: p.GetCode(), Message: p.GetMessage(), Details: p.GetDetails()},
	}}, nil
}
