// Package engine is the shell round the pure core: it turns proposals into log entries, applies what the log has made
// durable, and only then lets the effects out. Its central type is Engine.
//
// Proposals wait in a line (package batch). While one entry is being made durable the next one forms; no sleep is added.
// The log hands every entry back, in order, to Apply: the leader applies the batch that it still holds decoded, a replay
// decodes. Apply runs the core, stages bodies and finished tasks for the next checkpoint, answers the proposers and tells
// the Observer.
//
// What a step ends is encoded at once, into what storage will keep: the Effects are used again by the next step. Labels and
// a last failure that only storage holds are read by the checkpoint that drops them (late).
//
// Every charged attempt that failed is kept (attempts): staged likewise, merged by storage, the last AttemptsMax of a task,
// as long as anything of the task is kept. Every event of a step goes to a ring that watchers read at their own pace
// (events), a replay's too.
//
// A checkpoint seals the changed rows in O(1), copies them a bounded number at a time beside Apply, and saves them with
// the log index in one transaction. What is not saved yet is read from the staging buffers (unsaved): steps fill the live
// one, the sealed one is only read, storage has the rest. A reader looks in that order; whatever moves on meanwhile, it
// finds further down. If a second checkpoint is due before the first has ended, admission waits, and so does a replay.
//
// Proposers are let into the line in the order in which they come: none can keep another out (admission).
//
// Terms: when the log says that this node leads, BeginTerm is committed first; if the log is under older rules than this
// build's newest, a checkpoint and a SetLogic follow (upgrade); a state that comes
// from a backup is set going (restore.go); then timers run and proposals are taken.
// The end of a term is told before the next one begins.
//
// Locks: qmu guards the line and who waits for it, the flights, the term and the clock; mu the state, the buffers and the
// waiters; omu is held while the observer is told something. Apply takes mu for writing, readers for reading. qmu and mu
// are never held together, either may be taken under omu.
//
// Failure: the first error of log or storage calls Options.Fatal, once. An entry that can't be decoded is such an error: it
// is never skipped. Should Fatal return, all that waits is answered with an error, and nothing more is applied or saved.
package engine
