package client

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// settleFirst settles the oldest request that is unanswered on the stream. An error ends the stream.
func (s *Submitter) settleFirst(resp *yardmasterv1.SubmitStreamResponse) error {
	s.mu.Lock()
	if s.sent == 0 {
		s.mu.Unlock()
		return status.Error(codes.Internal, "the coordinator answered a request that wasn't sent")
	}
	r := s.flight[0]
	s.mu.Unlock()
	if refused := resp.GetError(); refused != nil {
		st := &spb.Status{Code: refused.GetCode(), Message: refused.GetMessage(), Details: refused.GetDetails()}
		e := newError(submitterOp, status.FromProto(st).Err())
		// Nothing was stored, says the contract of any refusal; one that is about this coordinator's standing is trusted
		// only if it names a reason by which nothing was proposed.
		return s.refused(r, e, e.Code != codes.Unavailable || e.refused())
	}
	s.stored(r, resp.GetStored().GetTaskIds())
	return nil
}

// stored tells the tasks of a request their ids.
func (s *Submitter) stored(r *parcel, ids []uint64) {
	good := len(ids) == len(r.tasks)
	s.mu.Lock()
	s.telling++
	s.land(r, good)
	if good {
		r.unseal()
	}
	s.mu.Unlock()
	telling := true
	defer func() {
		if telling {
			s.hasTold()
		}
	}()
	if !good { // guards callers against an answer that isn't one
		e := newError(submitterOp, status.Errorf(codes.Internal, "the coordinator answered %d ids for %d tasks", len(ids), len(r.tasks)))
		e.OutcomeUnknown = true
		r.fail(e)
		return
	}
	for i, p := range r.tasks {
		if p.claim() {
			if p.fn != nil && telling {
				s.hasTold() // nobody waits for what a caller's function does
				telling = false
			}
			p.finish(ids[i], nil)
		}
	}
}

// hasTold ends telling: those who were told first have submitted again by now.
func (s *Submitter) hasTold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.telling--
	s.goOn()
}

// land takes an answered request out of flight and ends its number. The caller holds mu.
func (s *Submitter) land(r *parcel, accepted bool) {
	i := slices.Index(s.flight, r)
	s.flight = slices.Delete(s.flight, i, i+1)
	if i < s.sent {
		s.sent--
	}
	r.ticket.p.end(r.ticket.number, accepted)
	s.answered++
	s.progress = time.Now()
	s.goOn()
}

// refused judges a refusal of a request: some of its tasks fail with it, others are sent again. sure says that this attempt
// stored nothing. An error means that the request stays in flight, to be repeated under its number on another stream.
func (s *Submitter) refused(r *parcel, e *Error, sure bool) error {
	s.mu.Lock()
	r.open = r.open || !sure
	switch {
	case e.Code == codes.FailedPrecondition && e.Reason == reasonWindow && r.mayRenew():
		s.renew(r)
	case e.judged():
		s.land(r, false)
		blamed := blame(e, len(r.tasks))
		if len(blamed) == 0 && len(r.tasks) > 1 {
			half := len(r.tasks) / 2 // somewhere in there
			s.again(r.part(func(i int) bool { return i < half }), r.part(func(i int) bool { return i >= half }))
			break
		}
		r.open = false // carried out, it would have been answered now
		s.again(r.part(func(i int) bool { return blamed[i] == nil && len(blamed) > 0 }))
		s.mu.Unlock()
		for i := range r.tasks {
			if len(blamed) == 0 {
				r.failOne(i, e)
			} else if blamed[i] != nil {
				r.failOne(i, blamed[i])
			}
		}
		return nil
	case e.Code == codes.ResourceExhausted && e.RetryAfter > 0 && !r.open:
		late := s.delay(r, e)
		s.mu.Unlock()
		for _, i := range late {
			own, cause := *e, errTimeUp
			if !r.tasks[i].deadline.IsZero() {
				cause = context.DeadlineExceeded
			}
			r.failOne(i, own.gaveUp(cause))
		}
		return nil
	case e.again(s.life), s.life.Err() != nil: // whoever ends the Submitter tells why
		s.mu.Unlock()
		return e
	default:
		s.land(r, false)
		s.mu.Unlock()
		r.fail(e)
		return nil
	}
	s.mu.Unlock()
	return nil
}

