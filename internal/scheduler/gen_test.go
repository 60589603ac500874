package scheduler

import "slices"

// gen makes commands that a cluster might see, and some that it shouldn't: it looks at the state so that most name
// something that exists.
type gen struct {
	source
	s   *State
	now Time
	// hostile is how many in a hundred values are out of place: unknown ids, wrong attach numbers, invalid specs.
	hostile int
	// deadly is how many in a hundred commands open a session or kill one with all that it has started, so that tasks become
	// suspects.
	deadly int
	term   uint64
}

// first makes a log's first entry: of the newest rules, or sometimes of older ones, which are changed later.
func (g *gen) first() *Batch {
	b := &Batch{Logic: LogicVersion, Now: g.now, Commands: []Command{g.beginTerm()}}
	if g.odds(20) {
		b.Logic = 1 + uint32(g.n(int(LogicVersion)-1))
	}
	return b
}

var (
	genKinds  = []string{"a", "b", "c"}
	genQueues = []string{DefaultQueue, "q1", "q2"}
	genNames  = []string{"w1", "w2", "w3", "w4", "w5", "w6", "w7"}
	genLabels = []Label{{"gpu", "no"}, {"gpu", "yes"}, {"zone", "x"}}
)

func (g *gen) one(list []string) string { return list[g.n(len(list))] }

// odds is true in p of a hundred cases.
func (g *gen) odds(p int) bool { return g.n(100) < p }

func (g *gen) odd() bool { return g.hostile > 0 && g.odds(g.hostile) }

// rare is odd twice over.
func (g *gen) rare() bool { return g.odd() && g.odds(g.hostile) }

// extreme is a number at an edge of its type.
func (g *gen) extreme() uint64 {
	return [...]uint64{0, 1, 1<<31 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1}[g.n(7)]
}

// step makes the next batch; time goes on by anything from nothing to days.
func (g *gen) step() *Batch {
	spans := [...]Duration{0, 0, 1, Millisecond, Second, 2 * Second, Minute, 11 * Minute, 2 * Hour, 30 * Hour}
	g.now = g.now.Add(spans[g.n(len(spans))])
	b := &Batch{Logic: g.s.Logic(), Now: g.now}
	if g.odd() {
		b.Now -= Time(g.n(int(Hour)))
	}
	for range 1 + g.n(3) {
		b.Commands = append(b.Commands, g.command())
	}
	if last := &b.Commands[len(b.Commands)-1]; last.Op == OpBeginTerm && g.odds(40) { // sessions that this leader never heard
		for range 2 {
			id := g.sessionID()
			b.Commands = append(b.Commands, onSession(OpExpireSession, SessionCommand{Session: id, Attach: g.attach(id)}))
		}
	}
	return b
}

func (g *gen) command() Command {
	if g.deadly > 0 && g.odds(g.deadly) {
		if g.odds(50) {
			return g.open()
		}
		id := g.sessionID()
		return onSession(OpExpireSession, SessionCommand{Session: id, Attach: g.attach(id), Started: g.all(id)})
	}
	switch p := g.n(100); {
	case p < 26:
		return g.submit()
	case p < 52:
		return g.outcomes()
	case p < 60:
		return g.open()
	case p < 66:
		return g.resume()
	case p < 78:
		return g.session()
	case p < 84:
		return Command{Op: OpCancel, Cancel: &Cancel{IDs: g.tasks(3), Force: g.odds(30), Purge: g.odds(20)}}
	case p < 90:
		return g.retry()
	case p < 94:
		return g.queue()
	case p < 95:
		return g.forget()
	case p < 97 && g.s.Logic() >= 2:
		return g.delete()
	case p < 97 && g.odds(30):
		return Command{Op: OpSetLogic, SetLogic: &SetLogic{Logic: g.s.Logic() + 1}}
	case p < 98 && g.s.Logic() >= 3 && (g.s.Restoring() || g.odds(10)):
		return Command{Op: OpRestored}
	case p < 98 && g.s.globals.Term > 0:
		return Command{Op: OpTick}
	}
	return g.beginTerm()
}

