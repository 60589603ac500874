package engine

import (
	"bytes"
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// encoder encodes log entries; it keeps its buffer. Owned by the propose loop.
type encoder struct {
	buf    []byte
	policy policyCode
}

// encoderKeep is the largest buffer that is kept between two entries: it holds those full of usual tasks.
const encoderKeep = 4 << 20

// entry encodes a batch as a log entry.
func (enc *encoder) entry(b *scheduler.Batch, id identity) ([]byte, error) {
	buf := enc.buf[:0]
	buf = appendUint(buf, 1, uint64(b.Logic))
	buf = appendUint(buf, 2, uint64(b.Now))
	if id.proposer != 0 {
		buf = protowire.AppendFixed64(protowire.AppendTag(buf, 3, protowire.Fixed64Type), id.proposer)
	}
	buf = appendUint(buf, 4, id.proposal)
	for i := range b.Commands {
		var err error
		if buf, err = enc.command(buf, &b.Commands[i]); err != nil {
			return nil, fmt.Errorf("command %d: %w", i, err)
		}
	}
	if enc.buf = buf; cap(buf) > encoderKeep {
		enc.buf = nil
	}
	return bytes.Clone(buf), nil
}

func (enc *encoder) command(b []byte, c *scheduler.Command) ([]byte, error) {
	b, whole := openNest(b, 5, 3)
	var err error
	switch c.Op {
	case scheduler.OpSubmit:
		b = appendUint(b, 1, uint64(c.Op))
		b = enc.submit(b, c.Submit)
	case scheduler.OpOutcomes:
		b = appendUint(b, 1, uint64(c.Op))
		b = appendOutcomes(b, c.Outcomes)
	case scheduler.OpRetry:
		b = appendUint(b, 1, uint64(c.Op))
		b = enc.retry(b, c.Retry)
	default:
		if b, err = (proto.MarshalOptions{}).MarshalAppend(b, commandToProto(c)); err != nil {
			return nil, err
		}
	}
	return closeNest(b, whole), nil
}

func (enc *encoder) submit(b []byte, s *scheduler.Submit) []byte {
	b, args := openNest(b, 3, 3)
	b = appendHash(b, 1, &s.Producer)
	b = appendUint(b, 2, s.Number)
	b = appendUint(b, 3, s.Lowest)
	for i := range s.Tasks {
		t := &s.Tasks[i]
		var task nest
		b, task = openNest(b, 4, 2)
		// A policy like that of the task before is left out.
		b = appendSpec(b, t, &enc.policy, i == 0 || t.Policy != s.Tasks[i-1].Policy)
		b = closeNest(b, task)
	}
	return closeNest(b, args)
}

func (enc *encoder) retry(b []byte, r *scheduler.Retry) []byte {
	b, args := openNest(b, 5, 2)
	for i := range r.Items {
		it := &r.Items[i]
		var item, spec nest
		b, item = openNest(b, 1, 1)
		b = appendUint(b, 1, uint64(it.ID))
		b = appendUint(b, 2, uint64(it.Gen))
		b = appendBool(b, 3, it.Found)
		b, spec = openNest(b, 4, 1)
		b = appendSpec(b, &it.Spec, &enc.policy, true)
		b = closeNest(b, spec)
		b = closeNest(b, item)
	}
	return closeNest(b, args)
}

// appendSpec appends the fields of a storagev1.TaskSpec.
func appendSpec(b []byte, t *scheduler.TaskSpec, code *policyCode, withPolicy bool) []byte {
	b = appendString(b, 1, t.Kind)
	b = appendString(b, 2, t.Queue)
	for i := range t.Require {
		var label nest
		b, label = openNest(b, 3, 1)
		b = appendString(b, 1, t.Require[i].Key)
		b = appendString(b, 2, t.Require[i].Value)
		b = closeNest(b, label)
	}
	b = appendUint(b, 4, protowire.EncodeZigZag(int64(t.Priority)))
	b = appendUint(b, 5, uint64(t.Weight))
	b = appendBool(b, 6, t.HasLabels)
	if t.HasKey {
		b = appendMessage(b, 7, t.Key[:])
		b = appendMessage(b, 8, t.KeyBody[:])
	}
	b = appendUint(b, 9, uint64(t.NotBefore))
	b = appendUint(b, 10, uint64(t.Delay))
	b = appendUint(b, 11, uint64(t.StartBy))
	b = appendUint(b, 12, uint64(t.Deadline))
	if withPolicy {
		b = appendMessage(b, 13, code.of(&t.Policy))
	}
	b = appendUint(b, 14, uint64(t.PayloadBytes))
	return appendBytes(b, 15, t.Body)
}

// policyCode is the encoding of the last policy, usually the next one's too.
type policyCode struct {
	policy scheduler.Policy
	data   []byte
}

func (c *policyCode) of(p *scheduler.Policy) []byte {
	if c.data != nil && c.policy == *p {
		return c.data
	}
	c.policy = *p
	b := c.data[:0]
	b = appendUint(b, 1, uint64(p.AttemptTimeout))
	b = appendUint(b, 2, uint64(p.Backoff))
	b = appendUint(b, 3, uint64(p.BackoffMax))
	b = appendUint(b, 4, uint64(p.Retention))
	b = appendUint(b, 5, uint64(p.DeadRetention))
	b = appendUint(b, 6, uint64(p.MaxAttempts))
	b = appendUint(b, 7, uint64(p.MaxLosses))
	c.data = appendUint(b, 8, uint64(p.Factor))
	return c.data
}

func appendOutcomes(b []byte, o *scheduler.Outcomes) []byte {
	b, args := openNest(b, 9, 2)
	b = appendUint(b, 1, uint64(o.Session))
	b = appendUint(b, 2, o.Attach)
	b = appendUint(b, 3, o.FirstSeq)
	b = appendUint(b, 4, o.AnswersThrough)
	for i := range o.List {
		x := &o.List[i]
		var one nest
		b, one = openNest(b, 5, 1)
		b = appendUint(b, 1, uint64(x.Token))
		b = appendUint(b, 2, uint64(x.Task))
		b = appendUint(b, 3, uint64(x.Kind))
		b = appendUint(b, 4, uint64(x.Cause))
		b = appendBool(b, 5, x.Permanent)
		b = appendUint(b, 6, uint64(x.RetryAfter))
		b = appendBytes(b, 7, x.Detail)
		b = closeNest(b, one)
	}
	return closeNest(b, args)
}

func appendHash(b []byte, num protowire.Number, h *scheduler.Hash128) []byte {
	if *h == (scheduler.Hash128{}) {
		return b
	}
	return appendMessage(b, num, h[:])
}
