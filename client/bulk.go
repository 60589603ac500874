package client

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Bounds of bulk calls.
const (
	BulkInFlight    = 4  // default of BulkOptions.InFlight
	BulkInFlightMax = 16 // and its limit
)

// ResultCode is what was done to a task: yardmasterv1.TaskResult_CODE_DONE and so on.
type ResultCode = yardmasterv1.TaskResult_Code

// BulkOptions says how CancelAll, RetryAll and DeleteAll go about it.
type BulkOptions struct {
	// Progress is told after each command how many tasks it has dealt with so far and how many were found so far; of those not looked
	// at yet nothing is known (Count counts beforehand). It is called from the caller's goroutine and should return soon.
	Progress func(done, matched int)
	// InFlight is how many commands, each of at most 1,000 tasks, may be unanswered: 1 to 16; 0 means 4.
	InFlight int
	// Force ends leased tasks at once; CancelAll only. See ForceCancel.
	Force bool
	// Resume goes on where an earlier call with the same filter stopped: its BulkResult.Resume. Nil: from the first task.
	Resume *BulkMark
}

// BulkMark is how far a bulk call has come: every task before it has been dealt with.
type BulkMark struct {
	Through uint64 // the highest id that existed at the start; later tasks are left alone
	token   string // of the first page that isn't finished
}

// BulkResult is what a bulk call did, be it to the end or up to an error.
type BulkResult struct {
	Matched int                // tasks found
	Done    int                // tasks answered for
	Codes   map[ResultCode]int // what was done to them
	Resume  *BulkMark          // after an error: for BulkOptions. Nil: it has come to the end
}

// CancelAll cancels the tasks that meet the filter and existed at the call, in order of id; an empty filter means all of
// the cluster. States of the filter must be live ones; none: all of them. Leased tasks are asked to end (CODE_REQUESTED), or
// ended with Force. It can be repeated without harm. Errors leave what was done as it is; see BulkOptions.Resume.
func (c *Client) CancelAll(ctx context.Context, f Filter, opts BulkOptions) (*BulkResult, error) {
	return c.bulk(ctx, "cancel tasks", f, []TaskState{Scheduled, Waiting, Pending, Leased, Running}, opts,
		func(ctx context.Context, ids []uint64) ([]*TaskResult, error) { return c.cancel(ctx, opts.Force, ids) })
}

// RetryAll gives the dead letters that meet the filter and existed at the call a new generation, in order of id. The
// filter's States must be Dead or none. Each command is sent once, as Retry's; a command whose answer is lost ends the call,
// and resuming it retries those that are dead letters then: one that was retried unheard and has died again meanwhile is
// retried twice. CODE_LIMIT_REACHED counts those for which there was no room; a repeat finds them again.
func (c *Client) RetryAll(ctx context.Context, f Filter, opts BulkOptions) (*BulkResult, error) {
	return c.bulk(ctx, "retry tasks", f, []TaskState{Dead}, opts,
		func(ctx context.Context, ids []uint64) ([]*TaskResult, error) { return c.Retry(ctx, ids...) })
}

// DeleteAll removes the finished tasks that meet the filter and existed at the call, in order of id. The filter's States must
// be terminal ones; none: all four. It can be repeated without harm; what is gone by then is CODE_NOT_FOUND.
func (c *Client) DeleteAll(ctx context.Context, f Filter, opts BulkOptions) (*BulkResult, error) {
	return c.bulk(ctx, "delete tasks", f, []TaskState{Succeeded, Dead, Cancelled, Expired}, opts,
		func(ctx context.Context, ids []uint64) ([]*TaskResult, error) { return c.Delete(ctx, ids...) })
}

// bulk walks over tasks and commands them, page by page.
func (c *Client) bulk(ctx context.Context, op string, f Filter, states []TaskState, opts BulkOptions,
	command func(context.Context, []uint64) ([]*TaskResult, error)) (*BulkResult, error) {
	b := &bulkCall{opts: opts, command: command, result: &BulkResult{Codes: map[ResultCode]int{}}}
	if err := b.check(f, states); err != nil {
		return b.result, AsError(op, err)
	}
	if len(f.States) == 0 {
		f.States = states
	}
	b.mark = BulkMark{Through: f.Through}
	switch {
	case opts.Resume != nil:
		b.mark = *opts.Resume
	case f.Through == 0:
		through, err := c.lastTask(ctx)
		if err != nil || through == 0 {
			return b.result, bulkError(op, err)
		}
		b.mark.Through = through
	}
	f.Through, f.PageSize = b.mark.Through, IDsMax
	req := f.request()
	req.PageToken = b.mark.token

	for resp, err := range c.pages(ctx, req) {
		if err == nil {
			err = b.start(ctx, resp)
		}
		if err != nil {
			b.drain()
			return b.stopped(op, err)
		}
	}
	for len(b.inFlight) > 0 {
		if err := b.settle(); err != nil {
			b.drain()
			return b.stopped(op, err)
		}
	}
	return b.result, nil
}

