package scheduler

// The types here are copies for readers outside the apply path. The methods that fill them need the state to stand
// still: the caller holds its lock.

// TaskInfo is a live task as the core knows it.
type TaskInfo struct {
	TaskRow
	Kind, Queue string
	Require     []Label
	Weight      uint16
	Policy      Policy // shadows TaskRow.Policy, the id
	Lease       LeaseRow
	Worker      string // Leased: the worker's name
}

// QueueInfo is a queue and its counts.
type QueueInfo struct {
	Name                             string
	Paused                           bool
	Weight                           uint16
	Shapes                           int
	Scheduled, Pending, Leased, Dead uint64
	DepthLimit                       uint64
}

// PoolInfo is a pool and its use.
type PoolInfo struct {
	Pool
	Used int
}

// SessionInfo is a session.
type SessionInfo struct {
	ID                           SessionID
	Worker                       WorkerInfo
	Pools                        []PoolInfo
	Opened                       Time
	Attach                       uint64
	Attached                     bool // given work: attached in this term, not draining, not superseded
	Draining, Superseded, Ending bool
	HeardThisTerm                bool
	Leases                       int
	AnswersThrough               uint64 // all outcomes up to this number are answered
}

// LeaseInfo is a token that occupies slots, and its task's kind (empty if revoked).
type LeaseInfo struct {
	LeaseRow
	Kind           string
	AttemptTimeout Duration
}

// Counts are the cluster's figures.
type Counts struct {
	Queues, Sessions, Attached       int
	Scheduled, Pending, Leased, Dead uint64
	Leases                           int // tokens that occupy slots, revoked ones included
	Producers, Keys                  int
}

// ReasonCode names a condition of the matcher that holds a task back. Numbered as in the public contract.
type ReasonCode uint8

// The conditions.
const (
	ReasonQueuePaused    ReasonCode = 1
	ReasonNoWorkers      ReasonCode = 2
	ReasonKindNotServed  ReasonCode = 3
	ReasonQueueNotServed ReasonCode = 4
	ReasonLabelMissing   ReasonCode = 5
	ReasonPoolTooSmall   ReasonCode = 6
	ReasonSlotsBusy      ReasonCode = 7
	ReasonDetached       ReasonCode = 8
	ReasonDraining       ReasonCode = 9
	ReasonNotDue         ReasonCode = 10
	ReasonBehindOthers   ReasonCode = 11
	ReasonLeased         ReasonCode = 12
	ReasonTerminal       ReasonCode = 13
)

// Reason is one condition and how many workers (or tasks) it concerns.
type Reason struct {
	Code    ReasonCode
	Count   int
	Label   Label  // ReasonLabelMissing: one that is required and missing
	Example string // a worker's name, where the reason concerns workers
	Until   Time   // ReasonNotDue
}

// Explanation says why a task is where it is.
type Explanation struct {
	Task    TaskInfo
	Reasons []Reason
}
