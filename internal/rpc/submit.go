package rpc

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Bounds of waiting for room.
const (
	SubmitWaitMax      = 30 * time.Second // of a caller without a deadline
	SubmitWaiters      = 1000             // submits that wait at once; the next is refused
	SubmitWaitersBytes = 64 << 20         // their size
	roomLook           = 100 * time.Millisecond
	roomAnswer         = 100 * time.Millisecond // before the caller's deadline, so that the answer still arrives
)

// Submit stores tasks. While the queue or the cluster is full it waits for room, up to the caller's deadline.
func (t *taskService) Submit(ctx context.Context, req *yardmasterv1.SubmitRequest) (*yardmasterv1.SubmitResponse, error) {
	c, err := submitCommand(req)
	if err != nil {
		return nil, err
	}
	cmd := scheduler.Command{Op: scheduler.OpSubmit, Submit: c}
	res, err := t.s.engine.Do(ctx, cmd)
	if err == nil && isFull(res.Code) {
		res, err = t.s.room.wait(ctx, cmd, res, proto.Size(req))
	}
	if err != nil {
		return nil, t.s.fail("submit tasks", err)
	}
	if res.Code != scheduler.CodeOK {
		return nil, submitError(res, c.Tasks, t.s.engine.Status().Limits)
	}
	out := &yardmasterv1.SubmitResponse{TaskIds: make([]uint64, max(len(res.IDs), int(res.Count)))}
	for i := range out.TaskIds {
		if len(res.IDs) > 0 {
			out.TaskIds[i] = uint64(res.IDs[i])
		} else {
			out.TaskIds[i] = uint64(res.First) + uint64(i)
		}
	}
	for _, i := range res.Old {
		out.Existing = append(out.Existing, uint32(i))
	}
	return out, nil
}

func isFull(code scheduler.Code) bool {
	return code == scheduler.CodeLimitTasks || code == scheduler.CodeLimitDepth
}

// room lets submits wait until there is room for them. Every try is a log entry, so it is made only when the counts, which
// all that wait look at together, say that it may succeed.
type room struct {
	s *Server

	mu      sync.Mutex
	waiters int
	bytes   int
	looked  time.Time // when counts was read
	total   uint64
	depth   map[string]uint64
}

// wait repeats a refused submit when there may be room. refused is the answer so far.
func (r *room) wait(ctx context.Context, cmd scheduler.Command, refused engine.Result, bytes int) (engine.Result, error) {
	limits := r.s.engine.Status().Limits
	need := map[string]uint64{}
	for i := range cmd.Submit.Tasks {
		need[cmd.Submit.Tasks[i].Queue]++
	}
	for _, n := range need {
		if n > limits.Depth {
			return refused, nil // never
		}
	}
	total := uint64(len(cmd.Submit.Tasks))
	if total > limits.MaxTasks || !r.enter(bytes) {
		return refused, nil
	}
	defer r.leave(bytes)
	until := r.s.opts.Now().Add(SubmitWaitMax)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	until = until.Add(-roomAnswer)
	ticker := time.NewTicker(roomLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return refused, context.Cause(ctx)
		case <-r.s.streamsEnd.Done():
			return refused, errEnded
		case <-ticker.C:
		}
		if !r.s.opts.Now().Before(until) {
			return refused, nil
		}
		if !r.mayFit(total, need, limits) {
			continue
		}
		res, err := r.s.engine.Do(ctx, cmd)
		if err != nil || !isFull(res.Code) {
			return res, err
		}
		refused = res
	}
}

func (r *room) enter(bytes int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiters >= SubmitWaiters || r.bytes+bytes > SubmitWaitersBytes {
		return false
	}
	r.waiters++
	r.bytes += bytes
	return true
}

func (r *room) leave(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiters--
	r.bytes -= bytes
}

// mayFit reports whether the counts leave room. They are read at most once a roomLook, whoever asks.
func (r *room) mayFit(total uint64, need map[string]uint64, limits scheduler.Limits) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.s.opts.Now(); r.depth == nil || now.Sub(r.looked) >= roomLook {
		r.looked, r.total, r.depth = now, 0, map[string]uint64{}
		for _, q := range r.s.engine.Queues() {
			n := q.Scheduled + q.Pending + q.Leased
			r.depth[q.Name] = n
			r.total += n
		}
	}
	if r.total+total > limits.MaxTasks {
		return false
	}
	for queue, n := range need {
		if r.depth[queue]+n > limits.Depth {
			return false
		}
	}
	return true
}
