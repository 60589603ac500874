// Command yardsim simulates whole clusters, one a seed, and looks for broken promises.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
