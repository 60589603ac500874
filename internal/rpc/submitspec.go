package rpc

import (
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

const (
	idempotencyKeyMax = 128 // bytes
	idBytes           = 16  // of producers and incarnations

	// Field numbers of storage.v1, written and read here without its Go types: a body per task is the hot path.
	bodyPayload protowire.Number = 1
	bodyLabels  protowire.Number = 2
	labelKey    protowire.Number = 1
	labelValue  protowire.Number = 2
)

// submitCommand checks a request and turns it into a command with its defaults filled in.
func submitCommand(req *yardmasterv1.SubmitRequest) (*scheduler.Submit, error) {
	var v violations
	c := &scheduler.Submit{}
	producer(&v, req.GetProducer(), c)
	specs := req.GetTasks()
	if len(specs) == 0 || len(specs) > scheduler.BatchTasksMax {
		v.add("tasks", "want 1 to %d tasks, got %d: %s", scheduler.BatchTasksMax, len(specs), fewer(len(specs), scheduler.BatchTasksMax, "split the batch"))
		return nil, v.err()
	}
	c.Tasks = make([]scheduler.TaskSpec, len(specs))
	room := 0
	for _, spec := range specs {
		room += bodySize(spec)
	}
	bodies := make([]byte, 0, room)
	for i, spec := range specs {
		v.at = prefix{"tasks", i}
		bodies = taskSpec(&v, spec, &c.Tasks[i], bodies)
	}
	return c, v.err()
}

func producer(v *violations, p *yardmasterv1.Producer, c *scheduler.Submit) {
	if p == nil {
		return
	}
	c.Producer = hash128(v, "producer.id", p.GetId())
	c.Number, c.Lowest = p.GetNumber(), p.GetLowestUnanswered()
	if c.Number == 0 {
		v.add("producer.number", "want a request's number, from 1, got 0: number requests 1, 2, 3 and so on")
	}
	switch {
	case c.Lowest == 0 || c.Lowest > c.Number:
		v.add("producer.lowest_unanswered", "want 1 to producer.number (%d), got %d: give the lowest number without an answer", c.Number, c.Lowest)
	case c.Number-c.Lowest >= scheduler.ProducerWindow:
		v.add("producer.lowest_unanswered", "want at most %d requests in flight, got %d: wait for answers first", scheduler.ProducerWindow, c.Number-c.Lowest+1)
	}
}

// hash128 checks 16 random bytes.
func hash128(v *violations, field string, b []byte) (h scheduler.Hash128) {
	if len(b) != idBytes {
		v.add(field, "want %d random bytes, got %d: draw them once per process", idBytes, len(b))
		return h
	}
	copy(h[:], b)
	if h == (scheduler.Hash128{}) {
		v.add(field, "want %d random bytes, got zeros: draw them once per process", idBytes)
	}
	return h
}

// taskSpec checks one task. Its body is encoded at the end of bodies, which has room for it.
func taskSpec(v *violations, spec *yardmasterv1.TaskSpec, out *scheduler.TaskSpec, bodies []byte) []byte {
	*out = scheduler.TaskSpec{
		Kind: spec.GetKind(), Queue: spec.GetQueue(), Weight: 1, PayloadBytes: uint32(len(spec.GetPayload())),
		NotBefore: v.time("not_before", spec.GetNotBefore()), Delay: v.span("delay", spec.GetDelay(), scheduler.DelayMax, 0),
		StartBy: v.time("start_by", spec.GetStartBy()), Deadline: v.time("deadline", spec.GetDeadline()),
		Require: v.labels("require", spec.GetRequire()), Policy: policy(v, spec),
	}
	v.name("kind", out.Kind)
	if out.Queue == "" {
		out.Queue = scheduler.DefaultQueue
	}
	v.name("queue", out.Queue)
	if p := spec.GetPriority(); p < -scheduler.PriorityMax || p > scheduler.PriorityMax {
		v.add("priority", "want %d to %d, got %d: choose one within that", -scheduler.PriorityMax, scheduler.PriorityMax, p)
	} else {
		out.Priority = int8(p)
	}
	out.Weight = uint16(v.number("weight", spec.GetWeight(), scheduler.WeightMax, 1))
	if spec.GetNotBefore() != nil && spec.GetDelay() != nil {
		v.add("delay", "want at most one of not_before and delay, got both: leave one out")
	}
	if n := len(spec.GetPayload()); n > scheduler.PayloadBytesMax {
		v.add("payload", "want at most %d bytes, got %d: store it elsewhere and pass a reference", scheduler.PayloadBytesMax, n)
	}
	labels := v.labels("labels", spec.GetLabels())
	out.HasLabels = len(labels) > 0
	if key := spec.GetIdempotencyKey(); key != "" {
		idempotencyKey(v, key, spec, out)
	}
	from := len(bodies)
	bodies = appendBody(bodies, spec.GetPayload(), labels)
	out.Body = bodies[from:len(bodies):len(bodies)]
	return bodies
}

func policy(v *violations, spec *yardmasterv1.TaskSpec) scheduler.Policy {
	p, r := scheduler.DefaultPolicy(), spec.GetRetry()
	p.AttemptTimeout = v.span("attempt_timeout", spec.GetAttemptTimeout(), scheduler.AttemptTimeMax, p.AttemptTimeout)
	p.Retention = v.span("retention", spec.GetRetention(), scheduler.RetentionMax, p.Retention)
	p.DeadRetention = v.span("dead_retention", spec.GetDeadRetention(), scheduler.RetentionMax, p.DeadRetention)
	if r == nil {
		return p
	}
	p.MaxAttempts = uint16(v.number("retry.max_attempts", r.GetMaxAttempts(), scheduler.AttemptsMax, scheduler.DefaultMaxAttempts))
	p.MaxLosses = uint8(v.number("retry.max_worker_losses", r.GetMaxWorkerLosses(), scheduler.LossesMax, scheduler.DefaultMaxLosses))
	p.Factor = uint8(v.number("retry.backoff_factor", r.GetBackoffFactor(), scheduler.FactorMax, scheduler.DefaultFactor))
	p.Backoff = v.span("retry.backoff", r.GetBackoff(), scheduler.BackoffFirstMax, p.Backoff)
	p.BackoffMax = v.span("retry.backoff_max", r.GetBackoffMax(), scheduler.BackoffBoundMax, p.BackoffMax)
	return p
}

// idempotencyKey hashes a key and what came with it. Equal specs are those of equal deterministic encodings.
func idempotencyKey(v *violations, key string, spec *yardmasterv1.TaskSpec, out *scheduler.TaskSpec) {
	if len(key) > idempotencyKeyMax {
		v.add("idempotency_key", "want at most %d bytes, got %d: pass a hash of it", idempotencyKeyMax, len(key))
		return
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(spec)
	if err != nil {
		v.add("", "can't be encoded: %v", err)
		return
	}
	out.HasKey, out.Key, out.KeyBody = true, head(sha256.Sum256([]byte(key))), head(sha256.Sum256(body))
}

func head(sum [sha256.Size]byte) (h scheduler.Hash128) {
	copy(h[:], sum[:])
	return h
}

// bodySize is at least the size of a task's encoded body.
func bodySize(spec *yardmasterv1.TaskSpec) int {
	const lengths = 8 // of tags and lengths a field
	n := lengths + len(spec.GetPayload())
	for k, s := range spec.GetLabels() {
		n += 3*lengths + len(k) + len(s)
	}
	return n
}

// appendBody encodes a storage.v1.Body. It is never empty, so that none is taken for a missing one.
func appendBody(b, payload []byte, labels []scheduler.Label) []byte {
	if len(payload) > 0 || len(labels) == 0 {
		b = protowire.AppendTag(b, bodyPayload, protowire.BytesType)
		b = protowire.AppendBytes(b, payload)
	}
	for _, l := range labels {
		size := protowire.SizeTag(labelKey) + protowire.SizeBytes(len(l.Key)) +
			protowire.SizeTag(labelValue) + protowire.SizeBytes(len(l.Value))
		b = protowire.AppendTag(b, bodyLabels, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(size))
		b = protowire.AppendTag(b, labelKey, protowire.BytesType)
		b = protowire.AppendString(b, l.Key)
		b = protowire.AppendTag(b, labelValue, protowire.BytesType)
		b = protowire.AppendString(b, l.Value)
	}
	return b
}

// readBody takes an encoded storage.v1.Body apart. The payload points into b.
func readBody(b []byte) (payload []byte, labels map[string]string, err error) {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, nil, fmt.Errorf("decode body: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, kind, b); n < 0 {
				return nil, nil, fmt.Errorf("decode body: %w", protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		data, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil, nil, fmt.Errorf("decode body: %w", protowire.ParseError(n))
		}
		b = b[n:]
		switch num {
		case bodyPayload:
			payload = data
		case bodyLabels:
			l := &storagev1.Label{}
			if err := proto.Unmarshal(data, l); err != nil {
				return nil, nil, fmt.Errorf("decode a body's label: %w", err)
			}
			if labels == nil {
				labels = map[string]string{}
			}
			labels[l.GetKey()] = l.GetValue()
		}
	}
	return payload, labels, nil
}
