package scheduler

// Limits of the core, by name. Those that an operator may change travel in BeginTerm, so that every replica applies the
// same ones.
const (
	BatchTasksMax    = 1000            // tasks in one Submit; ids in one Cancel, Retry or Delete
	PayloadBytesMax  = 1 << 20         // payload of a task, result of an attempt
	PriorityMax      = 100             // and -PriorityMax the least
	WeightMax        = 1000            // slots that one task may take
	NameBytesMax     = 63              // kinds, queues, workers, pools, label keys
	LabelsMax        = 32              // labels of a task or worker, entries of require
	LabelValueMax    = 128             // bytes of a label's value
	AttemptsMax      = 1000            // upper bound of Policy.MaxAttempts
	LossesMax        = 100             // upper bound of Policy.MaxLosses
	FactorMax        = 10              // upper bound of Policy.Factor
	AttemptTimeMax   = 30 * Day        // upper bound of Policy.AttemptTimeout
	BackoffFirstMax  = Day             // upper bound of Policy.Backoff
	BackoffBoundMax  = 7 * Day         // upper bound of Policy.BackoffMax
	RetryAfterMax    = 30 * Day        // upper bound of Outcome.RetryAfter
	RetentionMax     = 365 * Day       // upper bound of both retentions
	DelayMax         = 3650 * Day      // upper bound of TaskSpec.Delay
	QueuesMax        = 1000            // queues
	QueueWeightMax   = 1000            // weight of a queue
	ShapesMax        = 256             // live shapes of a queue
	SessionsMax      = 20_000          // sessions
	KindsMax         = 1000            // kinds, queues of a worker
	PoolsMax         = 16              // pools of a worker
	SlotsMax         = 10_000          // slots of a pool
	TokensKnownMax   = 20_000          // tokens named by one Hello
	AnswersMax       = 4096            // answers kept for a session, above what the worker has confirmed
	ProducersMax     = 100_000         // producers kept
	ProducerWindow   = 256             // requests in flight of one producer
	ProducerKeep     = Hour            // a producer is kept so long after its last use
	ProducerSafe     = 10 * Minute     // one used within this is never evicted
	KeysMax          = 10_000_000      // idempotency keys kept
	KeyKeepMin       = Day             // a key outlives its task by at least this
	DeadMax          = 1_000_000       // dead letters; the oldest goes first
	UndeliveredMax   = 10              // sessions that may fail to confirm a task before it is a dead letter
	StepRowsMax      = 10_000          // rows one step may change
	StepCommandsRows = 5_000           // rows the commands of one step may change; the batcher stops here
	DefaultQueue     = "default"       // always exists
	MaxTasksDefault  = 20_000_000      // non-terminal tasks
	QueueDepth       = 5_000_000       // non-terminal tasks of one queue
	PrefetchMax      = 10_000          // of a pool
	QueueDepthMax    = 20_000_000      // upper bound of QueueRow.Depth
	QueueLeasesMax   = 1_000_000       // upper bound of QueueRow.MaxLeases
	SuspectLosses    = 2               // a task lost with its worker so often is run apart
	HeavyWait        = Second          // a heavy task at the head for so long has slots kept for it
	EventsKept       = 100_000         // events that the engine keeps for watchers
	RestoreJump      = uint64(1) << 32 // by which a restore raises every counter that leaves the process
	LogicVersion     = uint32(3)       // newest rules in this package; older ones are kept for old logs
	weightStride     = uint64(1) << 20 // virtual time that one slot of a queue of weight 1 costs
	passCreditMax    = 64 * weightStride
)

// Defaults of a task's options.
const (
	DefaultAttemptTimeout = Hour
	DefaultBackoff        = Second
	DefaultBackoffMax     = Hour
	DefaultRetention      = Day
	DefaultDeadRetention  = 7 * Day
	DefaultMaxAttempts    = 20
	DefaultMaxLosses      = 3
	DefaultFactor         = 2
)

// DefaultPolicy is the policy of a task that asks for nothing else.
func DefaultPolicy() Policy {
	return Policy{
		AttemptTimeout: DefaultAttemptTimeout, Backoff: DefaultBackoff, BackoffMax: DefaultBackoffMax,
		Retention: DefaultRetention, DeadRetention: DefaultDeadRetention,
		MaxAttempts: DefaultMaxAttempts, MaxLosses: DefaultMaxLosses, Factor: DefaultFactor,
	}
}

// Limits are the bounds an operator may set.
type Limits struct {
	MaxTasks uint64 // non-terminal tasks in all
	Depth    uint64 // non-terminal tasks of one queue
}
