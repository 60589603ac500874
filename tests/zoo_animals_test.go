//go:build e2e

package tests

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// animal is a program that makes trouble. NAP in its script is a span of sleep that no other process on the machine has; as it
// stands in the arguments of all that the script starts, leftovers are found by it whatever they have dropped.
type animal struct {
	name     string
	shell    string // default /bin/sh
	script   string
	payload  []byte
	progress bool
	timeout  time.Duration // of its attempt; 0: none
	hangs    bool          // it never ends by itself
	want     func(out *client.Outcome) string
}

const floodBytes = 1 << 30

// stderrTailMax is what is kept of stderr's end.
const stderrTailMax = 16 << 10

var megabyte = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)

// succeeds wants success with a result.
func succeeds(result string) func(*client.Outcome) string {
	return func(out *client.Outcome) string {
		if out.State != client.Succeeded || string(out.Result) != result {
			return fmt.Sprintf("want the result %.40q, got %.40q", result, out.Result)
		}
		return ""
	}
}

// exits wants a failure of cause EXIT with a code or signal, and the end of stderr.
func exits(code int32, signal, tail string) func(*client.Outcome) string {
	return func(out *client.Outcome) string {
		f := out.Failure
		if out.State != client.Dead || f.GetCause() != pb.Cause_CAUSE_EXIT || f.GetExitCode() != code || f.GetSignal() != signal ||
			!strings.HasSuffix(f.GetDetail(), tail) || len(f.GetDetail()) > stderrTailMax {
			return fmt.Sprintf("want exit code %d, signal %q, stderr that ends with %q", code, signal, tail)
		}
		return ""
	}
}

// timesOut wants a failure of cause TIMEOUT that a signal has made an end of.
func timesOut(signal string) func(*client.Outcome) string {
	return func(out *client.Outcome) string {
		f := out.Failure
		if out.State != client.Dead || f.GetCause() != pb.Cause_CAUSE_TIMEOUT || !strings.Contains(f.GetMessage(), signal) {
			return fmt.Sprintf("want a time-out and %s", signal)
		}
		return ""
	}
}

// tooLarge wants a dead letter that says how much a program has written.
func tooLarge(out *client.Outcome) string {
	if f := out.Failure; out.State != client.Dead || f.GetCause() != pb.Cause_CAUSE_ERROR || out.Attempts != 1 ||
		!strings.Contains(f.GetMessage(), fmt.Sprintf("stdout has %d bytes", floodBytes)) {
		return "want a dead letter that names the bytes"
	}
	return ""
}

const animalTimeout = 300 * time.Millisecond

