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
//
// The crash lab's tests (`make crash`, build tag crash, functions TestCrash…) each print one line with what they did and
// found. Their budgets are small by default, and large with `make crash-long`:
//
//	YARD_CRASH_KILLS    kills of the coordinator, and of workers; default 10
//	YARD_FAULTS         system calls that are made to fail, one a case; default 18; more than there are: every one
//	YARD_DISK_ROUNDS    small disks that are filled; default 1
//	YARD_FLIPS          flipped bits in each bucket of the checkpoint, and four times as many in the log; default 1
//	YARD_MEMORY_TASKS   tasks before and after the cut of all connections, under the memory limit; default 5,000
//	YARD_HALF_OPEN      1: a half-open watcher too, which takes 18 s; default 0
//	YARD_POWER_CUTS     power cuts, on ext4 on a loop device; default 12
//	YARD_TORN_IMAGES    torn images of a recorded run, opened and compared; default 80
//	YARD_HISTORY_SECONDS  how long faults are injected while porcupine's history is recorded; default 6
//	YARD_PARTITIONS     rounds of broken, one-way, half-open and slow connections; default 4
//	YARD_ZOO_ROUNDS     rounds of unruly programs under exec handlers, about 2 s each; default 3
//
// Small disks, power cuts and the memory limit need root, power cuts e2fsprogs, torn images strace; without them a test says
// what it lacks and skips, and the memory test has GOMEMLIMIT in place of a limit.
package tests
