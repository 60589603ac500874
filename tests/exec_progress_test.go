//go:build e2e

package tests

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/client"
)

// TestExecProgress: what a program writes to the descriptor that it is given shows with its task and in the task's watch. A
// text alone leaves the percentage; what is no line of progress is ignored, with one warning an attempt.
func TestExecProgress(t *testing.T) {
	t.Parallel()
	c := startCoordinator(t, "--session-ttl", "2s")
	cl := c.client()
	gates := []string{filepath.Join(t.TempDir(), "text"), filepath.Join(t.TempDir(), "end")}
	w := startWorker(t, c.addr, "teller", writeHandlers(t, `handlers:
- kind: tell
  progress: true
  exec:
    argv: [/bin/sh]
    env: {TEXT: "`+yamlQuoted(gates[0])+`", END: "`+yamlQuoted(gates[1])+`"}
- kind: mute
  exec: {argv: [/bin/sh]}
`), "--slots", "2")
	c.workers(cl, 1)
	const script = `
fd=$YARD_PROGRESS_FD
until_open() { while [ ! -e "$1" ]; do sleep 0.01; done; }
echo "25.5% a quarter" >&"$fd"
until_open "$TEXT"
{ echo "300 apples"; printf 'x\377\n'; echo "past the quarter"; } >&"$fd"
until_open "$END"
echo result
`
	id := submit(t, cl, client.Task{Kind: "tell", Payload: []byte(script)})[0]
	mute := submit(t, cl, client.Task{Kind: "mute", Payload: []byte(`echo "${YARD_PROGRESS_FD-none}"; [ -e /proc/self/fd/3 ] || echo closed`)})
	shell := start(t, "yardctl", nil, program("yardctl"), "--addr", c.addr, "task", "watch", strconv.FormatUint(id, 10), "-o", "json")
	shows := func(permille uint32, text string) func() bool {
		return func() bool {
			p := get(t, cl, id).GetProgress()
			return p.GetPermille() == permille && p.GetMessage() == text
		}
	}
	eventually(t, "the task shows its percentage", shows(255, "a quarter"))
	eventually(t, "so does its watch", func() bool { return shell.log.find("a quarter") != "" })
	if code, out := c.yardctl("task", "get", strconv.FormatUint(id, 10)); code != 0 || !strings.Contains(out, "a quarter") || !strings.Contains(out, "25") {
		t.Errorf("yardctl task get, exit code %d:\n%s", code, out)
	}
	open(t, gates[0])
	eventually(t, "the task shows its text", shows(255, "past the quarter"))
	open(t, gates[1])
	if out := outcomes(t, cl, []uint64{id})[0]; string(out.Result) != "result\n" {
		t.Errorf("%+v", out)
	}
	if code := shell.exit(); code != 0 {
		t.Errorf("yardctl task watch, exit code %d", code)
	}
	if n := strings.Count(w.log.text(), "a line of progress was ignored"); n != 1 || w.log.find("it begins with 300") == "" {
		t.Errorf("%d warnings:\n%s", n, w.log.text())
	}
	if out := outcomes(t, cl, mute)[0]; string(out.Result) != "none\nclosed\n" {
		t.Errorf("a program that isn't to report: %+v", out)
	}
}
