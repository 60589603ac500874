package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Submit stores a task and returns its id once it is durable. See the package comment for what its errors say.
func (c *Client) Submit(ctx context.Context, task Task) (uint64, error) {
	resp, err := c.submit(ctx, []*yardmasterv1.TaskSpec{task.Spec()})
	if err != nil {
		return 0, err
	}
	return resp.GetTaskIds()[0], nil
}

// submission is one request on its way, under one number or, if its producer was forgotten, under several in turn.
type submission struct {
	c      *Client
	a      *attempts
	ticket ticket
	tasks  []*yardmasterv1.TaskSpec
	// open: an attempt under the present ticket may have been carried out unheard, or may yet be.
	open    bool
	renewed int
}

// renewalsMax bounds how often a request is numbered anew. Once is what an idle hour costs.
const renewalsMax = 3

// submit stores the tasks of one request, all or none.
func (c *Client) submit(ctx context.Context, tasks []*yardmasterv1.TaskSpec) (*yardmasterv1.SubmitResponse, error) {
	op := "submit 1 task"
	if len(tasks) != 1 {
		op = fmt.Sprintf("submit %d tasks", len(tasks))
	}
	t, err := c.producers.begin(ctx, c.life)
	if err != nil {
		e := newError(op, status.FromContextError(err).Err())
		e.Unreached = true
		return nil, e.gaveUp(err)
	}
	s := submission{c: c, a: c.newAttempts(op), ticket: t, tasks: tasks}
	ctx, cancel := context.WithTimeoutCause(ctx, c.giveUp, errTimeUp)
	defer cancel()
	resp, err := s.run(ctx)
	c.producers.end(s.ticket, err == nil)
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (s *submission) run(ctx context.Context) (*yardmasterv1.SubmitResponse, error) {
	for {
		req := &yardmasterv1.SubmitRequest{Tasks: s.tasks, Producer: s.ticket.proto()}
		var resp *yardmasterv1.SubmitResponse
		sent, err := s.c.invoke(nil, func(opts []grpc.CallOption) (err error) {
			resp, err = s.c.tasks.Submit(ctx, req, opts...)
			return err
		})
		if err == nil {
			return resp, s.check(resp)
		}
		e := s.a.failed(err, sent)
		if err := s.next(ctx, e, sent); err != nil {
			return nil, err
		}
	}
}

// check guards callers against an answer that isn't one.
func (s *submission) check(resp *yardmasterv1.SubmitResponse) error {
	if got := len(resp.GetTaskIds()); got != len(s.tasks) {
		e := newError(s.a.op, status.Errorf(codes.Internal, "the coordinator answered %d ids for %d tasks", got, len(s.tasks)))
		e.OutcomeUnknown = true
		return e
	}
	return nil
}

// next judges a failed attempt: nil, once it is time for another, or the error that ends the submit.
func (s *submission) next(ctx context.Context, e *Error, sent bool) error {
	switch {
	case e.Code == codes.FailedPrecondition && e.Reason == reasonWindow && s.mayRenew():
		s.ticket, s.open = s.c.producers.renew(s.ticket), false
		s.renewed++
		s.c.logger.Debug("producer forgotten, request numbered anew", "op", s.a.op, "number", s.ticket.number)
		return nil
	case e.judged():
		return e // whatever earlier attempts met: carried out, they would have been answered now
	}
	s.open = s.open || sent && !e.refused()
	e = s.a.another(ctx, e)
	if e != nil {
		e.OutcomeUnknown = s.open
		return e
	}
	return nil
}

// mayRenew decides whether a request that fell outside its producer's window may be sent again under a new producer. It
// may iff nothing of it can have been carried out under the old number, and nothing of it ever will be:
//
//   - If no earlier attempt is open, this refusal is all that happened.
//   - Else the coordinator has either forgotten the producer or moved its window past the number. The second it does only
//     when told so by a later request, and this client tells it only once the number has ended. So it has forgotten the
//     producer; and it remembers one for at least 10 minutes after use, so no attempt within GiveUpMax was carried out. One
//     that still lingers is refused when it comes, because it carries a lowest above 1 and only a lowest of 1 makes a
//     forgotten producer known again.
//   - With a lowest of 1, then, the refusal can't mean that; whatever it means, an open attempt stays open.
func (s *submission) mayRenew() bool {
	if s.renewed >= renewalsMax {
		return false
	}
	return !s.open || s.ticket.lowest > 1 && s.a.elapsed() <= GiveUpMax
}

// judged: the coordinator has looked at the request itself and refused it, and would each time.
func (e *Error) judged() bool {
	return e.Code == codes.InvalidArgument || e.Code == codes.AlreadyExists
}

// refused: this attempt was answered, and not carried out. An earlier one may have been.
func (e *Error) refused() bool {
	switch e.Code {
	case codes.ResourceExhausted, codes.FailedPrecondition, codes.Unimplemented, codes.PermissionDenied,
		codes.Unauthenticated, codes.NotFound, codes.OutOfRange:
		return true
	case codes.Unavailable:
		return e.Reason == reasonNotLeader // nothing was proposed
	}
	return false
}
