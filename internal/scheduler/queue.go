package scheduler

// queue is a named line of tasks.
type queue struct {
	QueueRow
	counts  [Leased + 1]uint64 // non-terminal tasks by state
	dead    uint64
	shapes  int          // live ones
	cand    heap[*shape] // shapes with ready tasks that aren't blocked, by their first task
	fairPos int32        // in matcher.fair; -1: not there
	epoch   uint32
	stored  bool
}

func (q *queue) depth() uint64 {
	return q.counts[Scheduled] + q.counts[Waiting] + q.counts[Pending] + q.counts[Leased]
}

// makeQueue adds a queue; the caller has checked the limit.
func (s *State) makeQueue(name string) *queue {
	s.globals.LastQueue++
	q := s.addQueue(QueueRow{ID: s.globals.LastQueue, Name: name, Weight: 1})
	s.touchQueue(q)
	return q
}

func (s *State) addQueue(row QueueRow) *queue {
	q := &queue{QueueRow: row, fairPos: -1}
	q.cand = heap[*shape]{
		less:  func(a, b *shape) bool { return readyLess(a.ready.min(), b.ready.min()) },
		moved: func(sh *shape, pos int32) { sh.candPos = pos },
	}
	s.queues = append(s.queues, q)
	s.queueByName[q.Name] = q
	return q
}

func (s *State) queueCommand(op Op, c *QueueCommand, r *Reply) {
	q := s.queueByName[c.Name]
	if q == nil {
		switch {
		case op != OpConfigureQueue:
			r.Code = CodeNotFound
			return
		case !validName(c.Name) || c.Weight > QueueWeightMax:
			r.Code = CodeInvalid
			return
		case len(s.queues) >= QueuesMax:
			r.Code = CodeLimitQueues
			return
		}
		q = s.makeQueue(c.Name)
	}
	switch op {
	case OpPauseQueue, OpResumeQueue:
		if paused := op == OpPauseQueue; q.Paused != paused {
			s.touchQueue(q)
			q.Paused = paused
			s.matcher.placeQueue(q)
		}
	case OpConfigureQueue:
		if c.Weight > QueueWeightMax {
			r.Code = CodeInvalid
		} else if c.Weight != 0 && c.Weight != q.Weight {
			s.touchQueue(q)
			q.Weight = c.Weight
		}
	}
}

// shape is what matching needs to know of tasks alike: queue, kind, require, weight. It lives as long as its tasks.
type shape struct {
	ShapeRow
	queue   *queue
	refs    int
	ready   heap[ready]
	candPos int32           // in queue.cand; -1: not there
	blocked int             // position + 1 in matcher.blocked; 0: not there
	fits    map[*class]int8 // pool of the class that runs it, or -(mismatch); see class.fit
	epoch   uint32
	stored  bool
}

// shapeKey finds a shape by what it is.
type shapeKey struct {
	queue         uint32
	weight        uint16
	kind, require string
}

// requireKey encodes require unambiguously: names hold no NUL and no newline, values may.
func requireKey(require []Label) string {
	if len(require) == 0 {
		return ""
	}
	var b []byte
	for _, l := range require {
		b = append(b, l.Key...)
		b = append(b, 0, byte(len(l.Value)>>8), byte(len(l.Value)))
		b = append(b, l.Value...)
	}
	return string(b)
}

// findShape returns the live shape of a task in a queue, or nil.
func (s *State) findShape(q *queue, spec *TaskSpec) *shape {
	if l := s.lastShape; l != nil && l.queue == q && l.Weight == spec.Weight && l.Kind == spec.Kind && equalLabels(l.Require, spec.Require) {
		return l
	}
	return s.shapeByKey[shapeKey{q.ID, spec.Weight, spec.Kind, requireKey(spec.Require)}]
}

func equalLabels(a, b []Label) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// takeShape finds or makes the shape of a task; the caller has checked the limit.
func (s *State) takeShape(q *queue, spec *TaskSpec) *shape {
	sh := s.findShape(q, spec)
	if sh == nil {
		s.globals.LastShape++
		sh = s.addShape(ShapeRow{ID: s.globals.LastShape, Queue: q.ID, Kind: spec.Kind, Require: spec.Require, Weight: spec.Weight})
		s.touch(TableShapes, uint64(sh.ID), &sh.epoch, &sh.stored)
	}
	s.lastShape = sh
	return sh
}

func (s *State) addShape(row ShapeRow) *shape {
	q := s.queues[row.Queue-1]
	sh := &shape{ShapeRow: row, queue: q, candPos: -1, fits: map[*class]int8{}}
	sh.ready = heap[ready]{less: readyLess, moved: func(e ready, pos int32) { s.tasks.at(e.slot).pos = pos }}
	s.shapes[sh.ID] = sh
	s.shapeByKey[shapeKey{q.ID, sh.Weight, sh.Kind, requireKey(sh.Require)}] = sh
	q.shapes++
	return sh
}

// releaseShape lets go of one task's hold on its shape.
func (s *State) releaseShape(sh *shape) {
	if sh.refs--; sh.refs > 0 {
		return
	}
	s.dropRow(TableShapes, uint64(sh.ID), &sh.epoch, sh.stored)
	s.matcher.unblock(sh)
	delete(s.shapes, sh.ID)
	delete(s.shapeByKey, shapeKey{sh.queue.ID, sh.Weight, sh.Kind, requireKey(sh.Require)})
	sh.queue.shapes--
	if s.lastShape == sh {
		s.lastShape = nil
	}
}

// policy is a Policy shared by tasks.
type policy struct {
	PolicyRow
	refs   int
	epoch  uint32
	stored bool
}

func (s *State) takePolicy(v Policy) *policy {
	if s.lastPolicy != nil && s.lastPolicy.Policy == v {
		return s.lastPolicy
	}
	p := s.policyByValue[v]
	if p == nil {
		s.globals.LastPolicy++
		p = s.addPolicy(PolicyRow{ID: s.globals.LastPolicy, Policy: v})
		s.touch(TablePolicies, uint64(p.ID), &p.epoch, &p.stored)
	}
	s.lastPolicy = p
	return p
}

func (s *State) addPolicy(row PolicyRow) *policy {
	p := &policy{PolicyRow: row}
	s.policies[p.ID] = p
	s.policyByValue[p.Policy] = p
	return p
}

func (s *State) releasePolicy(p *policy) {
	if p.refs--; p.refs > 0 {
		return
	}
	s.dropRow(TablePolicies, uint64(p.ID), &p.epoch, p.stored)
	delete(s.policies, p.ID)
	delete(s.policyByValue, p.Policy)
	if s.lastPolicy == p {
		s.lastPolicy = nil
	}
}
