// Command yardsim simulates whole clusters, one a seed, and looks for broken promises.
package main

import (
	"os"
	"runtime/debug"
)

func main() {
	debug.SetGCPercent(800) // a world is small and short-lived: memory is cheaper than collecting it
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
