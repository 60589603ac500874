package sim

import "github.com/yardmaster/yardmaster/internal/scheduler"

// answersRight (6): the first report of each number of a session is accepted iff its token was its task's current lease, of
// that session, and no token is accepted twice; a repeat has the answer that the first had.
func (o *oracle) answersRight(e *scheduler.Effects, b *scheduler.Batch) {
	for i := range b.Commands {
		x, r := b.Commands[i].Outcomes, &e.Replies[i]
		if x == nil || r.Code != scheduler.CodeOK {
			continue
		}
		s := o.sessions[x.Session]
		if s == nil {
			o.fail(InvOutcomes, "session %d isn't there, and its outcomes are answered", x.Session)
			return
		}
		for j := range x.List {
			o.answer(s, x, j, e.Answers[int(r.Answers.From)+j])
		}
	}
}

// answer sees one answer.
func (o *oracle) answer(s *sessionRecord, x *scheduler.Outcomes, j int, a scheduler.Answer) {
	seq, out := x.FirstSeq+uint64(j), &x.List[j]
	if known := uint64(len(s.answers)); seq <= known {
		if had := s.answers[seq-1]; had.token != out.Token || had.answer != a {
			o.fail(InvOutcomes, "outcome %d of session %d was token %d, answer %d, and is token %d, answer %d when it is repeated", seq,
				x.Session, had.token, had.answer, out.Token, a)
		}
		return
	} else if seq != known+1 {
		o.fail(InvOutcomes, "outcome %d of session %d is answered after %d", seq, x.Session, known)
		return
	}
	s.answers = append(s.answers, answerRecord{token: out.Token, answer: a})
	l := o.leases[out.Token]
	switch {
	case a != scheduler.AnswerAccepted:
		if l != nil && l.session == x.Session && l.ended == 0 {
			o.fail(InvOutcomes, "token %d is its task's current one, and its outcome is refused", out.Token)
		}
	case l == nil || l.session != x.Session || l.ended != o.index || l.accepted:
		o.fail(InvOutcomes, "an outcome of token %d is accepted, and it wasn't current, of this session, for the first time: %+v", out.Token, l)
	default:
		l.accepted = true
		o.acceptedAs(l, out)
	}
	if a == scheduler.AnswerAccepted {
		o.w.cover.Accepted++
	} else {
		o.w.cover.Fenced++
	}
}

// acceptedAs (6): an accepted outcome has the effect that it says.
func (o *oracle) acceptedAs(l *leaseRecord, out *scheduler.Outcome) {
	ok := false
	switch l.by {
	case scheduler.EventSucceeded:
		ok = out.Kind == scheduler.OutcomeSucceeded
	case scheduler.EventReturned:
		ok = out.Kind == scheduler.OutcomeInterrupted
	case scheduler.EventFailed, scheduler.EventDead:
		ok = out.Kind == scheduler.OutcomeFailed || out.Kind == scheduler.OutcomeCancelled
	case scheduler.EventCancelled, scheduler.EventExpired:
		ok = out.Kind != scheduler.OutcomeSucceeded
	}
	if !ok {
		o.fail(InvOutcomes, "outcome %d of token %d is accepted and leads to an event of type %d", out.Kind, l.token, l.by)
	}
}

// settleOpen says where the tasks went that failed in a step and that nothing more happened to.
func (o *oracle) settleOpen(state *scheduler.State, e *scheduler.Effects, b *scheduler.Batch) {
	for _, t := range o.open {
		if !t.open {
			continue
		}
		info, ok := state.Task(t.id)
		if !ok || info.State != scheduler.Scheduled {
			o.resolve(t, lifePending)
			continue
		}
		o.resolve(t, lifeScheduled)
		t.notBefore = info.Due
		o.backoffInBounds(t, &info, b)
	}
}

// backoffInBounds (9): a failed task waits as long as its handler said, or at most its backoff after so many
// failures, which is never above the policy's longest.
func (o *oracle) backoffInBounds(t *taskRecord, info *scheduler.TaskInfo, b *scheduler.Batch) {
	wait := scheduler.Duration(info.Due - o.now)
	asked := scheduler.Duration(0)
	for i := range b.Commands {
		if x := b.Commands[i].Outcomes; x != nil {
			for j := range x.List {
				if l := o.leases[x.List[j].Token]; l != nil && l.task == t && l.ended == o.index && l.session == x.Session {
					asked = x.List[j].RetryAfter
				}
			}
		}
	}
	bound := t.spec.Policy.Backoff
	for range t.attempts - 1 {
		bound = min(bound*scheduler.Duration(t.spec.Policy.Factor), t.spec.Policy.BackoffMax)
	}
	bound = min(bound, t.spec.Policy.BackoffMax)
	if asked > 0 && wait != asked || asked == 0 && (wait < 0 || wait > bound) {
		o.fail(InvAttempts, "task %d failed for the %d. time and waits %d ns; its handler said %d, its backoff is at most %d", t.id, t.attempts,
			wait, asked, bound)
	}
}

// awaited (1, 6): what is told of a task's end is so: the end of one of its generations, a success with the result of the
// accepted token; nothing only if nothing is kept.
func (o *oracle) awaited(id scheduler.TaskID, row *finishedRow) {
	t := o.task(id)
	if t == nil {
		o.fail(InvAcknowledged, "task %d is awaited and was never stored", id)
		return
	}
	if row == nil {
		if t.state.terminal() && t.state != lifeGone && t.expires > o.served {
			o.fail(InvAcknowledged, "task %d, %s, is said not to be kept", id, t.state)
		}
		return
	}
	if int(row.gen) > len(t.ends) || t.ends[row.gen-1].state != row.state {
		o.fail(InvAcknowledged, "task %d generation %d is said to have ended as %s", id, row.gen, row.state)
		return
	}
	if row.state == scheduler.Succeeded && row.detail != string(resultOf(t.ends[row.gen-1].token)) {
		o.fail(InvOutcomes, "task %d is said to have another result than that of token %d", id, t.ends[row.gen-1].token)
	}
}