// zoo is all of them. Those that don't hang end by themselves, and leave something behind.
var zoo = []animal{
	{name: "forker", script: `for i in 1 2 3 4 5 6 7 8; do sleep NAP & done; (sleep NAP & sleep NAP) & echo ok`, want: succeeds("ok\n")},
	{name: "escapee", script: `setsid sleep NAP & setsid sh -c 'setsid sleep NAP & exit 0'; echo ok`, want: succeeds("ok\n")},
	{name: "daemon", script: `(setsid sh -c '(sleep NAP </dev/null >/dev/null 2>&1 &) ; exit 0' <&- >&- 2>&- &); echo ok`, want: succeeds("ok\n")},
	{name: "stranger", script: `(env -i setsid sh -c '(sleep NAP <&- >&- 2>&- &); exit 0' <&- >&- 2>&- &); echo ok`, want: succeeds("ok\n")},
	{name: "holder", script: `sleep NAP & echo ok`, want: succeeds("ok\n")},
	{name: "grouper", shell: "/bin/bash", script: `set -m; sleep NAP & sleep NAP & echo ok`, want: succeeds("ok\n")},
	{name: "zombies", script: `sh -c 'true & true & true & exec sleep 0.1'; echo ok`, want: succeeds("ok\n")},
	{name: "thousands", script: `i=0; while [ $i -lt 2000 ]; do : & i=$((i+1)); done; wait; echo ok`, want: succeeds("ok\n")},
	{name: "closed-stdin", script: `exec <&-; echo ok`, payload: megabyte, want: succeeds("ok\n")},
	{name: "deaf", script: `exit 0`, payload: megabyte, want: succeeds("")},
	{name: "holds-stdin", script: `sleep NAP <&0 & exit 3`, payload: megabyte, want: exits(3, "", "")},
	{name: "slow-eater", script: `head -c 65536 >/dev/null; sleep 0.1; head -c 65536 >/dev/null; sleep 0.1; wc -c`, payload: megabyte, want: succeeds("917504\n")},
	{name: "no-newline", script: `printf end`, want: succeeds("end")},
	{name: "binary", script: `cat`, payload: []byte("\x00\xff\xfe\n\r\x1b[0m\x80"), want: succeeds("\x00\xff\xfe\n\r\x1b[0m\x80")},
	{name: "binary-stderr", script: `printf 'a\377\000b' >&2; exit 4`, want: exits(4, "", "b")},
	{name: "crasher", script: `echo why >&2; kill -SEGV $$`, want: exits(-1, "SIGSEGV", "why\n")},
	{name: "group-killer", script: `sleep NAP & kill -TERM 0; sleep NAP`, want: exits(-1, "SIGTERM", "")},
	{name: "parent-killer", script: `kill -TERM $PPID; kill -HUP $PPID; kill -INT $PPID; sleep 0.05; echo ok`, want: succeeds("ok\n")},
	{name: "babbler", script: `(while :; do head -c 65536 /dev/urandom; echo 300 x; done >&$YARD_PROGRESS_FD 2>/dev/null) & sleep 0.3; echo ok`, progress: true, want: succeeds("ok\n")},
	{name: "sleeper", script: `sleep NAP`, timeout: animalTimeout, hangs: true, want: timesOut("SIGTERM")},
	{name: "stubborn", script: `trap '' TERM HUP INT; while :; do sleep NAP; done`, timeout: animalTimeout, hangs: true, want: timesOut("SIGKILL")},
	{name: "stubborn-group", script: `trap '' TERM HUP INT; for i in 1 2 3 4; do sh -c 'while :; do sleep NAP; done' & setsid sleep NAP & done; while :; do wait; done`,
		timeout: animalTimeout, hangs: true, want: timesOut("SIGKILL")},
	{name: "stopper", script: `sleep NAP & kill -STOP $$`, timeout: animalTimeout, hangs: true, want: timesOut("SIGKILL")},
	{name: "stopped-kin", script: `sh -c 'kill -STOP $$' & setsid sh -c 'kill -STOP $$' & sleep NAP`, timeout: animalTimeout, hangs: true, want: timesOut("SIGTERM")},
	{name: "rabbits", script: `trap '' TERM; breed() { while :; do sleep 0.01; setsid sh -c ': NAP; sleep 0.2' & done; }; breed & breed & breed`,
		timeout: animalTimeout, hangs: true, want: timesOut("SIGKILL")},
}

// floods write a gigabyte.
var floods = []animal{
	{name: "flood-stdout", script: fmt.Sprintf("head -c %d /dev/zero", floodBytes), want: tooLarge},
	{name: "flood-stderr", script: fmt.Sprintf("head -c %d /dev/zero >&2; echo END >&2; exit 3", floodBytes), want: exits(3, "", "END\n")},
}

// bomber forks as fast as it can, under another user, whose processes are bounded; root's aren't.
var bomber = animal{
	name: "fork-bomb", shell: "/bin/bash", timeout: animalTimeout, hangs: true, want: timesOut("SIG"),
	script: `exec setpriv --reuid 54321 --clear-groups bash -c 'ulimit -u 40; bomb() { bomb | bomb & }; while :; do bomb; done' 2>/dev/null`,
}

// task makes the task of an animal, which has one attempt.
func (a *animal) task() client.Task {
	t := client.Task{Kind: a.name, Payload: a.payload, Retry: client.Retry{MaxAttempts: 1, MaxWorkerLosses: 1}}
	if a.timeout > 0 {
		t.AttemptTimeout = &a.timeout
	}
	return t
}
