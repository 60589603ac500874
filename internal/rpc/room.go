package rpc

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Bounds of waiting for room.
const (
	SubmitWaitMax      = 30 * time.Second // of a caller without a deadline
	SubmitWaiters      = 1000             // submits that wait at once; of more, the newest of who has most of them is refused
	SubmitWaitersBytes = 64 << 20         // their size
	RoomPatience       = time.Second      // of a waiter that others overtake, see roomLine
	roomLook           = 100 * time.Millisecond
	roomLookSoon       = 10 * time.Millisecond  // after somebody was let in
	roomAnswer         = 100 * time.Millisecond // before the caller's deadline, so that the answer still arrives
	holdsMax           = 20                     // doublings of a hold
)

// room lets submits wait until there is room for them. Every try is a log entry, so it is made only when the counts say that
// it may succeed. One goroutine looks at them for all that wait, while somebody does.
//
// A submit that finds others waiting for the queues that it needs stands in line behind them. It tries in any case before it
// is refused: it may be the repeat of one that was carried out.
type room struct {
	s       *Server
	waiting atomic.Int64 // waiters in line: read without the lock by submits that find nobody waiting

	mu       sync.Mutex
	line     *roomLine
	watching bool // the goroutine runs
}

func newRoom(s *Server) *room { return &room{s: s, line: newRoomLine()} }

// submission is a checked Submit.
type submission struct {
	cmd      scheduler.Command
	producer string // whose turn it takes
	bytes    int    // at least the size of the request
	bounded  bool   // it waits for SubmitWaitMax at most, though its caller's deadline is later
}

// submit carries out a Submit, now or when there is room.
func (r *room) submit(ctx context.Context, x *submission) (engine.Result, error) {
	if !r.crowded(x) {
		res, err := r.s.engine.Do(ctx, x.cmd)
		if err != nil || !isFull(res.Code) {
			return res, err
		}
		return r.wait(ctx, x, &res)
	}
	return r.wait(ctx, x, nil)
}

// crowded reports whether others wait for what a submit needs.
func (r *room) crowded(x *submission) bool {
	if r.waiting.Load() == 0 {
		return false
	}
	need := needOf(x.cmd.Submit.Tasks)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.line.wants(need)
}

func isFull(code scheduler.Code) bool {
	return code == scheduler.CodeLimitTasks || code == scheduler.CodeLimitDepth
}

// wait stands in line up to the caller's deadline, or SubmitWaitMax, and tries when there may be room. refused is the
// answer so far; nil: it hasn't tried yet.
func (r *room) wait(ctx context.Context, x *submission, refused *engine.Result) (engine.Result, error) {
	w := &waiter{
		producer: x.producer, need: needOf(x.cmd.Submit.Tasks), total: uint64(len(x.cmd.Submit.Tasks)), bytes: x.bytes,
		let: make(chan struct{}, 1), out: make(chan struct{}),
	}
	left := r.patience(ctx, x.bounded)
	if left <= 0 || r.never(w) || !r.enter(w) {
		return r.lastTry(ctx, x, refused)
	}
	defer r.leave(w)
	waiting, stop, err := r.s.inTerm(ctx) // a try goes on with ctx: when the term ends, only the engine knows its fate
	if err != nil {
		return engine.Result{}, err
	}
	defer stop(nil)
	timer := time.NewTimer(left)
	defer timer.Stop()
	for {
		select {
		case <-waiting.Done():
			return engine.Result{}, context.Cause(waiting)
		case <-r.s.streamsEnd.Done():
			return engine.Result{}, errEnded
		case <-timer.C:
			return r.lastTry(ctx, x, refused)
		case <-w.out:
			return r.lastTry(ctx, x, refused)
		case <-w.let:
		}
		res, err := r.s.engine.Do(ctx, x.cmd)
		if err != nil || !isFull(res.Code) {
			return res, err
		}
		refused = &res
		r.back(w)
	}
}

