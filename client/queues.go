package client

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Names of the contract's types, for those who look after queues.
type (
	// Queue is a queue and its counts.
	Queue = yardmasterv1.Queue
	// QueueExplanation says why a queue's tasks don't go on.
	QueueExplanation = yardmasterv1.QueueServiceExplainResponse
)

// QueueSettings changes a queue. What is nil stays as it is: MaxLeases: new(100).
type QueueSettings struct {
	// Weight is its share of free slots against other queues with ready tasks: 1 to 1,000.
	Weight *int
	// DepthLimit is the most non-terminal tasks it may hold: 1 to 20,000,000; 0: the cluster's default. What it holds above a
	// new limit stays.
	DepthLimit *int
	// MaxLeases is the most leases it may have at once: 1 to 1,000,000; 0: no bound. Leases above a new bound run on.
	MaxLeases *int
	// Retention of tasks submitted from now on that ask for none: 0 to 365 days; DefaultRetention goes back to 24 h.
	Retention        *time.Duration
	DefaultRetention bool
	// DeadRetention is the same for dead letters; DefaultDeadRetention goes back to 7 days.
	DeadRetention        *time.Duration
	DefaultDeadRetention bool
}

// ConfigureQueue changes a queue's settings and returns the queue; it is made if it doesn't exist. It may be repeated.
// Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED (1,000 queues).
func (c *Client) ConfigureQueue(ctx context.Context, name string, s QueueSettings) (*Queue, error) {
	resp, err := c.queues.Configure(ctx, &yardmasterv1.ConfigureRequest{
		Name: name, Weight: optionalUint32(s.Weight), DepthLimit: optionalUint32(s.DepthLimit), MaxLeases: optionalUint32(s.MaxLeases),
		Retention: optional(s.Retention), ClearRetention: s.DefaultRetention,
		DeadRetention: optional(s.DeadRetention), ClearDeadRetention: s.DefaultDeadRetention,
	})
	if err != nil {
		return nil, AsError("configure queue "+name, err)
	}
	return resp.GetQueue(), nil
}

// GetQueue returns a queue with its settings and counts. Errors: NOT_FOUND.
func (c *Client) GetQueue(ctx context.Context, name string) (*Queue, error) {
	resp, err := c.queues.Get(ctx, &yardmasterv1.QueueServiceGetRequest{Name: name})
	if err != nil {
		return nil, AsError("get queue "+name, err)
	}
	return resp.GetQueue(), nil
}

// ExplainQueue says what holds back the next task of each shape (kind, require, weight) of a queue. Errors: NOT_FOUND.
func (c *Client) ExplainQueue(ctx context.Context, name string) (*QueueExplanation, error) {
	resp, err := c.queues.Explain(ctx, &yardmasterv1.QueueServiceExplainRequest{Name: name})
	if err != nil {
		return nil, AsError("explain queue "+name, err)
	}
	return resp, nil
}

// PurgeQueue ends every task of a queue that isn't leased and existed at the call, and returns how many: nothing of them is
// kept. With dryRun it only counts. progress, if not nil, is told the number so far now and then.
//
// A purge that breaks off has purged what it said, perhaps more. It is repeated only if it never left: a second one would also purge
// what was submitted since. A dry run is repeated like any question. Errors: NOT_FOUND.
func (c *Client) PurgeQueue(ctx context.Context, name string, dryRun bool, progress func(purged uint64)) (uint64, error) {
	op := "purge queue " + name
	a := c.newAttempts(op)
	for {
		purged, sent, err := c.purgeStream(ctx, &yardmasterv1.PurgeRequest{Name: name, DryRun: dryRun}, progress)
		if err == nil {
			return purged, nil
		}
		e := a.failed(err, sent)
		if sent && !dryRun && e.Code != codes.ResourceExhausted {
			return purged, e.gaveUp(ended(ctx))
		}
		if e = a.another(ctx, e); e != nil {
			return purged, e
		}
	}
}

// purgeStream purges over one stream, to its end.
func (c *Client) purgeStream(ctx context.Context, req *yardmasterv1.PurgeRequest, progress func(uint64)) (purged uint64, sent bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.queues.Purge(ctx, req)
	if err != nil {
		return 0, false, err // no connection
	}
	c.reached.Store(true)
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			err = status.Error(codes.Unavailable, "the stream ended before the purge did")
		}
		if err != nil {
			return purged, true, err
		}
		purged = resp.GetPurged()
		if progress != nil {
			progress(purged)
		}
		if resp.GetDone() {
			return purged, true, nil
		}
	}
}

func optionalUint32(n *int) *uint32 {
	if n == nil {
		return nil
	}
	v := clampUint32(*n)
	return &v
}
