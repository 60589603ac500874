package engine

import (
	"unicode/utf8"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
)

// policyBytes is a policy and its encoding.
type policyBytes struct {
	data   []byte
	policy scheduler.Policy
}

func (d *decoder) submit(data []byte) (*scheduler.Submit, bool) {
	c := cursor{data: data}
	s := &scheduler.Submit{}
	policy := scheduler.DefaultPolicy()
	for c.next(4) {
		switch c.num {
		case 1:
			c.hash(&s.Producer)
		case 2:
			s.Number = c.uint()
		case 3:
			s.Lowest = c.uint()
		case 4:
			if s.Tasks == nil {
				rest := c
				rest.bytes()
				s.Tasks = make([]scheduler.TaskSpec, 0, 1+rest.count(4))
			}
			s.Tasks = s.Tasks[:len(s.Tasks)+1] // as many as were counted
			if !d.spec(c.bytes(), &s.Tasks[len(s.Tasks)-1], &policy) {
				return nil, false
			}
		default:
			return nil, false
		}
	}
	return s, !c.spoilt
}

// spec decodes a task. policy is that of the task before, for one that names none, and becomes this one's.
func (d *decoder) spec(data []byte, t *scheduler.TaskSpec, policy *scheduler.Policy) bool {
	c := cursor{data: data}
	for c.next(3) {
		switch c.num {
		case 1:
			t.Kind = c.text(&d.kind)
		case 2:
			t.Queue = c.text(&d.queue)
		case 3:
			t.Require = append(t.Require, scheduler.Label{})
			c.label(&t.Require[len(t.Require)-1])
		case 4:
			v := int32(protowire.DecodeZigZag(c.uint() & (1<<32 - 1)))
			t.Priority = int8(max(min(v, 127), -128))
		case 5:
			t.Weight = narrow16(uint32(c.uint()))
		case 6:
			t.HasLabels = c.bool()
		case 7:
			t.HasKey = true
			c.hash(&t.Key)
		case 8:
			c.hash(&t.KeyBody)
		case 9:
			t.NotBefore = scheduler.Time(c.uint())
		case 10:
			t.Delay = scheduler.Duration(c.uint())
		case 11:
			t.StartBy = scheduler.Time(c.uint())
		case 12:
			t.Deadline = scheduler.Time(c.uint())
		case 13:
			c.spoilt = c.spoilt || !d.policy.decode(c.bytes(), policy)
		case 14:
			t.PayloadBytes = uint32(c.uint())
		case 15:
			t.Body = d.arena.keep(c.some())
		}
	}
	t.Policy = *policy
	return !c.spoilt
}

// text returns a string, if possible the last one.
func (c *cursor) text(last *string) string {
	v := c.bytes()
	if string(v) == *last {
		return *last
	}
	if !utf8.Valid(v) {
		c.spoilt = true
		return ""
	}
	*last = string(v)
	return *last
}

func (c *cursor) label(l *scheduler.Label) {
	x := cursor{data: c.bytes()}
	for x.next(0) {
		switch x.num {
		case labelKey:
			x.text(&l.Key)
		case labelValue:
			x.text(&l.Value)
		default:
			x.spoilt = true
		}
	}
	c.spoilt = c.spoilt || x.spoilt
}

func (b *policyBytes) decode(data []byte, p *scheduler.Policy) bool {
	if b.data != nil && string(data) == string(b.data) {
		*p = b.policy
		return true
	}
	c := cursor{data: data}
	*p = scheduler.Policy{}
	for c.next(0) {
		switch c.num {
		case 1:
			p.AttemptTimeout = scheduler.Duration(c.uint())
		case 2:
			p.Backoff = scheduler.Duration(c.uint())
		case 3:
			p.BackoffMax = scheduler.Duration(c.uint())
		case 4:
			p.Retention = scheduler.Duration(c.uint())
		case 5:
			p.DeadRetention = scheduler.Duration(c.uint())
		case 6:
			p.MaxAttempts = narrow16(uint32(c.uint()))
		case 7:
			p.MaxLosses = narrow8(uint32(c.uint()))
		case 8:
			p.Factor = narrow8(uint32(c.uint()))
		default:
			c.spoilt = true
		}
	}
	if c.spoilt {
		return false
	}
	b.data, b.policy = append(b.data[:0], data...), *p
	return true
}
