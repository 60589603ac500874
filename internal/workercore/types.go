package workercore

import "math"

// Token fences a lease: unique, and it only grows. 0 names none.
type Token uint64

// TaskID names a task.
type TaskID uint64

// Time is a point on the worker's own monotonic clock, in nanoseconds; any epoch before the first use.
type Time int64

// Duration is a span in nanoseconds.
type Duration int64

// TimeMax is later than any other time: never.
const TimeMax Time = math.MaxInt64

// Add returns t + d, at most TimeMax.
func (t Time) Add(d Duration) Time {
	if d > 0 && t > TimeMax-Time(d) {
		return TimeMax
	}
	return t + Time(d)
}

// Lease is one lease as granted.
type Lease struct {
	Token  Token
	Task   TaskID
	Pool   string
	Weight uint32
	// AttemptTimeout runs from the start of the handler. 0: none. The two below run from the receipt of the grant; a bound
	// that has passed already is 1, since 0 means none.
	AttemptTimeout Duration
	DeadlineIn     Duration
	StartWithin    Duration
	// Body is the shell's own; the core hands it back in Start and Stop and never looks inside.
	Body any
}

// OutcomeKind is how a lease ended.
type OutcomeKind uint8

// The outcomes. TimedOut is reported as failed with cause TIMEOUT.
const (
	Succeeded OutcomeKind = iota + 1
	Failed
	TimedOut
	Cancelled
	Interrupted
)

// Report is what a handler returned.
type Report struct {
	Kind OutcomeKind // Succeeded or Failed
	Size int         // of the outcome as it will be sent, in bytes
	Ran  Duration    // how long the handler ran, at least 1; 0: not known
	Body any         // the shell's own; Outcome hands it back
}

// Outcome is what is reported for a lease.
type Outcome struct {
	Token  Token
	Task   TaskID
	Kind   OutcomeKind
	Reason string // Interrupted, TimedOut, and Failed without a handler: why
	Size   int
	Ran    Duration // the Report's; 0: not known, or no handler ran
	Body   any      // the Report's; nil if no handler ran
}

// Cause is why a handler is asked to stop.
type Cause uint8

// The causes. The first one a handler is given stands.
const (
	CauseNone      Cause = iota
	CauseTimeout         // its attempt timeout passed
	CauseDeadline        // its task's deadline passed
	CauseCancelled       // a caller cancelled the task
	CauseRevoked         // the lease was revoked: nothing that it reports will count
	CauseLost            // the trusted deadline passed: the lease may be another worker's
	CauseDraining        // the worker stops, and its drain deadline passed
)

// CancelReason is why the coordinator asks for the end of a token, numbered as in the public contract.
type CancelReason uint8

// The reasons.
const (
	ReasonCancelled CancelReason = 1
	ReasonDeadline  CancelReason = 2
	ReasonRevoked   CancelReason = 3
)

// Phase is how far the worker has come with a token, numbered as in the public contract.
type Phase uint8

// The phases.
const (
	Held     Phase = iota + 1 // received, not started
	Running                   // started; its handler runs
	Finished                  // its outcome stands in the outbox, unanswered
)

// Known is a token as Hello names it.
type Known struct {
	Token  Token
	Task   TaskID
	Phase  Phase
	Weight uint32
	Pool   string
}

// MessageKind says what a Message is.
type MessageKind uint8

// The messages.
const (
	Receipt   MessageKind = iota // a bare confirmation
	Hello                        // Session, Tokens
	Started                      // Started
	Outcomes                     // FirstSeq, Outcomes
	Heartbeat                    // SendTime, Progress
	Recalled                     // Recalled
	Draining                     // Running, Waiting
	Drained                      // Left
	Goodbye                      // nothing
)

// Message is one message to the coordinator. Its slices belong to the Actions that it stands in.
type Message struct {
	Kind            MessageKind
	ReceivedThrough uint64 // not in Hello
	AnswersThrough  uint64

	Session  uint64  // Hello: 0 opens a new one
	Tokens   []Known // Hello, by token
	Started  []Token
	FirstSeq uint64
	Outcomes []Outcome
	SendTime Time
	Progress bool // Heartbeat: the shell adds what handlers have said of their progress
	Recalled []Token
	Running  int
	Waiting  int
	Left     int
}

// WelcomeMessage is the answer to Hello.
type WelcomeMessage struct {
	Session    uint64
	TTL        Duration
	Interval   Duration
	Margin     Duration
	Stop       []Token
	NewSession bool
	Version    uint32 // of the protocol that is spoken; 0 means 1
}

// Rejection is the answer to an outcome that was not accepted.
type Rejection struct {
	Seq   uint64
	Token Token
	Gone  bool // the task doesn't exist any more; else the token isn't its current one
}

// Start asks the shell to run a handler.
type Start struct {
	Token    Token
	Deadline Time // attempt timeout or task deadline, the earlier; TimeMax: none. The core enforces it
	Body     any
}

// Stop asks the shell to stop a handler, whose end it still reports. Kill says that the grace is over, or that there was
// none: whatever can be ended by force is ended now. A token may be stopped first and killed later.
type Stop struct {
	Token Token
	Cause Cause
	Kill  bool
	Body  any
}

// Fenced says that an outcome was not accepted.
type Fenced struct {
	Token Token
	Task  TaskID
	Kind  OutcomeKind
	Gone  bool
}

// End says how a stopping worker came to its end.
type End struct {
	Ended      bool
	Unanswered int // leases whose outcomes were not answered: they end with the session's TTL
	Left       int // handlers that still run, killed and ignoring it

	// Of unanswered ones, else zero.
	Waited Duration // since nothing has run any more
	Silent Duration // since the last Hello or heartbeat was sent that the coordinator has answered
	TTL    Duration // of the session
	Live   bool     // there is a stream, so the coordinator is there
}

// Actions is what a step asks of the shell, to be carried out in order of the fields. The caller owns it and resets it
// before the next step.
type Actions struct {
	Start     []Start
	Stop      []Stop
	Send      []Message
	Fenced    []Fenced
	Reconnect string // not empty: end the stream, and why
	Straggle  bool   // handlers that were killed and given up still run; said once
	NextWake  Time   // call Settle no later than this
	End       End

	outcomes []Outcome
	tokens   []Token
}

// Reset empties a and keeps its memory.
func (a *Actions) Reset() {
	clear(a.Start)
	clear(a.Stop)
	clear(a.Send)
	clear(a.outcomes)
	*a = Actions{
		Start: a.Start[:0], Stop: a.Stop[:0], Send: a.Send[:0], Fenced: a.Fenced[:0],
		outcomes: a.outcomes[:0], tokens: a.tokens[:0],
	}
}
