// Package session is a worker's session as the leading coordinator sees it: which of its grants have been sent and
// confirmed, which tasks it has started, when it was last heard, and what must be proposed for it.
//
// The central type is [Machine], one a session. It survives broken streams. It reads no clock and starts no goroutine:
// every input carries the time, in nanoseconds of a monotonic clock, and what is to be done is appended to [Actions].
// internal/rpc is its shell; the simulator drives the same type.
//
// # States
//
// A session has a stream or none, and is attached (the core gives it work) or detached. Apart from that it is
//
//	live      served
//	expiring  from the proposal of ExpireSession until it is applied: its messages go unanswered
//	closing   from Goodbye until CloseSession is applied
//	ended     nothing is done or sent any more
//
// A grant goes through these phases; wherever it stands, the end of the session returns it:
//
//	mailbox   not yet taken by the sender; a Cancel, a Recall, a lost stream or a detachment releases it at no cost
//	hand      taken by the sender, its payload is being read; the same, but a Cancel or Recall waits and follows it. If the
//	          payload can't be read, the task is ended as unreadable
//	sent      handed to SendMsg; not confirmed by its receipt deadline it is released as unconfirmed
//	held      the worker has confirmed it, or named it in a Hello; it ends with the worker's word
//
// A worker that speaks VersionRecall is asked to give a lease back that is sent or held and not known as started: at the
// core's wish (Recall), and by the machine itself RecallAfter it was sent. Only its answer releases the lease. A lost
// answer costs nothing: the next Hello doesn't name the token, and the Resume grants it again.
//
// # Invariants
//
//   - Whatever is proposed carries the attach number that is current when it is applied, unless a Resume comes between:
//     while an Attach is in flight, which will change the number, proposals are held back, in order.
//   - Attach is proposed only when the last grant message sent has been confirmed and nothing is outstanding.
//   - At most UnconfirmedBytesMax are sent and unconfirmed.
//   - A token is released by Recalled only if this stream was asked for it and it isn't known as started.
//   - Nothing is handed out for a stream that has ended, and nothing that such a stream delivers is taken in.
//
// # Failure
//
// A worker that breaks the protocol has its stream ended, with a reason; its session goes on. Commands that come back
// as stale were overtaken by a Resume, which settled everything anew, or by the session's end.
package session
