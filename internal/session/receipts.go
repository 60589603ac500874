package session

import "github.com/yardmaster/yardmaster/internal/scheduler"

// receipts are the Grants messages of a stream that were sent and not confirmed, in order.
type receipts struct {
	messages []receipt
	tokens   []scheduler.Token // theirs, in order
	bytes    int               // theirs
	last     uint64            // number of the last message sent
	through  uint64            // number of the last one confirmed
}

type receipt struct {
	deadline int64
	bytes    int
	tokens   int
}

// full reports whether so many bytes more are too much. One message always fits if nothing is outstanding.
func (r *receipts) full(bytes int) bool { return r.bytes > 0 && r.bytes+bytes > UnconfirmedBytesMax }

// add notes a message. It is to be confirmed within the receipt time and what all that is outstanding takes on a slow
// link.
func (r *receipts) add(now int64, tokens []scheduler.Token, bytes int) uint64 {
	r.last++
	r.bytes += bytes
	r.tokens = append(r.tokens, tokens...)
	deadline := now + ReceiptTime + int64(r.bytes)*second/ReceiptBytesPerSec
	r.messages = append(r.messages, receipt{deadline: deadline, bytes: bytes, tokens: len(tokens)})
	return r.last
}

// confirm forgets messages up to a number, after it has called each for their tokens.
func (r *receipts) confirm(through uint64, each func(scheduler.Token)) {
	n, count := min(int(through-r.through), len(r.messages)), 0
	r.through = through
	for _, x := range r.messages[:n] {
		r.bytes -= x.bytes
		count += x.tokens
	}
	for _, t := range r.tokens[:count] {
		each(t)
	}
	r.messages = append(r.messages[:0], r.messages[n:]...)
	r.tokens = append(r.tokens[:0], r.tokens[count:]...)
}

// forget gives up waiting for what is outstanding; its numbers may still be confirmed.
func (r *receipts) forget() []scheduler.Token {
	tokens := r.tokens
	r.messages, r.tokens, r.bytes = nil, nil, 0
	return tokens
}

// reset begins a new stream.
func (r *receipts) reset() { *r = receipts{messages: r.messages[:0], tokens: r.tokens[:0]} }

// Received takes any message of a stream: it is a sign of life and confirms grants. False: the message must be dropped.
func (m *Machine) Received(now int64, stream StreamID, through uint64, acts *Actions) bool {
	if stream == 0 || stream != m.stream || m.life != alive {
		return false
	}
	m.heard = max(m.heard, now)
	if through > m.sent.last {
		m.cut(EndBadReceipt, acts)
		return false
	}
	if through <= m.sent.through {
		return true
	}
	m.sent.confirm(through, func(t scheduler.Token) {
		if l, ok := m.leases[t]; ok {
			l.phase = isHeld
			m.leases[t] = l
		}
	})
	acts.Wake = acts.Wake || len(m.hand) > 0 || len(m.mailbox.pending()) > 0
	if m.detached && !m.attaching && m.sent.through == m.sent.last {
		m.propose(scheduler.OpAttach, scheduler.SessionCommand{}, acts)
		m.attaching = true
	}
	return true
}

// unconfirmed releases what was sent and not confirmed in time, all of it: the messages of a stream are read in order, so
// what followed the overdue one isn't read either. What was not sent is over.
func (m *Machine) unconfirmed(acts *Actions) {
	over := m.unsent()
	tokens := m.sent.forget()
	for _, t := range tokens {
		delete(m.leases, t)
	}
	m.propose(scheduler.OpDetach, scheduler.SessionCommand{Over: over, Unconfirmed: tokens}, acts)
	m.detached = true
}
