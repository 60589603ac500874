// Command coordinator keeps Yardmaster's durable task queue and leases its tasks to workers.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
