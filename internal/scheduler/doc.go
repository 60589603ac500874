// Package scheduler is Yardmaster's pure core. All cluster state is a deterministic function of one ordered log of
// commands, and State.Apply is that function: it reads no clock, no randomness, no disk and no network and starts no
// goroutine. Time and random seeds arrive inside commands; ids and tokens are counters in the state.
//
// There are only a few types. A Batch is one log entry, a step: a list of Commands and the leader's time. Apply carries it
// out, fires what time has made due, matches ready tasks to free slots, and writes what all that did to Effects. Nothing
// of the Effects may leave the process before the batch is durable.
//
// A task goes SCHEDULED → PENDING → LEASED and ends SUCCEEDED, DEAD, CANCELLED or EXPIRED; a lease that is lost or given
// up takes it back to PENDING, a failed attempt to SCHEDULED. Finished tasks leave the core; a dead letter leaves a stub.
//
// A grant is derived, never written: the slots of attached sessions are part of the state, so that applying the same log
// makes the same grants. A slot belongs to a token and comes back by the worker's first word that the token is over, or by
// the session's end; not by revocation.
//
// Invariants, each checked by Check: every index and counter equals what the rows say; at most one live lease a task;
// tokens only grow; no slot idle while eligible work waits, once a step has left nothing over, but those kept for a heavy
// task; no two suspects on a session.
//
// Each entry says by which version of these rules it is applied (Logic): grants aren't in the log, so a log must always be
// replayed by the rules that it was applied by. A committed SetLogic changes them; those of released versions are pinned by
// golden logs. What came with version 2 or 3 says so where it is.
//
// A state that is loaded from a backup stands still until OpRestored, which ends all sessions and lets every counter that
// leaves the process jump (restore.go).
//
// Events tell watchers what a step did, in order; their positions are a counter of the state. They carry nothing that the
// state needs.
//
// Steps are bounded: one changes at most StepRowsMax rows; what is left (Effects.More) is found where it was by the next
// step. Exceptions: the rows of one command's own list (the batcher counts those; a Hello may name TokensKnownMax tokens),
// a pause, which ends the waits of its queue's heavy shapes, and the decision that a shape fits nowhere or can have no
// reservation, which changes nothing and is bounded by the number of shapes.
//
// Checkpoints: Seal and Collect copy changed rows out while Apply goes on; a Loader builds a state from rows. What is
// loaded has the same hash and makes the same next grants.
//
// Failure: Apply never fails. A command that can't be carried out says so in its Reply and changes nothing. An unknown
// command or logic version panics: skipping it would make replicas differ.
package scheduler
