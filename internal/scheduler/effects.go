package scheduler

// Code is what became of a command.
type Code uint8

// The codes. Limits say in Reply.Index which task of a Submit met them.
const (
	CodeOK             Code = iota + 1
	CodeStale               // attach number or session no longer current: nothing was done
	CodeInvalid             // a field out of its bounds: nothing was done (the shell checks first)
	CodeNotFound            // no such queue or session
	CodeNameTaken           // OpenSession: the name has a live stream
	CodeKeyConflict         // idempotency key used with another body; Reply.First names the task
	CodeProducerWindow      // request number below the window, too far ahead, or unknown producer whose lowest isn't 1
	CodeLimitTasks          // Limits.MaxTasks
	CodeLimitDepth          // Limits.Depth, or the queue's own
	CodeLimitQueues         // QueuesMax
	CodeLimitShapes         // ShapesMax
	CodeLimitSessions       // SessionsMax
	CodeLimitProducers      // ProducersMax, all in recent use
	CodeLimitKeys           // KeysMax
)

var codeNames = [...]string{
	"", "OK", "STALE", "INVALID", "NOT_FOUND", "NAME_TAKEN", "KEY_CONFLICT", "PRODUCER_WINDOW", "LIMIT_TASKS", "LIMIT_DEPTH",
	"LIMIT_QUEUES", "LIMIT_SHAPES", "LIMIT_SESSIONS", "LIMIT_PRODUCERS", "LIMIT_KEYS",
}

func (c Code) String() string { return nameOf(codeNames[:], int(c)) }

// ItemCode is what a Cancel, Retry or Delete did to one task. Numbered as in the public contract.
type ItemCode uint8

// The item codes.
const (
	ItemDone            ItemCode = 1
	ItemRequested       ItemCode = 2
	ItemAlreadyTerminal ItemCode = 3 // also: unknown to the core; the engine asks the store which
	ItemNotFound        ItemCode = 4
	ItemNotDead         ItemCode = 5
	ItemLimit           ItemCode = 6
	ItemNotTerminal     ItemCode = 7 // Delete: it lives; Cancel with Purge: it is leased
)

// Span is a range [From, To) of one of the Effects' slices.
type Span struct{ From, To int32 }

// Reply answers the command of the same position in the batch.
type Reply struct {
	Code    Code
	Index   int32     // Submit refused: which task
	First   TaskID    // Submit: first id of Count in a row, unless IDs isn't empty; KeyConflict: the other task
	Count   int32     // Submit
	IDs     Span      // Submit with keys: of Effects.IDs, one a task
	Old     Span      // Submit with keys: of Effects.Indexes, tasks that existed
	Items   Span      // Cancel, Retry, Delete: of Effects.Items
	Stop    Span      // Open, Resume: of Effects.Tokens, tokens to stop
	Session SessionID // Open, Resume
	Attach  uint64    // Open, Resume, Attach: the new attach number
	Through uint64    // Outcomes, Resume: all outcomes up to this number are answered
	Answers Span      // Outcomes: of Effects.Answers, one an outcome of the command
	Fresh   bool      // Submit: carried out now, not a repeat
}

// ItemResult is what a Cancel, Retry or Delete did to one task.
type ItemResult struct {
	ID   TaskID
	Code ItemCode
}

// Grant is a new lease for a session, or one granted again after a Resume (then Again is set, the token is old, and a later
// command of the same step may have ended the session or moved its attach number on; so may it with CancelNotes).
type Grant struct {
	Session        SessionID
	Attach         uint64
	Token          Token
	Task           TaskID
	Kind, Queue    string
	Pool           string
	Attempt        uint32 // its number, from 1
	MaxAttempts    uint16
	Weight         uint16
	Gen            uint32
	AttemptTimeout Duration // 0: without end
	StartBy        Time     // 0: none
	Deadline       Time     // 0: none
	PayloadBytes   uint32
	Again          bool
}

// CancelNote asks a session's worker to stop a token.
type CancelNote struct {
	Session SessionID
	Token   Token
	Task    TaskID
	Reason  CancelReason
}

// Staged says that item Item of command Cmd (a Submit) became Task: its body is to be kept.
type Staged struct {
	Task      TaskID
	Cmd, Item int32
}

