package scheduler

import (
	"cmp"
	"slices"
)

// live returns a session's live lease of a token, or nil.
func (m *model) live(id SessionID, token Token) *LeaseRow {
	if l := m.leases[token]; l != nil && l.Session == id && !l.Revoked {
		return l
	}
	return nil
}

func (m *model) note(t *mTask, reason CancelReason) {
	if l := m.leases[t.Token]; !m.sessions[l.Session].Ending {
		m.eff.Cancels = append(m.eff.Cancels, CancelNote{l.Session, l.Token, t.ID, reason})
	}
}

func (m *model) cancel(id TaskID, c *Cancel) ItemCode {
	purge := c.Purge && m.g.Logic >= 2
	t := m.tasks[id]
	if t == nil {
		if id == 0 || id > m.g.LastTask {
			return ItemNotFound
		}
		return ItemAlreadyTerminal
	}
	by := mNoLease
	by.purged = purge
	switch {
	case t.State != Leased:
	case purge:
		return ItemNotTerminal
	case c.Force:
		by = m.revoke(t)
	default:
		if t.Flags&FlagCancelRequested == 0 {
			t.Flags |= FlagCancelRequested
			m.note(t, CancelAsked)
			m.taskEvent(EventCancelRequested, t, m.held(t), CauseNone)
		}
		return ItemRequested
	}
	m.finish(t, Cancelled, CauseCancelled, by)
	return ItemDone
}

func (m *model) retry(it *RetryItem) ItemCode {
	d := m.dead[it.ID]
	if d == nil && (it.ID == 0 || it.ID > m.g.LastTask) {
		return ItemNotFound
	}
	if d == nil || !it.Found || it.Gen != d.Gen {
		return ItemNotDead
	}
	spec := it.Spec
	spec.HasKey, spec.NotBefore, spec.Delay, spec.StartBy, spec.Deadline = false, 0, 0, 0, 0
	if code, _, _ := m.check([]TaskSpec{spec}); code == CodeInvalid {
		return ItemNotDead
	} else if code != CodeOK {
		return ItemLimit
	}
	delete(m.dead, it.ID)
	m.store(TaskRow{ID: it.ID, Gen: it.Gen + 1}, &spec, EventRetried)
	for _, k := range m.keys {
		if k.Task == it.ID {
			k.Expires = 0
			m.tasks[it.ID].Flags |= FlagHasKey
		}
	}
	m.eff.Revived = append(m.eff.Revived, it.ID)
	return ItemDone
}

func (m *model) revoke(t *mTask) mEnd {
	m.note(t, CancelRevoked)
	m.leases[t.Token].Revoked = true
	return m.held(t)
}

// finish ends a task.
func (m *model) finish(t *mTask, state TaskState, cause Cause, by mEnd) {
	f := Finished{
		Task: t.ID, State: state, Cause: cause, Gen: t.Gen, Kind: t.kind, Queue: t.queue, Require: t.require, Policy: t.policy,
		Priority: t.Priority, Weight: t.weight, HasLabels: t.Flags&FlagHasLabels != 0, HasFailure: t.Flags&FlagHasFailure != 0,
		Attempts: uint32(t.Attempts), Losses: uint32(t.Losses), PayloadBytes: t.PayloadBytes, StartBy: t.StartBy,
		Deadline: t.Deadline, Submitted: t.Submitted, At: m.g.Now, Cmd: by.cmd, Item: by.item,
	}
	if by.cmd >= 0 {
		f.Token, f.Granted, f.Session, f.Worker = by.lease.Token, by.lease.Granted, by.lease.Session, by.worker
	}
	keep := t.policy.Retention
	if state == Dead {
		keep = t.policy.DeadRetention
	}
	if by.purged {
		keep = 0
	}
	if keep > 0 {
		f.ExpiresAt = m.g.Served + keep
	}
	m.eff.Finished = append(m.eff.Finished, f)
	kinds := map[TaskState]EventType{Succeeded: EventSucceeded, Dead: EventDead, Cancelled: EventCancelled, Expired: EventExpired}
	m.taskEvent(kinds[state], t, by, cause)
	for _, k := range m.keys {
		if k.Task == t.ID {
			k.Expires = m.g.Served + max(keep, KeyKeepMin)
		}
	}
	delete(m.tasks, t.ID)
	m.settleShapes(t.queue)
	if state == Dead && keep > 0 {
		m.g.LastDead++
		m.dead[t.ID] = &DeadRow{Row: m.g.LastDead, Task: t.ID, Gen: t.Gen, Queue: m.queues[t.queue].ID}
	}
}