// beginTerm makes a leader's first entry; terms grow, also within a batch.
func (g *gen) beginTerm() Command {
	g.term = max(g.term, g.s.globals.Term) + 1 + uint64(g.n(2))
	return Command{Op: OpBeginTerm, BeginTerm: &BeginTerm{Term: g.term, Limits: Limits{MaxTasks: 40, Depth: 20}}}
}

func (g *gen) submit() Command {
	c := &Submit{}
	if g.odds(40) {
		c.Producer = Hash128{byte(1 + g.n(3))}
		c.Number, c.Lowest = uint64(1+g.n(6)), 1
		if p := g.s.producers[c.Producer]; p != nil {
			c.Lowest = p.Lowest + uint64(g.n(2))
			c.Number = c.Lowest + uint64(g.n(4))
		}
		if g.odd() {
			c.Number, c.Lowest = uint64(g.n(400)), uint64(g.n(300))
		}
		if g.odd() {
			c.Number = g.extreme()
			c.Lowest = c.Number - uint64(g.n(3))
		}
	}
	for range 1 + g.n(4) {
		c.Tasks = append(c.Tasks, g.spec())
	}
	if g.odd() {
		c.Tasks = nil
	}
	return Command{Op: OpSubmit, Submit: c}
}

func (g *gen) spec() TaskSpec {
	t := TaskSpec{
		Kind: g.one(genKinds), Queue: g.one(genQueues), Weight: uint16(1 + g.n(3)), Policy: DefaultPolicy(),
		Priority: int8(g.n(3) - 1), PayloadBytes: uint32(g.n(100)), HasLabels: g.odds(20),
	}
	if g.odds(15) {
		t.Require = []Label{genLabels[g.n(len(genLabels))]}
	}
	if g.odds(60) {
		t.Policy.MaxAttempts, t.Policy.MaxLosses = uint16(1+g.n(3)), uint8(1+g.n(2))
		if g.deadly > 0 {
			t.Policy.MaxLosses = uint8(2 + g.n(9))
		}
		t.Policy.Backoff = Duration(g.n(3)) * Second
		t.Policy.BackoffMax = Duration(g.n(5)) * Second
		t.Policy.Factor = uint8(1 + g.n(3))
		t.Policy.Retention = Duration(g.n(3)) * Hour
		t.Policy.DeadRetention = Duration(g.n(3)) * Hour
	}
	if g.odds(25) {
		t.HasKey, t.Key, t.KeyBody = true, Hash128{byte(1 + g.n(6))}, Hash128{byte(1 + g.n(2))}
	}
	switch g.n(8) {
	case 0:
		t.Delay = Duration(1+g.n(90)) * Second
	case 1:
		t.NotBefore = g.now.Add(Duration(1+g.n(90)) * Second)
	}
	if g.odds(12) {
		t.StartBy = g.now.Add(Duration(g.n(120)) * Second)
	}
	if g.odds(12) {
		t.Deadline = g.now.Add(Duration(g.n(180)) * Second)
	}
	if g.odd() {
		g.spoil(&t)
	}
	return t
}

// spoil puts one value out of bounds.
func (g *gen) spoil(t *TaskSpec) {
	switch g.n(12) {
	case 0:
		t.Kind = ""
	case 1:
		t.Queue = "No Queue"
	case 2:
		t.Weight = 0
	case 3:
		t.Priority = 101
	case 4:
		t.Delay, t.NotBefore = Second, g.now
	case 5:
		t.Require = []Label{{"z", ""}, {"a", ""}}
	case 6:
		t.Policy.Factor = 0
	case 7:
		t.PayloadBytes = PayloadBytesMax + 1
	case 8:
		t.Deadline = -1
	case 9:
		t.NotBefore, t.StartBy, t.Deadline = Time(g.extreme()), Time(g.extreme()), Time(g.extreme())
	case 10:
		t.Delay, t.Policy.Backoff = Duration(g.extreme()), Duration(g.extreme())
	case 11:
		t.Policy = Policy{
			AttemptTimeout: AttemptTimeMax, Backoff: BackoffFirstMax, BackoffMax: BackoffBoundMax, Retention: RetentionMax,
			DeadRetention: RetentionMax, MaxAttempts: AttemptsMax, MaxLosses: LossesMax, Factor: FactorMax,
		}
	}
}

