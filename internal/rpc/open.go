package rpc

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// opening is a Hello in flight.
type opening struct {
	r     *registry
	st    *stream
	h     *hello
	term  uint64
	again bool // the session that it asked for wasn't known any more
}

// open proposes what a Hello asks for. The stream learns the end by welcome or end.
func (r *registry) open(st *stream, h *hello) {
	o := &opening{r: r, st: st, h: h}
	name, incarnation := h.worker.Name, h.worker.Incarnation
	r.mu.Lock()
	if !r.leading {
		r.mu.Unlock()
		st.end(notLeader())
		return
	}
	o.term = r.term
	var same *entry
	if h.resume != 0 {
		same = r.entries[h.resume]
	}
	for _, e := range r.byName[name] {
		if h.resume == 0 && e.incarnation == incarnation {
			same = e
		}
	}
	taken := r.takenLocked(name, incarnation)
	if c, ok := r.claims[name]; !ok || c.incarnation == incarnation {
		r.claims[name] = claim{incarnation, c.hellos + 1}
	}
	r.mu.Unlock()
	if same != nil && same.incarnation == incarnation {
		same.replace()
	}
	if h.resume != 0 {
		c := &scheduler.ResumeSession{Session: h.resume, Incarnation: incarnation, Tokens: h.tokens, AnswersThrough: h.answers}
		r.engine.Propose(scheduler.Command{Op: scheduler.OpResumeSession, Resume: c}, o.resumed)
		return
	}
	o.propose(taken)
}

// takenLocked reports whether another process of that name has a live stream, or is about to.
func (r *registry) takenLocked(name string, incarnation scheduler.Hash128) bool {
	if c, ok := r.claims[name]; ok && c.incarnation != incarnation {
		return true
	}
	for _, e := range r.byName[name] {
		if e.incarnation != incarnation && e.live.Load() {
			return true
		}
	}
	return false
}

func (o *opening) propose(taken bool) {
	c := &scheduler.OpenSession{Worker: o.h.worker, Live: taken, Tokens: o.h.tokens}
	o.r.engine.Propose(scheduler.Command{Op: scheduler.OpOpenSession, Open: c}, o.opened)
}

// unclaim ends the claim, at the very end: once the session's stream is known to be live, or the Hello has failed.
func (o *opening) unclaim() {
	name := o.h.worker.Name
	o.r.mu.Lock()
	defer o.r.mu.Unlock()
	c, ok := o.r.claims[name]
	if !ok || !o.r.leading || o.r.term != o.term || c.incarnation != o.h.worker.Incarnation {
		return
	}
	if c.hellos--; c.hellos > 0 {
		o.r.claims[name] = c
	} else {
		delete(o.r.claims, name)
	}
}

// settle ends the stream if there is no answer for it. False: there is none, or the term is over, and with it whatever was
// answered.
func (o *opening) settle(err error) bool {
	o.r.mu.RLock()
	current := o.r.leading && o.r.term == o.term
	o.r.mu.RUnlock()
	switch {
	case err != nil:
		_, mapped := engineError(err)
		o.st.end(mapped)
		return false
	case !current:
		o.st.end(notLeader())
		return false
	}
	return true
}

func (o *opening) resumed(res engine.Result, err error) {
	if err == nil && res.Code == scheduler.CodeNotFound {
		o.again = true
		o.r.mu.RLock()
		taken := o.r.takenLocked(o.h.worker.Name, o.h.worker.Incarnation)
		o.r.mu.RUnlock()
		o.propose(taken)
		return
	}
	defer o.unclaim()
	if !o.settle(err) {
		return
	}
	e := o.r.find(o.h.resume)
	switch {
	case res.Code != scheduler.CodeOK:
		o.st.end(helloError(res.Code, o.h.worker.Name))
		return
	case e == nil: // it ended in the same step
		o.st.end(endError(session.EndExpired))
		return
	}
	o.r.logger.Debug("session resumed", "session", e.id, "worker", e.name, "tokens", len(o.h.tokens), "stop", len(res.Stop))
	o.welcome(e, res)
}

func (o *opening) opened(res engine.Result, err error) {
	defer o.unclaim()
	if !o.settle(err) {
		return
	}
	if res.Code != scheduler.CodeOK {
		o.st.end(helloError(res.Code, o.h.worker.Name))
		return
	}
	e := newEntry(o.r, res.Session, o.h.worker.Name, o.h.worker.Incarnation, res.Attach, o.r.now())
	o.r.mu.Lock()
	o.r.addLocked(e)
	o.r.mu.Unlock()
	o.r.logger.Info("session opened", "session", e.id, "worker", e.name, "remote", o.st.remote)
	o.welcome(e, res)
}

// welcome answers the Hello and lets the stream begin.
func (o *opening) welcome(e *entry, res engine.Result) {
	stop := make(map[scheduler.Token]bool, len(res.Stop))
	w := &yardmasterv1.Welcome{
		SessionId: uint64(res.Session), SessionTtl: durationpb.New(time.Duration(o.r.opts.TTL)),
		HeartbeatInterval: durationpb.New(time.Duration(o.r.opts.Heartbeat)), Margin: durationpb.New(o.r.margin),
		OutcomesThrough: res.Through, NewSession: o.again, ProtocolVersion: o.h.version,
	}
	for _, t := range res.Stop {
		stop[t] = true
		w.StopTokens = append(w.StopTokens, uint64(t))
	}
	var known []session.Known
	for i := range o.h.tokens {
		if k := &o.h.tokens[i]; !stop[k.Token] && k.Phase != scheduler.PhaseFinished {
			known = append(known, session.Known{Token: k.Token, Started: k.Phase == scheduler.PhaseStarted})
		}
	}
	o.st.welcomed(w)
	e.opened(o.st, o.h.version, res.Attach, known)
}