// over reports whether a task that lost its lease has come to its end, and how.
func (m *model) over(t *mTask) (TaskState, Cause, bool) {
	switch started := t.Attempts > 0 || t.Losses > 0; {
	case t.Flags&FlagCancelRequested != 0:
		return Cancelled, CauseCancelled, true
	case t.Flags&FlagDeadlinePassed != 0, t.Deadline != 0 && t.Deadline <= m.g.Now:
		return Expired, CauseDeadline, true
	case !started && t.StartBy != 0 && t.StartBy <= m.g.Now:
		return Expired, CauseStartBy, true
	}
	return 0, 0, false
}

// back gives a task that lost its lease back, at no cost or at one that is charged already.
func (m *model) back(t *mTask, by mEnd) {
	if state, cause, over := m.over(t); over {
		m.finish(t, state, cause, by)
		return
	}
	if by.lost {
		t.Flags |= FlagHasFailure
		m.taskEvent(EventFailed, t, by, CauseWorkerLost)
	} else {
		m.taskEvent(EventReturned, t, by, CauseNone)
	}
	m.enter(t, 0)
}

// fail spends an attempt.
func (m *model) fail(t *mTask, o Outcome, by mEnd) {
	t.Attempts++
	state, cause, over := m.over(t)
	if !over && (o.Permanent || t.Attempts >= t.policy.MaxAttempts) {
		state, cause, over = Dead, o.Cause, true
	}
	if !over || by.cmd < 0 && m.g.Logic >= 2 {
		m.failed(t, o.Cause, by)
	}
	if over {
		m.finish(t, state, cause, by)
		return
	}
	t.Flags |= FlagHasFailure
	m.taskEvent(EventFailed, t, by, o.Cause)
	wait := min(o.RetryAfter, RetryAfterMax)
	if wait <= 0 {
		wait = m.backoff(t)
	}
	m.enter(t, m.g.Now.Add(wait))
}

// backoff draws from [0, bound] as documented at State's.
func (m *model) backoff(t *mTask) Duration {
	bound := t.policy.Backoff
	for range t.Attempts - 1 {
		bound = min(bound*Duration(t.policy.Factor), t.policy.BackoffMax)
	}
	if bound = min(bound, t.policy.BackoffMax); bound == 0 {
		return 0
	}
	seed := mix(uint64(t.ID)) ^ uint64(t.Gen)<<32 ^ uint64(t.Attempts)
	return Duration(mix(seed) % uint64(bound+1))
}

func (m *model) outcomes(c *Outcomes, cmd int32, r *Reply) {
	x := m.sessions[c.Session]
	if x == nil || x.Ending || x.Attach != c.Attach {
		r.Code = CodeStale
		return
	}
	answered := x.AnswersFrom + uint64(len(x.Answers)) - 1
	if c.FirstSeq < x.AnswersFrom || c.FirstSeq > answered+1 || c.AnswersThrough > answered {
		r.Code = CodeInvalid
		return
	}
	r.Answers.From = int32(len(m.eff.Answers))
	for i := range c.List {
		at := int(c.FirstSeq-x.AnswersFrom) + i
		if at == len(x.Answers) {
			x.Answers = append(x.Answers, m.outcome(x, &c.List[i], cmd, int32(i)))
		}
		m.eff.Answers = append(m.eff.Answers, x.Answers[at])
	}
	r.Answers.To = int32(len(m.eff.Answers))
	r.Session, r.Through = x.ID, x.AnswersFrom+uint64(len(x.Answers))-1
	m.confirm(x, c.AnswersThrough)
}