func (g *gen) tasks(most int) []TaskID {
	var list []TaskID
	for range g.n(most + 1) {
		last := int(g.s.globals.LastTask)
		list = append(list, TaskID(max(0, last+1-g.n(min(last, 25)+2))))
	}
	return list
}

func (g *gen) deadIDs() []TaskID {
	var ids []TaskID
	for id := range g.s.deadOf {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (g *gen) retry() Command {
	c := &Retry{}
	dead := g.deadIDs()
	for range 1 + g.n(2) {
		it := RetryItem{ID: TaskID(g.n(int(g.s.globals.LastTask) + 2)), Gen: 1, Found: true, Spec: g.spec()}
		if len(dead) > 0 && !g.odd() {
			it.ID = dead[g.n(len(dead))]
			it.Gen, _ = g.s.DeadGen(it.ID)
		}
		if g.odd() {
			it.Gen++
		}
		if g.odd() {
			it.Found = false
		}
		c.Items = append(c.Items, it)
	}
	return Command{Op: OpRetry, Retry: c}
}

func (g *gen) queue() Command {
	c := &QueueCommand{Name: g.one(genQueues), Weight: uint16(g.n(4))}
	if g.odds(50) {
		c.Fields, c.MaxLeases = QueueMaxLeasesSet, uint32(g.n(5))
	}
	if g.odd() {
		c.Name, c.Weight = "q9", uint16(g.n(2)*2000)
	}
	c.Fields = QueueFields(g.n(16))
	c.Depth, c.MaxLeases = uint64(g.n(3)*4), uint32(g.n(3))
	c.Retention, c.DeadRetention = Duration(g.n(3))*Hour, Duration(g.n(3))*Hour
	if g.odd() {
		c.Fields, c.Depth, c.Retention = QueueFields(g.n(256)), g.extreme(), Duration(g.extreme())
	}
	ops := [...]Op{OpPauseQueue, OpResumeQueue, OpResumeQueue, OpConfigureQueue}
	return Command{Op: ops[g.n(len(ops))], Queue: c}
}

// delete names finished tasks, dead letters among them, and some that live.
func (g *gen) delete() Command {
	c := &Delete{}
	dead := g.deadIDs()
	for range 1 + g.n(3) {
		it := DeleteItem{ID: TaskID(g.n(int(g.s.globals.LastTask) + 2)), Gen: 1, Found: g.odds(80)}
		if len(dead) > 0 && g.odds(30) {
			it.ID = dead[g.n(len(dead))]
			it.Gen, _ = g.s.DeadGen(it.ID)
		}
		if g.odds(15) {
			it.Gen++
		}
		c.Items = append(c.Items, it)
	}
	if g.odd() {
		c.Items = nil
	}
	return Command{Op: OpDelete, Delete: c}
}

func (g *gen) forget() Command {
	c := &Forget{}
	if dead := g.deadIDs(); len(dead) > 0 {
		id := dead[g.n(len(dead))]
		gen, _ := g.s.DeadGen(id)
		c.Items = append(c.Items, DeadRef{ID: id, Gen: gen + uint32(g.n(2))})
	}
	c.Items = append(c.Items, DeadRef{ID: TaskID(g.n(int(g.s.globals.LastTask) + 2)), Gen: 1})
	return Command{Op: OpForget, Forget: c}
}
