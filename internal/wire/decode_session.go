package wire

import (
	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// outcomeSlot is an outcome with what most of them hold.
type outcomeSlot struct {
	outcome   yardmasterv1.AttemptOutcome
	kind      yardmasterv1.AttemptOutcome_Succeeded
	succeeded yardmasterv1.Succeeded
	ran       durationpb.Duration
}

func (d *decoder) sessionRequest(c *cursor, m *yardmasterv1.SessionRequest) {
	for c.next() {
		switch c.num {
		case 1:
			m.ReceivedThrough = c.uint()
		case 2:
			m.AnswersThrough = c.uint()
		case 4:
			started := &yardmasterv1.Started{}
			m.Message = &yardmasterv1.SessionRequest_Started{Started: started}
			d.started(c, started)
		case 5:
			outcomes := &yardmasterv1.Outcomes{}
			m.Message = &yardmasterv1.SessionRequest_Outcomes{Outcomes: outcomes}
			d.outcomeList(c, outcomes)
		default:
			c.spoilt = true
		}
	}
}

func (d *decoder) started(c *cursor, m *yardmasterv1.Started) {
	x := c.inner(0)
	for x.next() {
		if x.num == 1 {
			m.Tokens = numbers[uint64](&x)
		} else {
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) outcomeList(c *cursor, m *yardmasterv1.Outcomes) {
	x := c.inner(1 << 2)
	for x.next() {
		switch x.num {
		case 1:
			m.FirstSeq = x.uint()
		case 2:
			if m.Outcomes == nil {
				d.left = x.count()
				m.Outcomes = make([]*yardmasterv1.AttemptOutcome, 0, d.left)
			}
			slot := d.outcomes.take(d.left)
			m.Outcomes = append(m.Outcomes, &slot.outcome)
			d.outcome(&x, slot)
			d.left--
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) outcome(c *cursor, slot *outcomeSlot) {
	m := &slot.outcome
	x := c.inner(0)
	for x.next() {
		switch x.num {
		case 1:
			m.Token = x.uint()
		case 2:
			m.TaskId = x.uint()
		case 3:
			slot.kind.Succeeded = &slot.succeeded
			m.Kind = &slot.kind
			d.succeeded(&x, &slot.succeeded)
		case 4:
			failed := &yardmasterv1.AttemptFailed{}
			m.Kind = &yardmasterv1.AttemptOutcome_Failed{Failed: failed}
			x.generated(failed)
		case 5:
			cancelled := &yardmasterv1.AttemptCancelled{}
			m.Kind = &yardmasterv1.AttemptOutcome_Cancelled{Cancelled: cancelled}
			x.generated(cancelled)
		case 6:
			interrupted := &yardmasterv1.Interrupted{}
			m.Kind = &yardmasterv1.AttemptOutcome_Interrupted{Interrupted: interrupted}
			x.generated(interrupted)
		case 7:
			m.RunTime = &slot.ran
			x.pair(&slot.ran.Seconds, &slot.ran.Nanos)
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) succeeded(c *cursor, m *yardmasterv1.Succeeded) {
	x := c.inner(0)
	for x.next() {
		if x.num == 1 {
			m.Result = d.keep(&x)
		} else {
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) sessionResponse(c *cursor, m *yardmasterv1.SessionResponse) {
	for c.next() {
		switch c.num {
		case 2:
			grants := &yardmasterv1.Grants{}
			m.Message = &yardmasterv1.SessionResponse_Grants{Grants: grants}
			d.grants(c, grants)
		case 3:
			ack := &yardmasterv1.OutcomeAck{}
			m.Message = &yardmasterv1.SessionResponse_OutcomeAck{OutcomeAck: ack}
			d.outcomeAck(c, ack)
		default:
			c.spoilt = true
		}
	}
}

func (d *decoder) grants(c *cursor, m *yardmasterv1.Grants) {
	x := c.inner(1 << 2)
	for x.next() {
		switch x.num {
		case 1:
			m.Seq = x.uint()
		case 2:
			d.lease(&x, element(d, &x, &m.Leases, &d.leases))
			d.left--
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) lease(c *cursor, m *yardmasterv1.TaskLease) {
	x := c.inner(1 << 13)
	for x.next() {
		switch x.num {
		case 1:
			m.Token = x.uint()
		case 2:
			m.TaskId = x.uint()
		case 3:
			m.Kind = x.text(&d.kind)
		case 4:
			m.Queue = x.text(&d.queue)
		case 5:
			m.Payload = d.keep(&x)
		case 6:
			m.Attempt = uint32(x.uint())
		case 7:
			m.MaxAttempts = uint32(x.uint())
		case 8:
			m.Weight = uint32(x.uint())
		case 9:
			m.Pool = x.text(&d.pool)
		case 10:
			m.AttemptTimeout = d.span(&x)
		case 11:
			m.DeadlineIn = d.span(&x)
		case 12:
			m.StartWithin = d.span(&x)
		case 13:
			m.Labels = d.labels(&x, m.Labels)
		case 14:
			m.Generation = uint32(x.uint())
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) outcomeAck(c *cursor, m *yardmasterv1.OutcomeAck) {
	x := c.inner(1 << 2)
	for x.next() {
		switch x.num {
		case 1:
			m.ThroughSeq = x.uint()
		case 2:
			d.rejection(&x, element(d, &x, &m.Rejected, &d.rejected))
			d.left--
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) rejection(c *cursor, m *yardmasterv1.Rejected) {
	x := c.inner(0)
	for x.next() {
		switch x.num {
		case 1:
			m.Seq = x.uint()
		case 2:
			m.Token = x.uint()
		case 3:
			m.Code = yardmasterv1.Rejected_Code(x.uint())
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}
