package sim

import (
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// regressions are seeds that have found a bug, of the product or of the simulator. What they draw may change with the plan;
// they are run nevertheless.
var regressions = []struct {
	seed uint64
	what string
}{
	{217, "a session that was heard right after a stall of the coordinator lived for the gap and a TTL"},
	{284, "likewise"},
	{1704, "a worker that lost its stream told its core of messages sent on it"},
	{255, "a back-stop that a Resume overtook came 10 s later"},
	{843, "likewise"},
	{1070, "likewise"},
	{2218, "and twice in a row"},
	{765, "attempt timeouts that a stream's end had left unknown weren't asked for on the next one: the back-stop never came"},
	{652, "an attempt that a Hello named as finished was taken for one that the back-stop should end"},
	{3868, "a session whose name another process had had for a while was given no more work"},
	{3848, "of two Resumes in one step the second took the first one's grants for its own"},
	{45, "a client numbered requests beyond its window"},
	{6684, "a client gave up each attempt before its disk could have answered, for ever"},
	{7576, "likewise, after crashes"},
	{8619, "what had come while the coordinator stood still was more work than calm was long"},
}

// runClean runs a seed and fails with its trace.
func runClean(t *testing.T, seed uint64, opts Options) Result {
	t.Helper()
	r := Run(seed, opts)
	if r.Failure != nil {
		t.Errorf("seed %d: %v\n%sreplay: make sim SEED=%d", seed, r.Failure, r.Trace, seed)
	}
	return r
}

// TestSeeds: no invariant is violated, and together the seeds inject faults and see most of a task's changes of state.
func TestSeeds(t *testing.T) {
	n := uint64(24)
	if testing.Short() {
		n = 6
	}
	var all Coverage
	for seed := uint64(1); seed <= n; seed++ {
		r := runClean(t, seed, Options{Steps: 1000})
		all.Add(&r.Coverage)
	}
	if all.Injected() == 0 || all.Tasks == 0 || all.Accepted == 0 {
		t.Errorf("nothing happened: %s", all.FaultCounts())
	}
	if seen, legal := all.Legal(); seen < legal/2 {
		t.Errorf("of %d legal changes of state only %d were seen; not %v", legal, seen, all.Uncovered())
	}
}

// TestRegressions runs the seeds that have found something.
func TestRegressions(t *testing.T) {
	for _, r := range regressions {
		runClean(t, r.seed, Options{})
	}
}

// TestDeterminism: a seed has one history.
func TestDeterminism(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		a, b := Run(seed, Options{Steps: 800}), Run(seed, Options{Steps: 800})
		if a.Hash != b.Hash || a.Steps != b.Steps {
			t.Errorf("seed %d: %d steps with trace %x, then %d with %x", seed, a.Steps, a.Hash, b.Steps, b.Hash)
		}
		if c := Run(seed+1000, Options{Steps: 800}); c.Hash == a.Hash {
			t.Errorf("seeds %d and %d have one history", seed, seed+1000)
		}
	}
}

// brokenWorld runs a fair world for a while, to have something to break.
func brokenWorld(t *testing.T) *World {
	t.Helper()
	w := NewWorld(7)
	w.plan.Faults = [faultKinds]int{}
	w.plan.DiskError = 0
	w.begin()
	w.runUntil(func() bool { return w.steps > 600 && w.coord.up && w.coord.leading && len(w.oracle.leases) > 3 })
	if w.failure != nil {
		t.Fatal(w.failure)
	}
	return w
}

// anyLease returns an ended lease of the oracle's.
func (o *oracle) anyLease(t *testing.T) *leaseRecord {
	t.Helper()
	for token := scheduler.Token(1); token <= o.lastToken; token++ {
		if l := o.leases[token]; l != nil && l.ended != 0 && l.accepted {
			return l
		}
	}
	t.Fatal("no lease has ended")
	return nil
}

// anySession returns a session of the oracle's that may be given work.
func (o *oracle) anySession(t *testing.T) *sessionRecord {
	t.Helper()
	for _, s := range o.here {
		if s.matched() {
			return s
		}
	}
	t.Fatal("no session is there")
	return nil
}

