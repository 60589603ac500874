package scheduler

import "slices"

// rowMarks are a row's place in dirt.
type rowMarks struct {
	epoch  *uint32
	stored *bool
}

// rowMarks finds a row's marks; nil pointers: there is no such row.
func (s *State) rowMarks(table Table, rowKey uint64) rowMarks {
	switch table {
	case TableQueues:
		if rowKey >= 1 && rowKey <= uint64(len(s.queues)) {
			q := s.queues[rowKey-1]
			return rowMarks{&q.epoch, &q.stored}
		}
	case TableShapes:
		if sh := s.shapes[uint32(rowKey)]; sh != nil {
			return rowMarks{&sh.epoch, &sh.stored}
		}
	case TablePolicies:
		if _, p := s.policies.find(rowKey); p != nil {
			return rowMarks{&p.epoch, &p.stored}
		}
	case TableSessions:
		if x := s.sessions[SessionID(rowKey)]; x != nil {
			return rowMarks{&x.epoch, &x.stored}
		}
	case TableTasks:
		if _, t := s.tasks.find(rowKey); t != nil {
			return rowMarks{&t.epoch, &t.stored}
		}
	case TableLeases:
		if _, l := s.leases.find(rowKey); l != nil {
			return rowMarks{&l.epoch, &l.stored}
		}
	case TableProducers:
		if p := s.producerRows[rowKey]; p != nil {
			return rowMarks{&p.epoch, &p.stored}
		}
	case TableKeys:
		if _, k := s.keys.find(rowKey); k != nil {
			return rowMarks{&k.epoch, &k.stored}
		}
	case TableDead:
		if _, d := s.dead.find(rowKey); d != nil {
			return rowMarks{&d.epoch, &d.stored}
		}
	}
	return rowMarks{}
}

// rowOf copies a row, see copyRow.
func (s *State) rowOf(table Table, rowKey uint64) (Row, bool) {
	row := Row{Table: table, Key: rowKey}
	ok := s.copyRow(&row)
	return row, ok
}

// copyRow fills in the row that Table and Key name: it then shares nothing that Apply changes. False: there is none.
func (s *State) copyRow(row *Row) bool {
	rowKey := row.Key
	switch row.Table {
	case TableQueues:
		if rowKey < 1 || rowKey > uint64(len(s.queues)) {
			return false
		}
		c := s.queues[rowKey-1].QueueRow
		row.Queue = &c
	case TableShapes:
		sh := s.shapes[uint32(rowKey)]
		if sh == nil {
			return false
		}
		c := sh.ShapeRow
		row.Shape = &c
	case TablePolicies:
		_, p := s.policies.find(rowKey)
		if p == nil {
			return false
		}
		c := p.PolicyRow
		row.Policy = &c
	case TableSessions:
		x := s.sessions[SessionID(rowKey)]
		if x == nil {
			return false
		}
		c := x.SessionRow
		c.Answers, c.EndStarted = slices.Clone(c.Answers), slices.Clone(c.EndStarted)
		row.Session = &c
	case TableProducers:
		p := s.producerRows[rowKey]
		if p == nil {
			return false
		}
		c := p.ProducerRow
		c.Answers = slices.Clone(c.Answers)
		row.Producer = &c
	default:
		return s.copyFlatRow(row)
	}
	return true
}

// copyFlatRow is copyRow for the rows of slabs.
func (s *State) copyFlatRow(row *Row) bool {
	switch row.Table {
	case TableTasks:
		_, t := s.tasks.find(row.Key)
		if t == nil {
			return false
		}
		row.Task = s.taskRow(t)
	case TableLeases:
		_, l := s.leases.find(row.Key)
		if l == nil {
			return false
		}
		row.Lease = l.LeaseRow
	case TableKeys:
		_, k := s.keys.find(row.Key)
		if k == nil {
			return false
		}
		row.Key128 = k.KeyRow
	case TableDead:
		_, d := s.dead.find(row.Key)
		if d == nil {
			return false
		}
		row.Dead = d.DeadRow
	default:
		return false
	}
	return true
}

// eachRow calls f with every row, in no order that may reach output. The rows are f's only during the call.
func (s *State) eachRow(f func(*Row)) {
	g := s.globals
	f(&Row{Table: TableGlobals, Key: 1, Globals: &g})
	emit := func(table Table, rowKey uint64) {
		row, _ := s.rowOf(table, rowKey)
		f(&row)
	}
	for _, q := range s.queues {
		emit(TableQueues, uint64(q.ID))
	}
	for id := range s.shapes {
		emit(TableShapes, uint64(id))
	}
	s.policies.each(func(_ uint32, p *policy) bool { emit(TablePolicies, uint64(p.ID)); return true })
	for id := range s.sessions {
		emit(TableSessions, uint64(id))
	}
	for id := range s.producerRows {
		emit(TableProducers, id)
	}
	s.tasks.each(func(_ uint32, t *task) bool { emit(TableTasks, uint64(t.ID)); return true })
	s.leases.each(func(_ uint32, l *lease) bool { emit(TableLeases, uint64(l.Token)); return true })
	s.keys.each(func(_ uint32, k *key) bool { emit(TableKeys, k.Row); return true })
	s.dead.each(func(_ uint32, d *deadStub) bool { emit(TableDead, d.Row); return true })
}
