//go:build e2e

package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/client"
)

// TestAllowList: a submitter chooses a kind, never a command. What its worker's file doesn't list stays pending, and
// explain says why; payloads that look like commands are bytes on stdin.
func TestAllowList(t *testing.T) {
	t.Parallel()
	c := startCoordinator(t)
	cl := c.client()
	canary := filepath.Join(t.TempDir(), "canary")
	startWorker(t, c.addr, "strict", writeHandlers(t, `handlers:
- kind: args
  exec: {argv: [/bin/sh, -c, 'printf "[%s]" "$0" "$@"; cat', name, -x, "{task}"]}
- kind: cat
  exec: {argv: [/bin/cat]}
- kind: env
  exec: {argv: [/usr/bin/env], pass_env: [], env: {A: b}}
`), "--slots", "2")
	c.workers(cl, 1)

	t.Run("an unknown kind stays pending", func(t *testing.T) {
		var ids []uint64
		for _, kind := range []string{"rm", "sh", "bin.sh", "cat-etc-passwd"} {
			ids = append(ids, submit(t, cl, client.Task{Kind: kind, Payload: []byte("-rf " + canary)})...)
		}
		known := submit(t, cl, client.Task{Kind: "cat", Payload: []byte("x")})
		outcomes(t, cl, known) // the worker is at work
		for _, id := range ids {
			if task := get(t, cl, id); task.GetState() != client.Pending || task.GetAttempts() != 0 {
				t.Errorf("task %d of the unknown kind %s is %v", id, task.GetKind(), task.GetState())
			}
		}
		code, text := c.yardctl("task", "explain", fmt.Sprint(ids[0]))
		t.Logf("yardctl task explain %d, exit code %d:\n%s", ids[0], code, text)
		if code != 0 || !strings.Contains(strings.ToLower(text), "pending") || !strings.Contains(text, "kind not served") {
			t.Error("it doesn't say why")
		}
		code, text = c.yardctl("task", "explain", fmt.Sprint(ids[0]), "-o", "json")
		if code != 0 || !strings.Contains(text, "CODE_KIND_NOT_SERVED") {
			t.Errorf("exit code %d: %s", code, text)
		}
		startWorker(t, c.addr, "other", writeHandlers(t, "handlers:\n- kind: rm\n  exec: {argv: [/bin/echo, served]}\n"), "--slots", "1")
		if out := outcomes(t, cl, ids[:1])[0]; string(out.Result) != "served\n" {
			t.Errorf("the reason is gone, and the task ended %+v", out)
		}
	})
	t.Run("a kind that is no name is refused", func(t *testing.T) {
		for _, kind := range []string{"/bin/sh", "../cat", "cat;reboot", "cat -n", "", "Cat", strings.Repeat("k", 64)} {
			if id, err := cl.Submit(bounded(t), client.Task{Kind: kind}); err == nil {
				t.Errorf("kind %q is task %d", kind, id)
			}
		}
	})
	t.Run("payloads are stdin", func(t *testing.T) {
		for _, payload := range []string{
			"--version", "-c 'touch " + canary + "'", "$(touch " + canary + ")", "`touch " + canary + "`", "; touch " + canary + " #",
			"{task} {token}", "\x00\n\xff", "%s%n", "| tee " + canary, "\n.\n!touch " + canary + "\n",
		} {
			id := submit(t, cl, client.Task{Kind: "args", Payload: []byte(payload), Labels: map[string]string{"path": "$(touch " + canary + ")"}})
			out := outcomes(t, cl, id)[0]
			if want := fmt.Sprintf("[name][-x][%d]%s", id[0], payload); string(out.Result) != want {
				t.Errorf("result %q, want %q (%+v)", out.Result, want, out)
			}
		}
		if exists(canary) {
			t.Error("a payload was carried out")
		}
	})
	t.Run("the environment is an allow-list", func(t *testing.T) {
		out := outcomes(t, cl, submit(t, cl, client.Task{Kind: "env", Payload: []byte("PATH=/tmp")}))[0]
		for line := range strings.Lines(string(out.Result)) {
			if name, _, _ := strings.Cut(line, "="); name != "A" && !strings.HasPrefix(name, "YARD_") {
				t.Errorf("it sees %s", line)
			}
		}
	})
}

// yamlQuoted is text as it stands in a double-quoted YAML string.
func yamlQuoted(s string) string {
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}