// TestInvariantsCanFail hands the oracle what must not be, and wants the invariant that forbids it.
func TestInvariantsCanFail(t *testing.T) {
	for _, test := range []struct {
		name string
		want Invariant
		do   func(*testing.T, *World)
	}{
		{"an outcome accepted twice", InvOutcomes, func(t *testing.T, w *World) {
			l := w.oracle.anyLease(t)
			s := w.oracle.sessions[l.session]
			x := &scheduler.Outcomes{Session: l.session, FirstSeq: uint64(len(s.answers)) + 1, List: []scheduler.Outcome{{Token: l.token, Kind: scheduler.OutcomeSucceeded}}}
			w.oracle.answer(s, x, 0, scheduler.AnswerAccepted)
		}},
		{"a repeat answered otherwise", InvOutcomes, func(t *testing.T, w *World) {
			l := w.oracle.anyLease(t)
			s := w.oracle.sessions[l.session]
			x := &scheduler.Outcomes{Session: l.session, FirstSeq: 1, List: []scheduler.Outcome{{Token: s.answers[0].token}}}
			w.oracle.answer(s, x, 0, scheduler.AnswerGone)
		}},
		{"a token again", InvTokens, func(_ *testing.T, w *World) {
			w.oracle.tokenGrows(&scheduler.Event{Token: w.oracle.lastToken})
		}},
		{"a second live lease", InvOneLease, func(t *testing.T, w *World) {
			l := w.oracle.anyLease(t)
			l.task.token = l.token
			w.oracle.oneLease(l.task, &scheduler.Event{Token: w.oracle.lastToken + 1})
		}},
		{"a lease before its time", InvAttempts, func(t *testing.T, w *World) {
			l := w.oracle.anyLease(t)
			l.task.notBefore = w.oracle.now + 1
			w.oracle.notEarly(l.task, "leased")
		}},
		{"an illegal change of state", InvTransitions, func(_ *testing.T, w *World) {
			w.oracle.turn(&taskRecord{id: 1, state: lifeSucceeded, spec: w.oracle.tasks[0].spec}, lifeLeased)
		}},
		{"a reply before its entry is durable", InvDurable, func(_ *testing.T, w *World) {
			w.oracle.speaks(w.disk.synced+1, "a reply")
		}},
		{"an entry applied twice", InvTwice, func(_ *testing.T, w *World) { w.oracle.appliedOnce(w.oracle.index) }},
		{"a gap of events", InvEvents, func(_ *testing.T, w *World) {
			w.oracle.positionNext(&scheduler.Event{Position: uint64(len(w.oracle.events)) + 2})
		}},
		{"a handler that runs on", InvLetGo, func(t *testing.T, w *World) {
			l := w.oracle.anyLease(t)
			k := w.workers[w.oracle.sessions[l.session].worker]
			h := &handler{k: k, running: true}
			h.grant.Token = l.token
			k.handlers[1<<40] = h
			w.oracle.hasLetGo(k, l.session)
		}},
		{"a lost task", InvConservation, func(_ *testing.T, w *World) {
			w.oracle.tasks = append(w.oracle.tasks, &taskRecord{id: w.oracle.lastTask + 1, state: lifePending, spec: w.oracle.tasks[0].spec})
			w.oracle.fullCheck()
		}},
		{"a lost log", InvReplay, func(_ *testing.T, w *World) {
			w.disk.first = w.disk.written() + 2
			w.disk.append([]byte{})
			w.coord.die()
			w.coord.boot()
		}},
		{"a lost acknowledgement", InvAcknowledged, func(_ *testing.T, w *World) {
			r := &request{tasks: make([]scheduler.TaskSpec, 1)}
			w.oracle.acknowledged(w.clients[0], r, &result{Reply: scheduler.Reply{Code: scheduler.CodeOK}}, []scheduler.TaskID{w.oracle.lastTask + 1})
		}},
		{"another answer to a request", InvOneTask, func(_ *testing.T, w *World) {
			s := &scheduler.Submit{Producer: scheduler.Hash128{9}, Number: 1, Lowest: 1}
			b := &scheduler.Batch{Commands: []scheduler.Command{{Op: scheduler.OpSubmit, Submit: s}}}
			for first := range scheduler.TaskID(2) {
				w.oracle.requestsOnce(&scheduler.Effects{Replies: []scheduler.Reply{{Code: scheduler.CodeOK, First: first + 1, Count: 1, Fresh: first == 0}}}, b)
			}
		}},
		{"a lease of nobody", InvLeaseOfTask, func(_ *testing.T, w *World) {
			w.oracle.started(&handler{k: w.workers[0], grant: scheduler.Grant{Token: w.oracle.lastToken + 1}})
		}},
		{"a command of an old stream", InvOneLease, func(t *testing.T, w *World) {
			s := w.oracle.anySession(t)
			w.oracle.attachCurrent(s.id, s.attach-1, &scheduler.Reply{Code: scheduler.CodeOK})
		}},
		{"an attach number again", InvOneLease, func(t *testing.T, w *World) {
			s := w.oracle.anySession(t)
			w.oracle.attaches(s, &scheduler.Reply{Attach: s.attach})
		}},
		{"a slot that is never given back", InvSlots, func(t *testing.T, w *World) {
			s := w.oracle.anySession(t)
			for _, token := range s.tokens() {
				w.oracle.giveBack(s, token)
			}
			w.oracle.take(s, 1, slotsTaken{0, 1})
			w.oracle.slotsKept(w.coord.state)
		}},
		{"a queue above its depth", InvSlots, func(_ *testing.T, w *World) {
			t := w.oracle.tasks[0]
			q := w.oracle.queue(t.spec.Queue)
			q.depth, q.live = 1, 2
			w.oracle.fits(t)
		}},
		{"a queue above its leases", InvSlots, func(_ *testing.T, w *World) {
			t := w.oracle.tasks[0]
			q := w.oracle.queue(t.spec.Queue)
			q.paused, q.maxLeases = false, max(q.leased, 1)
			q.leased = q.maxLeases
			w.oracle.queueOpen(t)
		}},
		{"an uncharged loss", InvAttempts, func(t *testing.T, w *World) {
			l := w.oracle.anyLease(t)
			s := w.oracle.sessions[l.session]
			s.over, s.started = true, []scheduler.Token{l.token}
			w.oracle.uncharged(l.task, &scheduler.Event{Session: l.session, Token: l.token})
		}},
		{"a charge for what hadn't started", InvAttempts, func(t *testing.T, w *World) {
			l := w.oracle.anyLease(t)
			w.oracle.charge(l.task, &scheduler.Event{Session: l.session, Token: l.token, Cause: scheduler.CauseWorkerLost})
		}},
		{"a death too early", InvAttempts, func(_ *testing.T, w *World) {
			t := &taskRecord{id: 1, spec: &scheduler.TaskSpec{Policy: scheduler.DefaultPolicy()}}
			w.oracle.diesRightly(t, &scheduler.Event{}, &scheduler.Effects{}, &scheduler.Batch{})
		}},
		{"an attempt too many", InvAttempts, func(_ *testing.T, w *World) {
			w.oracle.goesOn(&taskRecord{id: 1, spec: w.oracle.tasks[0].spec, attempts: 1000})
		}},
		{"a task out of its turn", InvAttempts, func(_ *testing.T, w *World) {
			first, next := *w.oracle.tasks[0], *w.oracle.tasks[0]
			first.state, next.id = lifePending, first.id+1
			w.oracle.alive, w.oracle.granted = []*taskRecord{&first}, []*taskRecord{&next}
			w.oracle.inTurn()
		}},
		{"a task that waits for nothing", InvLiveness, func(t *testing.T, w *World) {
			s := w.oracle.anySession(t)
			clear(s.used)
			spec := scheduler.TaskSpec{Kind: s.info.Kinds[0], Queue: "new", Weight: 1}
			if len(s.info.Queues) > 0 {
				spec.Queue = s.info.Queues[0]
			}
			w.oracle.queue(spec.Queue).paused, w.oracle.queue(spec.Queue).maxLeases = false, 0
			w.oracle.alive = []*taskRecord{{id: 1, state: lifePending, spec: &spec}}
			w.oracle.nothingIdle()
		}},
		{"an overdue task", InvAttempts, func(_ *testing.T, w *World) {
			w.oracle.alive = []*taskRecord{{id: 1, state: lifePending, deadline: w.oracle.now, spec: w.oracle.tasks[0].spec}}
			w.oracle.timesKept(w.coord.state, &scheduler.Effects{})
		}},
		{"time that goes back", InvAttempts, func(_ *testing.T, w *World) {
			w.oracle.now++
			w.oracle.timePasses(w.coord.state, &scheduler.Batch{})
		}},
		{"a key of another body", InvOneTask, func(_ *testing.T, w *World) {
			a := scheduler.TaskSpec{HasKey: true}
			b := a
			b.KeyBody[0] = 1
			w.oracle.keyConflicts(&scheduler.Submit{Tasks: []scheduler.TaskSpec{a, b}}, &scheduler.Reply{Code: scheduler.CodeOK, Fresh: true})
		}},
		{"an end that is forgotten too early", InvAcknowledged, func(_ *testing.T, w *World) {
			t := &taskRecord{id: w.oracle.lastTask + 1, state: lifeDead, spec: w.oracle.tasks[0].spec, expires: w.oracle.served + 1}
			w.oracle.tasks = append(w.oracle.tasks, t)
			w.oracle.forgotten(&scheduler.Effects{Forgotten: []scheduler.TaskID{t.id}})
		}},
		{"another effect in a loaded state", InvReplay, func(_ *testing.T, w *World) {
			w.oracle.shadow = &shadow{state: scheduler.New(), until: 2}
			b := scheduler.Batch{Logic: scheduler.LogicVersion, Commands: []scheduler.Command{{Op: scheduler.OpTick}}}
			w.oracle.shadowed(1, &b, 1)
		}},
		{"a restore that repeats tokens", InvTokens, func(_ *testing.T, w *World) {
			w.coord.save()
			w.runUntil(func() bool { return w.disk.store.index > 0 })
			w.oracle.lastSession += scheduler.SessionID(2 * scheduler.RestoreJump)
			w.oracle.restore(w.coord)
		}},
		{"a command that gets lost in line", InvAcknowledged, func(_ *testing.T, w *World) {
			w.coord.asked++
			w.oracle.proposalsKept(w.coord)
		}},
		{"work that doesn't end", InvLiveness, func(_ *testing.T, w *World) {
			w.oracle.live++
			w.becalm()
			w.live(100)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := brokenWorld(t)
			test.do(t, w)
			if w.failure == nil || w.failure.Invariant != test.want {
				t.Fatalf("it is found as %v, want %s", w.failure, test.want)
			}
		})
	}
}
