package sim

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// blamed reports what a lost worker's lease is charged with: a loss if the leader had heard of its start, an attempt if it
// could not have heard of it, else nothing.
func (s *sessionRecord) blamed(token scheduler.Token) (loss, attempt bool) {
	loss = slices.Contains(s.started, token)
	return loss, !loss && s.unheard
}

// charge (9): each failed attempt is charged once; a lost worker is charged only to what it had started.
func (o *oracle) charge(t *taskRecord, ev *scheduler.Event) {
	switch ev.Cause {
	case scheduler.CauseWorkerLost:
		s := o.sessions[ev.Session]
		loss, attempt := s.blamed(ev.Token)
		switch {
		case loss:
			t.losses++
		case attempt:
			t.attempts++
		default:
			o.fail(InvAttempts, "task %d is charged with the loss of session %d, and token %d hadn't started", t.id, ev.Session, ev.Token)
		}
	case scheduler.CauseUndeliverable, scheduler.CauseUnreadable:
	default:
		t.attempts++
	}
}

// uncharged (9): what a lost worker had started isn't given back for nothing, unless a suspect died with it.
func (o *oracle) uncharged(t *taskRecord, ev *scheduler.Event) {
	s := o.sessions[ev.Session]
	if s == nil || !s.over {
		return
	}
	loss, attempt := s.blamed(ev.Token)
	suspects := slices.ContainsFunc(s.started, func(token scheduler.Token) bool { return o.leases[token].task.suspect() })
	if (loss || attempt) && !suspects {
		o.fail(InvAttempts, "task %d isn't charged with the loss of session %d, and token %d had started", t.id, ev.Session, ev.Token)
	}
}

// suspect reports whether a task is run apart.
func (t *taskRecord) suspect() bool { return t.losses >= scheduler.SuspectLosses }

// spent reports whether a task's attempts or losses are used up.
func (t *taskRecord) spent() bool {
	return t.attempts >= int(t.spec.Policy.MaxAttempts) || t.losses >= int(t.spec.Policy.MaxLosses)
}

// goesOn (9): a task that has used up its attempts or losses doesn't go on.
func (o *oracle) goesOn(t *taskRecord) {
	if t.spent() {
		o.fail(InvAttempts, "task %d goes on after %d attempts and %d losses", t.id, t.attempts, t.losses)
	}
}

// diesRightly (9): a task dies only of its last attempt or loss, or because its handler or the lost grants say so.
func (o *oracle) diesRightly(t *taskRecord, ev *scheduler.Event, e *scheduler.Effects, b *scheduler.Batch) {
	if t.spent() || ev.Cause == scheduler.CauseUndeliverable || ev.Cause == scheduler.CauseUnreadable { // whether it is one of these is looked at where it ends
		return
	}
	if o.ends < len(e.Finished) {
		if f := &e.Finished[o.ends]; f.Cmd >= 0 && b.Commands[f.Cmd].Outcomes.List[f.Item].Permanent {
			return
		}
	}
	o.fail(InvAttempts, "task %d dies after %d attempts and %d losses", t.id, t.attempts, t.losses)
}
