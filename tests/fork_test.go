//go:build e2e

package tests

import (
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// forks starts processes that leave their parent in every way that a shell knows: children, a session of their own, no
// environment, a lost parent, ignored signals. Each holds the pipe and writes a line; forkLines of them.
const forks = `exec 9>"$1"
trap '' TERM HUP INT
echo self >&9
sleep 1000 &
echo child >&9
sh -c 'echo grandchild >&9; sleep 1000 & echo great >&9; wait' &
setsid sh -c 'echo session >&9; sleep 1000' &
setsid env -i /bin/sh -c 'echo bare >&9; sleep 1000' >/dev/null 2>&1 &
(setsid sh -c 'sh -c "echo orphan >&9; exec sleep 1000" & exit 0' &)
nohup sh -c 'echo nohup >&9; exec sleep 1000' >/dev/null 2>&1 </dev/null &
wait
`

const forkLines = 8

// TestKilledWorkerLeavesNoProcess kills a worker whose programs fork. Every process of every task holds a pipe: its end of
// file shows that none is left.
func TestKilledWorkerLeavesNoProcess(t *testing.T) {
	t.Parallel()
	const tasks = 3
	c := startCoordinator(t, "--session-ttl", "2s")
	cl := c.client()
	pipe := newFifo(t)
	w := startWorker(t, c.addr, "forker", writeHandlers(t, "handlers:\n- kind: fork\n  exec:\n    argv: [/bin/sh, -c, \""+
		yamlQuoted(forks)+"\", sh, "+pipe.path+"]\n"), "--slots", "3")
	ids := submit(t, cl, repeated(client.Task{Kind: "fork", Retry: client.Retry{MaxWorkerLosses: 1}}, tasks)...)
	pipe.lines(t, tasks*forkLines)
	if !pipe.held(t) {
		t.Fatal("the processes have ended by themselves")
	}
	w.kill()
	took := pipe.ends(t)
	t.Logf("%d tasks with %d processes and more: none left %s after the worker's kill -9", tasks, tasks*forkLines, took.Round(time.Millisecond))
	for _, out := range outcomes(t, cl, ids) { // lost with their worker, as their policy allows
		if out.State != client.Dead {
			t.Errorf("task %d ended %s", out.ID, client.StateWord(out.State))
		}
	}
}
