package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Bounds of the requests that SubmitAll and SubmitSpecs make.
const (
	RequestTasksMax     = 1_000        // tasks in one
	RequestBytesMax     = 3_500 * 1024 // bytes of tasks in one, unless a single task has more
	RequestsInFlightMax = 8            // on their way at once, of one call
	taskOverheadBytes   = 8            // tag and length of a task in its request
)

// Span is a range of tasks, by position: from From up to and without To.
type Span struct{ From, To int }

// PartialError is what SubmitAll and SubmitSpecs fail with. Requests on their way at the first failure are still waited for;
// no further ones begin. Each request's tasks are stored all or none, and those that no span names were never sent (or are
// stored, see Stored).
type PartialError struct {
	Stored  int    // tasks acknowledged
	Refused []Span // sent, certainly not stored
	Unknown []Span // may be stored or not; if there are any, errors.Is(err, ErrOutcomeUnknown)
	Err     error  // the first failure
}

func (e *PartialError) Error() string {
	text := e.Err.Error()
	if e.Stored > 0 {
		text = fmt.Sprintf("%d tasks are stored, then: %s", e.Stored, text)
	}
	for _, s := range e.Unknown {
		text += fmt.Sprintf("; tasks %d to %d may or may not be stored", s.From, s.To-1)
	}
	return text
}

// Unwrap returns the first failure, and ErrOutcomeUnknown if the fate of any task is unknown.
func (e *PartialError) Unwrap() []error {
	if len(e.Unknown) > 0 {
		return []error{e.Err, ErrOutcomeUnknown}
	}
	return []error{e.Err}
}

// SubmitAll stores any number of tasks and returns their ids, in their order. Requests go several at a time, so ids of later
// tasks may be lower. On failure the ids of tasks that aren't known to be stored are 0, and the error is a *PartialError.
func (c *Client) SubmitAll(ctx context.Context, tasks []Task) ([]uint64, error) {
	ids := make([]uint64, len(tasks))
	specs := func(yield func(*yardmasterv1.TaskSpec, error) bool) {
		for i := range tasks {
			if !yield(tasks[i].Spec(), nil) {
				return
			}
		}
	}
	err := c.SubmitSpecs(ctx, specs, func(first int, resp *yardmasterv1.SubmitResponse) error {
		copy(ids[first:], resp.GetTaskIds())
		return nil
	})
	return ids, err
}

// SubmitSpecs stores tasks as they come from specs, without holding more of them than are on their way. stored is told of
// each request's answer, in order: its first task's position and the response, whose Existing counts from there. An error
// from specs or stored ends it, after what is on its way; the error returned is a *PartialError.
func (c *Client) SubmitSpecs(ctx context.Context, specs iter.Seq2[*yardmasterv1.TaskSpec, error],
	stored func(first int, resp *yardmasterv1.SubmitResponse) error) error {
	p := pipeline{c: c, ctx: ctx, stored: stored}
	var next request
	for spec, err := range specs {
		if err != nil {
			p.fail(err)
			break
		}
		size := proto.Size(spec) + taskOverheadBytes
		if len(next.tasks) == RequestTasksMax || len(next.tasks) > 0 && next.bytes+size > RequestBytesMax {
			p.send(next)
			next = request{first: next.first + len(next.tasks)}
		}
		if p.failed.Err != nil {
			break
		}
		next.tasks = append(next.tasks, spec)
		next.bytes += size
	}
	if len(next.tasks) > 0 {
		p.send(next)
	}
	for len(p.inFlight) > 0 {
		p.settle()
	}
	if p.failed.Err != nil {
		return &p.failed
	}
	return nil
}

// request is one request of a pipeline.
type request struct {
	first  int // position of its first task
	tasks  []*yardmasterv1.TaskSpec
	bytes  int
	answer chan answer
}

type answer struct {
	resp *yardmasterv1.SubmitResponse
	err  error
}

// pipeline keeps a bounded number of requests in flight and settles them in order.
type pipeline struct {
	c        *Client
	ctx      context.Context
	stored   func(int, *yardmasterv1.SubmitResponse) error
	inFlight []request
	failed   PartialError
}

// send starts a request once there is room, unless the pipeline has failed by then.
func (p *pipeline) send(r request) {
	for len(p.inFlight) >= RequestsInFlightMax {
		p.settle()
	}
	if p.failed.Err != nil {
		return
	}
	r.answer = make(chan answer, 1)
	p.inFlight = append(p.inFlight, r)
	go func() {
		resp, err := p.c.submit(p.ctx, r.tasks)
		r.answer <- answer{resp, err}
	}()
}

// settle waits for the oldest request.
func (p *pipeline) settle() {
	r := p.inFlight[0]
	p.inFlight = p.inFlight[1:]
	a := <-r.answer
	span := Span{r.first, r.first + len(r.tasks)}
	switch {
	case a.err == nil:
		p.failed.Stored += len(r.tasks)
		if err := p.stored(r.first, a.resp); err != nil {
			p.fail(err)
		}
		return
	case errors.Is(a.err, ErrOutcomeUnknown):
		p.failed.Unknown = append(p.failed.Unknown, span)
	default:
		p.failed.Refused = append(p.failed.Refused, span)
	}
	var e *Error
	if errors.As(a.err, &e) {
		e.shiftFields(r.first)
	}
	p.fail(a.err)
}

func (p *pipeline) fail(err error) {
	if p.failed.Err == nil {
		p.failed.Err = err
	}
}

// shiftFields turns positions within a request, as in tasks[3].kind, into positions within all tasks.
func (e *Error) shiftFields(by int) {
	for i, f := range e.Fields {
		rest, ok := strings.CutPrefix(f.Field, "tasks[")
		number, rest, closed := strings.Cut(rest, "]")
		if n, err := strconv.Atoi(number); ok && closed && err == nil {
			e.Fields[i].Field = "tasks[" + strconv.Itoa(n+by) + "]" + rest
		}
	}
}