func bulkError(op string, err error) error {
	if err == nil {
		return nil
	}
	return AsError(op, err)
}

// lastTask is the highest id assigned.
func (c *Client) lastTask(ctx context.Context) (uint64, error) {
	resp, err := c.tasks.List(ctx, &yardmasterv1.TaskServiceListRequest{PageSize: 1, ThroughTaskId: 1})
	return resp.GetLastTaskId(), err
}

// bulkCall is one call of bulk. Commands are settled in the order of their pages, so that what is done is a prefix.
type bulkCall struct {
	opts     BulkOptions
	command  func(context.Context, []uint64) ([]*TaskResult, error)
	result   *BulkResult
	mark     BulkMark // before the oldest page that isn't settled
	inFlight []*bulkPage
	failed   bool // a page wasn't finished, so mark stays
}

// bulkPage is a page whose tasks are commanded.
type bulkPage struct {
	next    string // token of the page after it
	results []*TaskResult
	err     error
	done    chan struct{}
}

// check refuses options and states that the call can't mean.
func (b *bulkCall) check(f Filter, states []TaskState) error {
	if b.opts.InFlight == 0 {
		b.opts.InFlight = BulkInFlight
	}
	if n := b.opts.InFlight; n < 1 || n > BulkInFlightMax {
		return status.Errorf(codes.InvalidArgument, "BulkOptions.InFlight is %d; it must be between 1 and %d, or 0 for %d", n, BulkInFlightMax, BulkInFlight)
	}
	for _, s := range f.States {
		if !slices.Contains(states, s) {
			return status.Errorf(codes.InvalidArgument, "Filter.States names %s, which this doesn't apply to: leave States empty for all that it does",
				StateWord(s))
		}
	}
	return nil
}

// start commands the tasks of a page, once there is room.
func (b *bulkCall) start(ctx context.Context, resp *yardmasterv1.TaskServiceListResponse) error {
	for len(b.inFlight) >= b.opts.InFlight {
		if err := b.settle(); err != nil {
			return err
		}
	}
	ids := make([]uint64, len(resp.GetTasks()))
	for i, task := range resp.GetTasks() {
		ids[i] = task.GetId()
	}
	b.result.Matched += len(ids)
	page := &bulkPage{next: resp.GetNextPageToken(), done: make(chan struct{})}
	b.inFlight = append(b.inFlight, page)
	if len(ids) == 0 {
		close(page.done)
		return nil
	}
	go func() {
		defer close(page.done)
		page.results, page.err = b.command(ctx, ids)
	}()
	return nil
}

// settle waits for the oldest page and counts what was done.
func (b *bulkCall) settle() error {
	page := b.inFlight[0]
	b.inFlight = b.inFlight[1:]
	<-page.done
	for _, r := range page.results {
		b.result.Codes[r.GetCode()]++
	}
	b.result.Done += len(page.results)
	if b.failed = b.failed || page.err != nil; !b.failed {
		b.mark.token = page.next
	}
	if b.opts.Progress != nil && len(page.results) > 0 {
		b.opts.Progress(b.result.Done, b.result.Matched)
	}
	return page.err
}

// drain waits for what is on its way, so that its counts are told; its errors follow from the first.
func (b *bulkCall) drain() {
	for len(b.inFlight) > 0 {
		b.settle() //nolint:errcheck // see above
	}
}

// stopped is the result of a call that an error has ended.
func (b *bulkCall) stopped(op string, err error) (*BulkResult, error) {
	b.result.Resume = &b.mark
	e := AsError(op, err)
	e.Message = fmt.Sprintf("%d tasks were dealt with, then: %s", b.result.Done, e.Message)
	return b.result, e
}
