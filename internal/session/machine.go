package session

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Options are what a Machine needs to know. Spans in nanoseconds.
type Options struct {
	TTL       int64 // without a message for this long the session expires
	Heartbeat int64 // interval of heartbeats
	KillGrace int64 // between asking a handler to stop and killing it, at the worker
}

// Machine is one session. The zero value is of no use: see New.
type Machine struct {
	o      Options
	id     scheduler.SessionID
	attach uint64 // attach number
	life   life
	heard  int64 // when a message last came, or the leader's term began

	// Invariant: everything from here to recall belongs to stream, and is empty if stream is 0, but for sent.
	stream  StreamID
	version uint32 // of the protocol, as spoken on stream
	mailbox mailbox
	hand    []scheduler.Token // taken by the sender, not yet given to SendMsg
	sent    receipts
	control Control // to be taken by the sender
	waiting int     // outcomes that came and aren't answered
	recall  int64   // no lease is asked back by the machine itself before; 0: none will be

	detached  bool                // no work is wanted: Detach is proposed or applied, and no Attach after it is applied
	attaching bool                // an Attach is in flight
	held      []scheduler.Command // what waits for its result

	leases   map[scheduler.Token]lease // from grant to the worker's word
	backstop int64                     // no lease's back-stop is due before; 0: there is none
	unknown  bool                      // the attempt timeouts of some leases are unknown
	draining bool
}

// life is how far a session has come.
type life uint8

const (
	alive life = iota
	expiring
	closing
	ended
)

// lease is a token and where it stands.
type lease struct {
	task     scheduler.TaskID // 0: granted in another term, see Timeouts
	timeout  int64            // of the attempt; 0: none
	begun    int64            // when this leader learnt of the start, and later by the time that it stood still since
	due      int64            // back-stop: runs from begun, or is proposed again then; 0: none
	recall   int64            // sent and not started: not asked back by the machine itself before
	progress *Progress        // nil: nothing was said
	phase    phase
	started  bool
	revoked  bool
	asked    bool // a Recall of it was made for this stream
	queued   bool // Invariant: it stands in control.Recalls, once
}

type phase uint8

const (
	inMailbox phase = iota
	inHand
	isSent
	isHeld
)

// New returns a session without a stream, detached, with a full TTL from now.
func New(o Options, id scheduler.SessionID, attach uint64, now int64) *Machine {
	return &Machine{o: o, id: id, attach: attach, heard: now, detached: true, leases: map[scheduler.Token]lease{}}
}

// ID is the session's id.
func (m *Machine) ID() scheduler.SessionID { return m.id }

// Attach is the attach number.
func (m *Machine) Attach() uint64 { return m.attach }

// Version is the version of the protocol that is spoken on the live stream; 0: there is none.
func (m *Machine) Version() uint32 { return m.version }

// Stream is the live stream, or 0.
func (m *Machine) Stream() StreamID { return m.stream }

// Heard is when a message last came, or this leader's term began.
func (m *Machine) Heard() int64 { return m.heard }

// Started reports whether the worker has said that it started a token.
func (m *Machine) Started(t scheduler.Token) bool { return m.leases[t].started }

// Leases counts the tokens for which the worker's word is awaited.
func (m *Machine) Leases() int { return len(m.leases) }

// UnconfirmedBytes is how much was sent and not confirmed.
func (m *Machine) UnconfirmedBytes() int { return m.sent.bytes }

