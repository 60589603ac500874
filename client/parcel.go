package client

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// pending is one task on its way through a Submitter.
type pending struct {
	over     atomic.Bool // somebody has taken it on himself to tell the end: claim
	parcel   *parcel     // where it stands. Guarded by Submitter.mu
	queue    string
	deadline time.Time // the caller's; zero: none

	// The end, told once: by done, which has room for it, or by fn.
	id   uint64
	err  error
	done chan struct{}
	fn   func(uint64, error)
	stop func() bool // of the watch on the caller's context; fn only
}

// claim reports whether the claimer is the first, and so the one to tell the end.
func (p *pending) claim() bool { return p.over.CompareAndSwap(false, true) }

// finish tells the end. The caller has claimed p and must not touch it afterwards: Submit uses it again.
func (p *pending) finish(id uint64, err *Error) {
	p.id, p.err = id, nil
	if err != nil {
		p.err = err
	}
	if p.fn == nil {
		p.done <- struct{}{}
		return
	}
	if p.stop != nil {
		p.stop()
	}
	p.fn(p.id, p.err)
}

// parcel is the tasks of one request. It gathers, is numbered and sent, perhaps several times, and answered. One that is
// refused is taken apart into new ones.
type parcel struct {
	tasks []*pending
	ends  []int  // where each task's encoding ends in data
	data  []byte // not changed any more once there is a sealed
	// sealed is data as gRPC is handed it, from the first time that it is sent. Guarded by Submitter.mu.
	sealed mem.Buffer

	// live and liveBytes count what hasn't been given up. Once numbered the parcel goes as it is.
	live, liveBytes int
	left            bool // unnumbered, and its room has been given back

	began    time.Time // when its first task came
	due      time.Time // refused for want of room: not before
	ticket   ticket    // its number; p is nil before it has one
	numbered time.Time
	tries    int    // how often it was sent, with the parcels that it was taken from
	open     bool   // sent under its number, unanswered, on a stream that is gone: it may have been carried out
	refusals int    // for want of room
	refusal  *Error // the last of them
	renewed  int    // how often it was numbered anew because its producer was forgotten
}

// add appends an encoded task.
func (r *parcel) add(p *pending, spec []byte) {
	r.data = appendTask(r.data, spec)
	r.attach(p)
}

// move appends task i of another parcel.
func (r *parcel) move(from *parcel, i int) {
	r.data = append(r.data, from.encoded(i)...)
	r.attach(from.tasks[i])
}

func (r *parcel) attach(p *pending) {
	size := len(r.data)
	if n := len(r.ends); n > 0 {
		size -= r.ends[n-1]
	}
	p.parcel = r
	r.tasks, r.ends = append(r.tasks, p), append(r.ends, len(r.data))
	r.live, r.liveBytes = r.live+1, r.liveBytes+size
}

// encoded is the encoding of task i, its tag and length included.
func (r *parcel) encoded(i int) []byte {
	if i == 0 {
		return r.data[:r.ends[0]]
	}
	return r.data[r.ends[i-1]:r.ends[i]]
}

// message is the request for one attempt to send it. The caller holds Submitter.mu.
func (r *parcel) message() *encodedSubmit {
	if r.sealed == nil {
		room := r.data
		r.sealed = mem.NewBuffer(&room, rooms{})
	}
	r.sealed.Ref()
	return &encodedSubmit{parcel: r, tasks: r.sealed, producer: r.ticket.proto()}
}

// unseal gives up data, which is used again once gRPC is done with it too. That of a parcel without an answer, or with
// another than yes, is left to the garbage collector. The caller holds Submitter.mu.
func (r *parcel) unseal() {
	r.sealed.Free()
	r.data, r.ends, r.sealed = nil, nil, nil
}

// part makes a parcel of those tasks that keep says and that nobody has given up; nil if there are none.
func (r *parcel) part(keep func(i int) bool) *parcel {
	part := &parcel{began: r.began, tries: r.tries, refusals: r.refusals, refusal: r.refusal, renewed: r.renewed}
	for i, p := range r.tasks {
		if keep(i) && !p.over.Load() {
			part.move(r, i)
		}
	}
	if part.live == 0 {
		return nil
	}
	return part
}

// fail tells every task of it e.
func (r *parcel) fail(e *Error) {
	for i := range r.tasks {
		r.failOne(i, e)
	}
}

// failOne tells task i a copy of e.
func (r *parcel) failOne(i int, e *Error) {
	if !r.tasks[i].claim() {
		return
	}
	own := *e
	own.Op, own.Attempts, own.Elapsed = submitterOp, max(r.tries, own.Attempts), elapsedSince(r.began)
	own.Unreached = r.tries == 0
	own.OutcomeUnknown = own.OutcomeUnknown || r.open
	r.tasks[i].finish(0, &own)
}

// givenUp is what a task is told whose caller's context has ended before the answer.
func (r *parcel) givenUp(ctx context.Context) *Error {
	if r.ticket.p != nil {
		e := newError(submitterOp, status.FromContextError(ctx.Err()).Err())
		e.OutcomeUnknown, e.Attempts, e.Elapsed = true, r.tries, elapsedSince(r.began)
		return e.gaveUp(ctx.Err())
	}
	if r.refusal != nil {
		e := *r.refusal
		e.Op, e.Attempts, e.Elapsed = submitterOp, r.tries, elapsedSince(r.began)
		return e.gaveUp(ctx.Err())
	}
	e := newError(submitterOp, status.FromContextError(ctx.Err()).Err())
	e.Unreached = true
	return e.gaveUp(ctx.Err())
}
