package scheduler

// TaskID names a task: assigned in order of submit, from 1, never reused. Its top 10 bits name the raft group (0 today).
type TaskID uint64

// Token fences a lease: unique, and it only grows.
type Token uint64

// SessionID names a worker's session: assigned in order, from 1, never reused.
type SessionID uint64

// Time is a point of the log's time, in nanoseconds since the Unix epoch. 0 means none.
type Time int64

// Duration is a span in nanoseconds.
type Duration int64

// Spans, as package time has them; the core doesn't import it.
const (
	Millisecond Duration = 1_000_000
	Second               = 1000 * Millisecond
	Minute               = 60 * Second
	Hour                 = 60 * Minute
	Day                  = 24 * Hour
)

// TimeMax is later than any other time.
const TimeMax Time = 1<<63 - 1

// Add returns t + d, at most TimeMax.
func (t Time) Add(d Duration) Time {
	if d > 0 && t > TimeMax-Time(d) {
		return TimeMax
	}
	return t + Time(d)
}

// TaskState is where a task stands. RUNNING is not among them: that a lease's task was started is soft knowledge of the
// leader, outside the log.
type TaskState uint8

// The task states. Waiting comes with dependencies and limits and is not entered by this logic version.
const (
	Scheduled TaskState = iota + 1 // delay or backoff
	Waiting                        // dependency or limit
	Pending                        // ready, in its shape's set
	Leased                         // at a worker
	Succeeded                      // terminal
	Dead                           // terminal; a stub stays in the core
	Cancelled                      // terminal
	Expired                        // terminal
)

// Terminal reports whether s is an end.
func (s TaskState) Terminal() bool { return s >= Succeeded }

var stateNames = [...]string{"", "SCHEDULED", "WAITING", "PENDING", "LEASED", "SUCCEEDED", "DEAD", "CANCELLED", "EXPIRED"}

func (s TaskState) String() string { return nameOf(stateNames[:], int(s)) }

// Cause says why an attempt or a task ended otherwise than by success. The numbers are stored.
type Cause uint8

// The causes, numbered as in the public contract.
const (
	CauseNone          Cause = 0
	CauseError         Cause = 1
	CausePanic         Cause = 2
	CauseTimeout       Cause = 3
	CauseExit          Cause = 4
	CauseWorkerLost    Cause = 5
	CauseUndeliverable Cause = 6
	CauseCancelled     Cause = 7
	CauseStartBy       Cause = 8
	CauseDeadline      Cause = 9
	CauseUnreadable    Cause = 10
	CauseEnd           Cause = 11 // one above the highest
)

var causeNames = [...]string{"NONE", "ERROR", "PANIC", "TIMEOUT", "EXIT", "WORKER_LOST", "UNDELIVERABLE", "CANCELLED", "START_BY", "DEADLINE", "UNREADABLE"}

func (c Cause) String() string { return nameOf(causeNames[:], int(c)) }

// OutcomeKind is how a worker says that a lease ended.
type OutcomeKind uint8

// The outcomes.
const (
	OutcomeSucceeded OutcomeKind = iota + 1
	OutcomeFailed
	OutcomeCancelled
	OutcomeInterrupted
)

// Answer is what the coordinator says to an outcome.
type Answer uint8

// The answers. The numbers are stored in session rows.
const (
	AnswerAccepted Answer = 1
	AnswerFenced   Answer = 2 // the token isn't the task's current one
	AnswerGone     Answer = 3 // the task doesn't exist any more
)

// CancelReason is why a worker is asked to stop a token.
type CancelReason uint8

// The reasons, numbered as in the public contract. A lower-numbered one says that the outcome will still count.
const (
	CancelAsked    CancelReason = 1
	CancelDeadline CancelReason = 2
	CancelRevoked  CancelReason = 3
)

// Label is one key and value, of a task or a worker.
type Label struct{ Key, Value string }

// Hash128 is the head of a SHA-256, computed by the shell.
type Hash128 [16]byte

// Policy is how a task's attempts are bounded and repeated, and how long its end is kept. Tasks that share one share
// its storage.
type Policy struct {
	AttemptTimeout Duration // 0: without end
	Backoff        Duration // after the first failure
	BackoffMax     Duration
	Retention      Duration // of a finished task
	DeadRetention  Duration // of a dead letter
	MaxAttempts    uint16   // at least 1
	MaxLosses      uint8    // at least 1
	Factor         uint8    // growth of the backoff, 1 to 10
}

func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) || names[i] == "" {
		return "?"
	}
	return names[i]
}
