// Command yardctl is Yardmaster's command line: it submits tasks, waits for them, and shows and changes what a cluster
// does. yardctl --help lists the nouns, yardctl NOUN --help their verbs, each with examples.
//
// The central type is app: one run, with its streams, its clock and the flags that all verbs share. Each verb is a file
// that makes a cobra command from an app; a verb talks to the coordinator through package client and prints through
// output.go and table.go. The verbs that work through many tasks share a bulk (task_bulk.go). top is a pure function from
// what was polled to a frame (top_frame.go), and a loop around it that owns the terminal (top_screen.go). Errors travel up unprinted, and report (errors.go) says them once, with a cure, and chooses the
// exit code (task watch ID has those of await; Ctrl-C ends task watch and top with 0):
//
//	0  done; with --wait and await: every task succeeded
//	1  failed
//	2  bad usage or configuration; nothing was sent
//	3  --wait, await: a task failed
//	4  --wait, await: a task was cancelled or expired
//	5  --wait, await: --timeout passed first
package main
