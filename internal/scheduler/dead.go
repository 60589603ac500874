package scheduler

// deadStub is all that the core keeps of a dead letter: its row is the store's.
type deadStub struct {
	DeadRow
	slot       uint32
	prev, next uint32 // slot + 1 of the neighbours in order of death; 0: none
	epoch      uint32
	stored     bool
}

func (d *deadStub) rowKey() uint64 { return d.Row }

// addDead leaves a stub of a task that dies. Over the limit the oldest dead letter goes.
func (s *State) addDead(t *task, q *queue, eff *Effects) {
	if s.dead.live >= DeadMax {
		oldest := s.dead.at(s.deadHead - 1)
		eff.Forgotten = append(eff.Forgotten, oldest.Task)
		s.dropDead(oldest)
	}
	s.globals.LastDead++
	d := s.putDead(DeadRow{Row: s.globals.LastDead, Task: t.ID, Gen: t.Gen, Queue: q.ID})
	s.rows++
	s.touch(TableDead, d.Row, &d.epoch, &d.stored)
}

// putDead stores a stub that died after all that are there.
func (s *State) putDead(row DeadRow) *deadStub {
	slot, d := s.dead.add(deadStub{DeadRow: row, prev: s.deadTail})
	d.slot = slot
	if d.prev != 0 {
		s.dead.at(d.prev - 1).next = slot + 1
	} else {
		s.deadHead = slot + 1
	}
	s.deadTail = slot + 1
	s.deadOf[row.Task] = row.Row
	s.queues[row.Queue-1].dead++
	return d
}

func (s *State) dropDead(d *deadStub) {
	s.rows++
	if d.prev != 0 {
		s.dead.at(d.prev - 1).next = d.next
	} else {
		s.deadHead = d.next
	}
	if d.next != 0 {
		s.dead.at(d.next - 1).prev = d.prev
	} else {
		s.deadTail = d.prev
	}
	s.dropRow(TableDead, d.Row, &d.epoch, d.stored)
	delete(s.deadOf, d.Task)
	s.queues[d.Queue-1].dead--
	s.dead.remove(d.slot)
}

// findDead returns the stub of a dead letter, or nil.
func (s *State) findDead(id TaskID) *deadStub {
	row, ok := s.deadOf[id]
	if !ok {
		return nil
	}
	_, d := s.dead.find(row)
	return d
}

// forget ends dead letters whose retention is over, unless they have been retried since.
func (s *State) forget(c *Forget, eff *Effects) {
	for _, ref := range c.Items {
		if d := s.findDead(ref.ID); d != nil && d.Gen == ref.Gen {
			eff.Forgotten = append(eff.Forgotten, d.Task)
			s.dropDead(d)
		}
	}
}

// deleteFinished removes finished tasks before their retention is over.
func (s *State) deleteFinished(c *Delete, r *Reply, eff *Effects) {
	if len(c.Items) == 0 || len(c.Items) > BatchTasksMax {
		r.Code = CodeInvalid
		return
	}
	from := len(eff.Items)
	for i := range c.Items {
		it := &c.Items[i]
		eff.Items = append(eff.Items, ItemResult{ID: it.ID, Code: s.deleteOne(it, eff)})
	}
	r.Items = Span{int32(from), int32(len(eff.Items))}
}

func (s *State) deleteOne(it *DeleteItem, eff *Effects) ItemCode {
	if s.findTask(it.ID) != nil {
		return ItemNotTerminal
	}
	d := s.findDead(it.ID)
	if !it.Found || it.ID == 0 || it.ID > s.globals.LastTask || d != nil && d.Gen != it.Gen {
		return ItemNotFound
	}
	e := s.event(EventDeleted, eff)
	e.Task, e.Gen = it.ID, it.Gen
	if d != nil {
		e.Queue = s.queues[d.Queue-1].Name
		s.dropDead(d)
	}
	eff.Forgotten = append(eff.Forgotten, it.ID)
	return ItemDone
}

// retry gives dead letters a new generation.
func (s *State) retry(c *Retry, r *Reply, eff *Effects) {
	if len(c.Items) > BatchTasksMax {
		r.Code = CodeInvalid
		return
	}
	from := len(eff.Items)
	for i := range c.Items {
		it := &c.Items[i]
		eff.Items = append(eff.Items, ItemResult{ID: it.ID, Code: s.retryOne(it, eff)})
	}
	r.Items = Span{int32(from), int32(len(eff.Items))}
}

func (s *State) retryOne(it *RetryItem, eff *Effects) ItemCode {
	d := s.findDead(it.ID)
	switch {
	case d == nil && (it.ID == 0 || it.ID > s.globals.LastTask):
		return ItemNotFound
	case d == nil || !it.Found || d.Gen != it.Gen:
		return ItemNotDead
	}
	spec := it.Spec
	spec.HasKey, spec.NotBefore, spec.Delay, spec.StartBy, spec.Deadline = false, 0, 0, 0, 0
	switch code, _, _ := s.checkSubmit([]TaskSpec{spec}); code {
	case CodeOK:
	case CodeInvalid:
		return ItemNotDead
	default:
		return ItemLimit
	}
	s.dropDead(d)
	t := s.revive(TaskRow{ID: it.ID, Gen: it.Gen + 1}, &spec, EventRetried, eff)
	s.reviveKey(t)
	eff.Revived = append(eff.Revived, it.ID)
	return ItemDone
}
