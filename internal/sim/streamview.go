package sim

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// What the coordinator says on a worker's stream, as it leaves: a promise that is broken later is seen when it is given.

// beatAnswered notes what the answer to a heartbeat promises: the worker trusts its leases for a TTL from when it sent it,
// which is no later than when it came.
func (o *oracle) beatAnswered(st *stream) {
	if s := o.sessions[st.e.id]; s != nil {
		s.trusts = st.beatAt + st.r.opts.TTL
	}
}

// trustKept (8): no session expires within a TTL of a heartbeat that was answered: its worker may be at work until then.
func (o *oracle) trustKept(id scheduler.SessionID, s *sessionRecord) {
	if o.w.now < s.trusts {
		o.fail(InvLetGo, "session %d has expired, and a heartbeat was answered by which its worker trusts it for %d ms more", id,
			(s.trusts-o.w.now)/millisecond)
	}
}

// cancelSent (6): a Cancel follows its grant. One that overtakes it has the worker answer for a token that it starts then.
func (o *oracle) cancelSent(st *stream, token scheduler.Token) {
	if slices.ContainsFunc(st.hand, func(g scheduler.Grant) bool { return g.Token == token }) {
		o.fail(InvOutcomes, "the Cancel of token %d is sent to session %d before its grant", token, st.e.id)
	}
}

// ackSent (6): a stream acknowledges no more outcomes than were answered on it. What is answered to none but an earlier stream
// comes again, and its rejection with the answer: an acknowledgement ahead of that has the worker forget it unrejected.
func (o *oracle) ackSent(st *stream, through uint64) {
	if through > st.answered {
		o.fail(InvOutcomes, "session %d: outcomes through %d are acknowledged on stream %d, and those through %d were answered on it", st.e.id,
			through, st.id, st.answered)
	}
}
