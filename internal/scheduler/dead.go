package scheduler

// deadStub is all that the core keeps of a dead letter: its row is the store's.
type deadStub struct {
	DeadRow
	epoch  uint32
	stored bool
}

func (d *deadStub) rowKey() uint64 { return d.Row }

// addDead leaves a stub of a task that dies. Over the limit the oldest dead letter goes.
func (s *State) addDead(t *task, q *queue, eff *Effects) {
	if s.dead.live >= DeadMax {
		s.forgetOldest(eff)
	}
	s.globals.LastDead++
	s.putDead(DeadRow{Row: s.globals.LastDead, Task: t.ID, Gen: t.Gen, Queue: q.ID})
	_, d := s.dead.find(s.globals.LastDead)
	s.touch(TableDead, d.Row, &d.epoch, &d.stored)
}

func (s *State) putDead(row DeadRow) *deadStub {
	_, d := s.dead.add(deadStub{DeadRow: row})
	s.deadOf[row.Task] = row.Row
	s.queues[row.Queue-1].dead++
	return d
}

func (s *State) dropDead(slot uint32, d *deadStub) {
	s.dropRow(TableDead, d.Row, &d.epoch, d.stored)
	delete(s.deadOf, d.Task)
	s.queues[d.Queue-1].dead--
	s.dead.remove(slot)
}

func (s *State) forgetOldest(eff *Effects) {
	for ; s.deadOldest <= s.globals.LastDead; s.deadOldest++ {
		if slot, d := s.dead.find(s.deadOldest); d != nil {
			eff.Forgotten = append(eff.Forgotten, d.Task)
			s.dropDead(slot, d)
			return
		}
	}
}

// forget ends dead letters whose retention is over, unless they have been retried since.
func (s *State) forget(c *Forget, eff *Effects) {
	for _, ref := range c.Items {
		row, ok := s.deadOf[ref.ID]
		if !ok {
			continue
		}
		if slot, d := s.dead.find(row); d.Gen == ref.Gen {
			eff.Forgotten = append(eff.Forgotten, d.Task)
			s.dropDead(slot, d)
		}
	}
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
	row, ok := s.deadOf[it.ID]
	if !ok {
		if it.ID == 0 || it.ID > s.globals.LastTask {
			return ItemNotFound
		}
		return ItemNotDead
	}
	slot, d := s.dead.find(row)
	if !it.Found || d.Gen != it.Gen {
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
	s.dropDead(slot, d)
	t := s.revive(TaskRow{ID: it.ID, Gen: it.Gen + 1}, &spec)
	s.reviveKey(t)
	eff.Revived = append(eff.Revived, it.ID)
	return ItemDone
}
