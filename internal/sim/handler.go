package sim

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// handler runs one lease's task.
type handler struct {
	k       *worker
	grant   scheduler.Grant
	body    []byte
	running bool
	asked   bool  // to stop
	killed  bool  // told to let go at once
	deaf    bool  // it ignores being asked
	stone   bool  // and being killed
	endless bool  // it ends only if it is asked to, or killed
	endsAt  int64 // true time at which it returns of itself; 0: it doesn't

	startBy, deadline workercore.Time // by the worker's clock; TimeMax: none
	stopAt, killAt    workercore.Time // by when it must have been asked, and killed; TimeMax: never
	report            *report
}

// report is what a handler returns.
type report struct {
	kind       workercore.OutcomeKind
	cause      scheduler.Cause
	permanent  bool
	retryAfter scheduler.Duration
	detail     []byte
}

// begin starts the handler: how long it takes and what it returns follows from the plan and its task's traits.
func (h *handler) begin() {
	k, w := h.k, h.k.w
	h.running = true
	k.handlers[workercore.Token(h.grant.Token)] = h
	w.oracle.started(h)
	w.oracle.startedInTime(h)
	h.stopAt, h.killAt = h.deadline, workercore.TimeMax
	if t := h.grant.AttemptTimeout; t > 0 {
		h.stopAt = min(h.stopAt, k.local().Add(workercore.Duration(t)))
	}
	w.note("worker %d: starts task %d, token %d, attempt %d", int64(k.id), int64(h.grant.Task), int64(h.grant.Token), int64(h.grant.Attempt))
	traits := traitsOf(h.body)
	if traits&traitPoison != 0 && !w.calm {
		w.injected(FaultPoison)
		k.after(w.between(0, 50*millisecond), func() {
			if h.running {
				k.crash(w.chance(300_000))
			}
		})
		return
	}
	p := &w.plan
	d := w.span(p.Work)
	if traits&traitSlow != 0 || w.fault(p.SlowHandler) {
		d = w.between(p.Work.Most, p.SlowWork)
	}
	h.deaf = w.fault(p.DeafHandler)
	if h.stone = h.deaf && w.chance(500_000); h.stone && w.chance(300_000) {
		d += w.between(0, stoneWork)
	}
	h.report = h.draw(traits)
	endless := p.Endless
	if h.grant.AttemptTimeout == 0 {
		endless *= 3
	}
	if h.endless = !h.stone && w.fault(endless); h.endless {
		h.beStopped()
		return
	}
	h.endsAt = w.now + d
	k.after(d, func() { h.returns(h.report) })
}

// stoneWork is how much longer a handler may take that nothing can stop: longer than any back-stop waits.
const stoneWork = 50 * second

// draw says what the handler will return.
func (h *handler) draw(traits byte) *report {
	w := h.k.w
	r := &report{kind: workercore.Succeeded, detail: resultOf(h.grant.Token)}
	if traits&traitHopeless == 0 && !w.fault(w.plan.FailHandler) {
		return r
	}
	*r = report{kind: workercore.Failed, cause: scheduler.CauseError}
	switch n := w.intn(100); {
	case n < 15:
		w.injected(FaultPanic)
		r.cause = scheduler.CausePanic
	case n < 28:
		r.cause, r.permanent = scheduler.CauseExit, true
	case n < 50:
		r.retryAfter = scheduler.Duration(w.between(millisecond, 4*second))
	}
	w.injected(FaultHandler)
	r.detail = resultOf(h.grant.Token)
	return r
}

// stop asks the handler to end, or kills it.
func (h *handler) stop(s *workercore.Stop) {
	w := h.k.w
	w.note("worker %d: stops token %d, cause %d, kill %d", int64(h.k.id), int64(h.grant.Token), int64(s.Cause), boolInt(s.Kill))
	if !h.asked {
		h.killAt = h.k.local().Add(workercore.Duration(w.plan.KillGrace))
	}
	h.asked = true
	h.killed = h.killed || s.Kill
	if h.stone || h.deaf && !s.Kill {
		w.injected(FaultDeaf)
		return
	}
	h.k.after(w.between(0, 20*millisecond), func() {
		r := h.report
		if r == nil || !w.chance(200_000) { // some have just succeeded when they are asked
			r = &report{kind: workercore.Failed, cause: scheduler.CauseError, detail: resultOf(h.grant.Token)}
		}
		h.returns(r)
	})
}

// returns ends the handler.
func (h *handler) returns(r *report) {
	if !h.running {
		return
	}
	h.running = false
	k := h.k
	delete(k.handlers, workercore.Token(h.grant.Token))
	k.w.step()
	size := len(r.detail)
	if k.w.chance(k.w.plan.Large) { // so that outcomes that are sent again don't go into one message
		size = workercore.OutcomesBytesMax * 2 / 3
	}
	k.core.Finished(k.local(), workercore.Token(h.grant.Token), workercore.Report{Kind: r.kind, Size: size, Ran: 1, Body: r})
	k.settleSoon()
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
