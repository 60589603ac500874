// Package engine is the shell round the pure core: it turns proposals into log entries, applies what the log has made
// durable, and only then lets the effects out. Its central type is Engine.
//
// Proposals wait in a line (package batch). While one entry is being made durable the next one forms; no sleep is added.
// The log hands every entry back, in order, to Apply: the leader applies the batch that it still holds decoded, a replay
// decodes. Apply runs the core, stages bodies and finished tasks for the next checkpoint, answers the proposers and tells
// the Observer.
//
// A checkpoint seals the changed rows in O(1), copies them a bounded number at a time beside Apply, and saves them with
// the log index in one transaction. What is not saved yet is read from the staging buffers (unsaved).
//
// Terms: when the log says that this node leads, BeginTerm is committed first; then timers run and proposals are taken.
//
// Locks: qmu guards the line, the flights and the clock; mu guards the state, the buffers and the waiters. Apply takes mu
// for writing, readers for reading; qmu is never held while mu is taken.
//
// Failure: the first error of log or storage calls Options.Fatal, once, and nothing is answered from then on. An entry
// that can't be decoded halts: it is never skipped.
package engine