// Finished is a task that reached its end and left the core (a dead letter leaves a stub).
type Finished struct {
	Task         TaskID
	State        TaskState
	Cause        Cause
	Gen          uint32
	Kind, Queue  string
	Require      []Label // shared, read only
	Policy       Policy
	Priority     int8
	Weight       uint16
	HasLabels    bool
	HasFailure   bool // an earlier attempt's failure was kept (Failed)
	Attempts     uint32
	Losses       uint32
	PayloadBytes uint32
	StartBy      Time
	Deadline     Time
	Submitted    Time
	At           Time      // log time of the end
	ExpiresAt    Duration  // served time at which its retention is over; 0: nothing is kept
	Token        Token     // of the accepted outcome; 0: none
	Session      SessionID // of the accepted outcome; 0: none
	Granted      Time      // when that lease was granted
	Worker       string    // its worker's name
	Cmd, Item    int32     // the accepted outcome's command and position; Cmd -1: none
}

// Failed is a charged attempt that ended without success, to be kept among the task's attempts and as its last failure:
// of a task that goes on living, and (from logic 2 on) of one that it ended if no outcome of a worker did (Cmd -1).
// Cmd -1: there is no report (the back-stop, a lost worker); Cause says what happened.
type Failed struct {
	Task      TaskID
	Cause     Cause
	Attempt   uint32
	Gen       uint32
	Token     Token
	Session   SessionID
	Granted   Time
	Worker    string
	Cmd, Item int32
}

// Event is something that happened, for watchers. Its place among all events is its Position, a counter of the state.
// There are none under logic 1.
type Event struct {
	Position    uint64
	Task        TaskID
	Token       Token     // of the lease concerned; 0: none
	Session     SessionID // likewise, or the session concerned
	Queue, Kind string
	Worker      string // of Session
	Gen         uint32
	Attempt     uint32 // its number, from 1
	Type        EventType
	Cause       Cause
}

// EventType says what happened. Numbered as in the public contract; those of soft knowledge aren't the core's.
type EventType uint8

// The types.
const (
	EventSubmitted       EventType = 1
	EventReady           EventType = 2
	EventLeased          EventType = 3
	EventStarted         EventType = 4 // soft
	EventProgress        EventType = 5 // soft
	EventReturned        EventType = 6
	EventFailed          EventType = 7
	EventCancelRequested EventType = 8
	EventSucceeded       EventType = 9
	EventDead            EventType = 10
	EventCancelled       EventType = 11
	EventExpired         EventType = 12
	EventRetried         EventType = 13
	EventDeleted         EventType = 14
	EventQueueConfigured EventType = 15
	EventQueuePaused     EventType = 16
	EventQueueResumed    EventType = 17
	EventWorkerOpened    EventType = 18
	EventWorkerAttached  EventType = 19
	EventWorkerDetached  EventType = 20
	EventWorkerEnded     EventType = 21
)

// SessionChange tells what happened to a session.
type SessionChange struct {
	Session SessionID
	Kind    SessionChangeKind
	Attach  uint64
}

// SessionChangeKind says what happened.
type SessionChangeKind uint8

// The kinds.
const (
	SessionOpened     SessionChangeKind = iota + 1
	SessionAttached                     // also after Resume
	SessionDetached                     // by Detach or by a newer incarnation
	SessionSuperseded                   // a newer incarnation has the name
	SessionEnded                        // expired or closed; its id is never known again
)

// Effects is what a step did. It is owned by the caller, reset by Apply and written in place; every slice but those of
// strings is free of pointers. Nothing of it may leave the process before the batch is durable.
type Effects struct {
	Replies   []Reply // one a command, same order
	IDs       []TaskID
	Indexes   []int32
	Items     []ItemResult
	Tokens    []Token
	Answers   []Answer
	Grants    []Grant
	Cancels   []CancelNote
	Staged    []Staged
	Finished  []Finished
	Failed    []Failed
	Revived   []TaskID // dead letters that live again: their finished rows are to be deleted, their bodies stay
	Forgotten []TaskID // dead letters and deleted tasks that are gone: finished rows and bodies are to be deleted
	Events    []Event
	Sessions  []SessionChange
	More      bool // the step's bound was met with work left: propose a Tick at once
}

// Reset empties e, keeping its memory.
func (e *Effects) Reset() {
	clear(e.Grants) // strings
	clear(e.Finished)
	clear(e.Failed)
	clear(e.Events)
	e.Replies, e.IDs, e.Indexes, e.Items = e.Replies[:0], e.IDs[:0], e.Indexes[:0], e.Items[:0]
	e.Tokens, e.Answers, e.Grants, e.Cancels = e.Tokens[:0], e.Answers[:0], e.Grants[:0], e.Cancels[:0]
	e.Staged, e.Finished, e.Failed = e.Staged[:0], e.Finished[:0], e.Failed[:0]
	e.Revived, e.Forgotten, e.Sessions = e.Revived[:0], e.Forgotten[:0], e.Sessions[:0]
	e.Events = e.Events[:0]
	e.More = false
}
