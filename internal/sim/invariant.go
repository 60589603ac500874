package sim

import "fmt"

// Invariant names a promise that is checked. The numbers are those of the project's list.
type Invariant uint8

// The invariants. What each says exactly stands with the function that checks it.
const (
	InvAcknowledged Invariant = iota + 1 // an acknowledged submit exists until it has ended and its retention is over
	InvOneTask                           // one task per idempotency key, one answer per producer's number
	InvLeaseOfTask                       // no lease without a submitted task
	InvOneLease                          // at most one live lease a task, each started at most once
	InvTokens                            // tokens strictly grow, over restarts too
	InvOutcomes                          // an outcome is accepted iff its token is current, once; repeats are answered alike
	InvTransitions                       // only legal changes of state
	InvLetGo                             // a worker lets go before its lease is given to another
	InvAttempts                          // attempts and losses within bounds, nothing dispatched before its time
	InvSlots                             // slots and queues' limits are respected
	InvConservation                      // no task comes from nowhere or goes nowhere
	InvEvents                            // events are ordered and unique, no gap without a word
	InvDurable                           // nothing is said before its entry is durable
	InvReplay                            // replay, checkpoint + tail, and the live state are equal
	InvTwice                             // nothing is applied twice
	InvLiveness                          // once faults stop all work ends
	InvBounds                            // what is kept in memory stays bounded, and goes when it is over
)

var invariantNames = [...]string{
	InvAcknowledged: "acknowledged-submit-exists", InvOneTask: "one-task-per-request", InvLeaseOfTask: "no-lease-without-task",
	InvOneLease: "one-live-lease", InvTokens: "tokens-grow", InvOutcomes: "outcome-iff-current", InvTransitions: "legal-transitions",
	InvLetGo: "worker-lets-go-first", InvAttempts: "attempts-and-times", InvSlots: "slots-and-limits",
	InvConservation: "conservation-of-tasks", InvEvents: "events-without-gap", InvDurable: "durable-before-said",
	InvReplay: "replay-equals-live", InvTwice: "applied-once", InvLiveness: "liveness", InvBounds: "bounds",
}

func (i Invariant) String() string { return fmt.Sprintf("%d %s", uint8(i), invariantNames[i]) }

// Violation is a broken promise.
type Violation struct {
	Invariant Invariant
	Step      int
	At        int64 // true time, nanoseconds
	Text      string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("invariant %s is violated at step %d, %d.%06d s: %s", v.Invariant, v.Step, v.At/second, v.At%second/microsecond, v.Text)
}
