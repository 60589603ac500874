package sim

import (
	"bytes"
	"encoding/binary"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// openings notes whose the sessions are that a step opens.
func (o *oracle) openings(e *scheduler.Effects, b *scheduler.Batch) {
	for i := range b.Commands {
		if x, r := b.Commands[i].Open, &e.Replies[i]; x != nil && r.Code == scheduler.CodeOK {
			in := x.Worker.Incarnation
			o.sessions[r.Session] = &sessionRecord{
				worker: int(binary.BigEndian.Uint64(in[:])) - 1, life: binary.BigEndian.Uint64(in[8:]),
			}
		}
	}
}

// process returns the worker's process of a session, if it lives.
func (s *sessionRecord) process(w *World) *worker {
	if k := w.workers[s.worker]; k.up && k.life == s.life {
		return k
	}
	return nil
}

// lettingGo (8): when a session expires its worker, if it lives and doesn't stand still, has let go of all that it started
// under it: handlers have returned or were killed. So nobody works with a lease that may be given to another.
func (o *oracle) lettingGo(e *scheduler.Effects, b *scheduler.Batch) {
	for i := range b.Commands {
		c := &b.Commands[i]
		if c.Op != scheduler.OpExpireSession || e.Replies[i].Code != scheduler.CodeOK {
			continue
		}
		s := o.sessions[c.Session.Session]
		if s == nil {
			continue
		}
		o.trustKept(c.Session.Session, s)
		s.expired = true
		o.w.cover.Expired++
		if k := s.process(o.w); k != nil && !k.paused {
			o.w.cover.ExpiredAlive++
			o.hasLetGo(k, c.Session.Session)
		}
	}
}

// hasLetGo checks that nothing that a worker started under a session runs, but what was killed.
func (o *oracle) hasLetGo(k *worker, id scheduler.SessionID) {
	for _, h := range k.handlers {
		if l := o.leases[h.grant.Token]; l != nil && l.session == id && h.running && !h.killed {
			o.fail(InvLetGo, "session %d has expired, and worker %d still runs task %d with token %d", id, k.id, l.task.id, l.token)
		}
	}
}

// settled (8): a worker that has stood still lets go before it does anything else.
func (o *oracle) settled(k *worker) {
	for _, h := range k.handlers {
		if l := o.leases[h.grant.Token]; l != nil && h.running && !h.killed && o.sessions[l.session].expired {
			o.hasLetGo(k, l.session)
		}
	}
}

// started (3, 4, 8): what a worker starts is a lease of a session of its own process that hasn't expired, for the first
// time, with the body that was submitted.
func (o *oracle) started(h *handler) {
	l := o.leases[h.grant.Token]
	if l == nil {
		o.fail(InvLeaseOfTask, "worker %d starts token %d, which nobody granted", h.k.id, h.grant.Token)
		return
	}
	s := o.sessions[l.session]
	switch {
	case l.started:
		o.fail(InvOneLease, "worker %d starts token %d again", h.k.id, l.token)
	case s.process(o.w) != h.k:
		o.fail(InvLeaseOfTask, "worker %d starts token %d, which is of session %d of another process", h.k.id, l.token, l.session)
	case s.expired:
		o.fail(InvLetGo, "worker %d starts token %d, and its session %d has expired", h.k.id, l.token, l.session)
	case h.grant.Task != l.task.id || !bytes.Equal(h.body, l.task.spec.Body):
		o.fail(InvLeaseOfTask, "worker %d starts token %d as task %d, with another body than task %d was submitted with", h.k.id, l.token,
			h.grant.Task, l.task.id)
	}
	l.started = true
}

// received (3): a worker is only sent leases of sessions of its own process.
func (o *oracle) received(k *worker, g *scheduler.Grant) {
	l := o.leases[g.Token]
	if l == nil || o.sessions[l.session].process(o.w) != k {
		o.fail(InvLeaseOfTask, "worker %d is sent token %d, which isn't a lease of its process", k.id, g.Token)
	}
}

// room (10): a worker never has more leases, held and running, than slots and prefetch: the coordinator has taken a slot
// back only by the worker's word.
func (o *oracle) room(k *worker) {
	n, most := k.core.Counts(), 0
	for _, p := range k.plan.Pools {
		most += p.Slots
		if k.version >= workercore.VersionRecall {
			most += p.Prefetch
		}
	}
	if n.Held+n.Running > most {
		o.fail(InvSlots, "worker %d holds %d leases and runs %d, and has room for %d", k.id, n.Held, n.Running, most)
	}
}

// gaveUp: a worker ends a stream for what the coordinator broke only if the coordinator is at fault.
func (o *oracle) gaveUp(k *worker, why string) {
	const breach = "protocol violation"
	if len(why) >= len(breach) && why[:len(breach)] == breach {
		o.fail(InvOutcomes, "worker %d: %s", k.id, why)
	}
}

// workerAnswered (6): what a worker is told of its outcomes is what was answered, and durable.
func (o *oracle) workerAnswered(k *worker, m *downMessage) {
	s := o.sessions[scheduler.SessionID(k.core.Counts().Session)]
	if s == nil || m.through > uint64(len(s.answers)) {
		o.fail(InvDurable, "worker %d is told that its outcomes through %d are answered", k.id, m.through)
		return
	}
	for _, r := range m.rejected {
		if r.Seq > uint64(len(s.answers)) || s.answers[r.Seq-1] != (answerRecord{r.Token, r.Answer}) {
			o.fail(InvOutcomes, "worker %d is told answer %d to outcome %d, token %d, and was answered otherwise", k.id, r.Answer, r.Seq, r.Token)
		}
	}
}

// reported (6): a worker reports a success only with the result of the same token's handler.
func (o *oracle) reported(k *worker, x *scheduler.Outcomes) {
	for i := range x.List {
		out := &x.List[i]
		if out.Kind == scheduler.OutcomeSucceeded && !bytes.Equal(out.Detail, resultOf(out.Token)) {
			o.fail(InvOutcomes, "worker %d reports another token's result for token %d", k.id, out.Token)
		}
	}
}

// saidRecalled (4): what a worker gives up it hasn't started.
func (o *oracle) saidRecalled(k *worker, tokens []workercore.Token) {
	for _, t := range tokens {
		o.w.cover.GivenUp++
		if l := o.leases[scheduler.Token(t)]; l != nil && l.started {
			o.fail(InvOneLease, "worker %d gives token %d up, and has started it", k.id, t)
		}
	}
}

// saidStarted (3): what a worker says it has started it has.
func (o *oracle) saidStarted(k *worker, tokens []workercore.Token) {
	for _, t := range tokens {
		if l := o.leases[scheduler.Token(t)]; l == nil || !l.started {
			o.fail(InvLeaseOfTask, "worker %d says that it has started token %d, and hasn't", k.id, t)
		}
	}
}

// heard notes that this leader knows of a start: the task is RUNNING to it.
func (o *oracle) heard(token scheduler.Token) {
	if l := o.leases[token]; l != nil && l.task.token == token && l.task.state == lifeLeased {
		o.turn(l.task, lifeRunning)
		l.task.heardAt = o.w.now
	}
}

// stoodStill: the leader gives all that it waits for the time back in which it stood still.
func (o *oracle) stoodStill(d int64) {
	for _, t := range o.tasks {
		t.heardAt += d
	}
}

// knowsStarted (9): once a Hello is answered and its stream is there, the leader knows that the leases run which it named as
// started: their back-stops do, too.
func (o *oracle) knowsStarted(known []session.Known) {
	for _, k := range known {
		if l := o.leases[k.Token]; k.Started && l != nil && l.task.token == k.Token && l.task.state == lifeLeased {
			o.fail(InvAttempts, "task %d runs with token %d, a Hello says, and the leader doesn't know of it", l.task.id, k.Token)
		}
	}
}

// backstopSlack is how much later than due the back-stop may come: the period in which back-stops are looked for, a tick,
// and slow syncs, one after the other. A Resume that overtakes it adds a tick and its own sync.
const backstopSlack = 8 * second

// backstopKept (9): an attempt that this leader heard the start of doesn't outlast its timeout, the grace and two heartbeats
// by more than the slack, whatever its worker does. One that a Hello named as finished has ended, though its outcome hasn't
// come: the worker's word is awaited for as long as the session lives.
func (o *oracle) backstopKept(t *taskRecord) {
	p := &o.w.plan
	timeout := int64(t.spec.Policy.AttemptTimeout)
	if t.state != lifeRunning || timeout == 0 || o.w.coord.paused {
		return
	}
	if e := o.w.coord.reg.find(o.leases[t.token].session); e != nil && e.finished[t.token] {
		return
	}
	if over := o.w.now - t.heardAt - timeout - p.KillGrace - 2*(p.TTL/3); over > backstopSlack {
		o.fail(InvAttempts, "task %d runs with token %d, %d ms after the back-stop of its attempt was due", t.id, t.token, over/millisecond)
	}
}

// unheard: another leader doesn't know it any more.
func (o *oracle) unheard() {
	for _, t := range o.tasks {
		if t.state == lifeRunning {
			o.turn(t, lifeLeased)
		}
	}
}

func (o *oracle) helloRefused(x *opening, res *result) {
	if res.Code != scheduler.CodeOK {
		o.w.note("coordinator: refuses worker %d, code %d", int64(x.st.conn.worker.id), int64(res.Code))
	}
	if res.Code == scheduler.CodeInvalid {
		o.fail(InvOutcomes, "the Hello of worker %s is refused as invalid", x.h.worker.Name)
	}
}
