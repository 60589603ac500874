package scheduler

import (
	"cmp"
	"slices"
)

// shape finds or makes the shape of a task.
func (m *model) shape(t *mTask, suspect bool) *ShapeRow {
	queue := m.queues[t.queue].ID
	for _, sh := range m.shapes {
		if sh.Queue == queue && sh.Kind == t.kind && slices.Equal(sh.Require, t.require) && sh.Weight == t.weight && sh.Suspect == suspect {
			return sh
		}
	}
	m.g.LastShape++
	sh := &ShapeRow{ID: m.g.LastShape, Queue: queue, Kind: t.kind, Require: t.require, Weight: t.weight, Suspect: suspect}
	m.shapes = append(m.shapes, sh)
	return sh
}

func (m *model) shapeOf(t *mTask) *ShapeRow { return m.shapeAt(t.Shape) }

func (m *model) shapeAt(id uint32) *ShapeRow {
	return m.shapes[slices.IndexFunc(m.shapes, func(sh *ShapeRow) bool { return sh.ID == id })]
}

// settleShapes is called when a queue's task has ended or changed its shape: without a ready task no shape waits for slots,
// and of those without any task the newest stay.
func (m *model) settleShapes(queue string) {
	var idle []*ShapeRow
	for _, sh := range m.shapes {
		tasks, pending := 0, 0
		for _, t := range m.tasks {
			if t.Shape == sh.ID {
				tasks++
				if t.State == Pending {
					pending++
				}
			}
		}
		if pending == 0 {
			sh.HeadSince, sh.Reserved = 0, 0
		}
		if tasks == 0 && sh.Queue == m.queues[queue].ID {
			idle = append(idle, sh)
		}
	}
	if len(idle) > idleShapesMax {
		m.shapes = slices.DeleteFunc(m.shapes, func(sh *ShapeRow) bool { return sh == idle[0] })
	}
}

// opened reports whether a queue may be granted from: reservations count as leases.
func (m *model) opened(q *QueueRow) bool {
	n := uint32(m.leasesOf(q))
	for _, sh := range m.shapes {
		if sh.Queue == q.ID && sh.Reserved != 0 {
			n++
		}
	}
	return !q.Paused && (q.MaxLeases == 0 || n < q.MaxLeases)
}

func (m *model) leasesOf(q *QueueRow) (n int) {
	for _, t := range m.tasks {
		if t.State == Leased && t.queue == q.Name {
			n++
		}
	}
	return n
}

// suspects counts a session's live leases of suspects, and reservations for some.
func (m *model) suspects(x *SessionRow) (n int) {
	for _, l := range m.leases {
		if l.Session == x.ID && !l.Revoked && m.shapeOf(m.tasks[l.Task]).Suspect {
			n++
		}
	}
	for _, sh := range m.shapes {
		if sh.Suspect && sh.Reserved == x.ID {
			n++
		}
	}
	return n
}

// first returns a shape's first ready task.
func (m *model) first(sh *ShapeRow) (first *mTask) {
	for _, t := range sorted(m.tasks) {
		if t.Shape == sh.ID && t.State == Pending && (first == nil || t.Priority > first.Priority) {
			first = t
		}
	}
	return first
}

// keptFor returns the shape that a pool is kept for, or nil.
func (m *model) keptFor(x *SessionRow, pool int) *ShapeRow {
	for _, sh := range m.shapes {
		if sh.Reserved == x.ID && m.pool(x, m.first(sh)) == pool {
			return sh
		}
	}
	return nil
}

// serveHeavy does one thing after the other until there is none left: end a reservation that is over, grant what one was
// made for, make one that is due.
func (m *model) serveHeavy() {
	for m.endReservation() || m.grantReserved() || m.makeReservation() {
	}
}

func (m *model) queueOf(sh *ShapeRow) *QueueRow {
	for _, q := range m.queues {
		if q.ID == sh.Queue {
			return q
		}
	}
	return nil
}

func (m *model) endReservation() bool {
	for _, sh := range m.shapes {
		q := m.queueOf(sh)
		if sh.Reserved != 0 && (!m.matched(m.sessions[sh.Reserved]) || q.MaxLeases != 0 && m.leasesOf(q) >= int(q.MaxLeases)) {
			sh.Reserved = 0
			return true
		}
	}
	return false
}

func (m *model) grantReserved() bool {
	for _, sh := range m.shapes {
		if sh.Reserved == 0 {
			continue
		}
		t := m.first(sh)
		x := m.sessions[sh.Reserved]
		pool := m.pool(x, t)
		if m.free(x, pool) < int(t.weight) {
			x, pool = m.place(t)
		}
		if x != nil {
			m.grant(m.queueOf(sh), t, x, pool)
			return true
		}
	}
	return false
}

func (m *model) makeReservation() bool {
	var due []*ShapeRow
	names := map[string]bool{}
	for _, sh := range m.shapes {
		if sh.Reserved != 0 {
			x := m.sessions[sh.Reserved]
			names[x.Worker.Pools[m.pool(x, m.first(sh))].Name] = true
		} else if sh.HeadSince != 0 && sh.HeadSince.Add(HeavyWait) <= m.g.Now && m.opened(m.queueOf(sh)) {
			due = append(due, sh)
		}
	}
	slices.SortFunc(due, func(a, b *ShapeRow) int {
		return cmp.Or(cmp.Compare(a.HeadSince, b.HeadSince), cmp.Compare(a.ID, b.ID))
	})
	for _, sh := range due {
		var best *SessionRow
		most := 0
		for _, x := range sorted(m.sessions) {
			pool := m.pool(x, m.first(sh))
			if !m.matched(x) || pool < 0 || x.Worker.Pools[pool].Slots < sh.Weight || names[x.Worker.Pools[pool].Name] ||
				sh.Suspect && m.suspects(x) > 0 {
				continue
			}
			if free := m.free(x, pool); best == nil || free > most || free == most && x.LastGrant < best.LastGrant {
				best, most = x, free
			}
		}
		if best != nil {
			sh.Reserved = best.ID
			return true
		}
	}
	return false
}
