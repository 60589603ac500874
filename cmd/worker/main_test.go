package main

import (
	"os"
	"testing"

	"github.com/yardmaster/yardmaster/internal/execrun"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	execrun.MaybeHelper() // the runner starts this binary again
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
