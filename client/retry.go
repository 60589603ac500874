package client

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// repeatable are the unary calls that may be carried out twice: they change nothing, or the second time changes nothing
// more. Whatever isn't named here is repeated only if it never left. Submit has rules of its own (submit.go).
var repeatable = map[string]bool{
	yardmasterv1.TaskService_Get_FullMethodName:             true,
	yardmasterv1.TaskService_List_FullMethodName:            true,
	yardmasterv1.TaskService_Explain_FullMethodName:         true,
	yardmasterv1.TaskService_Timeline_FullMethodName:        true,
	yardmasterv1.TaskService_Cancel_FullMethodName:          true,
	yardmasterv1.TaskService_Delete_FullMethodName:          true,
	yardmasterv1.QueueService_List_FullMethodName:           true,
	yardmasterv1.QueueService_Get_FullMethodName:            true,
	yardmasterv1.QueueService_Explain_FullMethodName:        true,
	yardmasterv1.QueueService_Configure_FullMethodName:      true,
	yardmasterv1.QueueService_Pause_FullMethodName:          true,
	yardmasterv1.QueueService_Resume_FullMethodName:         true,
	yardmasterv1.OperatorService_Status_FullMethodName:      true,
	yardmasterv1.OperatorService_ListWorkers_FullMethodName: true,
	yardmasterv1.OperatorService_GetWorker_FullMethodName:   true,
}

// asks are the unary calls that change nothing: any coordinator that answers will do.
var asks = map[string]bool{
	yardmasterv1.TaskService_Get_FullMethodName:             true,
	yardmasterv1.TaskService_List_FullMethodName:            true,
	yardmasterv1.TaskService_Explain_FullMethodName:         true,
	yardmasterv1.TaskService_Timeline_FullMethodName:        true,
	yardmasterv1.QueueService_List_FullMethodName:           true,
	yardmasterv1.QueueService_Get_FullMethodName:            true,
	yardmasterv1.QueueService_Explain_FullMethodName:        true,
	yardmasterv1.OperatorService_Status_FullMethodName:      true,
	yardmasterv1.OperatorService_ListWorkers_FullMethodName: true,
	yardmasterv1.OperatorService_GetWorker_FullMethodName:   true,
}

// attempts counts and paces the attempts of one call.
type attempts struct {
	c     *Client
	op    string
	start time.Time // reset when an awaiting stream has made progress
	n     int       // attempts that have failed since start
	sent  bool      // one of them may have reached the coordinator
}

func (c *Client) newAttempts(op string) *attempts {
	return &attempts{c: c, op: op, start: time.Now()}
}

// failed counts a failed attempt.
func (a *attempts) failed(err error, sent bool) *Error {
	e := newError(a.op, err)
	a.n++
	a.sent = a.sent || sent
	e.Attempts, e.Elapsed, e.Unreached = a.n, a.elapsed(), !a.sent
	if sent {
		a.c.reached.Store(true)
	}
	return e
}

func (a *attempts) elapsed() time.Duration { return elapsedSince(a.start) }

// another waits until the next attempt is due. It returns e, completed by why, when there shall be none.
func (a *attempts) another(ctx context.Context, e *Error) *Error {
	if !e.again(ctx) {
		return e.gaveUp(ended(ctx))
	}
	wait := max(backoff(a.n), a.c.budget.take(time.Now()))
	if e.RetryAfter > 0 {
		wait += e.RetryAfter
	}
	if cause := a.over(ctx, wait); cause != nil {
		return e.gaveUp(cause)
	}
	a.c.logger.Debug("call failed, will be repeated", "op", a.op, "attempt", a.n, "wait", wait, "error", e.Message)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-a.c.life.Done():
	}
	if cause := a.over(ctx, 0); cause != nil {
		return e.gaveUp(cause)
	}
	return nil
}

// errTimeUp says that GiveUp or ReachTimeout has passed. It never leaves the package.
var errTimeUp = errors.New("time is up")

// over tells why no attempt may follow after wait, or nil. A pause that would outlast the deadline ends the call at once:
// waiting for it would only delay the same answer.
func (a *attempts) over(ctx context.Context, wait time.Duration) error {
	if a.c.life.Err() != nil {
		return ErrClosed
	}
	if err := ended(ctx); err != nil {
		return err
	}
	limit := a.c.giveUp
	if !a.c.reached.Load() {
		limit = min(limit, a.c.reachTimeout)
	}
	if a.elapsed()+wait > limit {
		return errTimeUp
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return context.DeadlineExceeded
	}
	return nil
}

// ended is ctx.Err, or errTimeUp where it is this package's own limit that has ended ctx.
func ended(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errTimeUp) {
		return errTimeUp
	}
	return ctx.Err()
}

// gaveUp adds why no further attempt was made. That time was up needs no words: attempts and elapsed time say it.
func (e *Error) gaveUp(cause error) *Error {
	if !errors.Is(cause, errTimeUp) {
		e.cause = cause
	}
	return e
}

// again reports whether an attempt that failed like this is worth repeating, if it may be repeated at all. Codes that a
// broken connection, a proxy or a stopping server produce count as such unless the caller's own context ended.
func (e *Error) again(ctx context.Context) bool {
	switch e.Code {
	case codes.Unavailable:
		return true
	case codes.ResourceExhausted:
		return e.RetryAfter > 0
	case codes.Canceled, codes.DeadlineExceeded:
		return ctx.Err() == nil
	}
	return false
}

// repeat is the interceptor that repeats unary calls.
func (c *Client) repeat(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if method == yardmasterv1.TaskService_Submit_FullMethodName {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	a := c.newAttempts(method)
	for {
		sent, err := c.invoke(opts, func(opts []grpc.CallOption) error {
			return invoke(ctx, method, req, reply, cc, opts...)
		})
		if err != nil && !sent && c.anyConn != nil && asks[method] && status.Code(err) == codes.Unavailable {
			sent, err = c.invoke(opts, func(opts []grpc.CallOption) error { // none is SERVING
				return c.anyConn.Invoke(ctx, method, req, reply, opts...)
			})
		}
		if err == nil {
			return nil
		}
		e := a.failed(err, sent)
		if sent && !repeatable[method] && e.Code != codes.ResourceExhausted {
			return e.gaveUp(ended(ctx))
		}
		if e = a.another(ctx, e); e != nil {
			return e
		}
	}
}

// invoke makes one attempt and tells whether it may have reached the coordinator: gRPC names a peer only for attempts
// that were given a connection. (Those it repeats by itself on a second connection are ones that the first provably
// didn't process.)
func (c *Client) invoke(opts []grpc.CallOption, call func([]grpc.CallOption) error) (sent bool, err error) {
	var p peer.Peer
	err = call(append(opts[:len(opts):len(opts)], grpc.Peer(&p)))
	sent = p.Addr != nil
	if sent {
		c.reached.Store(true)
	}
	return sent, err
}
