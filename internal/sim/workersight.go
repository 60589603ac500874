package sim

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// workerSight is what the oracle has seen of a worker's process.
type workerSight struct {
	told    map[scheduler.SessionID]int // outcomes whose answers its core was told of
	ended   map[workercore.Token]bool   // tokens whose ends it has reported
	gaveUp  map[workercore.Token]bool   // tokens that it has given up, until they are granted again
	grants  []receiptDue                // messages that came on its stream and aren't confirmed, in order
	goodbye bool                        // it has said so on its stream
	helloAt workercore.Time             // when it said its last Hello, by its clock
	trusted workercore.Time             // until when it may trust its leases, likewise
}

// receiptDue is by when a Grants message is to be confirmed.
type receiptDue struct {
	seq uint64
	by  workercore.Time
}

func (s *workerSight) streamBegins() { s.grants, s.goodbye = s.grants[:0], false }

func (s *workerSight) grantsCame(now workercore.Time, seq uint64) {
	s.grants = append(s.grants, receiptDue{seq, now.Add(workercore.ConfirmAfter)})
}

// spoke notes what a worker has sent.
func (s *workerSight) spoke(m *workercore.Message) {
	s.goodbye = s.goodbye || m.Kind == workercore.Goodbye
	n := 0
	for n < len(s.grants) && m.Kind != workercore.Hello && s.grants[n].seq <= m.ReceivedThrough {
		n++
	}
	s.grants = append(s.grants[:0], s.grants[n:]...)
}

// answers hands answers to the core, and holds what it makes of them against what was answered.
func (k *worker) answers(now workercore.Time, through uint64, rejected []workercore.Rejection) {
	id := scheduler.SessionID(k.core.Counts().Session)
	before, from := k.core.Counts().Unanswered, len(k.act.Fenced)
	k.core.Answers(now, through, rejected, &k.act)
	if k.w.oracle.sessions[id] != nil {
		k.w.oracle.tells(k, id, before-k.core.Counts().Unanswered, k.act.Fenced[from:])
	}
}

// tells (6): a worker whose core has learnt of the answers to n more outcomes is told of each that wasn't accepted, and of no
// other.
func (o *oracle) tells(k *worker, id scheduler.SessionID, n int, fenced []workercore.Fenced) {
	s, session := &k.sight, o.sessions[id]
	if s.told == nil {
		s.told = map[scheduler.SessionID]int{}
	}
	for range n {
		seq := s.told[id]
		s.told[id]++
		if seq >= len(session.answers) {
			return // workerAnswered has failed
		}
		a := session.answers[seq]
		if a.answer == scheduler.AnswerAccepted {
			continue
		}
		if len(fenced) == 0 || fenced[0].Token != workercore.Token(a.token) || fenced[0].Gone != (a.answer == scheduler.AnswerGone) {
			o.fail(InvOutcomes, "worker %d isn't told that outcome %d of session %d, token %d, was answered with %d", k.id, seq+1, id, a.token, a.answer)
			return
		}
		fenced = fenced[1:]
	}
	if len(fenced) > 0 {
		o.fail(InvOutcomes, "worker %d is told that token %d was refused, and it was accepted", k.id, fenced[0].Token)
	}
}

// startedInTime (4, 9): nothing is started after its start-by or deadline, nor after its end was reported or it was given
// up.
func (o *oracle) startedInTime(h *handler) {
	k, token := h.k, workercore.Token(h.grant.Token)
	now := k.local()
	switch {
	case now >= h.startBy || now >= h.deadline:
		o.fail(InvAttempts, "worker %d starts token %d, whose start-by or deadline has passed", k.id, token)
	case k.sight.ended[token]:
		o.fail(InvOneLease, "worker %d starts token %d, and has reported its end before", k.id, token)
	case k.sight.gaveUp[token]:
		o.fail(InvOneLease, "worker %d starts token %d, which it has given up", k.id, token)
	}
}

// saidEnded notes which tokens' ends a worker has reported.
func (k *worker) saidEnded(list []workercore.Outcome) {
	if k.sight.ended == nil {
		k.sight.ended = map[workercore.Token]bool{}
	}
	for i := range list {
		k.sight.ended[list[i].Token] = true
	}
}

// saidGivenUp notes what a worker has given up.
func (k *worker) saidGivenUp(tokens []workercore.Token) {
	if k.sight.gaveUp == nil {
		k.sight.gaveUp = map[workercore.Token]bool{}
	}
	for _, t := range tokens {
		k.sight.gaveUp[t] = true
	}
}

// trusts notes that what a worker sent at a time of its clock was answered: it may trust its leases for a TTL from then on,
// less the margin.
func (k *worker) trusts(sent workercore.Time) {
	p := &k.w.plan
	k.sight.trusted = max(k.sight.trusted, sent.Add(workercore.Duration(p.TTL-p.Margin)))
}

// letsGo (8): a worker runs nothing once it may not trust its leases any more, by its own clock, and comes again by then: the
// margin is for what clocks differ by.
func (o *oracle) letsGo(k *worker, next workercore.Time) {
	now, until := k.local(), k.sight.trusted
	for _, h := range k.handlers {
		if !h.killed && (until <= now || until < next) {
			o.fail(InvLetGo, "worker %d runs task %d, and may trust its leases until %d; it is %d and comes again at %d", k.id, h.grant.Task,
				until, now, next)
			return
		}
	}
}

// inTime (9, 10, 16): what is due at a worker has been done when it has settled, and it comes again before anything else is
// due: handlers are asked to stop by their attempt timeout and deadline and killed when their grace is over, receipts are
// confirmed. No pool runs more than its slots.
func (o *oracle) inTime(k *worker, next workercore.Time) {
	now := k.local()
	var used [2]int
	for _, h := range k.handlers {
		due, what := h.stopAt, "asked to stop"
		if h.asked {
			due, what = h.killAt, "killed"
		}
		if !h.killed && (due <= now || due < next) {
			o.fail(InvLiveness, "worker %d runs a token that was to be %s at %d; it is %d and comes again at %d", k.id, what, due, now, next)
		}
		for i := range k.plan.Pools {
			if k.plan.Pools[i].Name == h.grant.Pool {
				used[i] += int(h.grant.Weight)
			}
		}
	}
	for i, n := range used {
		if n > 0 && n > k.plan.Pools[i].Slots {
			o.fail(InvSlots, "worker %d runs tasks of weight %d in pool %s, which has %d slots", k.id, n, k.plan.Pools[i].Name, k.plan.Pools[i].Slots)
		}
	}
	s := &k.sight
	if len(s.grants) == 0 || k.conn == nil || len(k.unsent) > 0 || k.sent > 0 || s.goodbye || !k.core.Counts().Live {
		return
	}
	if x := s.grants[0]; x.by <= now || x.by < next {
		o.fail(InvLiveness, "worker %d was to confirm grants %d by %d; it is %d and comes again at %d", k.id, x.seq, x.by, now, next)
	}
}
