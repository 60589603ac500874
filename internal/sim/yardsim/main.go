package main

import (
	"fmt"
	"os"

	"github.com/yardmaster/yardmaster/internal/sim"
)

func main() {
	bad := 0
	for s := uint64(1); s <= 20; s++ {
		r := sim.Run(s, sim.Options{})
		if r.Failure != nil {
			bad++
			fmt.Println(s, r.Failure)
			if len(os.Args) > 1 {
				fmt.Println(r.Trace)
				break
			}
		}
	}
	fmt.Println("bad", bad)
}
