// Fuzz runs every fuzz target of a module, one after the other, and prints how many inputs each was given and what it
// found, in one table at the end. Exit code 1: a target has failed.
//
//	go run ./tools/fuzz -time 30s             every target
//	go run ./tools/fuzz -time 5m -only store  those whose package or name holds the word
//
// The test binary of a package is built once for all of its targets. Inputs that widen the coverage stay in Go's cache
// (go clean -fuzzcache empties it) and are where the next run begins; an input that fails is written to the package's
// testdata/fuzz, where every later go test runs it.
package main
