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

// place returns the session that a task would go to now: most free slots, then longest without a grant, then first.
func (m *model) place(t *mTask) (best *SessionRow, bestPool int) {
	most := 0
	for _, x := range sorted(m.sessions) {
		if m.g.Term == 0 || x.AttachTerm != m.g.Term || x.Draining || x.Superseded || x.Ending {
			continue
		}
		pool := m.pool(x, t)
		if pool < 0 {
			continue
		}
		free := m.free(x, pool)
		if free >= int(t.weight) && (best == nil || free > most || free == most && x.LastGrant < best.LastGrant) {
			best, bestPool, most = x, pool, free
		}
	}
	return best, bestPool
}

// match grants while anything fits: the queue least far on goes first, in it the first task that fits somewhere.
func (m *model) match() {
	for {
		var q *QueueRow
		var t *mTask
		for _, o := range sorted(m.tasks) {
			if o.State != Pending || m.queues[o.queue].Paused {
				continue
			}
			if x, _ := m.place(o); x == nil {
				continue
			}
			oq := m.queues[o.queue]
			if t == nil || oq.Pass < q.Pass || oq.Pass == q.Pass && oq.ID < q.ID || oq == q && o.Priority > t.Priority {
				q, t = oq, o
			}
		}
		if t == nil {
			return
		}
		m.grant(q, t)
	}
}

func (m *model) grant(q *QueueRow, t *mTask) {
	x, pool := m.place(t)
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
	m.eff.Grants = append(m.eff.Grants, m.grantOf(t, x, l))
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
