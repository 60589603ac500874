package scheduler

// confirmAnswers forgets answers that the worker has. False: it claims more than there were.
func (x *session) confirmAnswers(through uint64, s *State) bool {
	if through >= x.nextSeq() {
		return false
	}
	if through < x.AnswersFrom {
		return true
	}
	s.touchSession(x)
	n := through - x.AnswersFrom + 1
	x.AnswersFrom += n
	x.Answers = append(x.Answers[:0], x.Answers[n:]...)
	return true
}

// outcomes answers a session's reports: each number once, repeats alike.
func (s *State) outcomes(c *Outcomes, cmd int32, r *Reply, eff *Effects) {
	x := s.sessions[c.Session]
	if x == nil || x.Ending || x.Attach != c.Attach {
		r.Code = CodeStale
		return
	}
	next := x.nextSeq()
	if c.FirstSeq < x.AnswersFrom || c.FirstSeq > next || c.AnswersThrough >= next ||
		c.FirstSeq+uint64(len(c.List)) > max(c.AnswersThrough+1, x.AnswersFrom)+AnswersMax {
		r.Code = CodeInvalid
		return
	}
	s.touchSession(x)
	from := len(eff.Answers)
	for i := range c.List {
		seq := c.FirstSeq + uint64(i)
		if seq < next {
			eff.Answers = append(eff.Answers, x.Answers[seq-x.AnswersFrom])
			continue
		}
		a := s.outcome(x, &c.List[i], cmd, int32(i), eff)
		x.Answers = append(x.Answers, a)
		eff.Answers = append(eff.Answers, a)
	}
	r.Answers = Span{int32(from), int32(len(eff.Answers))}
	r.Session, r.Through = x.ID, x.nextSeq()-1
	x.confirmAnswers(c.AnswersThrough, s)
}

// outcome settles one report: it is accepted iff its token is its task's current one. Either way its slots come back.
func (s *State) outcome(x *session, o *Outcome, cmd, item int32, eff *Effects) Answer {
	l := s.findLease(o.Token)
	if l == nil || l.Session != x.ID || l.Revoked {
		if l != nil && l.Session == x.ID {
			s.endLease(x, l)
		}
		if s.findTask(o.Task) == nil {
			return AnswerGone
		}
		return AnswerFenced
	}
	t, by := s.unlease(x, l)
	by.cmd, by.item = cmd, item
	switch o.Kind {
	case OutcomeSucceeded:
		t.Attempts++
		s.finish(t, Succeeded, CauseNone, by, eff)
	case OutcomeInterrupted:
		by.cmd, by.item = -1, 0 // if its end has come, that isn't what ended it
		s.requeue(t, by, eff)
	case OutcomeCancelled:
		if t.has(FlagCancelRequested) {
			s.finish(t, Cancelled, CauseCancelled, by, eff)
		} else if t.has(FlagDeadlinePassed) {
			s.finish(t, Expired, CauseDeadline, by, eff)
		} else { // nobody asked for it
			f := *o
			f.Cause = CauseCancelled
			s.failAttempt(t, f, by, eff)
		}
	default:
		f := *o
		if f.Cause < CauseError || f.Cause > CauseExit {
			f.Cause = CauseError // only the coordinator gives the others
		}
		s.failAttempt(t, f, by, eff)
	}
	return AnswerAccepted
}

// failAttempt spends an attempt of a task that has just lost its lease, and says what comes next.
func (s *State) failAttempt(t *task, o Outcome, by end, eff *Effects) {
	p := &s.policyOf(t).Policy
	t.Attempts++
	if by.cmd < 0 && s.globals.Logic >= 2 {
		s.failed(t, o.Cause, by, eff)
	}
	switch {
	case t.has(FlagCancelRequested):
		s.finish(t, Cancelled, CauseCancelled, by, eff)
		return
	case t.has(FlagDeadlinePassed) || t.Deadline != 0 && t.Deadline <= s.globals.Now:
		s.finish(t, Expired, CauseDeadline, by, eff)
		return
	case o.Permanent || t.Attempts >= p.MaxAttempts:
		s.finish(t, Dead, o.Cause, by, eff)
		return
	}
	t.Flags |= FlagHasFailure
	if by.cmd >= 0 || s.globals.Logic < 2 {
		s.failed(t, o.Cause, by, eff)
	}
	s.taskEvent(EventFailed, t, s.shapeOf(t), by.held, o.Cause, eff)
	wait := backoff(t, p)
	if o.RetryAfter > 0 {
		wait = min(o.RetryAfter, RetryAfterMax)
	}
	if wait == 0 {
		s.enter(t, Pending)
		return
	}
	t.Due = s.globals.Now.Add(wait)
	s.enter(t, Scheduled)
}