// renew has a request numbered anew, by a new producer: the coordinator has forgotten the old one. The caller holds mu.
func (s *Submitter) renew(r *parcel) {
	s.land(r, false)
	if s.producer == r.ticket.p {
		s.producer = newProducer()
	}
	r.renewed++
	s.again(r.part(func(int) bool { return true }))
	s.c.logger.Debug("producer forgotten, request numbered anew", "op", submitterOp, "number", r.ticket.number)
}

// mayRenew is submission.mayRenew for a request of a Submitter.
func (r *parcel) mayRenew() bool {
	return r.renewed < renewalsMax && (!r.open || r.ticket.lowest > 1 && elapsedSince(r.numbered) <= GiveUpMax)
}

// delay has the tasks for which there is no room wait for as long as the coordinator says, and the others sent again at
// once. It returns the tasks that can't wait so long. The caller holds mu.
func (s *Submitter) delay(r *parcel, e *Error) (late []int) {
	s.land(r, false)
	r.refusals++
	wait := e.RetryAfter + backoff(r.refusals)
	full := r.fullQueue(e)
	now := time.Now()
	tooOld := elapsedSince(r.began)+wait > s.c.giveUp
	concerned := func(i int) bool { return full == nil || queueName(r.tasks[i].queue) == *full }
	isLate := func(i int) bool {
		d := r.tasks[i].deadline
		return concerned(i) && (tooOld || !d.IsZero() && d.Sub(now) <= wait)
	}
	for i := range r.tasks {
		if isLate(i) {
			late = append(late, i)
		}
	}
	waiting := r.part(func(i int) bool { return concerned(i) && !isLate(i) })
	if waiting != nil {
		waiting.due, waiting.refusal = now.Add(wait), e
	}
	s.again(r.part(func(i int) bool { return !concerned(i) }), waiting)
	return late
}

// fullQueue is the queue whose limit a refusal names; nil: the limit concerns all tasks.
func (r *parcel) fullQueue(e *Error) *string {
	switch e.Reason {
	case reasonLimitDepth, reasonLimitShapes:
		if i, err := strconv.Atoi(e.Metadata["index"]); err == nil && i >= 0 && i < len(r.tasks) {
			name := queueName(r.tasks[i].queue)
			return &name
		}
	}
	return nil
}

// queueName is the queue that a task stands in.
func queueName(name string) string {
	if name == "" {
		return "default"
	}
	return name
}

// blame tells which tasks of a refused request are at fault, each with the part of the refusal that concerns it. A task's
// own submit would have been refused with the same words.
func blame(e *Error, tasks int) map[int]*Error {
	blamed := map[int]*Error{}
	for _, f := range e.Fields {
		i, rest, ok := fieldIndex(f.Field)
		if !ok || i >= tasks {
			continue
		}
		own := blamed[i]
		if own == nil {
			c := *e
			own = &c
			own.Fields, own.Message = nil, ""
			blamed[i] = own
		}
		own.Fields = append(own.Fields, FieldViolation{"tasks[0]" + rest, f.Description})
	}
	if len(blamed) > 0 {
		return blamed
	}
	if i, err := strconv.Atoi(e.Metadata["index"]); err == nil && i >= 0 && i < tasks {
		own := *e
		own.Message = strings.ReplaceAll(e.Message, "tasks["+strconv.Itoa(i)+"]", "tasks[0]")
		blamed[i] = &own
	}
	return blamed
}

// fieldIndex splits tasks[3].kind into 3 and .kind.
func fieldIndex(field string) (i int, rest string, ok bool) {
	rest, ok = strings.CutPrefix(field, "tasks[")
	number, rest, closed := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	return i, rest, ok && closed && err == nil && i >= 0
}
