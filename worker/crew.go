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
	crew    *crew

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
type crew struct {
	base    context.Context // of all handlers
	jobs    chan *run       // Invariant: holds at most active runs, so the loop never waits
	done    func(*run)
	members sync.WaitGroup

	// Owned by the loop.
	active int // runs begun and not reported
	size   int // goroutines
}

func newCrew(base context.Context, slots int, done func(*run)) *crew {
	return &crew{base: base, jobs: make(chan *run, slots), done: done}
}

func (c *crew) begin(r *run) {
	r.crew = c
	c.active++
	if c.size < c.active {
		c.size++
		c.members.Go(c.work)
	}
	c.jobs <- r
}

func (c *crew) work() {
	for r := range c.jobs {
		c.serve(r)
	}
}

var (
	errGoexit    = errors.New("the handler ended its goroutine (runtime.Goexit)")
	errNoHandler = errors.New("this worker has no handler for the kind")
)

// serve runs one handler and reports it, whatever way it ends.
func (c *crew) serve(r *run) {
	ctx, end := r.begin(c.base)
	began := time.Now()
	var result []byte
	err := errGoexit
	returned := false
	defer func() {
		if !returned {
			if p := recover(); p != nil {
				err = panicked(fmt.Sprintf("panic: %v", p))
			} else {
				c.members.Go(c.work) // this goroutine is ending; another takes its place
			}
		}
		end()
		r.conclude(result, err, time.Since(began))
		c.done(r)
	}()
	if r.handler == nil {
		result, err = nil, errNoHandler
	} else {
		result, err = r.handler.fn(ctx, &r.Task)
	}
	returned = true
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
