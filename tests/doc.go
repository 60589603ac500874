// Package tests runs the real programs: coordinator, worker and yardctl as processes of their own, on free loopback
// ports, with temporary data, and does to them what operators' machines do: kill -9, SIGSTOP, broken and half-open
// connections, full disks, orderly stops.
//
// Its tests have the build tag e2e (`make e2e`). TestMain builds the programs once. The test binary also runs again as
// helpers (roles_test.go tells which): the ledger, a worker made with the Go SDK, and the keeper, which ends what a test run
// that dies leaves behind.
//
// # Evidence
//
// The ledger is a process that nobody kills: it appends a record to a file and fsyncs it before it answers. Into it go the
// ids that submitters had acknowledged, every (task, token) whose handler ran, every answer to an outcome as it stood on
// the worker's stream, and every outcome as Await told it. The judge (judge_test.go) compares it with what the coordinator
// says in the end, and is itself tested with planted faults.
//
// # Settings
//
//	YARD_KILLS   kills of the coordinator, and of workers, in the kill test; default 5
//	YARD_SEED    replays the moments and victims of a test that kills at random, which prints its seed
//	YARD_KEEP    a directory for the data and logs of processes, kept after the run
package tests
