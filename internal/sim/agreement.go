package sim

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// registrySight is what the oracle has seen of a term.
type registrySight struct {
	sent    map[scheduler.Token]bool // handed to SendMsg
	applied int64                    // true time of the last look at which the log's time had changed
	at      scheduler.Time           // the log's time then
	looks   int
}

// watchTrust (8): a TTL after a session was last heard its worker, if it lives and doesn't stand still, runs nothing of it any
// more: from then on the leases may be given to others. Whatever the clocks show: this is true time.
func (e *entry) watchTrust() {
	w := e.r.c.w
	e.r.c.after(max(millisecond, e.lapses()-w.now), func() {
		if e.r.find(e.id) != e || e.m.NextWake() == session.Never {
			return
		}
		if s := w.oracle.sessions[e.id]; w.now >= e.lapses() && s != nil {
			if k := s.process(w); k != nil && !k.standsStill() {
				w.oracle.hasLetGo(k, e.id)
			}
			e.r.c.after(tickPeriod, e.watchTrust)
			return
		}
		e.watchTrust()
	})
}

// lapses is the true time from which on the session may end.
func (e *entry) lapses() int64 { return e.m.Heard() - second + e.r.opts.TTL }

// standsStill reports whether a process hasn't come to itself: it is paused, or what came meanwhile isn't done yet.
func (k *worker) standsStill() bool { return k.paused || len(k.inbox) > 0 || k.settles }

// inAgreement (16): when nothing is under way, a session's machine and the core agree: every lease that the core counts on is
// one that the machine knows or the worker is about to end, and the other way round; a session whose worker listens is given
// work; and nothing that wasn't sent waits at one that has no stream.
func (o *oracle) inAgreement(r *registry) {
	c := r.c
	if !c.leading || c.stopping || len(c.flights) > 0 || c.line.Len() > 0 {
		return
	}
	for _, e := range r.entries {
		info, ok := c.state.Session(e.id)
		if !ok || e.openedAt == 0 || e.m.NextWake() == session.Never || info.Ending {
			continue
		}
		o.agrees(e, &info)
	}
}

func (o *oracle) agrees(e *entry, info *scheduler.SessionInfo) {
	live, finished, unsent := 0, 0, scheduler.Token(0)
	for _, l := range e.r.c.state.SessionLeases(e.id, 1<<20) {
		if l.Revoked {
			continue
		}
		live++
		if e.finished[l.Token] {
			finished++
		}
		if rec := o.leases[l.Token]; rec != nil && rec.index > e.openedAt && !e.r.sight.sent[l.Token] {
			unsent = l.Token
		}
	}
	st := e.st
	listens := st != nil && !st.over && st.sent == st.confirmed && len(st.hand) == 0
	switch {
	case live > e.m.Leases()+finished:
		o.fail(InvLiveness, "session %d has %d live leases, its machine knows %d, and %d are about to end", e.id, live, e.m.Leases(), finished)
	case e.m.Leases() > info.Leases:
		o.fail(InvLiveness, "the machine of session %d knows %d leases, there are %d", e.id, e.m.Leases(), info.Leases)
	case st == nil && e.m.Stream() == 0 && unsent != 0:
		o.fail(InvLiveness, "token %d was never sent, and stands at session %d, which has no stream", unsent, e.id)
	case st != nil && e.m.NeedTimeouts():
		o.fail(InvLiveness, "session %d has leases whose attempt timeouts its machine doesn't know", e.id)
	case listens && !info.Attached && !info.Draining && !info.Superseded:
		o.fail(InvLiveness, "session %d has confirmed all on stream %d, and is given no work", e.id, st.id)
	}
}

// dueSlack is how much later than due anything may come: slow syncs, one after the other.
const dueSlack = 8 * second

// welcomeMost is how long it may take, in a calm world, until every worker is connected.
const welcomeMost = 90 * second

// allWelcome (16): once the world is calm every worker that runs gets its session.
func (o *oracle) allWelcome(r *registry) {
	if !o.w.calm || o.w.now-o.w.since < welcomeMost || !r.c.leading {
		return
	}
	for _, k := range o.w.workers {
		if k.up && !k.draining && k.w.now-k.bornAt > welcomeMost && !k.core.Counts().Live {
			o.fail(InvLiveness, "worker %d isn't welcomed, %d s after the faults stopped", k.id, (o.w.now-o.w.since)/second)
			return
		}
	}
}

// looksBetween is how many ticks of the registry go by between two looks at what is due.
const looksBetween = 4

// dueInTime (16): what waits for its time doesn't wait much longer, whether or not anything else happens: the core asks to be
// called by then, and is. gap: the process stood still.
func (o *oracle) dueInTime(r *registry, gap int64) {
	s, c := &r.sight, r.c
	if now := c.state.Now(); now != s.at || gap > 0 || !c.leading || c.stopping || c.gate {
		s.at, s.applied = now, o.w.now
	}
	if s.looks++; s.looks%looksBetween != 0 {
		return
	}
	for _, t := range o.tasks {
		if t.state != lifeScheduled {
			continue
		}
		if info, ok := c.state.Task(t.id); ok && c.leading && info.State == scheduler.Scheduled && !c.more && (c.deadline == 0 || c.deadline > info.Due) {
			o.fail(InvLiveness, "task %d waits for its time, %d, and the core asks to be called at %d", t.id, info.Due, c.deadline)
			return
		}
		left := max(0, int64(t.notBefore-s.at))
		if late := o.w.now - s.applied - left - left/9; late > dueSlack {
			o.fail(InvLiveness, "task %d waits for its time, which came %d ms ago", t.id, late/millisecond)
			return
		}
	}
}
