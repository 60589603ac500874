// Package rpc is the coordinator's gRPC shell: it checks requests, turns them into commands and the answers into messages,
// and carries workers' streams. It decides nothing about tasks; internal/scheduler and internal/session do.
//
// The central type is [Server]. It consumes an [Engine] and is told by it, as its Observer, what each step did.
//
// A worker's stream is a stream struct with three goroutines: recvLoop alone receives, sendLoop alone sends, and the
// handler's own goroutine waits for the stream's end and in the meantime admits outcomes. So a full disk or a worker that
// doesn't read never keeps a heartbeat from being read or answered. What a stream is about to send lies in the session's
// Machine, where the sender fetches it; control messages overtake grants there.
//
// The registry maps sessions to entries: a Machine with its current stream, under one lock. One goroutine ticks for all of
// them, a few times a second; an entry's time of next interest is one atomic number, so that a tick over 20,000 idle
// sessions is 20,000 loads. (A heap of those times was the other way: every message would have moved its session in it.)
//
// What a worker says of tasks that run (starts, progress) is this leader's knowledge alone: it lies in the Machine, is shown
// in views, and is passed on to those who watch. On each tick the registry asks the engine which unstarted leases would be
// better elsewhere, and the Machines ask their workers for them.
//
// A client's stream has its loops beside its handler too, which returns when the stream or the server ends, whatever SendMsg
// does. SubmitStream has a recvLoop that proposes without waiting and a sendLoop that answers in order. A watcher ([Server]'s
// Watch calls) is a place in the engine's ring of events, and no more while it waits: a slow one is held back by flow control
// and told what it missed. At an orderly stop watchers end last, when no more events can come (flushWatches). STARTED and PROGRESS come from softEvents, this leader's own ring.
//
// Submits that find a queue full wait in room, whose roomLine says who may try next: producers take turns, and a large batch
// has room kept for it from time to time, so that none waits for ever.
//
// # States
//
// The server is SERVING while the engine leads and neither SetNotServing nor EndStreams has been called. A registry exists
// for a term: TermBegan fills it with all sessions, detached, each with a full TTL; TermEnded ends all workers' streams and
// watches.
//
// # Invariants
//
//   - An entry's lock is never held while waiting for anything: not for Send, not for the engine.
//   - Commands are handed to the engine under the entry's lock, so they stand in the log in the order in which the Machine
//     asked for them. Engine.Propose neither blocks nor calls back on the caller's goroutine.
//   - No answer, grant or cancel is sent before the step that caused it is durable: they come out of the engine's callbacks.
//
// # Failure
//
// Every refusal is a status with google.rpc details, made in errors.go; its text says the field, what is wanted, what came and
// the cure. Options.Refusals counts them. A panic in a handler or loop ends that call with
// INTERNAL and is logged with its stack, which never leaves the process. A peer that doesn't read for SendBlockedMax, or
// doesn't say Hello within HelloMax, loses its stream.
package rpc
