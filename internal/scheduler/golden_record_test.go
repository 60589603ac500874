package scheduler

import "fmt"

// The histories that golden logs are recorded from. apply carries out a step and returns the state.

// recordRandom is a history of the generator's that begins under some version of the rules.
func recordRandom(seed uint64, steps int, logic uint32, apply func(*Batch) *State) {
	g := &gen{source: newSeeded(seed), now: testEpoch, hostile: 4, s: New()}
	g.s = apply(&Batch{Logic: logic, Now: g.now, Commands: []Command{g.beginTerm()}})
	for range steps {
		apply(g.step())
	}
}

// recordLosses is a history of workers that die with what they have started, of tasks that may be lost several times, and
// of heavy tasks among light ones.
func recordLosses(seed uint64, steps int, apply func(*Batch) *State) {
	g := &gen{source: newSeeded(seed), now: testEpoch, s: New()}
	g.s = apply(&Batch{Logic: LogicVersion, Now: g.now, Commands: []Command{g.beginTerm()}})
	for range steps {
		g.now = g.now.Add(Duration(g.n(4)) * 400 * Millisecond)
		b := &Batch{Logic: LogicVersion, Now: g.now}
		switch g.n(6) {
		case 0:
			tasks := specs(1+g.n(3), g.one(genKinds))
			for i := range tasks {
				tasks[i].Queue, tasks[i].Policy.MaxLosses = g.one(genQueues[:2]), uint8(2+g.n(3))
				if g.odds(30) {
					tasks[i].Weight = uint16(2 + g.n(4))
				}
			}
			b.Commands = append(b.Commands, submit(tasks...))
		case 1:
			w := worker(g.one(genNames), 2+g.n(4), genKinds...)
			w.Incarnation = Hash128{byte(1 + g.n(200))}
			b.Commands = append(b.Commands, open(w))
		case 2:
			id := g.sessionID()
			c := SessionCommand{Session: id, Attach: g.attach(id)}
			if x := g.s.sessions[id]; x != nil {
				c.Started = g.s.tokensOf(x)
				c.Started = c.Started[:len(c.Started)-min(len(c.Started), g.n(2))]
			}
			b.Commands = append(b.Commands, onSession(OpExpireSession, c))
		default:
			b.Commands = append(b.Commands, g.outcomes())
		}
		apply(b)
	}
}

// recordBulk meets the bounds of a step: more grants, due tasks, ends and lost leases than one may have.
func recordBulk(apply func(*Batch) *State) {
	now := testEpoch
	step := func(wait Duration, cmds ...Command) *State {
		now = now.Add(wait)
		return apply(&Batch{Logic: LogicVersion, Now: now, Commands: cmds})
	}
	ticks := func(n int) {
		for range n {
			step(Millisecond, Command{Op: OpTick})
		}
	}
	step(0, Command{Op: OpBeginTerm, BeginTerm: &BeginTerm{Term: 1, Limits: Limits{MaxTasks: 20_000, Depth: 9500}}})
	for i := range 9 {
		tasks := specs(BatchTasksMax, "a")
		for j := range tasks {
			tasks[j].Delay = Duration(i%2) * Second
			tasks[j].Policy.Retention = Duration(j%3) * Hour
			tasks[j].Policy.MaxLosses = 1 + uint8(i%3)
		}
		step(0, submit(tasks...))
	}
	step(0, submit(specs(BatchTasksMax, "a")...)) // over the depth
	for i := range 3 {
		step(0, open(worker(fmt.Sprintf("w%d", i), 2500, "a")))
	}
	ticks(6)
	s := step(2*Second, Command{Op: OpTick})
	ticks(6)
	for id := SessionID(1); id <= 2; id++ {
		x := s.sessions[id]
		step(Second, onSession(OpExpireSession, SessionCommand{Session: id, Attach: x.Attach, Started: s.tokensOf(x)}))
	}
	ticks(6)
	x := s.sessions[3]
	list := make([]Outcome, 1500)
	for i, token := range s.tokensOf(x)[:len(list)] {
		list[i] = Outcome{Token: token, Kind: OutcomeSucceeded}
	}
	step(Second, Command{Op: OpOutcomes, Outcomes: &Outcomes{Session: 3, Attach: x.Attach, FirstSeq: 1, List: list}})
	ticks(3)
}

// recordUnconfirmed lets worker after worker fail to confirm its grants; keys and producers go in the days that follow.
func recordUnconfirmed(apply func(*Batch) *State) {
	now := testEpoch
	step := func(wait Duration, cmds ...Command) *State {
		now = now.Add(wait)
		return apply(&Batch{Logic: LogicVersion, Now: now, Commands: cmds})
	}
	step(0, Command{Op: OpBeginTerm, BeginTerm: &BeginTerm{Term: 1, Limits: Limits{MaxTasks: 100, Depth: 100}}})
	tasks := specs(6, "a")
	for i := range tasks {
		tasks[i].HasKey, tasks[i].Key, tasks[i].KeyBody = i%2 == 0, Hash128{byte(i)}, Hash128{1}
		tasks[i].Policy.AttemptTimeout = Duration(i) * Minute
	}
	step(0, Command{Op: OpSubmit, Submit: &Submit{Producer: Hash128{7}, Number: 1, Lowest: 1, Tasks: tasks}})
	for i := range UndeliveredMax + 2 {
		s := step(Second, open(worker(fmt.Sprintf("w%d", i), 4, "a")))
		x := s.sessions[s.globals.LastSession]
		step(Second, onSession(OpDetach, SessionCommand{Session: x.ID, Attach: x.Attach, Unconfirmed: s.tokensOf(x)}))
	}
	s := step(Second, onSession(OpAttach, SessionCommand{Session: 3, Attach: 1}))
	x := s.sessions[3]
	step(2*Hour, onSession(OpTimeoutLeases, SessionCommand{Session: 3, Attach: x.Attach, Tokens: s.tokensOf(x)}))
	for range 4 {
		step(Day, Command{Op: OpTick})
	}
}

// recordRestored is a restore in the middle of a log: of more sessions than one step ends, of leases and of a session that
// is ending already.
func recordRestored(apply func(*Batch) *State) {
	now := testEpoch
	step := func(wait Duration, cmds ...Command) *State {
		now = now.Add(wait)
		return apply(&Batch{Logic: LogicVersion, Now: now, Commands: cmds})
	}
	step(0, Command{Op: OpBeginTerm, BeginTerm: &BeginTerm{Term: 1, Limits: Limits{MaxTasks: 20_000, Depth: 20_000}}})
	step(0, submit(specs(BatchTasksMax, "a")...), submit(specs(BatchTasksMax, "a")...))
	for i := range 11 {
		var opens []Command
		for j := range 500 {
			opens = append(opens, open(worker(fmt.Sprintf("w%d", 500*i+j), 1, "a")))
		}
		step(Second, opens...)
	}
	s := step(Second, Command{Op: OpTick})
	s = step(Second, onSession(OpExpireSession, SessionCommand{Session: 1, Attach: 1, Started: s.tokensOf(s.sessions[1])}),
		Command{Op: OpRestored})
	for !s.Restored() {
		s = step(Millisecond, Command{Op: OpTick})
	}
	for range 4 {
		step(Second, Command{Op: OpTick})
	}
	step(Second, Command{Op: OpResumeSession, Resume: &ResumeSession{Session: 2, Incarnation: Hash128{1}}},
		open(worker("w7", 3, "a")), submit(specs(3, "b")...))
}
