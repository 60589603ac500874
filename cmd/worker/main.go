// Command worker runs tasks for a Yardmaster coordinator: programs and HTTP endpoints that a file on this machine lists.
package main

import (
	"os"

	"github.com/yardmaster/yardmaster/internal/execrun"
)

func main() {
	execrun.MaybeHelper()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
