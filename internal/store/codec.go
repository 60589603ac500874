package store

import (
	"errors"
	"fmt"
	"math"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// globalsKey is the key of the one row of TableGlobals.
const globalsKey = 1

var (
	errNoImage = errors.New("the row has no image")
	errNoKey   = errors.New("the row has no key")
)

// codec translates between the core's rows and their stored form. Both ways
// refuse the same things: what Save has taken, Load takes back. It keeps the
// messages of tables that may have many rows for the next row.
type codec struct {
	lease storagev1.Lease
	key   storagev1.Key
	dead  storagev1.Dead
}

// append encodes a row that isn't a deletion.
func (c *codec) append(buf []byte, row *scheduler.Row) ([]byte, error) {
	var own uint64 // the row's name for itself
	var m proto.Message
	var err error
	switch row.Table {
	case scheduler.TableTasks:
		if err := checkName(row, uint64(row.Task.ID)); err != nil {
			return buf, err
		}
		return appendTask(buf, &row.Task)
	case scheduler.TableLeases:
		own, m, err = uint64(row.Lease.Token), &c.lease, c.leaseToProto(&row.Lease)
	case scheduler.TableKeys:
		own, m = row.Key128.Row, c.keyToProto(&row.Key128)
	case scheduler.TableDead:
		own, m = row.Dead.Row, c.deadToProto(&row.Dead)
	default:
		own, m, err = rareToProto(row)
	}
	if err != nil {
		return buf, err
	}
	if err := checkName(row, own); err != nil {
		return buf, err
	}
	return proto.MarshalOptions{}.MarshalAppend(buf, m)
}

// checkName refuses a row that calls itself by another name than its key.
func checkName(row *scheduler.Row, own uint64) error {
	if own != row.Key || own == 0 {
		return fmt.Errorf("the row calls itself %d", own)
	}
	return nil
}

// rareToProto translates the rows of tables that have few.
func rareToProto(row *scheduler.Row) (own uint64, m proto.Message, err error) {
	switch {
	case row.Table == scheduler.TableGlobals && row.Globals != nil:
		return globalsKey, globalsToProto(row.Globals), nil
	case row.Table == scheduler.TableQueues && row.Queue != nil:
		return uint64(row.Queue.ID), queueToProto(row.Queue), nil
	case row.Table == scheduler.TableShapes && row.Shape != nil:
		return uint64(row.Shape.ID), shapeToProto(row.Shape), nil
	case row.Table == scheduler.TablePolicies && row.Policy != nil:
		return uint64(row.Policy.ID), policyToProto(&row.Policy.Policy), nil
	case row.Table == scheduler.TableSessions && row.Session != nil:
		m, err := sessionToProto(row.Session)
		return uint64(row.Session.ID), m, err
	case row.Table == scheduler.TableProducers && row.Producer != nil:
		m, err := producerToProto(row.Producer)
		return row.Producer.Row, m, err
	}
	return 0, nil, errNoImage
}

// decode fills row with a stored row. What pointers in it refer to is new.
func (c *codec) decode(t scheduler.Table, key uint64, data []byte, row *scheduler.Row) error {
	*row = scheduler.Row{Table: t, Key: key}
	switch t {
	case scheduler.TableTasks:
		return decodeTask(key, data, &row.Task)
	case scheduler.TableLeases:
		return decodeLease(key, data, &row.Lease)
	case scheduler.TableKeys:
		return c.decodeKey(key, data, &row.Key128)
	case scheduler.TableDead:
		return c.decodeDead(key, data, &row.Dead)
	default:
		return decodeRare(t, key, data, row)
	}
}

// decodeRare decodes the rows of tables that have few.
func decodeRare(t scheduler.Table, key uint64, data []byte, row *scheduler.Row) (err error) {
	switch t {
	case scheduler.TableGlobals:
		row.Globals, err = decodeGlobals(key, data)
	case scheduler.TableQueues:
		row.Queue, err = decodeQueue(key, data)
	case scheduler.TableShapes:
		row.Shape, err = decodeShape(key, data)
	case scheduler.TablePolicies:
		row.Policy, err = decodePolicy(key, data)
	case scheduler.TableSessions:
		row.Session, err = decodeSession(key, data)
	case scheduler.TableProducers:
		row.Producer, err = decodeProducer(key, data)
	default:
		err = fmt.Errorf("there is no table %d", t)
	}
	return err
}

// narrow collects the first number that is too great for its field.
type narrow struct{ err error }

func (n *narrow) below(field string, v, limit uint64) uint64 {
	if v > limit && n.err == nil {
		n.err = fmt.Errorf("%s is %d, the most is %d", field, v, limit)
	}
	return v
}

func (n *narrow) u8(field string, v uint32) uint8 {
	return uint8(n.below(field, uint64(v), math.MaxUint8))
}

func (n *narrow) u16(field string, v uint32) uint16 {
	return uint16(n.below(field, uint64(v), math.MaxUint16))
}

func (n *narrow) u32(field string, v uint64) uint32 {
	return uint32(n.below(field, v, math.MaxUint32))
}

// hash takes 16 bytes, or none for the zero hash.
func (n *narrow) hash(field string, b []byte) (h scheduler.Hash128) {
	if len(b) != len(h) && len(b) != 0 && n.err == nil {
		n.err = fmt.Errorf("%s has %d bytes, not %d", field, len(b), len(h))
	}
	copy(h[:], b)
	return h
}

// hashBytes is the inverse of narrow.hash.
func hashBytes(h scheduler.Hash128) []byte {
	if h == (scheduler.Hash128{}) {
		return nil
	}
	return h[:]
}

// mapped translates a list; an empty one becomes nil.
func mapped[A, B any](list []A, f func(A) B) []B {
	if len(list) == 0 {
		return nil
	}
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}

func taskIDs(ids []uint64) []scheduler.TaskID {
	return mapped(ids, func(id uint64) scheduler.TaskID { return scheduler.TaskID(id) })
}

func labelsToProto(labels []scheduler.Label) []*storagev1.Label {
	return mapped(labels, func(l scheduler.Label) *storagev1.Label {
		return &storagev1.Label{Key: l.Key, Value: l.Value}
	})
}

func labelsFromProto(labels []*storagev1.Label) []scheduler.Label {
	return mapped(labels, func(l *storagev1.Label) scheduler.Label {
		return scheduler.Label{Key: l.GetKey(), Value: l.GetValue()}
	})
}
