package workercore

import (
	"flag"
	"os"
	"testing"
)

// TestMain makes the random tests longer than rapid's 30 steps, unless the command line says otherwise: a worker's trouble
// takes a grant, a cut, a resume and an answer.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.steps", "120"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}
