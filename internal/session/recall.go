package session

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Recall asks the worker to give up tokens that it hasn't started, because a slot is free elsewhere or their queue is
// paused. A grant that is still in the mailbox is over with that. Tokens that the session doesn't have, that are started,
// or that were asked for within RecallAfter are passed over; so are all if attach isn't the current number.
func (m *Machine) Recall(now int64, attach uint64, tokens []scheduler.Token, acts *Actions) {
	if m.life != alive || attach != m.attach {
		return
	}
	for _, t := range tokens {
		l, ok := m.leases[t]
		switch {
		case !ok:
		case l.phase == inMailbox:
			m.unbox(t, acts)
		case !l.asked || now >= l.recall:
			m.askBack(now, t, l, acts)
		}
	}
}

// askBack makes a Recall of a token that is not in the mailbox, if that may be. One that the sender hasn't taken yet isn't
// made again, so there are never more than leases.
func (m *Machine) askBack(now int64, t scheduler.Token, l lease, acts *Actions) {
	if m.version < VersionRecall || l.started || l.revoked || l.queued {
		return
	}
	l.asked, l.queued = true, true
	m.recallLater(now, &l)
	m.leases[t] = l
	m.control.Recalls = append(m.control.Recalls, t)
	acts.Wake = true
}

// recallLater sets when a lease that isn't started is asked back by the machine itself.
func (m *Machine) recallLater(now int64, l *lease) {
	l.recall = now + RecallAfter
	if m.version >= VersionRecall && (m.recall == 0 || l.recall < m.recall) {
		m.recall = l.recall
	}
}

// recallUnstarted asks back what has not been started in time. As with back-stops there is no index: it looks at all
// leases, at most once a period, and most of the time the one that set the time has been started or has ended.
func (m *Machine) recallUnstarted(now int64, acts *Actions) {
	var due []scheduler.Token
	next := Never
	for t, l := range m.leases {
		if l.phase < isSent || l.started || l.revoked {
			continue
		}
		if l.recall <= now {
			due = append(due, t)
		} else {
			next = min(next, l.recall)
		}
	}
	m.recall = 0
	slices.Sort(due)
	for _, t := range due {
		m.askBack(now, t, m.leases[t], acts)
	}
	if len(due) > 0 {
		next = min(next, now+RecallAfter)
	}
	if next != Never {
		m.recall = max(next, now+recallPeriodMin)
	}
}

// takeRecalls moves Recalls into c and returns those that wait: for their grant, which they must not overtake, or for the
// next message. What has been started or has ended meanwhile isn't asked for.
func (m *Machine) takeRecalls(c *Control) []scheduler.Token {
	later := m.control.Recalls[:0]
	for _, t := range m.control.Recalls {
		l, ok := m.leases[t]
		if !ok {
			continue
		}
		if wanted := !l.started && !l.revoked; wanted && (l.phase == inHand || len(c.Recalls) == RecallMax) {
			later = append(later, t)
			continue
		} else if wanted {
			c.Recalls = append(c.Recalls, t)
		}
		l.queued = false
		m.leases[t] = l
	}
	return later
}

// Recalled takes the worker's answer to a Recall: these tokens it hasn't started, and never will. They are released. A
// token that the session doesn't have any more (unconfirmed in time, say) is passed over: it has been settled. One that
// the worker has started, or wasn't asked for on this stream, is a breach of the protocol, and nothing of the message is
// carried out: the stream is ended, and the next Hello says what is so.
func (m *Machine) Recalled(tokens []uint64, acts *Actions) {
	for _, t := range tokens {
		if l, ok := m.leases[scheduler.Token(t)]; ok && (!l.asked || l.started || l.phase < isSent) {
			m.cut(EndBadRecalled, acts)
			return
		}
	}
	for _, t := range tokens {
		if _, ok := m.leases[scheduler.Token(t)]; ok {
			delete(m.leases, scheduler.Token(t))
			m.release(scheduler.Token(t), acts)
		}
	}
}
