package session

import (
	"math"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Never is a NextWake that doesn't come.
const Never int64 = math.MaxInt64

// NextWake is when Tick has something to do, or Never.
func (m *Machine) NextWake() int64 {
	if m.life != alive {
		return Never
	}
	at := m.heard + m.o.TTL
	if len(m.sent.messages) > 0 {
		at = min(at, m.sent.messages[0].deadline)
	}
	if m.backstop != 0 {
		at = min(at, m.backstop)
	}
	if m.recall != 0 {
		at = min(at, m.recall)
	}
	return at
}

// Tick does what is due.
func (m *Machine) Tick(now int64, acts *Actions) {
	if m.life != alive {
		return
	}
	if now >= m.heard+m.o.TTL {
		m.propose(scheduler.OpExpireSession, scheduler.SessionCommand{Started: m.startedTokens()}, acts)
		m.life = expiring
		return
	}
	if len(m.sent.messages) > 0 && now >= m.sent.messages[0].deadline {
		m.unconfirmed(acts)
	}
	if m.backstop != 0 && now >= m.backstop {
		m.runBackstop(now, acts)
	}
	if m.recall != 0 && now >= m.recall {
		m.recallUnstarted(now, acts)
	}
}

// runBackstop times out the leases whose workers should have done so themselves. There is no index of due times: it looks
// at all leases, at most once a period, and most of the time the earliest one has long ended and nothing is due.
//
// A lease that is proposed waits for backstopAgain, lest each period propose it anew while the entry is under way. What a
// Resume overtakes comes to nothing, but doesn't wait: Opened arms it as from its start, so that it is proposed with the new
// attach number at the next Tick. Were it left to wait, a hung attempt would outlast its time by backstopAgain for each
// Resume that hits upon a proposal, and nothing bounds how many do.
func (m *Machine) runBackstop(now int64, acts *Actions) {
	var over []scheduler.Token
	next := Never
	for t, l := range m.leases {
		if l.due == 0 {
			continue
		}
		if l.due <= now {
			over = append(over, t)
			l.due = now + backstopAgain
			m.leases[t] = l
		}
		next = min(next, l.due)
	}
	m.backstop = 0
	if next != Never {
		m.backstop = max(next, now+backstopPeriodMin)
	}
	if len(over) > 0 {
		slices.Sort(over)
		m.propose(scheduler.OpTimeoutLeases, scheduler.SessionCommand{Tokens: over}, acts)
	}
}

// StallGap says that the leader itself stood still for so long, and notices it now: what the worker said in the meantime may
// not have been read, so every deadline moves by the gap. Where a deadline is counted from something that was heard, the
// session's last message or an attempt's start, that moves: Opened counts from an attempt's start again. It moves up to now at
// most: what was heard after the gap, before it was noticed, has lost nothing by it.
func (m *Machine) StallGap(now, gap int64) {
	m.heard = min(m.heard+gap, now)
	for i := range m.sent.messages {
		m.sent.messages[i].deadline += gap
	}
	if m.recall != 0 {
		m.recall += gap
	}
	m.backstop = 0
	for t, l := range m.leases {
		if l.started {
			moved := max(0, min(gap, now-l.begun))
			l.begun += moved
			if l.due != 0 {
				l.due += moved
				m.wakeBackstop(l.due)
			}
		}
		l.recall += gap
		m.leases[t] = l
	}
}
