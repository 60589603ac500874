package engine

import (
	"errors"
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

func isMissing(err error) bool { return errors.Is(err, ErrNoTask) || errors.Is(err, ErrNotRetained) }

func decodeFinished(id scheduler.TaskID, data []byte) (*storagev1.Finished, error) {
	f := &storagev1.Finished{}
	if err := proto.Unmarshal(data, f); err != nil {
		return nil, fmt.Errorf("decode finished task %d: %w", id, err)
	}
	return f, nil
}

// buildFinished makes the stored form of an ended task, reading from storage what the buffers didn't hold at its end.
func (e *Engine) buildFinished(rec *finished) (*storagev1.Finished, error) {
	body, fail := rec.body, rec.failure
	if rec.HasLabels && body == nil {
		err := e.opts.Storage.Bodies([]scheduler.TaskID{rec.Task}, func(_ int, data []byte) error {
			body = append([]byte(nil), data...)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read body of task %d: %w", rec.Task, err)
		}
	}
	var last *storagev1.Attempt
	switch {
	case fail != nil:
		a, err := fail.proto()
		if err != nil {
			return nil, fmt.Errorf("task %d: %w", rec.Task, err)
		}
		last = a
	case rec.HasFailure:
		a, err := e.readFailure(rec.Task)
		if err != nil {
			return nil, err
		}
		last = a
	}
	return rec.proto(body, last)
}

func (e *Engine) readFailure(id scheduler.TaskID) (*storagev1.Attempt, error) {
	data, err := e.opts.Storage.Failure(id)
	if err != nil || data == nil {
		return nil, err
	}
	a := &storagev1.Attempt{}
	if err := proto.Unmarshal(data, a); err != nil {
		return nil, fmt.Errorf("decode failure of task %d: %w", id, err)
	}
	return a, nil
}

func (f *failure) proto() (*storagev1.Attempt, error) {
	a := &storagev1.Attempt{Cause: uint32(f.cause), Attempt: f.attempt}
	if f.detail != nil {
		a.Detail = &storagev1.Detail{}
		if err := proto.Unmarshal(f.detail, a.Detail); err != nil {
			return nil, fmt.Errorf("decode failure: %w", err)
		}
	}
	return a, nil
}

// proto makes the stored form.
func (rec *finished) proto(body []byte, last *storagev1.Attempt) (*storagev1.Finished, error) {
	f := &storagev1.Finished{
		State: uint32(rec.State), Cause: uint32(rec.Cause), Gen: rec.Gen, Attempts: rec.Attempts, Losses: rec.Losses,
		Submitted: int64(rec.Submitted), Finished: int64(rec.At), ExpiresAt: int64(rec.ExpiresAt), Token: uint64(rec.Token),
		Session: uint64(rec.Session), Worker: rec.Worker, LastFailure: last,
		Spec: specToProto(&scheduler.TaskSpec{
			Kind: rec.Kind, Queue: rec.Queue, Require: rec.Require, Priority: rec.Priority, Weight: rec.Weight,
			HasLabels: rec.HasLabels, StartBy: rec.StartBy, Deadline: rec.Deadline, Policy: rec.Policy,
			PayloadBytes: rec.PayloadBytes,
		}, true),
	}
	if body != nil {
		b := &storagev1.Body{}
		if err := proto.Unmarshal(body, b); err != nil {
			return nil, fmt.Errorf("decode body of task %d: %w", rec.Task, err)
		}
		f.Labels = b.GetLabels()
	}
	if rec.detail != nil {
		f.Detail = &storagev1.Detail{}
		if err := proto.Unmarshal(rec.detail, f.Detail); err != nil {
			return nil, fmt.Errorf("decode outcome of task %d: %w", rec.Task, err)
		}
	}
	return f, nil
}
