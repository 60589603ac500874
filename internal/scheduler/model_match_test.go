package scheduler

import "slices"

// pool returns which of a session's pools runs a task, or -1.
func (m *model) pool(x *SessionRow, t *mTask) int {
	w := &x.Worker
	if !slices.Contains(w.Kinds, t.kind) || len(w.Queues) > 0 && !slices.Contains(w.Queues, t.queue) {
		return -1
	}
	for _, want := range t.require {
		if !slices.Contains(w.Labels, want) {
			return -1
		}
	}
	return max(0, slices.IndexFunc(w.Pools, func(p Pool) bool { return slices.Contains(p.Kinds, t.kind) }))
}

func (m *model) free(x *SessionRow, pool int) int {
	free := int(x.Worker.Pools[pool].Slots)
	for _, l := range m.leases {
		if l.Session == x.ID && int(l.Pool) == pool {
			free -= int(l.Weight)
		}
	}
	return free
}

func (m *model) matched(x *SessionRow) bool {
	return x != nil && m.g.Term != 0 && x.AttachTerm == m.g.Term && !x.Draining && !x.Superseded && !x.Ending
}

// room reports whether any session's pool may be given anything at all.
func (m *model) room() bool {
	for _, x := range m.sessions {
		for i := range x.Worker.Pools {
			if m.matched(x) && m.keptFor(x, i) == nil && m.free(x, i)+int(x.Worker.Pools[i].Prefetch) > 0 {
				return true
			}
		}
	}
	return false
}

// place returns the session that a task would go to now: most free slots, then longest without a grant, then first.
func (m *model) place(t *mTask) (best *SessionRow, bestPool int) {
	most := 0
	for _, x := range sorted(m.sessions) {
		pool := m.pool(x, t)
		if !m.matched(x) || pool < 0 || m.keptFor(x, pool) != nil {
			continue
		}
		free := m.free(x, pool)
		need := int(t.weight)
		switch suspect := m.shapeOf(t).Suspect; {
		case suspect && m.suspects(x) > 0:
			continue
		case need == 1 && !suspect:
			need -= int(x.Worker.Pools[pool].Prefetch)
		}
		if free >= need && (best == nil || free > most || free == most && x.LastGrant < best.LastGrant) {
			best, bestPool, most = x, pool, free
		}
	}
	return best, bestPool
}

// match grants while anything fits: the queue least far on goes first, in it the first task whose shape hasn't been
// found to fit nowhere.
func (m *model) match() {
	m.serveHeavy()
	nowhere := map[uint32]bool{}
	for m.room() {
		var q *QueueRow
		var t *mTask
		for _, o := range sorted(m.tasks) {
			oq := m.queues[o.queue]
			if o.State != Pending || nowhere[o.Shape] || m.shapeOf(o).Reserved != 0 || !m.opened(oq) {
				continue
			}
			if t == nil || oq.Pass < q.Pass || oq.Pass == q.Pass && oq.ID < q.ID || oq == q && o.Priority > t.Priority {
				q, t = oq, o
			}
		}
		if t == nil {
			return
		}
		if x, pool := m.place(t); x != nil {
			m.grant(q, t, x, pool)
			continue
		}
		nowhere[t.Shape] = true
		if sh := m.shapeOf(t); t.weight > 1 && sh.HeadSince == 0 && m.g.Logic >= 2 {
			sh.HeadSince = m.g.Now
		}
	}
}

func (m *model) grant(q *QueueRow, t *mTask, x *SessionRow, pool int) {
	start := q.Pass
	if m.g.VirtualTime > passCreditMax {
		start = max(start, m.g.VirtualTime-passCreditMax)
	}
	m.g.VirtualTime = max(m.g.VirtualTime, start)
	q.Pass = start + weightStride*uint64(t.weight)/uint64(q.Weight)
	m.g.LastToken++
	t.Token, t.State, x.LastGrant = m.g.LastToken, Leased, m.g.LastToken
	l := &LeaseRow{Token: t.Token, Task: t.ID, Session: x.ID, Granted: m.g.Now, Term: m.g.Term, Weight: t.weight, Pool: uint8(pool)}
	m.leases[l.Token] = l
	sh := m.shapeOf(t)
	sh.HeadSince, sh.Reserved = 0, 0
	m.eff.Grants = append(m.eff.Grants, m.grantOf(t, x, l))
	m.taskEvent(EventLeased, t, m.held(t), CauseNone)
}

func (m *model) grantOf(t *mTask, x *SessionRow, l *LeaseRow) Grant {
	g := Grant{
		Session: x.ID, Attach: x.Attach, Token: l.Token, Task: t.ID, Kind: t.kind, Queue: t.queue, Pool: x.Worker.Pools[l.Pool].Name,
		Attempt: uint32(t.Attempts) + 1, MaxAttempts: t.policy.MaxAttempts, Weight: t.weight, Gen: t.Gen,
		AttemptTimeout: t.policy.AttemptTimeout, Deadline: t.Deadline, PayloadBytes: t.PayloadBytes,
	}
	if t.Attempts == 0 && t.Losses == 0 {
		g.StartBy = t.StartBy
	}
	return g
}
