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
	kept    int          // reservations of its shapes; each counts as a lease to the others
	shut    bool         // a heavy shape could get no reservation since the queue wasn't open

	submitted, ended uint64 // tasks, in this process: no part of the state

	step   uint64 // that touched it last
	epoch  uint32
	stored bool
}

func (q *queue) depth() uint64 {
	return q.counts[Scheduled] + q.counts[Waiting] + q.counts[Pending] + q.counts[Leased]
}

// full reports whether a queue has as many leases as it may, so many of them kept for its reservations.
func (q *queue) full(kept int) bool {
	return q.MaxLeases != 0 && q.counts[Leased]+uint64(kept) >= uint64(q.MaxLeases)
}

// open reports whether a queue may be granted from, its reservations aside.
func (q *queue) open() bool { return !q.Paused && !q.full(q.kept) }

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
		less:  func(a, b *shape) bool { return a.ready.min() < b.ready.min() },
		moved: func(sh *shape, pos int32) { sh.candPos = pos },
	}
	s.queues = append(s.queues, q)
	s.queueByName[q.Name] = q
	return q
}

// depthLimit is the most non-terminal tasks that a queue may hold.
func (s *State) depthLimit(q *queue) uint64 {
	if q.Depth != 0 {
		return q.Depth
	}
	return s.globals.Limits.Depth
}

func (s *State) queueCommand(op Op, c *QueueCommand, r *Reply, eff *Effects) {
	q := s.queueByName[c.Name]
	fresh := q == nil
	if fresh {
		switch {
		case op != OpConfigureQueue:
			r.Code = CodeNotFound
			return
		case !validName(c.Name) || !s.validSettings(c):
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
			if paused {
				s.matcher.forgetHeads(s, q)
			}
			s.matcher.placeQueue(q)
			kind := EventQueueResumed
			if paused {
				kind = EventQueuePaused
			}
			s.queueEvent(kind, q, eff)
		}
	case OpConfigureQueue:
		if !s.validSettings(c) {
			r.Code = CodeInvalid
			return
		}
		if s.configure(q, c) || fresh {
			s.queueEvent(EventQueueConfigured, q, eff)
		}
	}
}

// validSettings is the core's own check of what a shell should have checked. Logic 1 knows of the weight only.
func (s *State) validSettings(c *QueueCommand) bool {
	return c.Weight <= QueueWeightMax && (s.globals.Logic < 2 || c.Fields < queueFieldsEnd && c.Depth <= QueueDepthMax &&
		c.MaxLeases <= QueueLeasesMax && within(c.Retention, RetentionMax+1) && within(c.DeadRetention, RetentionMax+1))
}

// configure changes a queue's settings and reports whether any of them is another now.
func (s *State) configure(q *queue, c *QueueCommand) bool {
	row := q.QueueRow
	if c.Weight != 0 {
		row.Weight = c.Weight
	}
	if s.globals.Logic >= 2 {
		if c.Fields&QueueDepthSet != 0 {
			row.Depth = c.Depth
		}
		if c.Fields&QueueMaxLeasesSet != 0 {
			row.MaxLeases = c.MaxLeases
		}
		if c.Fields&QueueRetentionSet != 0 {
			row.Retention = c.Retention
		}
		if c.Fields&QueueDeadRetentionSet != 0 {
			row.DeadRetention = c.DeadRetention
		}
	}
	if row == q.QueueRow {
		return false
	}
	s.touchQueue(q)
	q.QueueRow = row
	s.matcher.placeQueue(q)
	return true
}
