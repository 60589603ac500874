package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Bounds of AwaitAll.
const (
	AwaitIDsMax     = 10_000 // ids of one stream
	AwaitStreamsMax = 64     // streams at once, of one call; ids beyond them wait until one ends
)

// settledAfter is how long a stream must have lived for its break to count as a new trouble, not as more of the last.
const settledAfter = BackoffMax

// Await waits until the task has ended and returns how. It waits without end but for ctx; broken streams are made anew
// (see AwaitAll). An outcome that isn't known any more is an error: ErrNotRetained or ErrUnknownTask. A task that ended
// otherwise than by success is none: see Outcome.Err.
func (c *Client) Await(ctx context.Context, id uint64) (*Outcome, error) {
	var out *Outcome
	err := c.awaitAll(ctx, "await "+someTasks([]uint64{id}), []uint64{id}, func(_ uint64, o *Outcome) error {
		out = o
		return nil
	})
	if err != nil {
		return nil, err
	}
	if out.Lost != nil {
		return nil, fmt.Errorf("await task %d: %w", id, out.Lost)
	}
	return out, nil
}

// AwaitAll waits until all tasks have ended and hands each outcome to fn as it comes: in no order, one at a time, each
// distinct id once. Outcomes not known any more come with Outcome.Lost. An error from fn ends it and is returned.
//
// When a stream breaks, its ids not yet handed over are awaited on a new one, until none has come for Config.GiveUp in
// spite of attempts.
func (c *Client) AwaitAll(ctx context.Context, ids []uint64, fn func(id uint64, out *Outcome) error) error {
	return c.awaitAll(ctx, "await "+someTasks(ids), ids, fn)
}

func (c *Client) awaitAll(ctx context.Context, op string, ids []uint64, fn func(uint64, *Outcome) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := delivery{fn: fn}
	var wg sync.WaitGroup
	room := make(chan struct{}, AwaitStreamsMax)
	for _, group := range groupsOf(ids) {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-room }()
			if err := c.awaitGroup(ctx, op, group, &d); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if d.failed != nil {
		return d.failed
	}
	if ctx.Err() == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(context.Cause(ctx), &e) {
		return e
	}
	return newError(op, status.FromContextError(ctx.Err()).Err()).gaveUp(ctx.Err())
}

// groupsOf splits the distinct ids into what one stream takes.
func groupsOf(ids []uint64) [][]uint64 {
	var groups [][]uint64
	var group []uint64
	known := make(map[uint64]struct{}, len(ids))
	for _, id := range ids {
		if _, again := known[id]; again {
			continue
		}
		known[id] = struct{}{}
		if group = append(group, id); len(group) == AwaitIDsMax {
			groups, group = append(groups, group), nil
		}
	}
	if len(group) > 0 {
		groups = append(groups, group)
	}
	return groups
}

// delivery hands outcomes over, one at a time.
type delivery struct {
	mu     sync.Mutex
	fn     func(uint64, *Outcome) error
	failed error // what fn returned
}

// errStop ends the groups of a delivery that has failed. It never leaves the package.
var errStop = errors.New("delivery has ended")

func (d *delivery) hand(out *Outcome) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return errStop
	}
	d.failed = d.fn(out.ID, out)
	return d.failed
}

// awaitGroup awaits the ids of one stream, on as many streams in a row as it takes.
func (c *Client) awaitGroup(ctx context.Context, op string, ids []uint64, d *delivery) error {
	open := make(map[uint64]struct{}, len(ids))
	for _, id := range ids {
		open[id] = struct{}{}
	}
	a := c.newAttempts(op)
	for {
		begun, before := time.Now(), len(open)
		sent, err := c.awaitStream(ctx, ids, open, d)
		if len(open) == 0 {
			return nil
		}
		if failed := (*handError)(nil); errors.As(err, &failed) {
			return failed.err
		}
		if len(open) < before || time.Since(begun) >= settledAfter {
			a = c.newAttempts(op)
		}
		if e := a.another(ctx, a.failed(err, sent)); e != nil {
			return e
		}
		ids = remaining(ids, open)
	}
}

// remaining keeps the order of ids: earlier tasks tend to end first.
func remaining(ids []uint64, open map[uint64]struct{}) []uint64 {
	rest := make([]uint64, 0, len(open))
	for _, id := range ids {
		if _, ok := open[id]; ok {
			rest = append(rest, id)
		}
	}
	return rest
}

// handError carries an error of the caller's own function past the handling of streams' errors.
type handError struct{ err error }

func (e *handError) Error() string { return e.err.Error() }

// awaitStream awaits ids on one stream and takes what it hands over out of open. It returns why the stream ended.
func (c *Client) awaitStream(ctx context.Context, ids []uint64, open map[uint64]struct{}, d *delivery) (sent bool, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream, whatever way this function returns
	defer cancel()
	stream, err := c.tasks.Await(ctx, &yardmasterv1.AwaitRequest{TaskIds: ids})
	if err != nil {
		return false, err // no connection
	}
	c.reached.Store(true)
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			err = status.Errorf(codes.Unavailable, "the stream ended with %d outcomes missing", len(open))
		}
		if err != nil {
			return true, err
		}
		if _, waited := open[resp.GetTaskId()]; !waited {
			continue
		}
		if err := d.hand(newOutcome(resp)); err != nil {
			return true, &handError{err}
		}
		delete(open, resp.GetTaskId())
	}
}
