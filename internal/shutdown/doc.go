// Package shutdown stops a process in order: named phases, each with its
// deadline, over tracked tasks whose names are told when they don't end.
//
// The central type is [Sequence]. A binary makes one, adds its phases in the
// order in which they shall stop, and registers work with them:
//
//   - [Phase.Go] runs a goroutine that lives as long as the process serves, and
//     [Phase.GoFinite] one that may end by itself. Its context ends when the
//     phase begins to stop; the context that [WorkContext] finds in it ends
//     only at the abort. So a task can first stop taking work, then stop
//     working.
//   - [Phase.OnStop] registers a function to be called when the phase begins to
//     stop. Its context ends at the abort, and its Deadline is the phase's.
//
// # States
//
// A Sequence is serving, then stopping, then stopped; it never goes back.
//
//	serving   tasks run; phases, tasks and stop functions may be added
//	stopping  begun by Begin, Fail, Force, Stop, the end of Run's context, a
//	          signal, a task that failed, or a task of Phase.Go that returned.
//	          Registration is refused with ErrStopping. Phases stop one after
//	          the other, in the order of AddPhase
//	stopped   Done is closed and the Result no longer changes
//
// While a phase stops, the contexts of its tasks are cancelled with cause
// [ErrStopping] and its stop functions are called, all of them at the same
// time: order is what phases are for, and functions in a row would have to
// share one deadline without knowing how much of it the others will take. The
// tasks of later phases go on as if nothing had happened.
//
// A phase has stopped when all its tasks and stop functions have returned. Those
// that haven't at its deadline are its stragglers: they are logged by name and
// age, then aborted (their work contexts end with cause [ErrAborted]), and after
// at most Options.AbortGrace the next phase begins.
//
// The whole stop is cut when the hard deadline passes or [Sequence.Force] is
// called, as the second signal does. The phases that are left get no more time:
// whatever of them runs is a straggler, all are aborted together, and after one
// more AbortGrace the Sequence is stopped. Stop functions not yet called then
// never are, and the Result names them. (Calling them with an ended context was
// the other way. It closes stores under tasks that may still use them, and so
// makes a panic of what is otherwise no worse than a kill, which log and store
// survive.)
//
// # Invariants
//
//   - A task is either registered before the stop begins, and then waited for,
//     or refused. None is lost in between.
//   - A phase is marked stopping before the contexts of its tasks end, so a task
//     that returns its cancellation is never taken for a failed one.
//   - A straggler is recorded before its context is aborted, so what it returns
//     because of the abort is never taken for a failure.
//   - The stop takes at most Options.HardTimeout + Options.AbortGrace.
//   - Nothing is written to the Result once Done is closed.
//
// # Failure
//
// The first failure while serving begins the stop and is Result.Cause. Errors
// during the stop are collected, and the stop goes on. A task may return the
// cancellation of its own context; that is no error. A panic in a task isn't
// caught: it ends the process, as everywhere in Go.
//
// A goroutine can't be killed. One that ignores the abort is named in log and
// Result (Straggler.Returned is false) and left running, beside the phases that
// follow; the process's exit ends it. Stop functions of later phases must bear
// that.
package shutdown
