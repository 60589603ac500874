package consensus

import "github.com/hashicorp/raft"

// Term is who leads, as far as this node knows.
type Term struct {
	// Leader reports that this node leads in this term. Entries of earlier
	// terms may then still be on their way to Apply: a leader first commits an
	// entry of its own and waits for it.
	Leader bool
	// Term is the number of the term; it never goes back.
	Term uint64
}

// Terms tells of leadership, for one receiver. Only the latest value is kept,
// so a term that came and went unseen shows as a jump of Term. It first gives
// the state at Open. Close gives a last value without leadership, then closes
// the channel.
func (l *Log) Terms() <-chan Term { return l.terms }

// watchTerms sends to Terms. Raft's signal (a channel it never blocks on) only
// says that something changed: what holds is read from raft each time. A
// raft.Config.NotifyCh would block raft's main loop when nobody reads it.
func (l *Log) watchTerms() {
	defer close(l.termsEnd)
	defer close(l.terms)
	last := l.currentTerm()
	l.terms <- last
	for {
		select {
		case <-l.raft.LeaderCh():
			last = l.publish(last)
		case <-l.stop:
			// Raft is down by now.
			l.publish(last)
			return
		}
	}
}

// publish replaces what the receiver hasn't taken yet. Nobody else sends, so
// there is always room after the old value is out.
func (l *Log) publish(last Term) Term {
	now := l.currentTerm()
	if now == last {
		return last
	}
	select {
	case <-l.terms:
	default:
	}
	l.terms <- now
	return now
}

// currentTerm reads state and term as one: raft has no call for both. Raft
// stops leading before it takes a new term, and takes it before it leads.
func (l *Log) currentTerm() Term {
	for {
		term := l.raft.CurrentTerm()
		leader := l.raft.State() == raft.Leader
		if l.raft.CurrentTerm() == term {
			return Term{Leader: leader, Term: term}
		}
	}
}