// Opened says that the session was opened or resumed by a stream that speaks a version of the protocol, and is attached by
// this number. known are the session's live leases that Hello named. What an earlier stream left is forgotten: the core grants again what the worker doesn't
// know. If the stream has ended in the meantime, StreamBroken follows.
func (m *Machine) Opened(now int64, stream StreamID, version uint32, attach uint64, known []Known, acts *Actions) {
	if m.life == ended {
		acts.End = append(acts.End, End{stream, EndExpired})
		return
	}
	if m.stream != 0 && m.stream != stream {
		acts.End = append(acts.End, End{m.stream, EndReplaced})
	}
	m.clearStream()
	m.sent.reset()
	m.stream, m.version, m.attach, m.heard, m.life = stream, version, attach, max(m.heard, now), alive
	m.detached, m.attaching, m.held = false, false, nil
	old := m.leases
	m.leases = make(map[scheduler.Token]lease, len(known))
	m.unknown, m.backstop = false, 0
	for _, k := range known {
		l, ok := old[k.Token]
		if !ok {
			l.timeout = timeoutUnknown
		}
		if l.timeout == timeoutUnknown { // also if an earlier stream ended before it was told
			m.unknown = true
		}
		l.phase, l.asked, l.queued = isHeld, false, false // a Recall or its answer may have been lost
		if k.Started || l.started {
			m.start(now, k.Token, &l, acts)
		} else {
			m.recallLater(now, &l)
		}
		m.leases[k.Token] = l
	}
	if m.draining {
		m.propose(scheduler.OpDrainSession, scheduler.SessionCommand{}, acts)
	}
	acts.Wake = true
}

// NeedTimeouts reports whether Timeouts has something to tell.
func (m *Machine) NeedTimeouts() bool { return m.unknown }

// Timeouts tells the tasks and attempt timeouts of leases that a leader before this one granted.
func (m *Machine) Timeouts(leases []scheduler.LeaseInfo, acts *Actions) {
	for i := range leases {
		info := &leases[i]
		l, ok := m.leases[info.Token]
		if !ok || l.timeout != timeoutUnknown {
			continue
		}
		l.timeout, l.task = int64(info.AttemptTimeout), info.Task
		if l.started {
			m.arm(&l)
			acts.Notices = append(acts.Notices, Notice{Token: info.Token, Task: info.Task})
		}
		m.leases[info.Token] = l
	}
	m.unknown = false
}

// StreamBroken says that a stream has ended by itself. What it hasn't sent is released at once; what it has sent has
// until its receipt deadline, since a Resume may still name it.
func (m *Machine) StreamBroken(stream StreamID, acts *Actions) {
	if stream == 0 || stream != m.stream {
		return
	}
	m.breakStream(acts)
}

// Replace ends the stream because a newer one of the same process has said Hello.
func (m *Machine) Replace(acts *Actions) { m.cut(EndReplaced, acts) }

// Ended says that the session is over.
func (m *Machine) Ended(acts *Actions) {
	if m.stream != 0 {
		acts.End = append(acts.End, End{m.stream, EndExpired})
	}
	m.clearStream()
	m.sent.reset()
	m.life, m.held, m.leases, m.detached = ended, nil, nil, true
}

// cut ends the stream by the coordinator's wish.
func (m *Machine) cut(why EndReason, acts *Actions) {
	if m.stream == 0 {
		return
	}
	acts.End = append(acts.End, End{m.stream, why})
	m.breakStream(acts)
}

func (m *Machine) breakStream(acts *Actions) {
	over := m.unsent()
	m.clearStream()
	if m.life != alive {
		return
	}
	if !m.detached || m.attaching || len(over) > 0 {
		m.propose(scheduler.OpDetach, scheduler.SessionCommand{Over: over}, acts)
	}
	m.detached = true
}

// unsent takes all grants that were not handed to SendMsg.
func (m *Machine) unsent() []scheduler.Token {
	var over []scheduler.Token
	for _, t := range m.hand {
		delete(m.leases, t)
		over = append(over, t)
	}
	m.hand = m.hand[:0]
	for i := range m.mailbox.pending() {
		t := m.mailbox.pending()[i].Token
		if l, ok := m.leases[t]; ok && l.phase == inMailbox {
			delete(m.leases, t)
			over = append(over, t)
		}
	}
	m.mailbox.reset()
	return over
}

// clearStream forgets what belongs to the stream, but for what it has sent.
func (m *Machine) clearStream() {
	m.stream, m.version, m.waiting, m.recall = 0, 0, 0, 0
	m.mailbox.reset()
	m.hand = m.hand[:0]
	m.control.Reset()
}

// startedTokens returns the tokens that are known as started, in order.
func (m *Machine) startedTokens() []scheduler.Token {
	var all []scheduler.Token
	for t, l := range m.leases {
		if l.started && !l.revoked {
			all = append(all, t)
		}
	}
	slices.Sort(all)
	return all
}
