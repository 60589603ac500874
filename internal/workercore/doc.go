// Package workercore is a worker without its goroutines: what it holds, runs and has to say, and for how long it may
// trust its leases.
//
// The central type is [Core], a step machine. Inputs are methods: what the coordinator sends (Welcome, Grants, Answers,
// HeartbeatAck, Cancel, Recall), what streams do (Connected, Disconnected, Sent), what handlers return (Finished), and the
// process's wish to stop (Drain, Force, Abort). After each batch of inputs the owner calls [Core.Settle] with the time and
// carries out the [Actions]: handlers to start and stop, messages to send, when to be woken. The core reads no clock and
// starts no goroutine; the shell (package worker) drives this very type, and a simulator can. It is not safe for concurrent
// use.
//
// # A token in the worker
//
//	           Grants                  semaphore admits                 handler returns              answered
//	(unknown) ───────► Held ──────────────────────────────► Running ──────────────────► Finished ──────────► (unknown)
//	    │               │                                    │    │                        ▲
//	    │               │ cancelled, stopped by Welcome,     │    │ given up: the drain is │
//	    │               │ start-by or deadline passed,       │    │ over, and it ignored   │
//	    │               │ handed back by a drain, too heavy  │    │ being killed           │
//	    │               ▼                                    │    ▼                        │
//	    │               │ recalled: given up without a word but Recalled ──────────────────► (unknown)
//	    │ Cancel ──► its outcome (cancelled, interrupted) ───┼──► its outcome ─────────────┤
//	    └───────────────────────────────────────────────────────────────────────────────────┘
//
// A Running token is asked to stop (attempt timeout, task deadline, Cancel, revoked, drain) and after Config.KillGrace
// killed; when the trusted deadline passes it is killed at once. The first cause stands and decides the outcome:
//
//	cause                  handler succeeded   handler failed
//	none                   succeeded           failed
//	timeout, deadline      timed out           timed out
//	cancelled              succeeded           cancelled
//	revoked                succeeded           interrupted (it will be fenced)
//	lost, draining         succeeded           interrupted
//
// A deadline that the coordinator has asked for too counts as cancelled. A handler that ignores being killed keeps its
// permit and its token until it returns. To answer for it earlier would free a slot at the coordinator that isn't free
// here: the coordinator's back-stop ends the attempt. Only at the end of a drain, when nothing is granted any more, is it
// given up.
//
// # Sessions, streams and numbers
//
// The outbox holds outcomes in the order in which they came up; the coordinator answers them in that order. The number of
// an outcome is its place, so it stays the same over any number of streams: a resumed session is sent the unanswered ones
// again, and a new session (the old one has expired) is sent them numbered from 1. There they are fenced, but told they
// must be, since Hello has named their tokens and each takes a slot until the worker's word. Whatever else the worker knew
// when it composed that Hello is stopped and reported likewise.
//
// Trust: leases may be used until (send time of the last answered Hello or Heartbeat + TTL - margin), whether or not there
// is a stream. After that handlers are killed and nothing is started; held tasks are kept until a Welcome says what has
// become of them.
//
// # Invariants
//
//   - A token is started at most once, and never when it isn't trusted, in a drain, or with the outbox full.
//   - Every token received is answered for exactly once in each numbering, with one outcome, or given up by a Recall.
//   - What a Recall has made the core give up isn't started, unless it is granted again.
//   - The weights of the admitted never exceed the semaphore's capacity, but for what a shrink has left.
//   - At most OutboxMax outcomes are unanswered and numbered, TokensMax tokens known, InFlightMax messages composed and
//     unsent; OutboxBytesMax and the slots bound what the outbox holds. What is sent ahead (Pool.Prefetch) waits in the semaphores' lines.
//   - A receipt is confirmed within ConfirmAfter, a start told within StartedAfter, if the stream takes messages.
//
// [Core.Check] recomputes the counters.
//
// # Failure
//
// A coordinator that breaks the contract (a gap in Grants.seq, an answer to what was never sent, more tokens than
// TokensMax) loses the stream: Actions.Reconnect says why, nothing else that comes on it counts, and the next one resumes.
// So does one that answers no heartbeat, early enough for another stream to save the leases. A shell that reports what
// can't be (a handler returned that wasn't running) is a bug, and panics.
package workercore
