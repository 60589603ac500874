package sim

import (
	"maps"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

const (
	restoreRate     = 40_000 // checkpoints of a million that are restored beside the cluster
	restoreStepsMax = 1000   // that a restore may take
)

// restore is a cluster that is set going from a copy of a checkpoint, as a backup is, beside the one that goes on: workers of
// the lost cluster may still run.
type restore struct {
	o      *oracle
	state  *scheduler.State
	eff    scheduler.Effects
	now    scheduler.Time
	before map[scheduler.TaskID]scheduler.TaskInfo
	old    []scheduler.SessionInfo
	leases map[scheduler.SessionID][]scheduler.LeaseInfo
	last   uint64 // position of the last event
}

// loadBackup builds the state that a backup of the last checkpoint holds.
func (s *store) loadBackup() (*scheduler.State, error) {
	l := scheduler.NewLoader()
	for _, table := range scheduler.Tables() {
		for _, key := range slices.Sorted(maps.Keys(s.rows[table])) {
			row := s.rows[table][key]
			if row.Globals != nil {
				g := *row.Globals
				g.Restoring = true
				row.Globals = &g
			}
			if err := l.Add(&row); err != nil {
				return nil, err
			}
		}
	}
	return l.State()
}

// restores restores the checkpoint just written, now and then.
func (o *oracle) restores(c *coordinator) {
	if o.w.chance(restoreRate) {
		o.restore(c)
	}
}

func (o *oracle) restore(c *coordinator) {
	state, err := c.disk.store.loadBackup()
	if err != nil {
		o.fail(InvReplay, "a backup of the checkpoint at index %d doesn't load: %v", c.disk.store.index, err)
		return
	}
	x := &restore{
		o: o, state: state, now: state.Now(), before: map[scheduler.TaskID]scheduler.TaskInfo{}, old: state.Sessions(),
		leases: map[scheduler.SessionID][]scheduler.LeaseInfo{}, last: state.LastPosition(),
	}
	state.WalkTasks(0, len(o.tasks), func(t scheduler.TaskInfo) { x.before[t.ID] = t })
	for _, s := range x.old {
		x.leases[s.ID] = state.SessionLeases(s.ID, s.Leases)
	}
	x.run()
}

// apply has a command carried out, later by so much.
func (x *restore) apply(later scheduler.Duration, c scheduler.Command) *scheduler.Reply {
	x.now = x.now.Add(later)
	x.state.Apply(&scheduler.Batch{Logic: scheduler.LogicVersion, Now: x.now, Commands: []scheduler.Command{c}}, &x.eff)
	x.positionsGoOn()
	return &x.eff.Replies[0]
}

// run sets the cluster going as a leader does, and has the old one's workers and a new one come.
func (x *restore) run() {
	o := x.o
	x.apply(scheduler.Second, scheduler.Command{Op: scheduler.OpBeginTerm, BeginTerm: &scheduler.BeginTerm{Term: x.state.Term() + 1, Limits: o.limits}})
	x.apply(scheduler.Minute, scheduler.Command{Op: scheduler.OpTick})
	if !x.state.Restoring() || len(x.eff.Events)+len(x.eff.Grants)+len(x.eff.Finished) > 0 {
		o.fail(InvTransitions, "a state that comes from a backup did something before it was set going")
		return
	}
	x.apply(0, scheduler.Command{Op: scheduler.OpRestored})
	x.last += scheduler.RestoreJump
	for n := 0; n == 0 || !x.state.Restored() || x.eff.More; n++ {
		x.apply(0, scheduler.Command{Op: scheduler.OpTick})
		x.givenBack()
		if n > restoreStepsMax {
			o.fail(InvLiveness, "a restore takes more than %d steps", restoreStepsMax)
			return
		}
	}
	x.nothingLeft()
	x.strangers()
	x.counters()
	if err := x.state.Check(); err != nil {
		o.fail(InvConservation, "the core after a restore: %v", err)
	}
}

// positionsGoOn (12): events' positions run on without a gap, but for the jump.
func (x *restore) positionsGoOn() {
	for i := range x.eff.Events {
		if x.last++; x.eff.Events[i].Position != x.last {
			x.o.fail(InvEvents, "event %d comes after %d in a restore", x.eff.Events[i].Position, x.last-1)
		}
	}
}

// givenBack (9): a restore charges nobody, and ends no task but those whose time is over or whose end was asked for.
func (x *restore) givenBack() {
	for i := range x.eff.Finished {
		if f := &x.eff.Finished[i]; f.State != scheduler.Expired && f.State != scheduler.Cancelled {
			x.o.fail(InvAttempts, "a restore ends task %d as %s", f.Task, f.State)
		}
	}
	if len(x.eff.Failed) > 0 {
		x.o.fail(InvAttempts, "a restore charges task %d", x.eff.Failed[0].Task)
	}
}

// nothingLeft (8, 9): no session and no lease is left, and each task that lives has what it was charged before.
func (x *restore) nothingLeft() {
	if n := x.state.Counts(); n.Sessions+n.Leases > 0 {
		x.o.fail(InvLetGo, "%d sessions and %d leases are left after a restore", n.Sessions, n.Leases)
	}
	x.state.WalkTasks(0, len(x.before), func(t scheduler.TaskInfo) {
		had, ok := x.before[t.ID]
		if !ok || had.Attempts != t.Attempts || had.Losses != t.Losses || had.Undelivered != t.Undelivered || t.State == scheduler.Leased {
			x.o.fail(InvAttempts, "task %d is %s after a restore, with %d attempts and %d losses; it had %d and %d", t.ID, t.State, t.Attempts,
				t.Losses, had.Attempts, had.Losses)
		}
	})
}

// strangers (6): the lost cluster's workers are strangers to the new one: no session of theirs is known, no outcome taken.
func (x *restore) strangers() {
	for _, s := range x.old {
		r := x.apply(0, scheduler.Command{Op: scheduler.OpResumeSession, Resume: &scheduler.ResumeSession{Session: s.ID, Incarnation: s.Worker.Incarnation}})
		if r.Code != scheduler.CodeNotFound {
			x.o.fail(InvOutcomes, "session %d of the lost cluster is resumed: %s", s.ID, r.Code)
		}
		for _, l := range x.leases[s.ID] {
			out := &scheduler.Outcomes{Session: s.ID, Attach: s.Attach, FirstSeq: s.AnswersThrough + 1, List: []scheduler.Outcome{
				{Token: l.Token, Task: l.Task, Kind: scheduler.OutcomeSucceeded},
			}}
			if r := x.apply(0, scheduler.Command{Op: scheduler.OpOutcomes, Outcomes: out}); r.Code != scheduler.CodeStale {
				x.o.fail(InvOutcomes, "token %d of the lost cluster is answered: %s", l.Token, r.Code)
			}
		}
	}
}

// counters (5, 11): what the new cluster hands out the lost one never did, however far it went on.
func (x *restore) counters() {
	o := x.o
	w := x.apply(scheduler.Second, scheduler.Command{Op: scheduler.OpOpenSession, Open: &scheduler.OpenSession{Worker: o.anyWorker()}})
	if w.Code == scheduler.CodeOK && w.Session <= o.lastSession {
		o.fail(InvTokens, "session %d after a restore may have been the lost cluster's", w.Session)
	}
	spec := scheduler.TaskSpec{Kind: o.w.plan.Kinds[0], Queue: scheduler.DefaultQueue, Weight: 1, Policy: scheduler.DefaultPolicy()}
	for i := range x.eff.Grants {
		if g := &x.eff.Grants[i]; g.Token <= o.lastToken {
			o.fail(InvTokens, "token %d after a restore may have been the lost cluster's", g.Token)
		}
	}
	r := x.apply(0, scheduler.Command{Op: scheduler.OpSubmit, Submit: &scheduler.Submit{Tasks: []scheduler.TaskSpec{spec}}})
	if r.Code == scheduler.CodeOK && r.First <= o.lastTask {
		o.fail(InvConservation, "task %d after a restore may have been the lost cluster's", r.First)
	}
}

// anyWorker is a worker that serves all there is.
func (o *oracle) anyWorker() scheduler.WorkerInfo {
	return scheduler.WorkerInfo{
		Name: "restored", Incarnation: scheduler.Hash128{1}, Kinds: slices.Sorted(slices.Values(o.w.plan.Kinds)), Labels: workerLabels,
		Pools: []scheduler.Pool{{Name: "all", Slots: heavyMost}},
	}
}
