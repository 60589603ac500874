package scheduler

import "encoding/binary"

// Hash is a number that two states share iff (all but surely) every row of theirs is equal. It is the sum, modulo 2^64,
// of a 64-bit hash of each row's fields, so that the order of the walk doesn't matter. It walks the whole state. A field
// that came with a later version of the rules counts only if it isn't zero.
func (s *State) Hash() uint64 {
	var sum uint64
	var e rowEncoder
	s.eachRow(func(r *Row) {
		e.b = e.b[:0]
		e.row(r)
		sum += hashBytes(e.b)
	})
	return sum
}

// hashBytes is FNV-1a (Fowler, Noll, Vo 1991), finished by mix so that sums of it stay apart.
func hashBytes(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mix(h)
}

// rowEncoder writes a row's fields, each with a fixed size or a length before it.
type rowEncoder struct{ b []byte }

func (e *rowEncoder) u(v uint64) { e.b = binary.BigEndian.AppendUint64(e.b, v) }

// since writes a field that an earlier version of the rules didn't have: not at all while it is zero, so that states of
// that version keep their hashes. The number tells it from the others of its row, and is never given again.
func (e *rowEncoder) since(number, v uint64) {
	if v != 0 {
		e.u(number)
		e.u(v)
	}
}

func (e *rowEncoder) i(v int64) { e.u(uint64(v)) }

func (e *rowEncoder) s(v string) {
	e.u(uint64(len(v)))
	e.b = append(e.b, v...)
}

func (e *rowEncoder) t(v bool) {
	if v {
		e.u(1)
	} else {
		e.u(0)
	}
}

func (e *rowEncoder) h(v Hash128) { e.b = append(e.b, v[:]...) }

func (e *rowEncoder) names(v []string) {
	e.u(uint64(len(v)))
	for _, n := range v {
		e.s(n)
	}
}

func (e *rowEncoder) labels(v []Label) {
	e.u(uint64(len(v)))
	for _, l := range v {
		e.s(l.Key)
		e.s(l.Value)
	}
}

func (e *rowEncoder) row(r *Row) {
	e.u(uint64(r.Table))
	e.u(r.Key)
	switch r.Table {
	case TableGlobals:
		e.globals(r.Globals)
	case TableQueues:
		q := r.Queue
		e.s(q.Name)
		e.u(uint64(q.Weight))
		e.t(q.Paused)
		e.u(q.Pass)
		e.since(1, q.Depth)
		e.since(2, uint64(q.MaxLeases))
		e.since(3, uint64(q.Retention))
		e.since(4, uint64(q.DeadRetention))
	case TableShapes:
		h := r.Shape
		e.u(uint64(h.Queue))
		e.s(h.Kind)
		e.labels(h.Require)
		e.u(uint64(h.Weight))
		if h.Suspect {
			e.since(1, 1)
		}
		e.since(2, uint64(h.HeadSince))
		e.since(3, uint64(h.Reserved))
	case TablePolicies:
		e.policy(&r.Policy.Policy)
	case TableSessions:
		e.session(r.Session)
	case TableTasks:
		e.task(&r.Task)
	case TableLeases:
		l := &r.Lease
		e.u(uint64(l.Task))
		e.u(uint64(l.Session))
		e.i(int64(l.Granted))
		e.u(l.Term)
		e.u(uint64(l.Weight))
		e.u(uint64(l.Pool))
		e.t(l.Revoked)
	case TableProducers:
		e.producer(r.Producer)
	case TableKeys:
		k := &r.Key128
		e.h(k.Key)
		e.h(k.Body)
		e.u(uint64(k.Task))
		e.i(int64(k.Expires))
	case TableDead:
		d := &r.Dead
		e.u(uint64(d.Task))
		e.u(uint64(d.Gen))
		e.u(uint64(d.Queue))
	}
}

func (e *rowEncoder) globals(g *GlobalsRow) {
	e.i(int64(g.Now))
	e.i(int64(g.Served))
	for _, v := range [...]uint64{
		g.Term, g.Limits.MaxTasks, g.Limits.Depth, uint64(g.LastTask), uint64(g.LastToken), uint64(g.LastSession),
		uint64(g.LastQueue), uint64(g.LastShape), uint64(g.LastPolicy), g.LastProducer, g.LastUse, g.LastKey, g.LastDead,
		g.VirtualTime,
	} {
		e.u(v)
	}
	if g.Logic > 1 {
		e.since(1, uint64(g.Logic))
	}
	e.since(2, g.LastPosition)
	if g.Restoring {
		e.since(3, 1)
	}
	e.since(4, uint64(g.EndThrough))
}

func (e *rowEncoder) policy(p *Policy) {
	for _, d := range [...]Duration{p.AttemptTimeout, p.Backoff, p.BackoffMax, p.Retention, p.DeadRetention} {
		e.i(int64(d))
	}
	e.u(uint64(p.MaxAttempts))
	e.u(uint64(p.MaxLosses))
	e.u(uint64(p.Factor))
}

func (e *rowEncoder) task(t *TaskRow) {
	for _, v := range [...]uint64{
		uint64(t.Token), uint64(t.Due), uint64(t.StartBy), uint64(t.Deadline), uint64(t.Submitted), uint64(t.LastSession),
		uint64(t.Gen), uint64(t.Shape), uint64(t.Policy), uint64(t.PayloadBytes), uint64(t.Attempts), uint64(t.Losses),
		uint64(t.Undelivered), uint64(int64(t.Priority)), uint64(t.State), uint64(t.Flags),
	} {
		e.u(v)
	}
}

func (e *rowEncoder) session(x *SessionRow) {
	w := &x.Worker
	e.s(w.Name)
	e.h(w.Incarnation)
	e.names(w.Kinds)
	e.names(w.Queues)
	e.labels(w.Labels)
	e.u(uint64(len(w.Pools)))
	for i := range w.Pools {
		e.s(w.Pools[i].Name)
		e.u(uint64(w.Pools[i].Slots))
		e.names(w.Pools[i].Kinds)
	}
	e.i(int64(x.Opened))
	for _, v := range [...]uint64{x.AttachTerm, x.Attach, x.HeardTerm, uint64(x.LastGrant), x.AnswersFrom} {
		e.u(v)
	}
	e.t(x.Draining)
	e.t(x.Superseded)
	e.t(x.Ending)
	e.u(uint64(len(x.Answers)))
	for _, a := range x.Answers {
		e.b = append(e.b, byte(a))
	}
	e.u(uint64(len(x.EndStarted)))
	for _, t := range x.EndStarted {
		e.u(uint64(t))
	}
	for i := range w.Pools {
		e.since(uint64(i)+1, uint64(w.Pools[i].Prefetch))
	}
}

func (e *rowEncoder) producer(p *ProducerRow) {
	e.h(p.ID)
	e.i(int64(p.LastUsed))
	e.u(p.Use)
	e.u(p.Lowest)
	e.u(uint64(len(p.Answers)))
	for i := range p.Answers {
		a := &p.Answers[i]
		e.u(a.Number)
		e.u(uint64(a.First))
		e.u(uint64(a.Count))
		e.u(uint64(len(a.IDs)))
		for _, id := range a.IDs {
			e.u(uint64(id))
		}
		e.u(uint64(len(a.Old)))
		for _, o := range a.Old {
			e.u(uint64(o))
		}
	}
}
