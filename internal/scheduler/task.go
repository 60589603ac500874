package scheduler

// task is a non-terminal task: 104 bytes without pointers.
type task struct {
	TaskRow
	slot      uint32
	pos       int32 // in its shape's ready heap (Pending) or in State.due (Scheduled); -1: in none
	expiryPos int32 // in State.expiry; -1: not there
	epoch     uint32
	stored    bool
}

func (t *task) rowKey() uint64 { return uint64(t.ID) }

// has reports whether any of the flags is set.
func (t *task) has(f TaskFlags) bool { return t.Flags&f != 0 }

// startBy is when the task expires unless it is started; 0: none, or an attempt of it was started.
func (t *task) startBy() Time {
	if t.Attempts > 0 || t.Losses > 0 {
		return 0
	}
	return t.StartBy
}

// policyOf returns a task's policy.
func (s *State) policyOf(t *task) *policy {
	_, p := s.policies.find(uint64(t.Policy))
	return p
}

// timer is a task's place in a heap of times.
type timer struct {
	at   Time
	id   TaskID
	slot uint32
}

func timerLess(a, b timer) bool { return a.at < b.at || a.at == b.at && a.id < b.id }

// ready is a Pending task's place in its shape's heap. The order is priority, then id: a retried task keeps its place.
type ready struct {
	key  uint64
	slot uint32
}

func readyLess(a, b ready) bool { return a.key < b.key }

// readyKey packs priority (higher first) and id (54 bits: the group's bits are the same in all) into one number.
func readyKey(t *task) uint64 {
	return uint64(PriorityMax-int(t.Priority))<<54 | uint64(t.ID)&(1<<54-1)
}

func (s *State) findTask(id TaskID) *task {
	if id == 0 {
		return nil
	}
	_, t := s.tasks.find(uint64(id))
	return t
}

func (s *State) shapeOf(t *task) *shape { return s.shapes[t.Shape] }

// addTask stores a task in no state yet and counts it in its shape and policy. The caller touches it.
func (s *State) addTask(row TaskRow, sh *shape, p *policy) *task {
	slot, t := s.tasks.add(task{TaskRow: row, pos: -1, expiryPos: -1})
	t.slot = slot
	s.holdShape(sh)
	s.holdPolicy(p)
	return t
}

// enter puts a task into a state and its indexes. It must be in none.
func (s *State) enter(t *task, state TaskState) {
	sh := s.shapeOf(t)
	s.rows++
	t.State = state
	s.counts[state]++
	sh.queue.counts[state]++
	switch state {
	case Pending:
		s.matcher.addReady(s, sh, t)
	case Scheduled:
		s.due.push(timer{at: t.Due, id: t.ID, slot: t.slot})
	case Leased:
	default:
		panic("scheduler: a task can't enter " + state.String())
	}
	s.armExpiry(t)
}

// leave takes a task that is about to change out of its state's indexes.
func (s *State) leave(t *task) {
	s.touchTask(t)
	sh := s.shapeOf(t)
	s.counts[t.State]--
	sh.queue.counts[t.State]--
	switch t.State {
	case Pending:
		s.matcher.removeReady(sh, t)
	case Scheduled:
		s.due.remove(t.pos)
	}
	t.State = 0
}

// armExpiry keeps the task's entry in the expiry heap in step with its state: start-by counts until it is leased, and again
// if it comes back unstarted.
func (s *State) armExpiry(t *task) {
	if t.StartBy == 0 && t.Deadline == 0 {
		return
	}
	at := t.Deadline
	if t.State == Leased {
		if t.has(FlagDeadlinePassed) {
			at = 0
		}
	} else if by := t.startBy(); by != 0 && (at == 0 || by < at) {
		at = by
	}
	switch {
	case at == 0 && t.expiryPos >= 0:
		s.expiry.remove(t.expiryPos)
	case at != 0 && t.expiryPos >= 0:
		if s.expiry.at(t.expiryPos).at != at {
			s.expiry.at(t.expiryPos).at = at
			s.expiry.fix(t.expiryPos)
		}
	case at != 0:
		s.expiry.push(timer{at: at, id: t.ID, slot: t.slot})
	}
}

