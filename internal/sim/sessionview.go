package sim

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// slotsTaken is what a token occupies at a session, until its worker's word.
type slotsTaken struct {
	pool   int
	weight int
}

// matched reports whether a session may be given work.
func (s *sessionRecord) matched() bool {
	return s.attached && !s.draining && !s.superseded && !s.closed
}

// pool returns the position of a pool by its name; the first for a name that there isn't.
func (s *sessionRecord) pool(name string) int {
	return max(0, slices.IndexFunc(s.info.Pools, func(p scheduler.Pool) bool { return p.Name == name }))
}

// poolOf returns the position of the pool that runs a kind, or -1.
func (s *sessionRecord) poolOf(kind string) int {
	if !slices.Contains(s.info.Kinds, kind) {
		return -1
	}
	return max(0, slices.IndexFunc(s.info.Pools, func(p scheduler.Pool) bool { return slices.Contains(p.Kinds, kind) }))
}

// take notes that a token occupies slots of a session.
func (o *oracle) take(s *sessionRecord, token scheduler.Token, at slotsTaken) {
	s.taken[token] = at
	s.used[at.pool] += at.weight
	o.holders[token] = s
}

// giveBack notes that a token's slots are free again, if the session has it.
func (o *oracle) giveBack(s *sessionRecord, token scheduler.Token) {
	if at, ok := s.taken[token]; ok {
		s.used[at.pool] -= at.weight
		delete(s.taken, token)
		delete(o.holders, token)
	}
}

// commanded follows a step's commands in their order. It comes before the step's events: grants follow all commands, so
// what sessions and queues are after the last one is what they are granted by.
func (o *oracle) commanded(e *scheduler.Effects, b *scheduler.Batch) {
	o.resumed = o.resumed[:0]
	clear(o.again)
	for i := range b.Commands {
		c, r := &b.Commands[i], &e.Replies[i]
		switch {
		case c.BeginTerm != nil:
			o.term, o.limits = c.BeginTerm.Term, c.BeginTerm.Limits
			for _, s := range o.here {
				s.attached = false
			}
		case c.Open != nil && r.Code == scheduler.CodeOK:
			o.opens(c.Open, r)
		case c.Resume != nil:
			o.resumes(c.Resume, r, e)
		case c.Session != nil:
			if s := o.attachCurrent(c.Session.Session, c.Session.Attach, r); s != nil {
				o.proposed(s, c, r)
			}
		case c.Outcomes != nil:
			if s := o.attachCurrent(c.Outcomes.Session, c.Outcomes.Attach, r); s != nil {
				o.slotsBack(s, c.Outcomes)
			}
		case c.Op == scheduler.OpConfigureQueue && r.Code == scheduler.CodeOK:
			o.configured(c.Queue)
		}
	}
}

// attachCurrent (4): what a stream or a timer proposes is carried out iff it carries its session's attach number and the
// session isn't over: what an old stream proposed has no effect. It returns the session if the command was carried out.
func (o *oracle) attachCurrent(id scheduler.SessionID, attach uint64, r *scheduler.Reply) *sessionRecord {
	s := o.sessions[id]
	current := s != nil && !s.closed && s.attach == attach
	if current != (r.Code != scheduler.CodeStale) {
		o.fail(InvOneLease, "a command for session %d with attach number %d is answered %s, and its being current is %v", id, attach, r.Code, current)
	}
	if !current || r.Code != scheduler.CodeOK {
		return nil
	}
	return s
}

// attaches (4): each new stream of a session has a new attach number.
func (o *oracle) attaches(s *sessionRecord, r *scheduler.Reply) {
	if s.attach++; r.Attach != s.attach {
		o.fail(InvOneLease, "session %d has attach number %d after %d", r.Session, r.Attach, s.attach-1)
	}
	s.attached = true
}

// opens sees a new session, and what becomes of the one that had its name.
func (o *oracle) opens(c *scheduler.OpenSession, r *scheduler.Reply) {
	if r.Session <= o.lastSession {
		o.fail(InvConservation, "session %d is opened after %d", r.Session, o.lastSession)
	}
	o.lastSession = r.Session
	s := o.sessions[r.Session]
	s.id, s.info, s.heard = r.Session, c.Worker, o.term
	s.taken, s.used = map[scheduler.Token]slotsTaken{}, make([]int, len(c.Worker.Pools))
	for _, old := range o.here {
		switch {
		case old.closed || old.superseded || old.info.Name != c.Worker.Name:
		case old.info.Incarnation == c.Worker.Incarnation:
			old.heard = o.term
			o.closes(old, nil)
		default:
			old.superseded = true
		}
	}
	o.here = append(o.here, s)
	o.attaches(s, r)
	o.resumed = append(o.resumed, s)
	for i := range c.Tokens {
		o.adopts(s, &c.Tokens[i])
	}
}

// closes notes that a session is over for whoever proposes anything for it.
func (o *oracle) closes(s *sessionRecord, started []scheduler.Token) {
	s.closed, s.attached, s.started = true, false, started
	s.unheard = s.heard != o.term
}

// namedBack notes that a session which has ended gives its name back to the latest of those that it had superseded.
func (o *oracle) namedBack(ended *sessionRecord) {
	if ended.superseded {
		return
	}
	for i := len(o.here) - 1; i >= 0; i-- {
		if s := o.here[i]; s.superseded && !s.closed && s.info.Name == ended.info.Name {
			s.superseded = false
			return
		}
	}
}

