package scheduler

import (
	"encoding/binary"
	"slices"
)

// shape is what matching needs to know of tasks alike: queue, kind, require, weight, and whether they are suspects. A few stay when their last task has
// gone, so that a queue that runs empty after each task doesn't make and drop its shape each time. Which ones follows
// from the rows: those without tasks, of these the highest ids.
type shape struct {
	ShapeRow
	key     string // in State.shapeByKey
	queue   *queue
	refs    int // tasks
	ready   readySet
	candPos int32  // in queue.cand; -1: not there
	blocked int    // position + 1 in matcher.blocked; 0: not there
	headPos int32  // in reservations.heads; -1: not there
	kept    *pool  // Reserved: the pool kept for it; nil: its session has gone
	try     bool   // in reservations.overdue: a pool might be kept for it by now
	fits    bool   // likewise: some session's pool was big enough when last looked
	wanted  uint64 // the Submit whose check counted it last
	epoch   uint32
	stored  bool
}

// suspectBit sets the keys of suspects' shapes apart from the others: queues' ids stay far below.
const suspectBit = 1 << 31

const (
	idleShapesMax   = 16 // shapes without tasks a queue
	idlePoliciesMax = 64
)

// appendShapeKey encodes what makes a shape. Each part has a fixed size or a length before it: no two shapes share a key,
// not even one that isn't valid.
func appendShapeKey(b []byte, queue uint32, spec *TaskSpec) []byte {
	b = binary.BigEndian.AppendUint32(b, queue)
	b = binary.BigEndian.AppendUint16(b, spec.Weight)
	b = appendString(b, spec.Kind)
	return appendLabels(b, spec.Require)
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func appendLabels(b []byte, labels []Label) []byte {
	for i := range labels {
		b = appendString(appendString(b, labels[i].Key), labels[i].Value)
	}
	return b
}

// findShape returns the shape of a task in a queue, or nil.
func (s *State) findShape(q *queue, spec *TaskSpec) *shape {
	if l := s.lastShape; l != nil && !l.Suspect && l.queue == q && l.Weight == spec.Weight && l.Kind == spec.Kind && slices.Equal(l.Require, spec.Require) {
		return l
	}
	s.scratch.key = appendShapeKey(s.scratch.key[:0], q.ID, spec)
	return s.shapeByKey[string(s.scratch.key)]
}

// takeShape finds or makes the shape of a task; the caller has checked the limit.
func (s *State) takeShape(q *queue, spec *TaskSpec) *shape {
	sh := s.findShape(q, spec)
	if sh == nil {
		s.globals.LastShape++
		sh = s.addShape(ShapeRow{ID: s.globals.LastShape, Queue: q.ID, Kind: spec.Kind, Require: spec.Require, Weight: spec.Weight})
		s.touchShape(sh)
	}
	s.lastShape = sh
	return sh
}

// addShape adds a shape without tasks that isn't among the idle ones yet.
func (s *State) addShape(row ShapeRow) *shape {
	q := s.queues[row.Queue-1]
	spec := TaskSpec{Kind: row.Kind, Require: row.Require, Weight: row.Weight}
	part := q.ID
	if row.Suspect {
		part |= suspectBit
	}
	sh := &shape{ShapeRow: row, key: string(appendShapeKey(nil, part, &spec)), queue: q, candPos: -1, headPos: -1}
	s.shapes[sh.ID] = sh
	s.shapeByKey[sh.key] = sh
	return sh
}

// holdShape counts one more task of a shape.
func (s *State) holdShape(sh *shape) {
	if sh.refs == 0 {
		q := sh.queue
		if !sh.Suspect {
			q.shapes++
		}
		if i := slices.Index(q.idle, sh); i >= 0 {
			q.idle = slices.Delete(q.idle, i, i+1)
		}
	}
	sh.refs++
}

// releaseShape lets go of one task's hold on its shape.
func (s *State) releaseShape(sh *shape) {
	if sh.refs--; sh.refs > 0 {
		return
	}
	if !sh.Suspect {
		sh.queue.shapes--
	}
	s.idleShape(sh)
}

// idleShape keeps a shape without tasks; one too many goes.
func (s *State) idleShape(sh *shape) {
	q := sh.queue
	i, _ := slices.BinarySearchFunc(q.idle, sh.ID, func(o *shape, id uint32) int { return int(o.ID) - int(id) })
	q.idle = slices.Insert(q.idle, i, sh)
	if len(q.idle) <= idleShapesMax {
		return
	}
	gone := q.idle[0]
	q.idle = slices.Delete(q.idle, 0, 1)
	s.rows++
	s.dropRow(TableShapes, uint64(gone.ID), &gone.epoch, gone.stored)
	delete(s.shapes, gone.ID)
	delete(s.shapeByKey, gone.key)
	if s.lastShape == gone {
		s.lastShape = nil
	}
}

// policy is a Policy shared by tasks: no pointers, since every task may have its own. A few stay without tasks, as shapes
// do.
type policy struct {
	PolicyRow
	slot   uint32
	refs   int // tasks
	epoch  uint32
	stored bool
}

func (p *policy) rowKey() uint64 { return uint64(p.ID) }

// takePolicy finds or makes the row of a policy.
func (s *State) takePolicy(v Policy) *policy {
	if s.lastPolicy != nil && s.lastPolicy.Policy == v {
		return s.lastPolicy
	}
	var p *policy
	if slot, ok := s.policyByValue[v]; ok {
		p = s.policies.at(slot)
	} else {
		s.globals.LastPolicy++
		p = s.addPolicy(PolicyRow{ID: s.globals.LastPolicy, Policy: v})
		s.rows++
		s.touch(TablePolicies, uint64(p.ID), &p.epoch, &p.stored)
	}
	s.lastPolicy = p
	return p
}

// addPolicy adds a policy without tasks that isn't among the idle ones yet.
func (s *State) addPolicy(row PolicyRow) *policy {
	slot, p := s.policies.add(policy{PolicyRow: row})
	p.slot = slot
	s.policyByValue[p.Policy] = slot
	return p
}

// holdPolicy counts one more task of a policy.
func (s *State) holdPolicy(p *policy) {
	if p.refs == 0 {
		if i, idle := slices.BinarySearch(s.idlePolicies, p.ID); idle {
			s.idlePolicies = slices.Delete(s.idlePolicies, i, i+1)
		}
	}
	p.refs++
}

// releasePolicy lets go of one task's hold on its policy.
func (s *State) releasePolicy(p *policy) {
	if p.refs--; p.refs == 0 {
		s.idlePolicy(p)
	}
}

// idlePolicy keeps a policy without tasks; one too many goes.
func (s *State) idlePolicy(p *policy) {
	i, _ := slices.BinarySearch(s.idlePolicies, p.ID)
	s.idlePolicies = slices.Insert(s.idlePolicies, i, p.ID)
	if len(s.idlePolicies) <= idlePoliciesMax {
		return
	}
	slot, gone := s.policies.find(uint64(s.idlePolicies[0]))
	s.idlePolicies = slices.Delete(s.idlePolicies, 0, 1)
	s.rows++
	s.dropRow(TablePolicies, uint64(gone.ID), &gone.epoch, gone.stored)
	delete(s.policyByValue, gone.Policy)
	if s.lastPolicy == gone {
		s.lastPolicy = nil
	}
	s.policies.remove(slot)
}
