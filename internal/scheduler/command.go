package scheduler

// Op says what a Command does. The numbers are stored.
type Op uint8

// The commands.
const (
	OpBeginTerm      Op = 1  // a leader's first entry
	OpTick           Op = 2  // nothing but the batch's time
	OpSubmit         Op = 3  // Submit
	OpCancel         Op = 4  // Cancel
	OpRetry          Op = 5  // Retry
	OpOpenSession    Op = 6  // Open
	OpResumeSession  Op = 7  // Resume
	OpAttach         Op = 8  // Session: may be given work again
	OpDetach         Op = 9  // Session: stream lost, or grants unconfirmed
	OpRelease        Op = 10 // Session: tokens that were never sent are over
	OpExpireSession  Op = 11 // Session: its TTL passed
	OpDrainSession   Op = 12 // Session: it stops by its own wish, no more work
	OpCloseSession   Op = 13 // Session: Goodbye
	OpTimeoutLeases  Op = 14 // Session: the back-stop of the attempt timeout
	OpOutcomes       Op = 15 // Outcomes
	OpPauseQueue     Op = 16 // Queue
	OpResumeQueue    Op = 17 // Queue
	OpConfigureQueue Op = 18 // Queue
	OpForget         Op = 19 // Forget: retention of dead letters is over
	OpDelete         Op = 20 // Delete: finished tasks go before their retention is over. From logic 2 on
	OpSetLogic       Op = 21 // SetLogic: other rules from the next entry on
	OpRestored       Op = 22 // the state comes from a backup, see restored. From logic 3 on
	OpUnreadable     Op = 23 // Session: leased tasks whose payload storage can't read. From logic 3 on
	opMax               = OpUnreadable
)

// Batch is one log entry: a step. It is decoded, or kept decoded by the leader that proposed it.
type Batch struct {
	Logic    uint32 // rules to apply it by: those in force (State.Logic), or the replica halts
	Now      Time   // the leader's log time at proposal; earlier than the state's counts as the state's
	Commands []Command
}

// Command is a tagged struct: Op says which one of the pointers is set (none for OpTick and OpRestored).
type Command struct {
	Op        Op
	BeginTerm *BeginTerm
	Submit    *Submit
	Cancel    *Cancel
	Retry     *Retry
	Open      *OpenSession
	Resume    *ResumeSession
	Session   *SessionCommand
	Outcomes  *Outcomes
	Queue     *QueueCommand
	Forget    *Forget
	Delete    *Delete
	SetLogic  *SetLogic
}

// BeginTerm opens a leader's term: every session is detached (attached means attach term = current term).
// It alone may step the log's time, forward, and then no served time passes.
type BeginTerm struct {
	Term   uint64
	Limits Limits
}

// Submit stores 1 to BatchTasksMax tasks, all or none.
type Submit struct {
	Producer Hash128 // zero: no producer, a repeat stores the tasks again
	Number   uint64  // request number, from 1
	Lowest   uint64  // lowest unanswered number
	Tasks    []TaskSpec
}

// TaskSpec is one task to store, its defaults already filled in.
type TaskSpec struct {
	Kind, Queue       string
	Require           []Label // sorted by key, keys unique
	Priority          int8
	Weight            uint16
	HasLabels         bool // Body holds labels
	HasKey            bool
	Key               Hash128  // of the idempotency key
	KeyBody           Hash128  // of the spec it came with
	NotBefore         Time     // 0: at once
	Delay             Duration // counted from the batch's time; not together with NotBefore
	StartBy, Deadline Time     // 0: none
	Policy            Policy
	PayloadBytes      uint32
	Body              []byte // payload and labels, encoded by the shell; the core never looks inside
}

// Cancel asks for the end of tasks.
type Cancel struct {
	IDs   []TaskID
	Force bool // fence leased ones at once
	Purge bool // leave leased ones alone (ItemNotTerminal), keep nothing of the others. From logic 2 on
}

// Retry gives dead letters a new generation. The engine reads the finished rows into it.
type Retry struct {
	Items []RetryItem
}

// RetryItem is one dead letter and the row that was read for it. It is carried out only if Gen is still the dead
// letter's generation. Found is false if the store held no dead letter of that id.
type RetryItem struct {
	ID    TaskID
	Gen   uint32
	Found bool
	Spec  TaskSpec // Body, times and key unset: they stand
}

