package scheduler

// The generator of what concerns sessions: Hellos, streams, outcomes, with tokens of their own and of others.

// sessionID picks a session, or one that isn't there.
func (g *gen) sessionID() SessionID {
	if g.odd() {
		return SessionID(g.extreme())
	}
	all := g.s.sortedSessions()
	if len(all) == 0 || g.odd() {
		return SessionID(g.n(int(g.s.globals.LastSession) + 2))
	}
	return all[g.n(len(all))].ID
}

func (g *gen) attach(id SessionID) uint64 {
	x := g.s.sessions[id]
	if x == nil || g.odd() {
		return uint64(g.n(3))
	}
	return x.Attach
}

// token picks one of a session's, or any.
func (g *gen) token(id SessionID) Token {
	if g.rare() {
		return Token(g.extreme())
	}
	if x := g.s.sessions[id]; x != nil && x.leases > 0 && !g.odd() {
		all := g.s.tokensOf(x)
		return all[g.n(len(all))]
	}
	return Token(g.n(int(g.s.globals.LastToken) + 2))
}

func (g *gen) tokens(id SessionID, most int) []Token {
	var list []Token
	for range g.n(most + 1) {
		list = append(list, g.token(id))
	}
	return list
}

// all are a session's tokens.
func (g *gen) all(id SessionID) []Token {
	if x := g.s.sessions[id]; x != nil {
		return g.s.tokensOf(x)
	}
	return nil
}

func (g *gen) taskOf(t Token) TaskID {
	if l := g.s.findLease(t); l != nil && !g.odd() {
		return l.Task
	}
	return TaskID(g.n(int(g.s.globals.LastTask) + 2))
}

func (g *gen) outcomes() Command {
	id := g.sessionID()
	c := &Outcomes{Session: id, Attach: g.attach(id), FirstSeq: 1}
	if x := g.s.sessions[id]; x != nil {
		c.FirstSeq = x.AnswersFrom + uint64(g.n(len(x.Answers)+1))
		c.AnswersThrough = x.AnswersFrom - 1 + uint64(g.n(len(x.Answers)+1))
		if g.odds(70) {
			c.FirstSeq = x.nextSeq()
		}
	}
	if g.odd() {
		c.FirstSeq += uint64(g.n(3))
	}
	if g.odd() {
		c.AnswersThrough += uint64(g.n(3))
	}
	if g.rare() {
		c.FirstSeq, c.AnswersThrough = g.extreme(), g.extreme()
	}
	for range 1 + g.n(3) {
		o := Outcome{Token: g.token(id), Kind: OutcomeSucceeded}
		o.Task = g.taskOf(o.Token)
		if g.odds(50) {
			o.Kind = OutcomeKind(g.n(5))
			o.Cause = Cause(g.n(6))
			o.Permanent = g.odds(15)
			o.RetryAfter = Duration(g.n(3)) * Minute
			if g.odd() {
				o.RetryAfter = Duration(g.extreme())
			}
		}
		c.List = append(c.List, o)
	}
	return Command{Op: OpOutcomes, Outcomes: c}
}

func (g *gen) worker() WorkerInfo {
	w := WorkerInfo{Name: g.one(genNames), Incarnation: Hash128{byte(1 + g.n(3))}}
	if g.odds(50) { // one of few classes, so that sessions share one
		w.Kinds, w.Pools = genKinds, []Pool{{Name: "main", Slots: uint16(1 + g.n(4)), Prefetch: g.prefetch()}}
		if g.odds(50) {
			w.Labels = []Label{genLabels[1]}
		}
		return w
	}
	for _, k := range genKinds {
		if g.odds(70) {
			w.Kinds = append(w.Kinds, k)
		}
	}
	if g.odds(20) {
		w.Queues = []string{g.one(genQueues)}
	}
	if g.odds(40) {
		w.Labels = []Label{genLabels[g.n(2)]}
		if g.odds(50) {
			w.Labels = append(w.Labels, genLabels[2])
		}
	}
	w.Pools = []Pool{{Name: "main", Slots: uint16(1 + g.n(4)), Prefetch: g.prefetch()}}
	if g.odds(40) {
		w.Pools = append(w.Pools, Pool{Name: "cpu", Slots: uint16(1 + g.n(3)), Kinds: []string{g.one(genKinds)}, Prefetch: g.prefetch()})
	}
	if g.odd() {
		w.Pools[0].Slots = 0
	}
	return w
}

// prefetch is that of a pool: most have none.
func (g *gen) prefetch() uint16 {
	switch {
	case g.rare():
		return PrefetchMax + 1
	case g.odds(60):
		return 0
	}
	return uint16(1 + g.n(3))
}

// known makes the tokens that a Hello names: some of those that the session has, some of any.
func (g *gen) known(id SessionID) []KnownToken {
	var list []KnownToken
	add := func(t Token) {
		k := KnownToken{Token: t, Task: g.taskOf(t), Weight: uint16(1 + g.n(2)), Pool: "main", Phase: TokenPhase(1 + g.n(3))}
		if l := g.s.findLease(t); l != nil {
			k.Weight = l.Weight
		}
		if g.odds(20) {
			k.Pool = "cpu"
		}
		if g.odd() {
			k.Weight = uint16(g.extreme())
		}
		list = append(list, k)
	}
	if x := g.s.sessions[id]; x != nil {
		for _, t := range g.s.tokensOf(x) {
			if g.odds(70) {
				add(t)
			}
		}
	}
	for range g.n(2) {
		add(Token(g.n(int(g.s.globals.LastToken) + 2)))
	}
	return list
}

func (g *gen) open() Command {
	c := &OpenSession{Worker: g.worker(), Live: g.odds(30)}
	if g.odds(30) {
		c.Tokens = g.known(g.sessionID())
	}
	return Command{Op: OpOpenSession, Open: c}
}

func (g *gen) resume() Command {
	id := g.sessionID()
	c := &ResumeSession{Session: id, Tokens: g.known(id)}
	if x := g.s.sessions[id]; x != nil {
		c.Incarnation = x.Worker.Incarnation
		c.AnswersThrough = x.AnswersFrom - 1 + uint64(g.n(len(x.Answers)+1))
	}
	if g.odd() {
		c.AnswersThrough = g.extreme()
	}
	if g.odd() {
		c.Incarnation = Hash128{9}
	}
	return Command{Op: OpResumeSession, Resume: c}
}

func (g *gen) session() Command {
	ops := []Op{OpAttach, OpAttach, OpDetach, OpDetach, OpRelease, OpExpireSession, OpDrainSession, OpCloseSession, OpTimeoutLeases}
	if g.s.Logic() >= 3 {
		ops = append(ops, OpUnreadable)
	}
	id := g.sessionID()
	c := &SessionCommand{Session: id, Attach: g.attach(id)}
	op := ops[g.n(len(ops))]
	switch op {
	case OpDetach, OpRelease:
		c.Over, c.Unconfirmed = g.tokens(id, 2), g.tokens(id, 3)
	case OpExpireSession, OpCloseSession:
		c.Started = g.tokens(id, 4)
	case OpTimeoutLeases, OpUnreadable:
		c.Tokens = g.tokens(id, 2)
	}
	return Command{Op: op, Session: c}
}
