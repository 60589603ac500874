// Command demo shows Yardmaster at work on real input, and checks what it shows.
//
// It starts the real programs that lie beside it (coordinator, worker) with temporary data, submits one task for each
// file of a directory, kills a worker and the coordinator midway and starts them again, and holds every outcome against
// its own computation: nothing lost, nothing wrong, nothing accepted twice. With --play it starts the programs to be
// played with, and checks nothing.
//
// The central types: [fleet] is the processes, [ledger] the evidence and the verdict over it, [watch] the loop between
// the submit and the last outcome. Exit codes: 0 all is right, 1 something is not, 2 bad usage.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
