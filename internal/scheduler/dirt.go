package scheduler

// dirt knows which rows changed since the last checkpoint was sealed.
//
// Sealing is O(1): the lists are swapped and the epoch is counted up. A row that is touched after that, while the sealed
// checkpoint has not copied it yet, has its image saved first; so the checkpoint sees every row as it was when sealed.
type dirt struct {
	epoch   uint32                // of the changes being gathered, from 1
	sealed  uint32                // of the checkpoint being copied; 0: none
	changed [tableEnd][]uint64    // keys of rows made or changed in this epoch; some may be gone again
	dropped [tableEnd][]uint64    // keys of rows that an earlier checkpoint holds and that are gone
	rows    int                   // that a checkpoint sealed now would write: those in changed that aren't gone, and dropped
	saved   map[rowRef]Row        // images of sealed rows touched since
	spare   [2][tableEnd][]uint64 // memory of an earlier checkpoint's lists
}

type rowRef struct {
	table Table
	key   uint64
}

func (d *dirt) init() {
	*d = dirt{epoch: 1}
	d.saved = map[rowRef]Row{}
}

// touch notes that a row is about to change, or was just made. It must be called before the change: leave calls it for
// tasks, and whatever changes another row calls it first.
// Invariant: a row's epoch is that of its last touch; 0: a checkpoint has copied it since.
func (s *State) touch(table Table, rowKey uint64, epoch *uint32, stored *bool) {
	d := &s.dirt
	if *epoch == d.epoch {
		return
	}
	if *epoch != 0 && *epoch == d.sealed {
		row, ok := s.rowOf(table, rowKey)
		if !ok {
			panic("scheduler: a touched row is missing in " + table.String())
		}
		d.saved[rowRef{table, rowKey}] = row
		*stored = true
	}
	*epoch = d.epoch
	d.changed[table] = append(d.changed[table], rowKey)
	d.rows++
}

// dropRow notes that a row is about to be deleted. A row that no checkpoint holds leaves no trace.
func (s *State) dropRow(table Table, rowKey uint64, epoch *uint32, stored bool) {
	d := &s.dirt
	if *epoch != 0 && *epoch == d.sealed {
		row, ok := s.rowOf(table, rowKey)
		if !ok {
			panic("scheduler: a dropped row is missing in " + table.String())
		}
		d.saved[rowRef{table, rowKey}] = row
		stored = true
	}
	if *epoch == d.epoch {
		d.rows--
	}
	*epoch = 0
	if stored {
		d.dropped[table] = append(d.dropped[table], rowKey)
		d.rows++
	}
}

func (s *State) touchTask(t *task)   { s.touch(TableTasks, uint64(t.ID), &t.epoch, &t.stored) }
func (s *State) touchLease(l *lease) { s.touch(TableLeases, uint64(l.Token), &l.epoch, &l.stored) }
func (s *State) touchKey(k *key)     { s.touch(TableKeys, k.Row, &k.epoch, &k.stored) }

func (s *State) touchShape(sh *shape) {
	s.rows++
	s.touch(TableShapes, uint64(sh.ID), &sh.epoch, &sh.stored)
}

// Queues, sessions and producers change many times a step: each counts once.

func (s *State) touchQueue(q *queue) {
	s.countOnce(&q.step)
	s.touch(TableQueues, uint64(q.ID), &q.epoch, &q.stored)
}

func (s *State) touchSession(x *session) {
	s.countOnce(&x.step)
	s.touch(TableSessions, uint64(x.ID), &x.epoch, &x.stored)
}

func (s *State) touchProducer(p *producer) {
	s.countOnce(&p.step)
	s.touch(TableProducers, p.Row, &p.epoch, &p.stored)
}

func (s *State) countOnce(step *uint64) {
	if *step != s.step {
		*step = s.step
		s.rows++
	}
}

// DirtyRows is how many rows a checkpoint sealed now would write, about: a row that came and went counts nothing.
func (s *State) DirtyRows() int { return 1 + s.dirt.rows }

