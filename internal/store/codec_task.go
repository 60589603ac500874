package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
)

// Tasks and leases are the tables that a start waits for, so they are decoded
// by hand, and tasks, most rows of a checkpoint, encoded by hand: BenchmarkDecodeTask
// and BenchmarkEncodeTask have the generated code beside it, and tests hold the two
// against each other.

// liveFlags are the flags that this build knows.
const liveFlags = scheduler.FlagCancelRequested | scheduler.FlagDeadlinePassed | scheduler.FlagHasLabels |
	scheduler.FlagHasKey | scheduler.FlagHasFailure

// checkTask refuses what isn't a live task, or what a newer build has added.
func checkTask(t *scheduler.TaskRow) error {
	if t.State < scheduler.Scheduled || t.State > scheduler.Leased {
		return fmt.Errorf("state %d isn't one of a live task", t.State)
	}
	if unknown := t.Flags &^ liveFlags; unknown != 0 {
		return fmt.Errorf("flags %#x are unknown", unknown)
	}
	return nil
}

// appendTask encodes a task.
func appendTask(b []byte, t *scheduler.TaskRow) ([]byte, error) {
	for i, v := range [...]uint64{
		uint64(t.Token), uint64(t.Due), uint64(t.StartBy), uint64(t.Deadline), uint64(t.Submitted),
		uint64(t.LastSession), uint64(t.Gen), uint64(t.Shape), uint64(t.Policy), uint64(t.PayloadBytes),
		uint64(t.Attempts), uint64(t.Losses), uint64(t.Undelivered), protowire.EncodeZigZag(int64(t.Priority)),
		uint64(t.State), uint64(t.Flags),
	} {
		if v != 0 {
			b = protowire.AppendTag(b, protowire.Number(i+1), protowire.VarintType)
			b = binary.AppendUvarint(b, v)
		}
	}
	return b, checkTask(t)
}

func (c *codec) leaseToProto(l *scheduler.LeaseRow) error {
	m := &c.lease
	m.Task = uint64(l.Task)
	m.Session = uint64(l.Session)
	m.Granted = int64(l.Granted)
	m.Term = l.Term
	m.Weight = uint32(l.Weight)
	m.Pool = uint32(l.Pool)
	m.Revoked = l.Revoked
	return nil
}

// varints reads a message whose known fields are all numbers. Fields of other
// wire types are skipped, as an older build must skip what a newer one added.
type varints struct {
	data []byte
	err  error
}

var errNotMessage = errors.New("it isn't a message")

// next returns the next number; ok is false at the end and on an error. Fields
// below 16, which are all but the flags, have a tag of one byte.
func (r *varints) next() (field protowire.Number, value uint64, ok bool) {
	if d := r.data; len(d) > 1 && d[0] < 0x80 && d[0]&7 == byte(protowire.VarintType) && d[0] != 0 {
		value, n := binary.Uvarint(d[1:])
		if n > 0 {
			r.data = d[1+n:]
			return protowire.Number(d[0] >> 3), value, true
		}
	}
	return r.any()
}

// any is next for fields of any number and type.
func (r *varints) any() (field protowire.Number, value uint64, ok bool) {
	for len(r.data) > 0 {
		field, kind, tag := protowire.ConsumeTag(r.data)
		if tag < 0 {
			r.err = errNotMessage
			return 0, 0, false
		}
		var n int
		body := r.data[tag:]
		if kind == protowire.VarintType {
			value, n = protowire.ConsumeVarint(body)
		} else {
			n = protowire.ConsumeFieldValue(field, kind, body)
		}
		if n < 0 {
			r.err = errNotMessage
			return 0, 0, false
		}
		r.data = body[n:]
		if kind == protowire.VarintType {
			return field, value, true
		}
	}
	return 0, 0, false
}

func decodeTask(key uint64, data []byte, t *scheduler.TaskRow) error {
	t.ID = scheduler.TaskID(key)
	r, n := varints{data: data}, narrow{}
	for field, v, ok := r.next(); ok; field, v, ok = r.next() {
		switch field {
		case 1:
			t.Token = scheduler.Token(v)
		case 2:
			t.Due = scheduler.Time(v)
		case 3:
			t.StartBy = scheduler.Time(v)
		case 4:
			t.Deadline = scheduler.Time(v)
		case 5:
			t.Submitted = scheduler.Time(v)
		case 6:
			t.LastSession = scheduler.SessionID(v)
		case 7:
			t.Gen = n.u32("gen", v)
		case 8:
			t.Shape = n.u32("shape", v)
		case 9:
			t.Policy = n.u32("policy", v)
		case 10:
			t.PayloadBytes = n.u32("payload_bytes", v)
		case 11:
			t.Attempts = uint16(n.below("attempts", v, math.MaxUint16))
		case 12:
			t.Losses = uint8(n.below("losses", v, math.MaxUint8))
		case 13:
			t.Undelivered = uint8(n.below("undelivered", v, math.MaxUint8))
		case 14:
			t.Priority = int8(protowire.DecodeZigZag(n.below("priority", v, math.MaxUint8)))
		case 15:
			t.State = scheduler.TaskState(n.below("state", v, math.MaxUint8))
		case 16:
			t.Flags = scheduler.TaskFlags(n.below("flags", v, math.MaxUint8))
		}
	}
	if err := errors.Join(r.err, n.err); err != nil {
		return err
	}
	return checkTask(t)
}

func decodeLease(key uint64, data []byte, l *scheduler.LeaseRow) error {
	l.Token = scheduler.Token(key)
	r, n := varints{data: data}, narrow{}
	for field, v, ok := r.next(); ok; field, v, ok = r.next() {
		switch field {
		case 1:
			l.Task = scheduler.TaskID(v)
		case 2:
			l.Session = scheduler.SessionID(v)
		case 3:
			l.Granted = scheduler.Time(v)
		case 4:
			l.Term = v
		case 5:
			l.Weight = uint16(n.below("weight", v, math.MaxUint16))
		case 6:
			l.Pool = uint8(n.below("pool", v, math.MaxUint8))
		case 7:
			l.Revoked = v != 0
		}
	}
	return errors.Join(r.err, n.err)
}
