package engine

import (
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// finished is a task that ended, in its stored form: a step encodes it at once, as its Effects are used again.
type finished struct {
	id      scheduler.TaskID
	expires scheduler.Duration // 0: nothing is kept
	data    []byte             // encoded storagev1.Finished, read only
	late    *late              // fields that data lacks; nil: none
	queue   string
	gen     uint32
	state   scheduler.TaskState
	tried   bool // there may be attempts, which are kept as long as this is
}

// finish encodes the end of a task. Labels and a last failure that only storage holds are left for later. Under mu.
func (e *Engine) finish(b *scheduler.Batch, fin *scheduler.Finished) finished {
	rec := finished{
		id: fin.Task, expires: fin.ExpiresAt, queue: fin.Queue, gen: fin.Gen, state: fin.State,
		tried: e.hasAttempts(fin) || killed(fin),
	}
	var body, last []byte
	hasLabels, hasFailure := !fin.HasLabels, !fin.HasFailure
	if fin.HasLabels {
		body, hasLabels = e.stagedBody(fin.Task)
	}
	if fin.HasFailure {
		last = e.stagedLast(fin.Task)
		hasFailure = last != nil
	}
	e.scratch = e.appendFinished(e.scratch[:0], fin, body, detailOf(b, fin.Cmd, fin.Item), last, rec.tried)
	rec.data = e.live.encoded.keep(e.scratch)
	e.dropScratch()
	if !hasLabels || !hasFailure {
		rec.late = &late{id: fin.Task, labels: !hasLabels, failure: !hasFailure}
		e.live.late = append(e.live.late, rec.late)
	}
	if killed(fin) {
		e.stageFailed(b, &scheduler.Failed{
			Task: fin.Task, Cause: fin.Cause, Attempt: fin.Attempts, Gen: fin.Gen, Token: fin.Token, Session: fin.Session,
			Granted: fin.Granted, Worker: fin.Worker, Cmd: fin.Cmd, Item: fin.Item,
		}, fin.At)
	}
	return rec
}

// killed reports whether a worker's outcome made the task a dead letter that is kept. Such an outcome is kept among the
// attempts too: the finished row, which holds it, goes when the dead letter is retried.
func killed(fin *scheduler.Finished) bool {
	return fin.State == scheduler.Dead && fin.Cmd >= 0 && fin.ExpiresAt != 0
}

// scratchKeep is the largest buffer that is kept between two ends or attempts.
const scratchKeep = 1 << 20

// dropScratch lets go of memory that one large end or attempt took.
func (e *Engine) dropScratch() {
	if cap(e.scratch) > scratchKeep {
		e.scratch = nil
	}
}

// appendFinished appends the fields of a storagev1.Finished, in order of number. body and last are nil if there is none, or
// if they come late.
func (e *Engine) appendFinished(b []byte, fin *scheduler.Finished, body, detail, last []byte, tried bool) []byte {
	b = appendUint(b, 1, uint64(fin.State))
	b = appendUint(b, 2, uint64(fin.Cause))
	b = appendUint(b, 3, uint64(fin.Gen))
	b, spec := openNest(b, finishedSpec, 1)
	b = appendSpec(b, &scheduler.TaskSpec{
		Kind: fin.Kind, Queue: fin.Queue, Require: fin.Require, Priority: fin.Priority, Weight: fin.Weight,
		HasLabels: fin.HasLabels, StartBy: fin.StartBy, Deadline: fin.Deadline, Policy: fin.Policy, PayloadBytes: fin.PayloadBytes,
	}, &e.policy, true)
	b = closeNest(b, spec)
	b = appendLabels(b, body)
	b = appendUint(b, 6, uint64(fin.Attempts))
	b = appendUint(b, 7, uint64(fin.Losses))
	b = appendUint(b, 8, uint64(fin.Submitted))
	b = appendUint(b, 9, uint64(fin.At))
	b = appendUint(b, 10, uint64(fin.ExpiresAt))
	b = appendUint(b, 11, uint64(fin.Token))
	b = appendUint(b, 12, uint64(fin.Session))
	b = appendString(b, 13, fin.Worker)
	b = appendBytes(b, 14, detail)
	if last != nil {
		b = appendMessage(b, finishedLast, last)
	}
	b = appendUint(b, 16, uint64(fin.Granted))
	return appendBool(b, 17, tried)
}

// Numbers of fields that are also read or appended one by one.
const (
	finishedState     = 1
	finishedSpec      = 4
	finishedLabels    = 5
	finishedSubmitted = 8
	finishedLast      = 15
	specKind          = 1
	specQueue         = 2
	bodyLabels        = 2
	labelKey          = 1
	labelValue        = 2
)

// appendLabels copies the labels of an encoded Body.
func appendLabels(b, body []byte) []byte {
	eachField(body, func(num protowire.Number, _ uint64, v []byte) bool {
		if num == bodyLabels {
			b = appendMessage(b, finishedLabels, v)
		}
		return true
	})
	return b
}

// fullFinished returns the stored form of an ended task with the fields that came late.
func (e *Engine) fullFinished(rec *finished) (*storagev1.Finished, error) {
	f, err := decodeFinished(rec.id, rec.data)
	if err != nil || rec.late == nil {
		return f, err
	}
	fields, err := e.lateFields(rec.late)
	if err != nil {
		return nil, err
	}
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(fields, f); err != nil {
		return nil, fmt.Errorf("decode late fields of finished task %d: %w", rec.id, err)
	}
	return f, nil
}

func decodeFinished(id scheduler.TaskID, data []byte) (*storagev1.Finished, error) {
	f := &storagev1.Finished{}
	if err := proto.Unmarshal(data, f); err != nil {
		return nil, fmt.Errorf("decode finished task %d: %w", id, err)
	}
	return f, nil
}
