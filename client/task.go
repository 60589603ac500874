package client

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Task is a task to submit. Only Kind is required. Where zero means something of its own the field is a pointer, and nil
// leaves the default: AttemptTimeout: new(10*time.Minute).
type Task struct {
	// Kind says which handler runs it: a name, [a-z0-9][a-z0-9._-]{0,62}.
	Kind string
	// Queue is the queue it stands in, made by its first submit. Default "default".
	Queue string
	// Payload is for the handler: at most 1 MiB. JSON makes one from a value.
	Payload []byte
	// Priority orders tasks within the queue, higher first: -100 to 100.
	Priority int
	// Weight is how many slots of its pool it takes: 1 to 1,000; 0 means 1.
	Weight int
	// NotBefore: not started before this time. At most one of NotBefore and Delay.
	NotBefore time.Time
	// Delay: not started before its submit plus this. At most 10 years.
	Delay time.Duration
	// StartBy: EXPIRED if it hasn't been started by this time.
	StartBy time.Time
	// Deadline: EXPIRED if it hasn't succeeded by this time.
	Deadline time.Time
	// AttemptTimeout is how long one attempt may run. Nil: 1 h; 0: without end; at most 30 days.
	AttemptTimeout *time.Duration
	// Retry says how failures are repeated.
	Retry Retry
	// Labels describe it: at most 32, keys are names, values at most 128 bytes.
	Labels map[string]string
	// Require are the labels that a worker must have to be given it.
	Require map[string]string
	// Retention is how long the finished task stays readable. Nil: 24 h; 0: not at all; at most 365 days.
	Retention *time.Duration
	// DeadRetention is the same for a dead letter. Nil: 7 days.
	DeadRetention *time.Duration
	// Key makes the submit of this task idempotent across clients, cluster-wide: at most 128 bytes. The same key with the
	// same task answers the first one's id; with another task codes.AlreadyExists.
	Key string
}

// Retry says how failed attempts are repeated. The backoff after attempt n is drawn from
// [0, min(BackoffMax, Backoff * Factor^(n-1))].
type Retry struct {
	MaxAttempts     int            // in all: 1 to 1,000; 0 means 20; 1: never repeated
	MaxWorkerLosses int            // how often its worker may be lost: 1 to 100; 0 means 3
	Backoff         *time.Duration // after the first failure. Nil: 1 s
	Factor          int            // growth: 1 to 10; 0 means 2
	BackoffMax      *time.Duration // its bound. Nil: 1 h
}

// JSON returns v as JSON, for a payload: Payload: client.JSON(order). It panics if v has no JSON form (a channel, a
// function, a cycle): that is a mistake in the program. Where v's MarshalJSON may fail, use encoding/json.
func JSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("client.JSON: %v", err))
	}
	return data
}

// Spec returns the task as it is sent. Numbers beyond what a field can carry come out as its nearest bound, which lies
// beyond the limits too: the coordinator refuses them and names the field.
func (t *Task) Spec() *yardmasterv1.TaskSpec {
	spec := new(yardmasterv1.TaskSpec)
	t.fill(spec, nil)
	return spec
}

// fill makes spec the task as it is sent. Its spans of time are put into room, if there is any.
func (t *Task) fill(spec *yardmasterv1.TaskSpec, room *[4]durationpb.Duration) {
	spans := 0
	span := func(d *time.Duration) *durationpb.Duration {
		if d == nil || room == nil {
			return optional(d)
		}
		s := &room[spans]
		spans++
		s.Seconds, s.Nanos = int64(*d/time.Second), int32(*d%time.Second)
		return s
	}
	spec.Kind, spec.Queue, spec.Payload = t.Kind, t.Queue, t.Payload
	spec.Priority, spec.Weight = clampInt32(t.Priority), clampUint32(t.Weight)
	spec.NotBefore, spec.StartBy, spec.Deadline = timestamp(t.NotBefore), timestamp(t.StartBy), timestamp(t.Deadline)
	spec.Delay = nil
	if t.Delay != 0 {
		spec.Delay = span(&t.Delay)
	}
	spec.AttemptTimeout, spec.Retention, spec.DeadRetention = span(t.AttemptTimeout), span(t.Retention), span(t.DeadRetention)
	spec.Retry, spec.Labels, spec.Require, spec.IdempotencyKey = t.Retry.proto(), t.Labels, t.Require, t.Key
}

func (r *Retry) proto() *yardmasterv1.RetryPolicy {
	if *r == (Retry{}) {
		return nil
	}
	return &yardmasterv1.RetryPolicy{
		MaxAttempts:     clampUint32(r.MaxAttempts),
		MaxWorkerLosses: clampUint32(r.MaxWorkerLosses),
		Backoff:         optional(r.Backoff),
		BackoffFactor:   clampUint32(r.Factor),
		BackoffMax:      optional(r.BackoffMax),
	}
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func optional(d *time.Duration) *durationpb.Duration {
	if d == nil {
		return nil
	}
	return durationpb.New(*d)
}

func clampInt32(n int) int32 { return int32(max(-1<<31, min(n, 1<<31-1))) }

// clampUint32 turns a negative number into the highest one: 0 would mean the default.
func clampUint32(n int) uint32 {
	if n < 0 {
		return 1<<32 - 1
	}
	return uint32(min(n, 1<<32-1))
}