func (m *model) confirm(x *SessionRow, through uint64) {
	for x.AnswersFrom <= through {
		x.AnswersFrom++
		x.Answers = slices.Delete(x.Answers, 0, 1)
	}
}

func (m *model) outcome(x *SessionRow, o *Outcome, cmd, item int32) Answer {
	l := m.live(x.ID, o.Token)
	var by mEnd
	if l != nil {
		by = m.held(m.tasks[l.Task])
	}
	if held := m.leases[o.Token]; held != nil && held.Session == x.ID {
		delete(m.leases, o.Token)
	}
	if l == nil && m.tasks[o.Task] == nil {
		return AnswerGone
	}
	if l == nil {
		return AnswerFenced
	}
	t := m.tasks[l.Task]
	if o.Kind == OutcomeInterrupted {
		m.back(t, by)
		return AnswerAccepted
	}
	by.cmd, by.item = cmd, item
	f := *o
	if f.Cause < CauseError || f.Cause > CauseExit {
		f.Cause = CauseError
	}
	switch {
	case o.Kind == OutcomeSucceeded:
		t.Attempts++
		m.finish(t, Succeeded, CauseNone, by)
	case o.Kind == OutcomeCancelled && t.Flags&FlagCancelRequested != 0:
		m.finish(t, Cancelled, CauseCancelled, by)
	case o.Kind == OutcomeCancelled && t.Flags&FlagDeadlinePassed != 0:
		m.finish(t, Expired, CauseDeadline, by)
	case o.Kind == OutcomeCancelled:
		f.Cause = CauseCancelled
		m.fail(t, f, by)
	default:
		m.fail(t, f, by)
	}
	return AnswerAccepted
}

// expire ends what start-by and deadlines have ended, in order of time, then id.
func (m *model) expire() {
	type event struct {
		at Time
		t  *mTask
	}
	var events []event
	for _, t := range sorted(m.tasks) {
		at := t.Deadline
		switch started := t.Attempts > 0 || t.Losses > 0; {
		case t.State == Leased && t.Flags&FlagDeadlinePassed != 0:
			at = 0
		case t.State != Leased && !started && t.StartBy != 0 && (at == 0 || t.StartBy < at):
			at = t.StartBy
		}
		if at != 0 && at <= m.g.Now {
			events = append(events, event{at, t})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for _, e := range events {
		switch {
		case e.t.State == Leased:
			e.t.Flags |= FlagDeadlinePassed
			m.note(e.t, CancelDeadline)
		case e.t.Deadline != 0 && e.t.Deadline <= m.g.Now:
			m.finish(e.t, Expired, CauseDeadline, mNoLease)
		default:
			m.finish(e.t, Expired, CauseStartBy, mNoLease)
		}
	}
}

// wake makes due tasks ready, in order of time, then id.
func (m *model) wake() {
	all := sorted(m.tasks)
	slices.SortStableFunc(all, func(a, b *mTask) int { return cmp.Compare(a.Due, b.Due) })
	for _, t := range all {
		if t.State == Scheduled && t.Due <= m.g.Now {
			m.taskEvent(EventReady, t, mNoLease, CauseNone)
			m.enter(t, 0)
		}
	}
}

// clean lets keys and producers go whose time is over.
func (m *model) clean() {
	for h, k := range m.keys {
		if k.Expires != 0 && k.Expires <= m.g.Served {
			delete(m.keys, h)
		}
	}
	for h, p := range m.producers {
		if p.LastUsed+ProducerKeep <= m.g.Served {
			delete(m.producers, h)
		}
	}
}
