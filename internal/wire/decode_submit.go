package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func (d *decoder) submitStreamRequest(c *cursor, m *yardmasterv1.SubmitStreamRequest) {
	for c.next() {
		if c.num != 1 {
			c.spoilt = true
			return
		}
		m.Submit = &yardmasterv1.SubmitRequest{}
		x := c.inner(0)
		d.submitRequest(&x, m.Submit)
		c.leave(&x)
	}
}

func (d *decoder) submitRequest(c *cursor, m *yardmasterv1.SubmitRequest) {
	c.many = 1 << 1
	for c.next() {
		switch c.num {
		case 1:
			d.taskSpec(c, element(d, c, &m.Tasks, &d.specs))
			d.left--
		case 2:
			m.Producer = &yardmasterv1.Producer{}
			d.producer(c, m.Producer)
		default:
			c.spoilt = true
		}
	}
}

func (d *decoder) producer(c *cursor, m *yardmasterv1.Producer) {
	x := c.inner(0)
	for x.next() {
		switch x.num {
		case 1:
			m.Id = d.keep(&x)
		case 2:
			m.Number = x.uint()
		case 3:
			m.LowestUnanswered = x.uint()
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) taskSpec(c *cursor, m *yardmasterv1.TaskSpec) {
	x := c.inner(1<<12 | 1<<13)
	for x.next() {
		switch x.num {
		case 1:
			m.Kind = x.text(&d.kind)
		case 2:
			m.Queue = x.text(&d.queue)
		case 3:
			m.Payload = d.keep(&x)
		case 4:
			m.Priority = int32(protowire.DecodeZigZag(x.uint() & (1<<32 - 1)))
		case 5:
			m.Weight = uint32(x.uint())
		case 6:
			m.NotBefore = d.time(&x)
		case 7:
			m.Delay = d.span(&x)
		case 8:
			m.StartBy = d.time(&x)
		case 9:
			m.Deadline = d.time(&x)
		case 10:
			m.AttemptTimeout = d.span(&x)
		case 11:
			m.Retry = &yardmasterv1.RetryPolicy{}
			d.retryPolicy(&x, m.Retry)
		case 12:
			m.Labels = d.labels(&x, m.Labels)
		case 13:
			m.Require = d.labels(&x, m.Require)
		case 14:
			m.Retention = d.span(&x)
		case 15:
			m.DeadRetention = d.span(&x)
		case 16:
			var key string // never that of the task before
			m.IdempotencyKey = x.text(&key)
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) retryPolicy(c *cursor, m *yardmasterv1.RetryPolicy) {
	x := c.inner(0)
	for x.next() {
		switch x.num {
		case 1:
			m.MaxAttempts = uint32(x.uint())
		case 2:
			m.MaxWorkerLosses = uint32(x.uint())
		case 3:
			m.Backoff = d.span(&x)
		case 4:
			m.BackoffFactor = uint32(x.uint())
		case 5:
			m.BackoffMax = d.span(&x)
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}

func (d *decoder) submitStreamResponse(c *cursor, m *yardmasterv1.SubmitStreamResponse) {
	for c.next() {
		if c.num != 1 { // a refusal
			c.spoilt = true
			return
		}
		stored := &yardmasterv1.SubmitResponse{}
		m.Answer = &yardmasterv1.SubmitStreamResponse_Stored{Stored: stored}
		x := c.inner(0)
		d.submitResponse(&x, stored)
		c.leave(&x)
	}
}

func (d *decoder) submitResponse(c *cursor, m *yardmasterv1.SubmitResponse) {
	for c.next() {
		switch c.num {
		case 1:
			m.TaskIds = numbers[uint64](c)
		case 2:
			m.Existing = numbers[uint32](c)
		default:
			c.spoilt = true
		}
	}
}
