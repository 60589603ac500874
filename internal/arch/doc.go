// Package arch holds the rules of the house and the test that keeps them: who
// may import what, who may read the clock or draw randomness, how long a file
// may grow, how a test may wait, and that no relative link of the Markdown files
// leads nowhere ([BrokenLinks]). Its tests also hold the documented limits against
// the constants.
//
// Its central type is [Rule]: a name, and a function from one parsed [File] to
// the [Violation]s in it. [Rules] lists them all; the tables they read are in
// rules.go, so that a change of the architecture is a change of a table. The
// sources are parsed, never built: no subprocess, no build tags, so that a file
// left out of an ordinary build obeys the rules too.
//
// Rules look at imports and selectors by name, without types. What that cannot
// see (a clock handed over under another name, an import through cgo or
// linkname) it does not catch; it guards against slips, not against malice.
//
// Every violation names its cure. Each rule is also run on a small bad source
// and a good one in rules_test.go, so that each has been seen to fail.
package arch