// WorkerInfo is what a worker says of itself.
type WorkerInfo struct {
	Name        string
	Incarnation Hash128
	Kinds       []string // sorted, unique
	Queues      []string // sorted, unique; empty: all
	Labels      []Label  // sorted by key, unique
	Pools       []Pool   // a kind that no pool names belongs to the first
}

// Pool is one of a worker's semaphores.
type Pool struct {
	Name  string
	Slots uint16
	Kinds []string // sorted, unique

	Prefetch uint16 // leases beyond the slots, for tasks of weight 1
}

// KnownToken is a token that a Hello names: it occupies slots until the worker's word.
type KnownToken struct {
	Token  Token
	Task   TaskID
	Weight uint16
	Pool   string
	Phase  TokenPhase
}

// TokenPhase is how far a worker has come with a token.
type TokenPhase uint8

// The phases.
const (
	PhaseHeld TokenPhase = iota + 1
	PhaseStarted
	PhaseFinished
)

// OpenSession registers a worker process. Live tells whether the session that has the name now, if any, has a live
// stream (soft knowledge of the leader): then the newcomer is refused.
type OpenSession struct {
	Worker WorkerInfo
	Live   bool
	Tokens []KnownToken // of an expired session: fenced, but they occupy slots
}

// ResumeSession attaches a session to a new stream of the same incarnation.
type ResumeSession struct {
	Session        SessionID
	Incarnation    Hash128
	Tokens         []KnownToken
	AnswersThrough uint64
}

// SessionCommand is what streams and timers propose for a session. It does nothing (CodeStale) if Attach isn't the
// session's attach number any more.
type SessionCommand struct {
	Session     SessionID
	Attach      uint64
	Over        []Token // never sent: slot back, task back at no cost
	Unconfirmed []Token // sent, not confirmed: task back at no cost, the slot stays until the worker's word
	Started     []Token // ExpireSession: started tokens, as far as the leader heard
	Tokens      []Token // TimeoutLeases: the leases whose back-stop passed; Unreadable: the grants, never sent, of the tasks
}

// Outcomes reports ends of attempts. The i-th has the number FirstSeq+i.
type Outcomes struct {
	Session        SessionID
	Attach         uint64
	FirstSeq       uint64
	AnswersThrough uint64
	List           []Outcome
}

// Outcome is how one attempt ended.
type Outcome struct {
	Token      Token
	Task       TaskID
	Kind       OutcomeKind
	Cause      Cause    // OutcomeFailed
	Permanent  bool     // OutcomeFailed: don't retry
	RetryAfter Duration // OutcomeFailed: in place of the backoff; 0: none
	Detail     []byte   // result or failure, encoded by the shell; the core never looks inside
}

// QueueCommand pauses, resumes or configures a queue.
type QueueCommand struct {
	Name   string
	Weight uint16 // OpConfigureQueue; 0: unchanged

	// OpConfigureQueue, from logic 2 on: Fields says which of the others are set, as QueueRow has them.
	Fields                   QueueFields
	Depth                    uint64
	MaxLeases                uint32
	Retention, DeadRetention Duration
}

// QueueFields says which settings a QueueCommand changes. The numbers are stored.
type QueueFields uint8

// The settings.
const (
	QueueDepthSet QueueFields = 1 << iota
	QueueMaxLeasesSet
	QueueRetentionSet
	QueueDeadRetentionSet
	queueFieldsEnd
)

// Forget ends dead letters whose retention is over. The engine proposes it from the store's expiry order.
type Forget struct {
	Items []DeadRef
}

// Delete removes finished tasks, 1 to BatchTasksMax. The engine reads the finished rows into it.
type Delete struct {
	Items []DeleteItem
}

// DeleteItem is one finished task and the row that was read for it. Found is false if the store held none. A dead letter
// goes only if Gen is still its generation; of the others the core knows nothing but that they don't live.
type DeleteItem struct {
	ID    TaskID
	Gen   uint32
	Found bool
}

// SetLogic changes the rules that later entries are applied by. Only upwards, and only proposed after a checkpoint that
// holds all earlier entries, so that a tail is never replayed under other rules than it was applied by.
type SetLogic struct {
	Logic uint32
}

// DeadRef names a dead letter's generation.
type DeadRef struct {
	ID  TaskID
	Gen uint32
}
