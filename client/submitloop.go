package client

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// submitStream describes SubmitStream to gRPC.
var submitStream = grpc.StreamDesc{StreamName: "SubmitStream", ClientStreams: true, ServerStreams: true}

// errStalled ends a stream that has kept a request unanswered for GiveUp.
var errStalled = status.Error(codes.DeadlineExceeded, "the coordinator has answered nothing for as long as a submit is repeated")

// yieldsMax is how often the sending goroutine lets others go first.
const yieldsMax = 8

// run is the sending goroutine: one stream after the other, as long as there is something to send.
func (s *Submitter) run() {
	defer close(s.ended)
	defer s.sweep()
	a := s.c.newAttempts(submitterOp)
	for s.awaitWork() {
		before := s.answers()
		sent, err := s.connect()
		if s.life.Err() != nil {
			return
		}
		if s.answers() != before {
			a = s.c.newAttempts(submitterOp)
		}
		if err == nil || !s.holds() { // an idle stream's end is nobody's failure
			continue
		}
		e := a.failed(err, sent)
		if !errors.Is(err, errStalled) {
			e = a.another(s.life, e)
		}
		if e != nil {
			s.failAll(e)
			a = s.c.newAttempts(submitterOp)
		}
	}
}

// connect sends over one stream, or by unary calls, until that breaks. It returns nil where all is answered and another
// stream shall follow: the producer has changed, or the coordinator doesn't know streams.
func (s *Submitter) connect() (sent bool, err error) {
	ctx, cancel := context.WithCancelCause(s.life)
	defer cancel(nil)
	if s.byUnary() {
		defer s.setUnary(false) // the next coordinator may be another
		return true, s.unaries(ctx)
	}
	stream, err := s.c.conn.NewStream(ctx, &submitStream, yardmasterv1.TaskService_SubmitStream_FullMethodName,
		grpc.ForceCodecV2(s.codec))
	if err != nil {
		return false, err
	}
	s.c.reached.Store(true)
	watchdog := s.watchdog(ctx, cancel)
	defer watchdog.Stop()
	received := make(chan error, 1)
	go func() {
		received <- s.receive(stream)
		cancel(nil) // ends a SendMsg
	}()
	unsent := s.send(stream, received)
	if unsent != nil {
		cancel(nil)
	}
	err = <-received
	switch {
	case errors.Is(context.Cause(ctx), errStalled):
		err = errStalled
	case unsent != nil && !errors.Is(unsent, io.EOF): // else received tells why
		err = unsent
	}
	return true, s.broke(err)
}

// watchdog ends a stream on which the oldest request has gone unanswered for GiveUp.
func (s *Submitter) watchdog(ctx context.Context, end context.CancelCauseFunc) *time.Timer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(s.c.giveUp, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		left := s.c.giveUp
		if s.sent > 0 {
			left -= elapsedSince(s.progress)
		}
		switch {
		case ctx.Err() != nil: // the stream has ended
		case left <= 0:
			end(errStalled)
		default:
			timer.Reset(left)
		}
	})
	return timer
}

// send sends what there is until the stream is done with (nil) or has ended: io.EOF where received tells why.
func (s *Submitter) send(stream grpc.ClientStream, received chan error) error {
	var on *producer // whose numbers the stream carries: numbers of two would not grow
	for {
		m, wait, done := s.next(on)
		switch {
		case m != nil:
			on, m.stream = m.parcel.ticket.p, true
			err := stream.SendMsg(m)
			m.tasks.Free()
			if err != nil {
				return err
			}
		case done:
			return stream.CloseSend()
		case !s.sleep(wait, received):
			return io.EOF
		}
	}
}

// sleep waits until there may be something to send. It reports false when ended has a reason why not, which it leaves there,
// or the Submitter is aborted.
func (s *Submitter) sleep(wait time.Duration, ended chan error) bool {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-s.kick:
		// An answer has woken hundreds of callers, of which the first to submit again has woken this one: let the others come
		// too, as long as some do. It takes no time when nobody else is ready to run, and makes requests several times as
		// large when many are.
		for n, more := 0, true; more && n < yieldsMax; n++ {
			more = s.yield()
		}
	case <-due:
	case err := <-ended:
		select {
		case ended <- err: // for whoever asks why
		default: // he is told of another
		}
		return false
	case <-s.life.Done():
		return false
	}
	return true
}