// DirtyLooks is how many it would look at: what came and went is among them, and takes memory until then.
func (s *State) DirtyLooks() int {
	n := 1
	for t := range s.dirt.changed {
		n += len(s.dirt.changed[t]) + len(s.dirt.dropped[t])
	}
	return n
}

// Sealed is a checkpoint being copied out of the state.
type Sealed struct {
	changed, dropped [tableEnd][]uint64
	globals          GlobalsRow
	table            Table
	pos              int
	phase            uint8 // 0: globals, 1: dropped, 2: changed, 3: done
}

// Seal begins a checkpoint of the state as it is now. Only one may be under way: Collect it to its end first.
func (s *State) Seal() *Sealed {
	d := &s.dirt
	if d.sealed != 0 {
		panic("scheduler: a checkpoint is under way already")
	}
	c := &Sealed{changed: d.changed, dropped: d.dropped, globals: s.globals}
	d.changed, d.dropped = d.spare[0], d.spare[1]
	d.spare = [2][tableEnd][]uint64{}
	d.sealed = d.epoch
	d.epoch++
	d.rows = 0
	return c
}

// Collect appends at least one and about max row images of c to rows; done says that there are no more. It needs the
// lock under which Apply runs; between calls the state may change.
func (s *State) Collect(c *Sealed, maxRows int, rows []Row) (_ []Row, done bool) {
	if c.phase == 0 {
		g := c.globals
		rows = append(rows, Row{Table: TableGlobals, Key: 1, Globals: &g})
		c.phase, c.table, c.pos = 1, TableGlobals, 0
	}
	for n := 0; n < maxRows && c.phase < 3; n++ {
		keys := &c.dropped[c.table]
		if c.phase == 2 {
			keys = &c.changed[c.table]
		}
		if c.pos == len(*keys) {
			c.pos = 0
			if c.table++; c.table == tableEnd {
				c.table = TableGlobals
				c.phase++
			}
			continue
		}
		rowKey := (*keys)[c.pos]
		c.pos++
		if c.phase == 1 {
			rows = s.collectDropped(c.table, rowKey, rows)
		} else {
			rows = s.collectChanged(c.table, rowKey, rows)
		}
	}
	if c.phase < 3 {
		return rows, false
	}
	s.collected(c)
	return rows, true
}

func (s *State) collectDropped(table Table, rowKey uint64, rows []Row) []Row {
	if m := s.rowMarks(table, rowKey); m.epoch != nil && *m.epoch == s.dirt.sealed {
		return rows // deleted, then made again before the seal
	}
	if _, again := s.dirt.saved[rowRef{table, rowKey}]; again {
		return rows // likewise, and touched since
	}
	return append(rows, Row{Table: table, Key: rowKey, Deleted: true})
}

func (s *State) collectChanged(table Table, rowKey uint64, rows []Row) []Row {
	m := s.rowMarks(table, rowKey)
	if m.epoch != nil && *m.epoch == s.dirt.sealed {
		*m.epoch, *m.stored = 0, true
		rows = append(rows, Row{Table: table, Key: rowKey})
		s.copyRow(&rows[len(rows)-1])
		return rows
	}
	ref := rowRef{table, rowKey}
	row, ok := s.dirt.saved[ref]
	if !ok {
		return rows // gone before the seal, copied already, or made after it
	}
	delete(s.dirt.saved, ref)
	return append(rows, row)
}

func (s *State) collected(c *Sealed) {
	d := &s.dirt
	if len(d.saved) > 0 {
		panic("scheduler: a checkpoint left images behind")
	}
	d.saved = map[rowRef]Row{}
	d.sealed = 0
	for t := range c.changed {
		d.spare[0][t] = keepSpare(c.changed[t])
		d.spare[1][t] = keepSpare(c.dropped[t])
	}
}

// keepSpare keeps a list's memory unless it is out of the ordinary.
func keepSpare(keys []uint64) []uint64 {
	if cap(keys) > 1<<17 {
		return nil
	}
	return keys[:0]
}
