package session

import "github.com/yardmaster/yardmaster/internal/scheduler"

// StreamID names one stream of the shell. 0 means none.
type StreamID uint64

// VersionRecall is the version of the protocol from which on a worker understands a Recall.
const VersionRecall = 2

// Spans in nanoseconds, and other bounds.
const (
	millisecond int64 = 1_000_000
	second            = 1000 * millisecond

	ReceiptTime               = 5 * second // a grant sent is confirmed within this, plus what its bytes take
	ReceiptBytesPerSec        = 64 << 10   // the slowest link that is waited for
	UnconfirmedBytesMax       = 4 << 20    // sent and unconfirmed, of one session
	MessageBytesMax           = 256 << 10  // a Grants message, or one lease
	MessageGrantsMax          = 1000       // leases in a Grants message
	OutcomesUnanswered        = scheduler.AnswersMax
	RecallAfter               = 10 * second // an unstarted lease is asked back so long after it was sent, and asked for at most so often
	RecallMax                 = 10_000      // tokens in a Recall, and in a Recalled
	recallPeriodMin           = second      // unstarted leases are looked for at most so often
	ProgressMessageMax        = 256         // bytes of the text that a handler says of its progress
	backstopPeriodMin         = second      // back-stops are looked for at most so often
	backstopAgain             = 10 * second // a back-stop that was proposed is proposed again if nothing has come of it, see runBackstop
	grantBytesOverhead        = 160         // about what a lease takes besides payload and names
	mailboxCapKept            = 4096        // an emptied mailbox larger than this is let go
	tombstonesMin             = 256         // fewer cancelled grants than this are not worth moving the others
	timeoutUnknown      int64 = -1
)

// EndReason says why a stream is ended.
type EndReason uint8

// The reasons.
const (
	EndClosed      EndReason = iota + 1 // Goodbye is durable: the stream ends well
	EndReplaced                         // a newer stream of the same process
	EndExpired                          // the session is over
	EndBadReceipt                       // it confirmed what was never sent
	EndTooMany                          // more outcomes unanswered than OutcomesUnanswered
	EndBadOutcomes                      // outcome numbers out of order
	EndBadRecalled                      // it gave up what it had started or wasn't asked for
)

// Actions is what an input asks for. It is owned by the caller, who resets it.
type Actions struct {
	// Propose are commands to be proposed, in order. Each one's fate is told by Machine.Applied; that of Outcomes by
	// Machine.Answered.
	Propose []scheduler.Command
	// End are streams to be ended. Nothing is sent on them from now on.
	End []End
	// Notices tell what this leader has just learnt of tasks that run, in order. The log doesn't know of it.
	Notices []Notice
	// Wake says that there may be something new to send.
	Wake bool
}

// Notice says that a task has been started or, if Progress isn't nil, what its handler has said.
type Notice struct {
	Token    scheduler.Token
	Task     scheduler.TaskID
	Progress *Progress
}

// End is a stream to be ended.
type End struct {
	Stream StreamID
	Reason EndReason
}

// Reset empties a, keeping its memory.
func (a *Actions) Reset() {
	clear(a.Propose)
	clear(a.Notices)
	a.Propose, a.End, a.Notices, a.Wake = a.Propose[:0], a.End[:0], a.Notices[:0], false
}

// Empty reports whether there is nothing to do.
func (a *Actions) Empty() bool { return len(a.Propose)+len(a.End)+len(a.Notices) == 0 && !a.Wake }

// Control is what overtakes grants: taken and sent in this order.
type Control struct {
	Heartbeat     bool // answer it
	HeartbeatTime int64
	Cancels       []scheduler.CancelNote
	Recalls       []scheduler.Token // at most RecallMax; none unless the worker speaks VersionRecall
	Ack           bool
	AckThrough    uint64
	Rejected      []Rejected
}

// Reset empties c, keeping its memory.
func (c *Control) Reset() {
	*c = Control{Cancels: c.Cancels[:0], Recalls: c.Recalls[:0], Rejected: c.Rejected[:0]}
}

// Rejected is an outcome that was not accepted.
type Rejected struct {
	Seq    uint64
	Token  scheduler.Token
	Answer scheduler.Answer
}

// Verdict says what becomes of a built Grants message.
type Verdict uint8

// The verdicts.
const (
	Drop Verdict = iota + 1 // it must not be sent: its leases have been released
	Hold                    // not yet: too much is unconfirmed; ask again when woken
	Send                    // hand it to SendMsg now
)

// Known is a token that a Hello named as held or started and that is the session's live lease. (Of finished ones nothing
// but the outcome is to come.)
type Known struct {
	Token   scheduler.Token
	Started bool
}
