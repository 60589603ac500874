package scheduler

// mEnd is what ended a lease, or a task that had one.
type mEnd struct {
	cmd, item    int32
	lease        *LeaseRow
	worker       string
	attempt      uint32
	lost, purged bool
}

var mNoLease = mEnd{cmd: -1}

// held tells a leased task's lease; no outcome ended it yet.
func (m *model) held(t *mTask) mEnd {
	l := m.leases[t.Token]
	return mEnd{cmd: -1, lease: l, worker: m.sessions[l.Session].Worker.Name, attempt: uint32(t.Attempts) + 1}
}

func (m *model) event(e Event) {
	if m.g.Logic < 2 {
		return
	}
	m.g.LastPosition++
	e.Position = m.g.LastPosition
	m.eff.Events = append(m.eff.Events, e)
}

func (m *model) taskEvent(kind EventType, t *mTask, by mEnd, cause Cause) {
	e := Event{Type: kind, Task: t.ID, Gen: t.Gen, Queue: t.queue, Kind: t.kind, Cause: cause}
	if by.lease != nil {
		e.Token, e.Session, e.Worker, e.Attempt = by.lease.Token, by.lease.Session, by.worker, by.attempt
	}
	m.event(e)
}

// failed keeps an attempt or loss that is charged.
func (m *model) failed(t *mTask, cause Cause, by mEnd) {
	m.eff.Failed = append(m.eff.Failed, Failed{
		Task: t.ID, Cause: cause, Attempt: by.attempt, Gen: t.Gen, Token: by.lease.Token, Session: by.lease.Session,
		Granted: by.lease.Granted, Worker: by.worker, Cmd: by.cmd, Item: by.item,
	})
}

func (m *model) configure(c *QueueCommand, r *Reply) {
	span := func(d Duration) bool { return d >= 0 && d <= RetentionMax+1 }
	ok := c.Weight <= QueueWeightMax && (m.queues[c.Name] != nil || ValidName(c.Name))
	if m.g.Logic >= 2 {
		all := QueueDepthSet | QueueMaxLeasesSet | QueueRetentionSet | QueueDeadRetentionSet
		ok = ok && c.Fields&^all == 0 && c.Depth <= QueueDepthMax && c.MaxLeases <= QueueLeasesMax && span(c.Retention) && span(c.DeadRetention)
	}
	if !ok {
		r.Code = CodeInvalid
		return
	}
	_, known := m.queues[c.Name]
	q := m.newQueue(c.Name)
	old := *q
	if c.Weight > 0 {
		q.Weight = c.Weight
	}
	if m.g.Logic >= 2 {
		for i, set := range []func(){
			func() { q.Depth = c.Depth }, func() { q.MaxLeases = c.MaxLeases },
			func() { q.Retention = c.Retention }, func() { q.DeadRetention = c.DeadRetention },
		} {
			if c.Fields>>i&1 == 1 {
				set()
			}
		}
	}
	if !known || *q != old {
		m.event(Event{Type: EventQueueConfigured, Queue: q.Name})
	}
}

func (m *model) delete(it *DeleteItem) ItemCode {
	if m.tasks[it.ID] != nil {
		return ItemNotTerminal
	}
	if !it.Found || it.ID < 1 || it.ID > m.g.LastTask {
		return ItemNotFound
	}
	e := Event{Type: EventDeleted, Task: it.ID, Gen: it.Gen}
	if d := m.dead[it.ID]; d != nil {
		if d.Gen != it.Gen {
			return ItemNotFound
		}
		for _, q := range m.queues {
			if q.ID == d.Queue {
				e.Queue = q.Name
			}
		}
		delete(m.dead, it.ID)
	}
	m.event(e)
	m.eff.Forgotten = append(m.eff.Forgotten, it.ID)
	return ItemDone
}
