// Package worker runs tasks in a Go program: register a handler for each kind, then Run.
//
//	w, err := worker.New(worker.Config{Coordinators: []string{"127.0.0.1:7420"}})
//	...
//	worker.Handle(w, "resize", func(ctx context.Context, in Job) (Image, error) { ... })
//	err = w.Run(ctx)
//
// The central type is [Worker]. It keeps one stream to a coordinator, is leased tasks, runs them under a semaphore for
// each pool of slots, and reports how they ended. It reconnects for as long as it runs; tasks go on meanwhile, as long as
// their leases can be trusted, and outcomes wait until they have been answered.
//
// # What a handler can rely on
//
// Delivery is at least once: a task may run again after its worker was lost, or after an outcome that never arrived. At
// most one attempt's outcome is accepted, by the fencing token ([Token]), which a handler should pass to stores that can
// refuse lower ones. The handler's context ends with a cause ([context.Cause]), one of [ErrTimeout], [ErrDeadline],
// [ErrCancelled], [ErrRevoked], [ErrLeaseLost] and [ErrDraining]; all of them are [ErrStopped]. What it returns after that
// decides little: success is reported as success (but after a time-out), an error as what the cause says. Whatever a
// handler's goroutine does, a panic and runtime.Goexit included, fails its own attempt and nothing else; a panic in a goroutine
// that a handler has started ends the process, as everywhere in Go. A handler that ignores its context keeps its slot until
// it returns; Go has no way to end it.
//
// # Goroutines
//
// One loop owns the state ([internal/workercore], a step machine made to be driven by a simulator as well); one goroutine reads
// the stream, one sends on it; each pool has as many for handlers as have been needed at a time, at most its slots. No
// timer and no goroutine comes with a task.
//
//	coordinator ──recv──► loop ──► handlers' goroutines ──► loop ──send──► coordinator
//
// Backpressure: the loop is never blocked. The coordinator grants no more than there are slots and, for pools of short
// tasks, a fixed number of leases ahead ([Config.Prefetch]), which it may ask back until they are started; the sender takes two
// messages at a time, and what comes up meanwhile goes together in the next; outcomes that are not answered are at most
// 4,096, and then no more tasks are started.
//
// # Pools
//
// Handlers that wait for something share the pool [DefaultPool], whose slots may be many. Those that compute take the
// option [CPU] and run in the pool [CPUPool], which has as many slots as there are processors.
//
// # Failure
//
// A broken stream is logged once at warn, and its resumption at info; between attempts pass 0.1 to 3 s. Without contact
// for the session's TTL less a margin all handlers are stopped without grace. [Worker.Run] returns [ErrRefused] if the
// coordinator speaks no version of this protocol that the worker knows, or finds the worker's registration at fault.
//
// The worker's stop is its own (see Run) and not a sequence of internal/shutdown: its order depends on what the
// coordinator answers. A program that stops by such a sequence gives it the phase "worker" (Phase.Go with Run), with a
// deadline beyond DrainTimeout + KillGrace + 5 s; the abort of that phase forces the worker's stop.
package worker
