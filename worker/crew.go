package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// run is one attempt in this process: the task, its handler, and what it returned.
type run struct {
	Task
	handler *handler // nil: none for its kind

	prev, next *run // among those that run; owned by the loop

	report workercore.Report // what its handler returned; its Body is an *ended
}

// ended is what is reported of a run. It stands apart from the run, so that payloads don't wait in the outbox.
type ended struct {
	outcome   pb.AttemptOutcome
	kind      pb.AttemptOutcome_Succeeded // of a success: one allocation in place of three
	succeeded pb.Succeeded
	ran       durationpb.Duration
}

// crew is the goroutines that run the handlers of one pool: as many as have been needed at a time, at most as many as the
// pool has slots. They end with the worker, so that a task costs no goroutine.
//
// Runs wait in one line for whoever is free, and who has ended one takes the next himself: tasks that do little cost no
// change of goroutine. None waits behind a slow one: whoever takes a run and leaves others in the line calls one more
// goroutine first, and that one does the same when it comes. The loop is told of returned handlers likewise: by whoever
// finds none left to take, or nobody on his way who would tell it. So it is woken once for all that end in quick
// succession, and at once for one that ends alone.
//
// A channel of runs was rejected: each send readies a goroutine of its own, and each return woke the loop.
type crew struct {
	base   context.Context // of all handlers
	slots  int
	now    func() workercore.Time
	signal func() // wakes the loop
	hands  sync.WaitGroup

	starting []*run // that the step begins; owned by the loop

	mu       sync.Mutex
	line     []*run // wait for a goroutine: line[head:]. Invariant: at most slots
	head     int
	returned []*run          // handlers that have returned, in order, for the loop
	told     bool            // the loop has been woken for them. Invariant: told, or coming, or none has returned
	coming   bool            // a goroutine has been called or started and has not looked at the line yet
	idle     []chan struct{} // goroutines that wait to be called, each by its own channel, the last one first: it is warm
	size     int             // goroutines. Invariant: at most slots
	closed   bool
}

func newCrew(base context.Context, slots int, now func() workercore.Time, signal func()) *crew {
	return &crew{base: base, slots: slots, now: now, signal: signal}
}

// begin puts the step's runs into the line.
func (c *crew) begin() {
	if len(c.starting) == 0 {
		return
	}
	c.mu.Lock()
	c.line = append(c.line, c.starting...)
	c.call()
	c.mu.Unlock()
	clear(c.starting)
	c.starting = c.starting[:0]
}

// call sees to it that a goroutine comes for what waits in the line. Where all are there and none is idle, one of them is
// about to look: at most as many runs as there are slots wait or run. The caller holds mu.
func (c *crew) call() {
	switch n := len(c.idle); {
	case c.coming || c.head == len(c.line):
	case n > 0:
		c.coming = true
		c.idle[n-1] <- struct{}{}
		c.idle = c.idle[:n-1]
	case c.size < c.slots:
		c.coming = true
		c.size++
		c.hands.Go(c.work)
	}
}

// take returns the returned handlers, in order. The loop lends it room for those that follow.
func (c *crew) take(room []*run) []*run {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.returned
	c.returned, c.told = room[:0], false
	return list
}

// work is one of the goroutines.
func (c *crew) work() {
	called := make(chan struct{}, 1)
	r := c.come(called)
	began := c.now()
	for r != nil {
		began = c.serve(r, began) // the end of one is the beginning of the next, if there is a next
		next := c.turn(r)
		if next == nil {
			next = c.come(called)
			began = c.now()
		}
		r = next
	}
}

// turn reports a run and takes the next one; nil: there is none.
func (c *crew) turn(done *run) *run {
	c.mu.Lock()
	c.returned = append(c.returned, done)
	r, tell := c.next()
	c.mu.Unlock()
	if tell {
		c.signal()
	}
	return r
}

// come takes the next run, and waits until there is one; nil: the worker has ended.
func (c *crew) come(called chan struct{}) *run {
	c.mu.Lock()
	for {
		c.coming = false
		r, tell := c.next()
		over := r == nil && c.closed
		if r == nil && !over {
			c.idle = append(c.idle, called)
		}
		c.mu.Unlock()
		if tell {
			c.signal()
		}
		if r != nil || over {
			return r
		}
		<-called
		c.mu.Lock()
	}
}

// next takes the next run out of the line, and calls another goroutine if more are left. It says whether the taker must
// wake the loop. The caller holds mu.
func (c *crew) next() (r *run, tell bool) {
	if c.head < len(c.line) {
		r, c.line[c.head] = c.line[c.head], nil
		if c.head++; c.head == len(c.line) {
			c.line, c.head = c.line[:0], 0
		}
		c.call()
	}
	if len(c.returned) > 0 && !c.told && (r == nil || !c.coming) {
		c.told, tell = true, true
	}
	return r, tell
}

// close ends the goroutines once the line is empty.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, called := range c.idle {
		called <- struct{}{}
	}
	c.idle = nil
}

var (
	errGoexit    = errors.New("the handler ended its goroutine (runtime.Goexit)")
	errNoHandler = errors.New("this worker has no handler for the kind")
)

// serve runs one handler and makes its report, whatever way it ends.
func (c *crew) serve(r *run, began workercore.Time) (ended workercore.Time) {
	ctx := r.begin(c.base)
	var result []byte
	err := errGoexit
	returned := false
	defer func() {
		exits := false
		if !returned {
			if p := recover(); p != nil {
				err = panicked(fmt.Sprintf("panic: %v", p))
			} else {
				exits = true
			}
		}
		r.end()
		ended = c.now()
		r.conclude(result, err, time.Duration(ended-began))
		if exits { // this goroutine is ending; another takes its place
			c.leave(r)
		}
	}()
	if r.handler == nil {
		result, err = nil, errNoHandler
	} else {
		result, err = r.handler.fn(ctx, &r.Task)
	}
	returned = true
	return ended
}

// leave reports a run whose handler has ended its goroutine.
func (c *crew) leave(done *run) {
	c.mu.Lock()
	c.returned, c.told = append(c.returned, done), true
	c.mu.Unlock()
	c.signal()
	c.hands.Go(c.work)
}

// conclude translates what the handler returned after it ran so long.
func (r *run) conclude(result []byte, err error, ran time.Duration) {
	if err == nil && len(result) > ResultBytesMax {
		err = tooLarge(len(result))
	}
	e := &ended{}
	e.outcome.Token, e.outcome.TaskId, e.outcome.RunTime = r.Token, r.ID, &e.ran
	e.ran.Seconds, e.ran.Nanos = int64(ran/time.Second), int32(ran%time.Second)
	r.report = workercore.Report{Kind: workercore.Succeeded, Size: len(result), Ran: max(1, workercore.Duration(ran)), Body: e}
	if err == nil {
		e.succeeded.Result = result
		e.kind.Succeeded = &e.succeeded
		e.outcome.Kind = &e.kind
		return
	}
	f := failed(err)
	e.outcome.Kind = &pb.AttemptOutcome_Failed{Failed: f}
	r.report.Kind, r.report.Size = workercore.Failed, len(f.Failure.Message)+len(f.Failure.Detail)
}
