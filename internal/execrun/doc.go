// Package execrun runs exec tasks for the worker so that no process is left
// behind, not even by a kill -9 of the worker.
//
// # The central type
//
// A [Runner] starts one helper on the first Run: its own binary again, in a
// session of its own, a child subreaper. Every task is a child of that helper
// and the leader of its own session and process group. Worker and helper talk
// over a socket pair in small frames; a task's stdin, stdout and stderr, and a
// fourth for its progress if that is wanted, are pipes whose far ends are handed
// over that socket, so output never passes through the helper and a loud task
// slows nobody but itself.
//
//	worker ──frames, descriptors──► helper ──fork, exec, wait──► task ─► its children
//	   ▲                                                           │
//	   └──────────────────── stdin, stdout, stderr ────────────────┘
//
// # The guarantee
//
// A task ends when its first process ends, or when it is stopped. When Run
// returns with Stragglers 0, every process that the task started is dead. Its
// processes are known by session and process group, by parent links, by what an
// earlier look learnt, by the variable YARD_EXEC_ID in their environment, and
// by the task's stdout or stderr as their own. Only a process that left session
// and group, dropped the variable, redirected its output and lost its parent,
// all before the helper looked, can't be told from one of another task: it dies
// with the last task that ran beside it (with its own if none did).
//
// When the worker ends in any way the socket closes: the helper kills what
// is left without grace, until the kernel says that it has no children (ECHILD;
// orphans come to it, as it is their subreaper), then exits.
//
// When the helper is killed its tasks are re-parented to the worker, which is
// made a subreaper too. It kills and reaps those that one of these signs gives
// away (all of them with [Options].OwnsChildren) before the Runs that this
// interrupts fail with [ErrHelperDied]. The next Run starts a new helper.
//
// # What does not hold
//
// If worker and helper are both killed with SIGKILL at the same moment nobody
// is left to clean up; only a cgroup or a container can. A SIGKILL by name
// spares the helper: it is called yard-exec. A supervisor that sends SIGTERM to
// every process stops the tasks itself (systemd: set KillMode=mixed); the helper
// disregards it. A stopped (SIGSTOP) helper acts
// when it is continued, or when a Run that waits for it loses patience and
// kills it. A process that the worker may not signal (setuid), or that SIGKILL
// doesn't end (a hung disk), is counted in Result.Stragglers. Work that a task
// hands to another daemon (docker, at, systemd-run) isn't its descendant.
//
// # Failure
//
// A task that ran has a nil error whatever its exit code was. [StartError] says
// that it could not be executed; the cause of the context that Run had to stop
// it; [ErrHelperDied] that the helper went away under it; [ErrUnended] that even
// SIGKILL did not end it in time. Nothing here hangs: each wait has a bound.
//
// # Rejected
//
// Pdeathsig fires when the parent's thread ends, not its process. A subreaper
// per task would make the last case above exact, at a Go process a task.
// /proc/PID/task/TID/children is missing from kernels without
// CONFIG_PROC_CHILDREN and is only exact for frozen processes.
package execrun
