package scheduler

// Table names a kind of row. The numbers are stored. A loader wants the tables in this order, each in order of key.
type Table uint8

// The tables.
const (
	TableGlobals Table = iota + 1
	TableQueues
	TableShapes
	TablePolicies
	TableSessions
	TableTasks
	TableLeases
	TableProducers
	TableKeys
	TableDead
	tableEnd
)

var tableNames = [...]string{"", "globals", "queues", "shapes", "policies", "sessions", "tasks", "leases", "producers", "keys", "dead"}

func (t Table) String() string { return nameOf(tableNames[:], int(t)) }

// Tables lists all tables in loading order.
func Tables() []Table {
	all := make([]Table, 0, tableEnd-1)
	for t := TableGlobals; t < tableEnd; t++ {
		all = append(all, t)
	}
	return all
}

// Row is one changed row of a checkpoint: its image when the checkpoint was sealed, or its deletion. Keys are counters
// of the state: new rows have higher ones. Exactly the field that Table names is set, unless Deleted.
type Row struct {
	Table    Table
	Deleted  bool
	Key      uint64 // globals: 1
	Task     TaskRow
	Lease    LeaseRow
	Key128   KeyRow
	Dead     DeadRow
	Globals  *GlobalsRow
	Queue    *QueueRow
	Shape    *ShapeRow
	Policy   *PolicyRow
	Session  *SessionRow
	Producer *ProducerRow
}

// GlobalsRow holds the state's scalars.
type GlobalsRow struct {
	Now          Time
	Served       Duration // time passed within terms
	Term         uint64
	Limits       Limits
	LastTask     TaskID
	LastToken    Token
	LastSession  SessionID
	LastQueue    uint32
	LastShape    uint32
	LastPolicy   uint32
	LastProducer uint64 // row key
	LastUse      uint64 // order of producers' last uses
	LastKey      uint64 // row key
	LastDead     uint64 // row key
	VirtualTime  uint64 // fairness between queues
	Logic        uint32 // rules in force; 0: not known yet, the first entry says
	LastPosition uint64 // of events; from logic 2 on

	// Restoring: the rows come from a backup, and OpRestored hasn't been applied yet. Nothing happens by itself until then.
	// Set by who restores a backup, and by nobody else.
	Restoring  bool
	EndThrough SessionID // OpRestored ends the sessions up to this one; 0: none is left. From logic 3 on
}

// QueueRow is a queue; its counts are recomputed at load.
type QueueRow struct {
	ID     uint32
	Name   string
	Weight uint16
	Paused bool
	Pass   uint64 // fairness position

	Depth         uint64   // the most non-terminal tasks; 0: Limits.Depth
	MaxLeases     uint32   // the most leases at once; 0: no bound
	Retention     Duration // of tasks that ask for none, plus one; 0: DefaultRetention. The shell fills it in at submit
	DeadRetention Duration // the same for dead letters; 0: DefaultDeadRetention
}

// ShapeRow is what matching needs to know of tasks alike.
type ShapeRow struct {
	ID      uint32
	Queue   uint32
	Kind    string
	Require []Label
	Weight  uint16

	Suspect   bool      // its tasks were lost with their workers SuspectLosses times: never two on a worker
	HeadSince Time      // weight above 1: since when its first task has found too few free slots; 0: it hasn't
	Reserved  SessionID // whose freed slots are kept for it; 0: none
}

// PolicyRow is a policy shared by tasks.
type PolicyRow struct {
	ID     uint32
	Policy Policy
}

// TaskRow is a non-terminal task.
type TaskRow struct {
	ID           TaskID
	Token        Token // Leased: the current one
	Due          Time  // Scheduled: when it becomes Pending
	StartBy      Time
	Deadline     Time
	Submitted    Time
	LastSession  SessionID // the last that didn't confirm it, see Undelivered
	Gen          uint32
	Shape        uint32
	Policy       uint32
	PayloadBytes uint32
	Attempts     uint16
	Losses       uint8
	Undelivered  uint8
	Priority     int8
	State        TaskState
	Flags        TaskFlags
}

// TaskFlags are a task's booleans. The numbers are stored.
type TaskFlags uint8

// The flags.
const (
	FlagCancelRequested TaskFlags = 1 << iota
	FlagDeadlinePassed
	FlagHasLabels
	FlagHasKey
	FlagHasFailure
)

// LeaseRow is a token that occupies slots of a session. It is a live lease unless Revoked.
type LeaseRow struct {
	Token   Token
	Task    TaskID
	Session SessionID
	Granted Time
	Term    uint64 // in which it was granted, or brought by a Hello
	Weight  uint16
	Pool    uint8
	Revoked bool
}

// SessionRow is a session.
type SessionRow struct {
	ID          SessionID
	Worker      WorkerInfo
	Opened      Time
	AttachTerm  uint64 // attached iff this is the current term
	Attach      uint64 // attach number
	HeardTerm   uint64 // last term in which it was opened or resumed; Ending: 0 if that isn't the term it ended in
	LastGrant   Token
	Draining    bool
	Superseded  bool
	Ending      bool     // died; its leases are being returned
	AnswersFrom uint64   // number of the first of Answers
	Answers     []Answer // above what the worker has confirmed
	EndStarted  []Token  // Ending: tokens that the leader had heard of as started, sorted
}

// ProducerRow is a producer's window of answers.
type ProducerRow struct {
	Row      uint64
	ID       Hash128
	LastUsed Duration // served time
	Use      uint64   // order of last uses
	Lowest   uint64
	Answers  []ProducerAnswer // sorted by Number
}

// ProducerAnswer is the answer to one request.
type ProducerAnswer struct {
	Number uint64
	First  TaskID
	Count  int32
	IDs    []TaskID // keyed batches
	Old    []int32  // keyed batches: tasks that existed
}

// KeyRow is an idempotency key.
type KeyRow struct {
	Row     uint64
	Key     Hash128
	Body    Hash128
	Task    TaskID
	Expires Duration // served time; 0: the task lives
}

// DeadRow is the stub of a dead letter.
type DeadRow struct {
	Row   uint64 // order of death
	Task  TaskID
	Gen   uint32
	Queue uint32
}
