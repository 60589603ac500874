package scheduler

// task is a non-terminal task: a TaskRow without LastSession, which few have, in an order that leaves no gaps. 88 bytes
// without pointers; a million of them wait in memory, so TestTaskBytes pins it.
type task struct {
	ID                               TaskID
	Token                            Token
	Due, StartBy, Deadline           Time
	Submitted                        Time
	Gen, Shape, Policy, PayloadBytes uint32
	slot                             uint32
	pos                              int32 // in State.due; -1: not there
	expiryPos                        int32 // in State.expiry; -1: not there
	epoch                            uint32
	Attempts                         uint16
	Losses                           uint8
	Undelivered                      uint8 // above 0: State.unconfirmed says who was last
	Priority                         int8
	State                            TaskState
	Flags                            TaskFlags
	stored                           bool
}

func newTask(r *TaskRow) task {
	return task{
		ID: r.ID, Token: r.Token, Due: r.Due, StartBy: r.StartBy, Deadline: r.Deadline, Submitted: r.Submitted, Gen: r.Gen,
		Shape: r.Shape, Policy: r.Policy, PayloadBytes: r.PayloadBytes, Attempts: r.Attempts, Losses: r.Losses,
		Undelivered: r.Undelivered, Priority: r.Priority, State: r.State, Flags: r.Flags, pos: -1, expiryPos: -1,
	}
}

// taskRow is a task as it is stored.
func (s *State) taskRow(t *task) TaskRow {
	r := TaskRow{
		ID: t.ID, Token: t.Token, Due: t.Due, StartBy: t.StartBy, Deadline: t.Deadline, Submitted: t.Submitted, Gen: t.Gen,
		Shape: t.Shape, Policy: t.Policy, PayloadBytes: t.PayloadBytes, Attempts: t.Attempts, Losses: t.Losses,
		Undelivered: t.Undelivered, Priority: t.Priority, State: t.State, Flags: t.Flags,
	}
	if t.Undelivered > 0 {
		r.LastSession = s.unconfirmed[t.ID]
	}
	return r
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

// policyOf returns a task's policy: often that of the last submitted task.
func (s *State) policyOf(t *task) *policy {
	if l := s.lastPolicy; l != nil && l.ID == t.Policy {
		return l
	}
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

func (s *State) findTask(id TaskID) *task {
	if id == 0 {
		return nil
	}
	_, t := s.tasks.find(uint64(id))
	return t
}

// shapeOf returns a task's shape: often that of the last submitted task.
func (s *State) shapeOf(t *task) *shape {
	if l := s.lastShape; l != nil && l.ID == t.Shape {
		return l
	}
	return s.shapes[t.Shape]
}

// addTask stores a task in no state yet and counts it in its shape and policy. The caller touches it.
func (s *State) addTask(row TaskRow, sh *shape, p *policy) *task {
	slot, t := s.tasks.add(newTask(&row))
	t.slot = slot
	s.ids.add(t.ID)
	if t.Undelivered > 0 {
		s.unconfirmed[t.ID] = row.LastSession
	}
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
		if sh.queue.MaxLeases != 0 {
			s.matcher.placeQueue(sh.queue)
		}
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
		s.matcher.removeReady(s, sh, t)
	case Scheduled:
		s.due.remove(t.pos)
	case Leased:
		if sh.queue.MaxLeases != 0 {
			s.matcher.placeQueue(sh.queue)
		}
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

// requeue gives a task that has just lost its lease back, at no cost or (by.lost) at that of an attempt or loss that is
// charged already, unless its end has come.
func (s *State) requeue(t *task, by end, eff *Effects) {
	switch {
	case t.has(FlagCancelRequested):
		s.finish(t, Cancelled, CauseCancelled, by, eff)
	case t.has(FlagDeadlinePassed) || t.Deadline != 0 && t.Deadline <= s.globals.Now:
		s.finish(t, Expired, CauseDeadline, by, eff)
	case t.startBy() != 0 && t.startBy() <= s.globals.Now:
		s.finish(t, Expired, CauseStartBy, by, eff)
	case by.lost:
		t.Flags |= FlagHasFailure
		s.taskEvent(EventFailed, t, s.shapeOf(t), by.held, CauseWorkerLost, eff)
		s.enter(t, Pending)
	default:
		s.taskEvent(EventReturned, t, s.shapeOf(t), by.held, CauseNone, eff)
		s.enter(t, Pending)
	}
}

// end is what ended a task's lease, or the task.
type end struct {
	held            // the lease; zero: it had none
	cmd, item int32 // the accepted outcome; cmd -1: none
	lost      bool  // its worker was lost with it, and that is charged and kept
	purged    bool  // nothing of the task is kept
}

// noLease is the end of a task that had no lease.
var noLease = end{cmd: -1}

// finish ends a task that is in no state's indexes any more: it leaves the core, a dead letter leaves a stub.
func (s *State) finish(t *task, state TaskState, cause Cause, by end, eff *Effects) {
	s.rows++
	sh, p := s.shapeOf(t), s.policyOf(t)
	f := Finished{
		Task: t.ID, State: state, Cause: cause, Gen: t.Gen, Kind: sh.Kind, Queue: sh.queue.Name, Require: sh.Require,
		Policy: p.Policy, Priority: t.Priority, Weight: sh.Weight, HasLabels: t.has(FlagHasLabels),
		HasFailure: t.has(FlagHasFailure), Attempts: uint32(t.Attempts), Losses: uint32(t.Losses),
		PayloadBytes: t.PayloadBytes, StartBy: t.StartBy, Deadline: t.Deadline, Submitted: t.Submitted,
		At: s.globals.Now, Cmd: by.cmd, Item: by.item,
	}
	if by.cmd >= 0 {
		f.Token, f.Granted, f.Session, f.Worker = by.token, by.granted, by.session.ID, by.session.Worker.Name
	}
	keep := p.Policy.Retention
	if state == Dead {
		keep = p.Policy.DeadRetention
	}
	if by.purged {
		keep = 0
	}
	if keep > 0 {
		f.ExpiresAt = s.globals.Served + keep
	}
	eff.Finished = append(eff.Finished, f)
	s.taskEvent(endEvents[state], t, sh, by.held, cause, eff)
	sh.queue.ended++
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
	s.ids.remove(t.ID)
	if t.Undelivered > 0 {
		delete(s.unconfirmed, t.ID)
	}
	s.tasks.remove(t.slot)
	s.releaseShape(sh)
	s.releasePolicy(p)
}

// fireDue makes due tasks ready, until the step has changed max rows.
func (s *State) fireDue(maxRows int, eff *Effects) {
	for s.due.len() > 0 && s.due.min().at <= s.globals.Now && s.rows < maxRows {
		t := s.tasks.at(s.due.min().slot)
		s.leave(t)
		t.Due = 0
		s.taskEvent(EventReady, t, s.shapeOf(t), held{}, CauseNone, eff)
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
		s.finish(t, Expired, cause, noLease, eff)
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
