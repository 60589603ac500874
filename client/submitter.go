package client

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits and defaults of a Submitter.
const (
	SubmitterTasksMax     = RequestTasksMax // tasks in one request
	SubmitterBytesMax     = 1 << 20         // bytes of tasks in one request, unless a single task has more
	SubmitterInFlight     = 16              // default of InFlight
	SubmitterInFlightMax  = 64              // a coordinator reads no further than that
	SubmitterWaitingTasks = 100_000         // default of WaitingTasks
	SubmitterWaitingBytes = 16 << 20        // default of WaitingBytes

	taskBytesMax = 3 << 20 // an encoded task beyond it can't be sent at all; coordinators accept far less
	submitterOp  = "submit 1 task"
)

// SubmitterConfig bounds what a Submitter holds. Its zero value gives the defaults.
type SubmitterConfig struct {
	// InFlight is how many requests may be unanswered: 1 to 64; 0 means 16. More help a coordinator that is far away.
	InFlight int
	// WaitingTasks is how many tasks may wait to be sent: at least 1; 0 means 100,000. Those in flight come on top: at most
	// InFlight * 1,000 tasks and InFlight MiB.
	WaitingTasks int
	// WaitingBytes bounds their encoded size: at least 1 byte; 0 means 16 MiB. A single task that is larger passes alone.
	WaitingBytes int
}

// Submitter sends the single submits of any number of goroutines together: while requests are on their way further tasks
// gather, and what has gathered when the window takes another request goes out as one, of at most 1,000 tasks and 1 MiB. No
// time is waited for company: a lone task goes at once. A request costs the coordinator about the same whether it
// carries one task or hundreds, so this is the way to submit tens of thousands a second one by one; with a batch already
// at hand [Client.SubmitAll] does as well.
//
// Each task has its own end. The tasks of a request are stored all or none; where the coordinator refuses one (a field at
// fault, a key in use) that one is told so and the others are sent again without it. Where a queue is full, its tasks
// wait as they are told to and those of other queues go on; but a coordinator that has read a request may keep the
// stream waiting for room, up to 30 s, before it refuses: queues of which one may be full while others must not wait are
// better given Submitters of their own.
//
// What is unanswered when the stream breaks is sent again on the next, in order and under the same numbers, of a producer
// that is the Submitter's own: it takes nothing from the 256 submits that a Client has in flight. With a coordinator that
// doesn't know SubmitStream the requests go by unary Submit.
//
// One goroutine sends and one receives, from the first submit to Close; none comes with a task.
type Submitter struct {
	c     *Client
	cfg   SubmitterConfig
	codec submitCodec
	life  context.Context // ends with abort, or the client
	abort context.CancelFunc
	kick  chan struct{} // room for one: wakes the sending goroutine
	shut  chan struct{} // closed by Close: nothing further is taken in
	ended chan struct{} // closed when the sending goroutine has ended
	spare sync.Pool     // of *pending, for Submit; their channels are empty. Of its own: channels are bound to a synctest bubble

	mu       sync.Mutex
	started  bool
	closed   bool // no task is taken in: Close, or the client's end
	asleep   bool // the sending goroutine waits for kick
	full     bool // it waits for an answer, so that further tasks needn't wake it
	telling  int  // goroutines that tell callers their ends, and will wake it for those that submit again at once
	producer *producer
	gather   *parcel   // takes further tasks in; nil: none. Invariant: unnumbered
	ready    []*parcel // go before gather, in order. Invariant: unnumbered
	delayed  []*parcel // refused for want of room, until their due. Invariant: unnumbered
	// flight are the numbered requests, in the order in which they are sent. Invariant: at most InFlight; numbers of one
	// producer grow.
	flight   []*parcel
	sent     int       // flight[:sent] have been sent on the present stream
	progress time.Time // the last answer, or when flight last ceased to be empty
	answered uint64    // requests answered so far
	tasks    int       // that wait in gather, ready and delayed, or have room kept for them
	bytes    int       // their encoded size
	room     list.List // of *turn: callers that wait for room, first come first served
	hint     int       // tasks that the last request gathered
	unary    bool      // the coordinator doesn't know SubmitStream
}

// turn is a caller that waits for room.
type turn struct {
	bytes int
	come  chan struct{} // closed once room is kept for it
}

