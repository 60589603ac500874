// Package sim simulates a whole cluster from one seed: a coordinator on its disk, workers, clients and watchers, the network
// between them, and what goes wrong with each. One thread, one seed, fake time: a seed has one history, and a failure is seen
// again by running it again (make sim SEED=n).
//
// What is simulated are the shells alone. The decisions are those of the product: scheduler.State (Apply, Seal and Collect,
// Loader, Check, Hash), batch.Batcher, session.Machine, workercore.Core, engine.LogTime, the codec of log entries and
// watch.Ring are the real types. The glue round them mirrors internal/engine, internal/rpc and package worker, file by file:
//
//	coordinator  a life of the process: load, replay, begin of a term, crash, stop   engine/lifecycle, engine/term
//	flights      the line, entries in flight, Ticks                                  engine/flight
//	apply        steps, and who is told                                              engine/apply
//	staging      bodies and ends that no checkpoint holds, checkpoints, retention    engine/unsaved, checkpoint, expire
//	registry     sessions, their machines and what those ask for                     rpc/registry, entry, recall
//	hello        Hellos in flight                                                    rpc/hello, open
//	stream       what comes on a worker's stream, admission                          rpc/recvloop, stream
//	sending      what goes                                                           rpc/sendloop, granting
//	worker       a worker's process and its loop; handler; translate                 worker/loop, stream, wire
//	disk, store  log and checkpoints: what survives a crash
//	network      ordered streams that are slow, stalled, one-way or cut
//	client, verbs, watcher                                                           client
//	coincidences what loves to go wrong together: slow entries while sessions change
//
// What the oracle sees of the shells beside the core's steps stands in workerview, workersight (a worker keeps its times, lets
// go in time by its own clock, and is told of what was refused), streamview (what the coordinator says on a stream holds) and
// agreement (machines and the core agree whenever nothing is under way; trust, in true time).
//
// # A run
//
// The seed draws a [Plan]: sizes, latencies, and the rate of each fault, each of which may be 0. Then comes the safety phase,
// of so many steps (a step is an event that reached a real type): faults come as planned. Then the world is calm: all that
// is broken is healed, clients finish what they have begun, and all work must end within calmTime and what its handlers take;
// at the end nothing of it may be left in memory, and a replay of the whole log must give the live state.
//
// # The oracle
//
// oracle sees every step's events, replies, grants and answers, and all that leaves the coordinator or reaches a handler. It
// keeps its own record of tasks, leases, sessions, answers and requests, and holds the state against it. Each [Invariant] is
// one small function whose comment states it, with its number. Cheap ones run with every step; fullCheck, which walks
// everything, every checkEvery steps, after every recovery and at the end.
//
// What the core decides the oracle models on its own, by its rules alone and without its indexes:
//
//	requests     keys, producers' numbers, their answers
//	sessionview  attach numbers, who may be given work, which token occupies which slots
//	charges      attempts and losses
//	matching     queues' limits, room, turns, suspects, work that waits for nothing
//	times        the log's time and the served, delays, start-bys, deadlines
//
// Beside the live state there are, now and then, a second one that was loaded from a checkpoint and does the same from there
// on (shadow), and one that was restored from a backup (restorecheck).
//
// # To widen it
//
// A fault: add a constant to Fault and its name; if it comes by the clock of faults (before FaultLostTail), give it a case in
// inject and, if it needs a target, in strikes; else draw its rate in Plan and ask World.fault where it strikes. Call
// World.injected whenever it did. What becalm must heal goes there.
//
// An invariant: add a constant to Invariant with its name, and a method of oracle that states it in its comment and calls fail;
// have applied, fullCheck or atRest call it, or the glue at the place where the thing is said. Then break the product and
// see it fail; add the case to TestInvariantsCanFail.
//
// A client's verb: a method of client in verbs, and its share in act. It goes through World.call, which loses requests and
// answers; if it is repeated, it must be one that may be.
//
// A bug that a seed has found stays in the list regressions of the tests.
//
// # Not simulated
//
// Several coordinators, configuration, drains of the cluster, workers of a lost cluster after a restore; gRPC, raft and bbolt themselves (their own tests and
// the crash lab have those). The store's rows are kept as values, not as bytes.
package sim