// adopts notes that a token which a Hello names occupies slots, though it is no lease of the session: its handler may run.
func (o *oracle) adopts(s *sessionRecord, k *scheduler.KnownToken) {
	if k.Phase == scheduler.PhaseFinished || k.Token == 0 || k.Token > o.lastToken {
		return
	}
	if h := o.holders[k.Token]; h != nil {
		if !h.closed || h.info.Incarnation != s.info.Incarnation {
			return
		}
		o.giveBack(h, k.Token)
	}
	o.take(s, k.Token, slotsTaken{s.pool(k.Pool), int(k.Weight)})
}

// resumes (1): a session that isn't over is found by its process; (16) what the worker doesn't name is granted to it again
// if it is live, and is over if it isn't.
func (o *oracle) resumes(c *scheduler.ResumeSession, r *scheduler.Reply, e *scheduler.Effects) {
	s := o.sessions[c.Session]
	known := s != nil && !s.closed && s.info.Incarnation == c.Incarnation
	if known == (r.Code == scheduler.CodeNotFound) {
		o.fail(InvOutcomes, "a Resume of session %d is answered %s, and its being known is %v", c.Session, r.Code, known)
	}
	if !known || r.Code != scheduler.CodeOK {
		return
	}
	o.attaches(s, r)
	s.heard = o.term
	o.resumed = append(o.resumed, s)
	named := map[scheduler.Token]bool{}
	for i := range c.Tokens {
		named[c.Tokens[i].Token] = true
		o.adopts(s, &c.Tokens[i])
	}
	for _, token := range s.tokens() {
		if named[token] {
			continue
		}
		if o.again[token] < grantedAgain(e, token) { // an earlier Resume of this step may have had it granted too
			o.again[token]++
			continue
		}
		o.giveBack(s, token)
		if l := o.leases[token]; l.session == s.id && l.ended == 0 {
			o.unnamed = append(o.unnamed, l)
		}
	}
}

// grantedAgain counts the grants of a step that repeat a lease.
func grantedAgain(e *scheduler.Effects, token scheduler.Token) (n int) {
	for i := range e.Grants {
		if e.Grants[i].Again && e.Grants[i].Token == token {
			n++
		}
	}
	return n
}

// tokens are those that occupy slots, in order.
func (s *sessionRecord) tokens() []scheduler.Token {
	all := make([]scheduler.Token, 0, len(s.taken))
	for token := range s.taken {
		all = append(all, token)
	}
	slices.Sort(all)
	return all
}

// proposed sees what a stream or a timer has proposed for its session.
func (o *oracle) proposed(s *sessionRecord, c *scheduler.Command, r *scheduler.Reply) {
	switch c.Op {
	case scheduler.OpAttach:
		o.attaches(s, r)
	case scheduler.OpDetach:
		s.attached = false
	case scheduler.OpDrainSession:
		s.draining = true
	case scheduler.OpExpireSession:
		o.closes(s, c.Session.Started)
		o.namedBack(s)
	case scheduler.OpCloseSession:
		s.heard = o.term
		o.closes(s, nil)
		o.namedBack(s)
	}
	for _, token := range c.Session.Over {
		o.giveBack(s, token)
	}
	if c.Op == scheduler.OpUnreadable {
		for _, token := range c.Session.Tokens {
			o.giveBack(s, token)
		}
	}
}

// slotsBack notes that a worker's first word on a token is its outcome.
func (o *oracle) slotsBack(s *sessionRecord, x *scheduler.Outcomes) {
	for i := range x.List {
		if seq := x.FirstSeq + uint64(i); seq > s.said {
			s.said = seq
			o.giveBack(s, x.List[i].Token)
		}
	}
}

// regranted (16): a live lease that a resumed worker doesn't know is granted to it again; (10) whoever has a lease whose task
// is to stop is told so, at once and again with each new stream.
func (o *oracle) regranted(state *scheduler.State, e *scheduler.Effects) {
	for _, l := range o.unnamed {
		if l.ended != o.index {
			o.fail(InvLiveness, "token %d isn't known to its resumed worker, and isn't granted again", l.token)
		}
	}
	o.unnamed = o.unnamed[:0]
	told := func(token scheduler.Token) bool {
		return slices.ContainsFunc(e.Cancels, func(n scheduler.CancelNote) bool { return n.Token == token })
	}
	for _, l := range o.endings {
		if s := o.holders[l.token]; s != nil && !s.closed && !told(l.token) {
			o.fail(InvSlots, "token %d of task %d is revoked, and session %d isn't told", l.token, l.task.id, s.id)
		}
	}
	for _, s := range o.resumed {
		if !s.closed {
			o.sessionSlots(state, s)
		}
		for _, token := range s.tokens() {
			l := o.leases[token]
			if l.ended == 0 && !s.closed && l.session == s.id && (l.task.asked || l.task.late) && !told(token) {
				o.fail(InvLiveness, "task %d is to stop, and its worker isn't told when it resumes session %d", l.task.id, s.id)
			}
		}
	}
}

// slotsKept (10): a token occupies slots of its session from its grant, or a Hello that names it, until the worker's word,
// and nothing else does.
func (o *oracle) slotsKept(state *scheduler.State) {
	for _, s := range o.here {
		if !s.closed {
			o.sessionSlots(state, s)
		}
	}
}

// sessionSlots (10) is slotsKept of one session.
func (o *oracle) sessionSlots(state *scheduler.State, s *sessionRecord) {
	got := state.SessionLeases(s.id, len(s.taken)+1)
	same := len(got) == len(s.taken)
	for i := range got {
		at, ok := s.taken[got[i].Token]
		same = same && ok && at == slotsTaken{int(got[i].Pool), int(got[i].Weight)}
	}
	if !same {
		o.fail(InvSlots, "session %d: tokens %v should occupy its slots, and %v do", s.id, s.tokens(), got)
	}
}
