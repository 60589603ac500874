package workercore

// Spans, as package time has them; the core doesn't import it.
const (
	millisecond Duration = 1_000_000
	second               = 1000 * millisecond
)

// VersionRecall is the version of the protocol from which on there are Recall and progress; an older coordinator neither
// sends the one nor understands the other.
const VersionRecall = 2

// Limits of the worker's core, by name.
const (
	// OutboxMax is the most outcomes that have a number and no answer yet. While so many stand in the outbox no task is
	// started; outcomes of those that run already wait behind, without a number.
	OutboxMax = 4096
	// OutboxBytesMax is the size of the outbox in bytes from which no task is started.
	OutboxBytesMax = 64 << 20
	// TokensMax is the most tokens that the core knows at a time; one Hello names them all.
	TokensMax = 20_000
	// SlotsTotalMax is the most slots and prefetch of all pools together. A token that the core knows either takes a slot or a
	// place of the prefetch at the coordinator, or has been answered there and not yet here, of which there are at most OutboxMax: so TokensMax holds.
	SlotsTotalMax = TokensMax - OutboxMax
	// PoolsMax is the most pools.
	PoolsMax = 16
	// SlotsMax is the most slots of one pool.
	SlotsMax = 10_000
	// PrefetchMax is the most leases that a pool is sent beyond its slots.
	PrefetchMax = 10_000
	// RecallMax is the most tokens in one Recall, and in one Recalled.
	RecallMax = 10_000
	// StartedMax is the most tokens in one Started.
	StartedMax = 10_000
	// OutcomesBytesMax is where one Outcomes message is split; an outcome larger than this goes alone.
	OutcomesBytesMax = 256 << 10
	// InFlightMax is how many messages the core has composed and not yet been told to be sent: one that is being sent and
	// one behind it. What comes up meanwhile coalesces in the next.
	InFlightMax = 2

	// ConfirmAfter is how long a receipt waits for another message to travel with. The contract allows a second.
	ConfirmAfter = 500 * millisecond
	// StartedAfter is how long the word that a handler has begun waits for more like it. Most short tasks end sooner, and
	// then their outcome alone is told.
	StartedAfter = 5 * millisecond
	// ProgressAfter is the least time between two heartbeats that carry progress.
	ProgressAfter = second
	// WelcomeWait is how long a Hello may go unanswered.
	WelcomeWait = 10 * second
	// AnswerWait is how long a stopping worker waits for answers and for the stream's end once nothing runs any more
	// (for answers at least until its drain deadline).
	AnswerWait = 5 * second
	// StallMin is how late a Settle counts as a stall of this process, and StallLook how long after one what came meanwhile
	// has to be read.
	StallMin  = second
	StallLook = second
	// KillWait is how long a stopping worker waits for handlers that it has killed before Drained counts them as left.
	KillWait = 2 * second

	// DrainTimeoutDefault is how long a stopping worker lets its handlers run.
	DrainTimeoutDefault = 25 * second
	// KillGraceDefault is the time between asking a handler to stop and killing it.
	KillGraceDefault = 5 * second
)
