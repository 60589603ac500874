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
// # States
//
// The server is SERVING while the engine leads and neither SetNotServing nor EndStreams has been called. A registry exists
// for a term: TermBegan fills it with all sessions, detached, each with a full TTL; TermEnded ends all streams.
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
// Every refusal is a status with google.rpc details, made in errors.go. A panic in a handler or loop ends that call with
// INTERNAL and is logged with its stack, which never leaves the process. A peer that doesn't read for SendBlockedMax, or
// doesn't say Hello within HelloMax, loses its stream.
package rpc