// NewSubmitter returns a Submitter on the client's connections. Close it before the client, or what it holds is lost (and
// told so). Errors: a bound out of its limits.
func NewSubmitter(c *Client, cfg SubmitterConfig) (*Submitter, error) {
	set := func(name string, value *int, byDefault, most int) error {
		if *value == 0 {
			*value = byDefault
		}
		if *value < 1 || *value > most {
			return fmt.Errorf("client: SubmitterConfig.%s is %d; it must be between 1 and %d, or 0 for %d", name, *value, most, byDefault)
		}
		return nil
	}
	const most = 1 << 30
	for _, err := range []error{
		set("InFlight", &cfg.InFlight, SubmitterInFlight, SubmitterInFlightMax),
		set("WaitingTasks", &cfg.WaitingTasks, SubmitterWaitingTasks, most),
		set("WaitingBytes", &cfg.WaitingBytes, SubmitterWaitingBytes, most),
	} {
		if err != nil {
			return nil, err
		}
	}
	s := &Submitter{
		c: c, cfg: cfg, codec: newSubmitCodec(), producer: newProducer(),
		kick: make(chan struct{}, 1), shut: make(chan struct{}), ended: make(chan struct{}),
	}
	s.spare.New = func() any { return &pending{done: make(chan struct{}, 1)} }
	s.life, s.abort = context.WithCancel(c.life)
	return s, nil
}

// Submit stores a task and returns its id once it is durable. It waits for room in the Submitter, for its turn and for the
// answer, until ctx ends. Errors are *Error, as the package comment describes: ErrOutcomeUnknown if the task was on its way
// when ctx ended or the client gave up, else it isn't stored. A full coordinator is asked again until ctx ends.
func (s *Submitter) Submit(ctx context.Context, task Task) (uint64, error) {
	p := s.spare.Get().(*pending)
	p.over.Store(false)
	p.queue, p.fn = task.Queue, nil
	if err := s.take(ctx, p, &task); err != nil {
		s.spare.Put(p)
		return 0, err
	}
	if ctx.Done() == nil {
		<-p.done // costs less than a select
		return s.told(p)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if e := s.giveUp(ctx, p); e != nil {
			return 0, e // p stays with its request
		}
		<-p.done // told meanwhile
	}
	return s.told(p)
}

// told is what Submit returns once the end is told.
func (s *Submitter) told(p *pending) (uint64, error) {
	id, err := p.id, p.err
	p.parcel, p.err = nil, nil
	s.spare.Put(p)
	return id, err
}

// SubmitFunc is Submit for pipelining without a goroutine for each task: it returns once the Submitter has taken the task
// in, and tells the end to fn, exactly once. An error means that it wasn't taken in: nothing is stored and fn isn't
// called. ctx holds for both parts; one that never ends costs least.
//
// Tasks of one goroutine go out in the order of its calls, but those that are refused and sent again come later. fn runs
// on the Submitter's goroutines, or on one of its own when ctx ends: it must return soon and must not call the Submitter.
func (s *Submitter) SubmitFunc(ctx context.Context, task Task, fn func(id uint64, err error)) error {
	p := &pending{queue: task.Queue, fn: fn}
	if ctx.Done() != nil {
		watching := make(chan struct{})
		p.stop = context.AfterFunc(ctx, func() {
			<-watching
			if e := s.giveUp(ctx, p); e != nil {
				fn(0, e)
			}
		})
		defer close(watching)
	}
	if err := s.take(ctx, p, &task); err != nil {
		p.claim() // the watch has nothing to tell
		if p.stop != nil {
			p.stop()
		}
		return err
	}
	return nil
}

// take encodes a task and takes it in.
func (s *Submitter) take(ctx context.Context, p *pending, task *Task) error {
	scratch := scratches.Get().(*scratch)
	defer scratches.Put(scratch)
	spec, err := scratch.encode(task)
	if err != nil {
		return newError(submitterOp, status.Errorf(codes.InvalidArgument, "the task can't be encoded: %v", err))
	}
	if len(spec) > taskBytesMax {
		e := newError(submitterOp, status.Error(codes.InvalidArgument, ""))
		e.Unreached, e.Fields = true, []FieldViolation{{"tasks[0]", fmt.Sprintf(
			"want at most %d bytes in all, got %d: store the payload elsewhere and pass its name", taskBytesMax, len(spec))}}
		return e
	}
	p.deadline, _ = ctx.Deadline()
	return s.enter(ctx, p, spec)
}

// giveUp ends a task whose caller's context has ended. It returns nil if its end has been told already.
func (s *Submitter) giveUp(ctx context.Context, p *pending) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.claim() {
		return nil
	}
	r := p.parcel
	if r.ticket.p == nil && !r.left {
		i := 0
		for r.tasks[i] != p {
			i++
		}
		size := len(r.encoded(i))
		r.live, r.liveBytes = r.live-1, r.liveBytes-size
		s.free(1, size)
	}
	return r.givenUp(ctx)
}

// Close takes nothing further in, waits until everything has been answered, and ends the Submitter. If ctx ends first, what
// is left fails with ErrClosed (ErrOutcomeUnknown too, where it was on its way) and Close returns why ctx ended. It may be
// called twice.
func (s *Submitter) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.shut)
	}
	if !s.started {
		s.mu.Unlock()
		return nil
	}
	s.wake()
	s.mu.Unlock()
	var err error
	select {
	case <-s.ended:
	case <-ctx.Done():
		select {
		case <-s.ended:
		default:
			err = fmt.Errorf("close the submitter: %w", ctx.Err())
		}
	}
	s.abort()
	<-s.ended
	return err
}