// yield lets other goroutines run, and reports whether one of them has submitted something that this one may send.
func (s *Submitter) yield() bool {
	s.mu.Lock()
	before := s.tasks
	s.mu.Unlock()
	runtime.Gosched()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks > before && !s.full
}

// receive settles answers until the stream ends, and returns why it ended.
func (s *Submitter) receive(stream grpc.ClientStream) error {
	for {
		resp := new(yardmasterv1.SubmitStreamResponse)
		if err := stream.RecvMsg(resp); err != nil {
			return err
		}
		if err := s.settleFirst(resp); err != nil {
			return err
		}
	}
}

// broke notes that the stream has ended: what it left unanswered may have been carried out. It returns nil if nothing is
// wrong with that.
func (s *Submitter) broke(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	unknown := status.Code(err) == codes.Unimplemented
	for _, r := range s.flight[:s.sent] {
		r.open = r.open || !unknown
	}
	left := s.sent
	s.sent = 0
	switch {
	case unknown:
		s.unary = true
		return nil
	case errors.Is(err, io.EOF) && left == 0:
		return nil
	case errors.Is(err, io.EOF):
		return status.Errorf(codes.Unavailable, "the stream ended with %d requests unanswered", left)
	}
	return err
}

// next is what to send now: what is unanswered since an earlier stream, then what has waited longest. Without any it tells
// how long until something is due (0: nothing is), or that the stream is done with: Close, or the next request has another
// producer than on.
func (s *Submitter) next(on *producer) (m *encodedSubmit, wait time.Duration, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent < len(s.flight) {
		r := s.flight[s.sent]
		if on != nil && r.ticket.p != on {
			return nil, 0, true
		}
		return s.sending(r), 0, false
	}
	wait = s.promote()
	s.asleep, s.full = true, true
	if len(s.flight) >= s.cfg.InFlight {
		return nil, wait, false
	}
	r := s.first()
	if r == nil {
		s.full = false
		return nil, wait, s.closed && !s.waits()
	}
	if s.producer.spent() {
		s.producer = newProducer()
	}
	if on != nil && s.producer != on {
		return nil, 0, true
	}
	t, ok := s.producer.issue()
	if !ok { // the lowest of its numbers has been unanswered for 256 others
		return nil, wait, false
	}
	s.asleep, s.full = false, false
	s.takeOut(r)
	r.ticket, r.numbered = t, time.Now()
	s.flight = append(s.flight, r)
	return s.sending(r), 0, false
}

// sending counts a request of flight as sent. The caller holds mu.
func (s *Submitter) sending(r *parcel) *encodedSubmit {
	if s.sent == 0 {
		s.progress = time.Now()
	}
	s.sent++
	r.tries++
	return r.message()
}

// first is the request that goes next, or nil. Those that everybody has given up are dropped. The caller holds mu.
func (s *Submitter) first() *parcel {
	for len(s.ready) > 0 && s.ready[0].live == 0 {
		s.ready = s.ready[1:]
	}
	if len(s.ready) > 0 {
		return s.ready[0]
	}
	if s.gather != nil && s.gather.live == 0 {
		s.gather = nil
	}
	return s.gather
}

// takeOut takes the first request out of those that wait, with what nobody has given up. The caller holds mu.
func (s *Submitter) takeOut(r *parcel) {
	if s.gather == r {
		s.gather, s.hint = nil, len(r.tasks)
	} else {
		s.ready = slices.Delete(s.ready, 0, 1)
	}
	s.free(r.live, r.liveBytes)
	if r.live < len(r.tasks) {
		*r = *r.part(func(int) bool { return true })
		for _, p := range r.tasks {
			p.parcel = r
		}
	}
}

// promote makes ready what is due and returns how long until more is; 0: nothing is delayed. The caller holds mu.
func (s *Submitter) promote() time.Duration {
	now, wait := time.Now(), time.Duration(0)
	s.delayed = slices.DeleteFunc(s.delayed, func(r *parcel) bool {
		left := r.due.Sub(now)
		if left <= 0 {
			r.due = time.Time{}
			s.ready = append(s.ready, r)
			return true
		}
		if wait == 0 || left < wait {
			wait = left
		}
		return false
	})
	return wait
}
