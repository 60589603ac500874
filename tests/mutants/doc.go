// Command mutants plants bugs in the product, one at a time, and shows that something notices each of them.
//
// The central type is [Mutant]: a small text file in bugs/ that says what the bug is, which invariant it breaks, and which
// text of which file becomes which. Nothing of it is in the product: the mutated copies and an overlay.json stand in a
// temporary directory, and `go build -overlay` builds the program with them.
//
//	bug: What a tired engineer did, in a sentence or two; a line that begins with
//	  white space goes on with the one before.
//	breaks: 6
//	sim: yes
//	test: ./internal/scheduler ^TestOracleLong$
//	=== internal/scheduler/outcome.go
//	--- find
//	the text as it stands, whole lines, exactly once in the file
//	--- put
//	what stands there instead, maybe nothing
//	--- end
//
// breaks names invariants by number, see [Invariant]. sim says whether the simulator is expected to catch the bug, or why
// it can't ("no: the store is simulated there"). test is a package, a pattern of tests that catch it, and maybe arguments
// for them; a bug that the simulator can't catch needs one. A mutant may have several edits, of several files.
//
// # Run
//
//	go run ./tests/mutants                  every mutant by its own detector: the simulator, or else its test
//	go run ./tests/mutants -only no-fence   one of them (a pattern as path.Match has them)
//	go run ./tests/mutants -by test         every mutant that has a test, by that test
//	go run ./tests/mutants -compile         only: each still applies and compiles
//	go run ./tests/mutants -o json          one object a line
//
// The simulator runs seed after seed from each of several starting points, one process a seed, until it fails; a panic and
// a run that doesn't end count, too. The report tells by which invariant a mutant was caught, and the median and the worst
// number of seeds that took. First the unmutated detectors run: they must pass, or a catch would mean nothing.
//
// # Failure
//
// Exit status 1 if a mutant isn't caught from every starting point, if the unmutated product fails, if a mutant doesn't
// compile or changes nothing, or if it is stale: the product has changed and its text isn't there any more, or is there
// twice. Then give the mutant the new text, so that the same bug is planted again. Exit status 2 for bad flags.
//
// The package's own tests, which are fast, check that each mutant applies, parses and changes something.
package main
