package session

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// mailbox holds grants that the sender hasn't taken, in order of matching. A cancelled one stays as a tombstone until it
// is passed: it has no lease in phase inMailbox any more.
type mailbox struct {
	grants []scheduler.Grant
	head   int
	dead   int // tombstones
}

func (b *mailbox) pending() []scheduler.Grant { return b.grants[b.head:] }

func (b *mailbox) reset() {
	if cap(b.grants) > mailboxCapKept {
		b.grants = nil
	}
	clear(b.grants)
	b.grants, b.head, b.dead = b.grants[:0], 0, 0
}

// forget lets go of what has been passed, once that is the greater part: so each grant is moved once, if at all.
func (b *mailbox) forget() {
	left := len(b.pending())
	switch {
	case left == 0:
		b.reset()
	case b.head >= left:
		n := copy(b.grants, b.pending())
		clear(b.grants[n:])
		b.grants, b.head = b.grants[:n], 0
	}
}

// Granted takes new leases of this session. A session that wants no work gives them back at once.
func (m *Machine) Granted(grants []scheduler.Grant, acts *Actions) {
	if m.life != alive {
		return // the session's end returns them
	}
	for i := range grants {
		g := &grants[i]
		if g.Attach != m.attach {
			continue // a later Resume has granted it again, if the worker doesn't know it
		}
		if m.stream == 0 || m.detached {
			m.release(g.Token, acts)
			continue
		}
		m.leases[g.Token] = lease{task: g.Task, timeout: int64(g.AttemptTimeout)}
		m.mailbox.grants = append(m.mailbox.grants, *g)
		acts.Wake = true
	}
}

// Cancelled asks the worker to stop a token. A grant that is still in the mailbox is over with that. What the worker of a
// broken stream isn't told the core repeats at Resume.
func (m *Machine) Cancelled(note scheduler.CancelNote, acts *Actions) {
	if m.life != alive {
		return
	}
	l, ok := m.leases[note.Token]
	if ok && l.phase == inMailbox {
		m.unbox(note.Token, acts)
		return
	}
	if ok && note.Reason == scheduler.CancelRevoked {
		l.revoked, l.due = true, 0
		m.leases[note.Token] = l
	}
	if m.stream == 0 {
		return
	}
	m.control.Cancels = append(m.control.Cancels, note)
	acts.Wake = true
}

// unbox ends a grant that is still in the mailbox.
func (m *Machine) unbox(t scheduler.Token, acts *Actions) {
	delete(m.leases, t)
	m.mailbox.dead++
	m.compact()
	m.release(t, acts)
}

// compact drops tombstones once they are the greater part, so that cancels can't make the mailbox grow.
func (m *Machine) compact() {
	b := &m.mailbox
	if b.dead < tombstonesMin || b.dead < len(b.pending())/2 {
		return
	}
	kept := b.grants[:0]
	for _, g := range b.pending() {
		if l, ok := m.leases[g.Token]; ok && l.phase == inMailbox {
			kept = append(kept, g)
		}
	}
	clear(b.grants[len(kept):])
	b.grants, b.head, b.dead = kept, 0, 0
}

// TakeControl moves what overtakes grants into c. False: there is nothing.
func (m *Machine) TakeControl(stream StreamID, c *Control) bool {
	c.Reset()
	if stream == 0 || stream != m.stream || m.life != alive && m.life != closing {
		return false
	}
	mine := &m.control
	c.Heartbeat, c.HeartbeatTime = mine.Heartbeat, mine.HeartbeatTime
	c.Ack, c.AckThrough = mine.Ack, mine.AckThrough
	c.Rejected = append(c.Rejected, mine.Rejected...)
	later := mine.Cancels[:0]
	for _, note := range mine.Cancels {
		if l, ok := m.leases[note.Token]; ok && l.phase == inHand {
			later = append(later, note) // it must not overtake its grant
		} else {
			c.Cancels = append(c.Cancels, note)
		}
	}
	*mine = Control{Cancels: later, Recalls: m.takeRecalls(c), Rejected: mine.Rejected[:0]}
	return c.Heartbeat || c.Ack || len(c.Cancels)+len(c.Recalls) > 0
}

// TakeGrants moves about as many grants as one message takes into the sender's hand, appends them to into, and returns it.
// It gives none before those in hand have been passed to Sent or Skip, and while too much is unconfirmed.
func (m *Machine) TakeGrants(stream StreamID, into []scheduler.Grant) []scheduler.Grant {
	if stream != m.stream || m.life != alive || m.detached || len(m.hand) > 0 {
		return into
	}
	b := &m.mailbox
	total := 0
	for b.head < len(b.grants) && len(m.hand) < MessageGrantsMax {
		g := &b.grants[b.head]
		l, ok := m.leases[g.Token]
		if !ok || l.phase != inMailbox {
			b.head++
			b.dead--
			continue
		}
		size := int(g.PayloadBytes) + len(g.Kind) + len(g.Queue) + len(g.Pool) + grantBytesOverhead
		if len(m.hand) > 0 && total+size > MessageBytesMax || m.sent.full(total+size) {
			break
		}
		total += size
		l.phase = inHand
		m.leases[g.Token] = l
		m.hand = append(m.hand, g.Token)
		into = append(into, *g)
		b.head++
	}
	b.forget()
	return into
}

// Skip says that a grant in hand won't be sent, because its task has ended meanwhile.
func (m *Machine) Skip(stream StreamID, token scheduler.Token, acts *Actions) {
	if stream != m.stream {
		return
	}
	for i, t := range m.hand {
		if t == token {
			m.hand = append(m.hand[:i], m.hand[i+1:]...)
			delete(m.leases, token)
			m.release(token, acts)
			return
		}
	}
}

// Unreadable says that grants in hand can't be sent, because the payloads of their tasks can't be read. Their tasks are to be
// ended: given back they would be granted and come here again.
func (m *Machine) Unreadable(stream StreamID, tokens []scheduler.Token, acts *Actions) {
	if stream != m.stream {
		return
	}
	var over []scheduler.Token
	m.hand = slices.DeleteFunc(m.hand, func(t scheduler.Token) bool {
		if !slices.Contains(tokens, t) {
			return false
		}
		delete(m.leases, t)
		over = append(over, t)
		return true
	})
	if len(over) > 0 {
		m.propose(scheduler.OpUnreadable, scheduler.SessionCommand{Tokens: over}, acts)
	}
}

// Sent asks to send the first n grants in hand as one message of so many bytes, and returns its number if they may be.
func (m *Machine) Sent(now int64, stream StreamID, n, bytes int) (uint64, Verdict) {
	switch {
	case stream != m.stream || m.life != alive || m.detached || n == 0 || n > len(m.hand):
		return 0, Drop
	case m.sent.full(bytes):
		return 0, Hold
	}
	for _, t := range m.hand[:n] {
		l := m.leases[t]
		l.phase = isSent
		m.recallLater(now, &l)
		m.leases[t] = l
	}
	seq := m.sent.add(now, m.hand[:n], bytes)
	m.hand = append(m.hand[:0], m.hand[n:]...)
	return seq, Send
}