// requeue gives a task that has just lost its lease back, at no cost, unless its end has come.
func (s *State) requeue(t *task, eff *Effects) {
	switch {
	case t.has(FlagCancelRequested):
		s.finish(t, Cancelled, CauseCancelled, end{cmd: -1}, eff)
	case t.has(FlagDeadlinePassed) || t.Deadline != 0 && t.Deadline <= s.globals.Now:
		s.finish(t, Expired, CauseDeadline, end{cmd: -1}, eff)
	case t.startBy() != 0 && t.startBy() <= s.globals.Now:
		s.finish(t, Expired, CauseStartBy, end{cmd: -1}, eff)
	default:
		s.enter(t, Pending)
	}
}

// end is the accepted outcome that ended a task, if any (cmd -1: none).
type end struct {
	cmd, item int32
	token     Token
	session   *session
}

// finish ends a task that is in no state's indexes any more: it leaves the core, a dead letter leaves a stub.
func (s *State) finish(t *task, state TaskState, cause Cause, by end, eff *Effects) {
	s.rows++
	sh, p := s.shapeOf(t), s.policyOf(t)
	f := Finished{
		Task: t.ID, State: state, Cause: cause, Gen: t.Gen, Kind: sh.Kind, Queue: sh.queue.Name, Require: sh.Require,
		Policy: p.Policy, Priority: t.Priority, Weight: sh.Weight, HasLabels: t.has(FlagHasLabels),
		HasFailure: t.has(FlagHasFailure), Attempts: uint32(t.Attempts), Losses: uint32(t.Losses),
		PayloadBytes: t.PayloadBytes, StartBy: t.StartBy, Deadline: t.Deadline, Submitted: t.Submitted,
		At: s.globals.Now, Token: by.token, Cmd: by.cmd, Item: by.item,
	}
	if by.session != nil {
		f.Session, f.Worker = by.session.ID, by.session.Worker.Name
	}
	keep := p.Policy.Retention
	if state == Dead {
		keep = p.Policy.DeadRetention
	}
	if keep > 0 {
		f.ExpiresAt = s.globals.Served + keep
	}
	eff.Finished = append(eff.Finished, f)
	s.endKey(t, keep)
	if state == Dead && keep > 0 {
		s.addDead(t, sh.queue, eff)
	}
	s.dropTask(t, sh, p)
}

func (s *State) dropTask(t *task, sh *shape, p *policy) {
	if t.expiryPos >= 0 {
		s.expiry.remove(t.expiryPos)
	}
	s.dropRow(TableTasks, uint64(t.ID), &t.epoch, t.stored)
	s.tasks.remove(t.slot)
	s.releaseShape(sh)
	s.releasePolicy(p)
}

// fireDue makes due tasks ready, until the step has changed max rows.
func (s *State) fireDue(maxRows int) {
	for s.due.len() > 0 && s.due.min().at <= s.globals.Now && s.rows < maxRows {
		t := s.tasks.at(s.due.min().slot)
		s.leave(t)
		t.Due = 0
		s.enter(t, Pending)
	}
}

// fireExpiry ends tasks whose start-by or deadline has passed; of a leased one the worker is asked to stop.
func (s *State) fireExpiry(maxRows int, eff *Effects) {
	for s.expiry.len() > 0 && s.expiry.min().at <= s.globals.Now && s.rows < maxRows {
		t := s.tasks.at(s.expiry.min().slot)
		if t.State == Leased {
			s.rows++
			s.touchTask(t)
			t.Flags |= FlagDeadlinePassed
			s.armExpiry(t)
			s.noteCancel(t, CancelDeadline, eff)
			continue
		}
		cause := CauseStartBy
		if t.Deadline != 0 && t.Deadline <= s.globals.Now {
			cause = CauseDeadline
		}
		s.leave(t)
		s.finish(t, Expired, cause, end{cmd: -1}, eff)
	}
}

// backoff is the wait after a failed attempt: full jitter over [0, min(max, first * factor^(attempts-1))], drawn by a hash
// of id, generation and attempt, so that every replica draws the same ("Exponential Backoff And Jitter", Brooker 2015).
func backoff(t *task, p *Policy) Duration {
	bound := p.Backoff
	for i := uint16(1); i < t.Attempts && bound < p.BackoffMax && p.Factor > 1; i++ {
		bound *= Duration(p.Factor)
	}
	bound = min(bound, p.BackoffMax)
	if bound <= 0 {
		return 0
	}
	h := mix(mix(uint64(t.ID)) ^ uint64(t.Gen)<<32 ^ uint64(t.Attempts))
	return Duration(h % uint64(bound+1))
}
