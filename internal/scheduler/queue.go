package scheduler

// queue is a named line of tasks.
type queue struct {
	QueueRow
	counts  [Leased + 1]uint64 // non-terminal tasks by state
	dead    uint64
	shapes  int          // with tasks
	idle    []*shape     // without tasks, by id; at most idleShapesMax
	cand    heap[*shape] // shapes with ready tasks that aren't blocked, by their first task
	fairPos int32        // in matcher.fair; -1: not there
	step    uint64       // that touched it last
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