// lastTry answers one that waits no longer.
func (r *room) lastTry(ctx context.Context, x *submission, refused *engine.Result) (engine.Result, error) {
	if refused != nil {
		return *refused, nil
	}
	return r.s.engine.Do(ctx, x.cmd)
}

// patience is how long a caller waits.
func (r *room) patience(ctx context.Context, bounded bool) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return SubmitWaitMax
	}
	left := deadline.Sub(r.s.opts.Now()) - roomAnswer
	if bounded {
		left = min(left, SubmitWaitMax)
	}
	return left
}

// never reports whether there can't be room for a submit, however long it waits.
func (r *room) never(w *waiter) bool {
	limits := r.s.engine.Status().Limits
	if w.total > limits.MaxTasks {
		return true
	}
	for _, n := range w.need {
		if _, most := r.depth(n.queue, limits.Depth); n.tasks > most {
			return true
		}
	}
	return false
}

// depth returns how many unfinished tasks a queue has, and how many it may have.
func (r *room) depth(queue string, byDefault uint64) (has, most uint64) {
	q, ok := r.s.engine.Queue(queue)
	if !ok {
		return 0, byDefault
	}
	return q.Scheduled + q.Pending + q.Leased, q.DepthLimit
}

func (r *room) enter(w *waiter) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.line.enter(w) {
		return false
	}
	r.waiting.Store(int64(r.line.places.waiters))
	if !r.watching {
		r.watching = true
		r.s.loops.Go(r.watch)
	}
	return true
}

func (r *room) leave(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !w.isOut() {
		r.line.leave(w)
	}
	r.waiting.Store(int64(r.line.places.waiters))
}

// back says that a try has failed.
func (r *room) back(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.trying = false
}

// watch looks at the counts while somebody waits.
func (r *room) watch() {
	timer := time.NewTimer(0) // the first look says who meets which bound
	defer timer.Stop()
	for {
		<-timer.C
		r.mu.Lock()
		if r.line.places.waiters == 0 {
			r.watching = false
			r.mu.Unlock()
			return
		}
		queues := r.line.queues()
		r.mu.Unlock()
		free := r.free(queues)
		r.mu.Lock()
		n := r.line.look(r.s.opts.Now(), free)
		r.mu.Unlock()
		if n > 0 {
			timer.Reset(roomLookSoon)
		} else {
			timer.Reset(roomLook)
		}
	}
}

// queues lists the queues that somebody waits for.
func (l *roomLine) queues() map[string]uint64 {
	queues := make(map[string]uint64, len(l.wanted))
	for queue := range l.wanted {
		queues[queue] = 0
	}
	return queues
}

// free reads how much room there is, in all and in some queues.
func (r *room) free(queues map[string]uint64) *roomCounts {
	status := r.s.engine.Status()
	has := status.Counts.Scheduled + status.Counts.Pending + status.Counts.Leased
	free := &roomCounts{total: status.Limits.MaxTasks - min(has, status.Limits.MaxTasks), queues: queues}
	for queue := range queues {
		has, most := r.depth(queue, status.Limits.Depth)
		queues[queue] = most - min(has, most)
	}
	return free
}

// needOf counts a submit's tasks by queue.
func needOf(tasks []scheduler.TaskSpec) []queueNeed {
	var need []queueNeed
	for i := range tasks {
		queue := tasks[i].Queue
		if n := len(need); n > 0 && need[n-1].queue == queue {
			need[n-1].tasks++
			continue
		}
		need = append(need, queueNeed{queue, 1})
	}
	if len(need) == 1 {
		return need
	}
	slices.SortFunc(need, func(a, b queueNeed) int { return cmp.Compare(a.queue, b.queue) })
	merged := need[:0]
	for _, n := range need {
		if k := len(merged); k > 0 && merged[k-1].queue == n.queue {
			merged[k-1].tasks += n.tasks
		} else {
			merged = append(merged, n)
		}
	}
	return merged
}
