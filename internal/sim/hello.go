package sim

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// helloMessage is a worker's first message on a stream.
type helloMessage struct {
	version uint32
	worker  scheduler.WorkerInfo
	resume  scheduler.SessionID // 0: open
	tokens  []scheduler.KnownToken
	answers uint64
}

// opening is a Hello in flight. It mirrors internal/rpc's.
type opening struct {
	r     *registry
	st    *stream
	h     *helloMessage
	again bool // the session that it asked for wasn't known any more
}

// open proposes what a Hello asks for.
func (r *registry) open(st *stream, h *helloMessage) {
	if !r.c.leading || r.c.stopping {
		st.end()
		return
	}
	o := &opening{r: r, st: st, h: h}
	name, incarnation := h.worker.Name, h.worker.Incarnation
	var same *entry
	if h.resume != 0 {
		same = r.find(h.resume)
	}
	for _, e := range r.entries {
		if h.resume == 0 && e.name == name && e.incarnation == incarnation {
			same = e
		}
	}
	taken := r.taken(name, incarnation)
	if c, ok := r.claims[name]; !ok || c.incarnation == incarnation {
		r.claims[name] = claim{incarnation, c.hellos + 1}
	}
	if same != nil && same.incarnation == incarnation {
		same.m.Replace(&same.acts)
		same.perform()
	}
	if h.resume != 0 {
		c := &scheduler.ResumeSession{Session: h.resume, Incarnation: incarnation, Tokens: h.tokens, AnswersThrough: h.answers}
		r.c.propose(scheduler.Command{Op: scheduler.OpResumeSession, Resume: c}, o.resumed)
		r.meanwhileResumed()
		return
	}
	o.propose(taken)
}

// taken reports whether another process of that name has a live stream, or is about to.
func (r *registry) taken(name string, incarnation scheduler.Hash128) bool {
	if c, ok := r.claims[name]; ok && c.incarnation != incarnation {
		return true
	}
	for _, e := range r.entries {
		if e.name == name && e.incarnation != incarnation && e.st != nil {
			return true
		}
	}
	return false
}

func (o *opening) propose(taken bool) {
	c := &scheduler.OpenSession{Worker: o.h.worker, Live: taken, Tokens: o.h.tokens}
	o.r.c.propose(scheduler.Command{Op: scheduler.OpOpenSession, Open: c}, o.opened)
}

// settle ends the claim. False: the coordinator stops.
func (o *opening) settle(err error) bool {
	name := o.h.worker.Name
	if c, ok := o.r.claims[name]; ok && c.incarnation == o.h.worker.Incarnation {
		if c.hellos--; c.hellos > 0 {
			o.r.claims[name] = c
		} else {
			delete(o.r.claims, name)
		}
	}
	if err != nil {
		o.st.end()
	}
	return err == nil
}

func (o *opening) resumed(res *result, err error) {
	if err == nil && res.Code == scheduler.CodeNotFound {
		o.again = true
		o.propose(o.r.taken(o.h.worker.Name, o.h.worker.Incarnation))
		return
	}
	if !o.settle(err) {
		return
	}
	e := o.r.find(o.h.resume)
	if res.Code != scheduler.CodeOK || e == nil {
		o.r.c.w.oracle.helloRefused(o, res)
		o.st.end()
		return
	}
	o.welcome(e, res)
}

func (o *opening) opened(res *result, err error) {
	if !o.settle(err) {
		return
	}
	if res.Code != scheduler.CodeOK {
		o.r.c.w.oracle.helloRefused(o, res)
		o.st.end()
		return
	}
	o.welcome(o.r.newEntry(res.Session, o.h.worker.Name, o.h.worker.Incarnation, res.Attach), res)
}

// welcome answers the Hello and lets the stream begin.
func (o *opening) welcome(e *entry, res *result) {
	stop := make(map[scheduler.Token]bool, len(res.stop))
	for _, t := range res.stop {
		stop[t] = true
	}
	var known []session.Known
	finished := map[scheduler.Token]bool{}
	for i := range o.h.tokens {
		if k := &o.h.tokens[i]; !stop[k.Token] && k.Phase != scheduler.PhaseFinished {
			known = append(known, session.Known{Token: k.Token, Started: k.Phase == scheduler.PhaseStarted})
		} else if k.Phase == scheduler.PhaseFinished {
			finished[k.Token] = true
		}
	}
	o.st.welcome = &downMessage{
		kind: downWelcome, session: res.Session, newSession: o.again, version: o.h.version, stop: res.stop, size: 64 + 8*len(res.stop),
	}
	o.r.c.w.note("coordinator: welcomes worker %d on stream %d, session %d, attach %d", int64(o.st.conn.worker.id), int64(o.st.id), int64(res.Session), int64(res.Attach))
	e.finished, e.openedAt = finished, o.r.c.applied
	e.opened(o.st, o.h.version, res.Attach, known)
}
