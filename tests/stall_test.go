//go:build e2e

package tests

import (
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// TestStallPastTTL stops workers with SIGSTOP for longer than the session's TTL of 2 s. Their tasks run elsewhere, what they
// report when they go on again is FENCED, and they are told.
func TestStallPastTTL(t *testing.T) {
	t.Parallel()
	t.Run("handlers that ignore their context", func(t *testing.T) {
		t.Parallel()
		testStall(t, true)
	})
	t.Run("handlers that heed it", func(t *testing.T) {
		t.Parallel()
		testStall(t, false)
	})
	t.Run("programs", func(t *testing.T) {
		t.Parallel()
		testStallExec(t)
	})
}

const stalledTasks = 4

func testStall(t *testing.T, stubborn bool) {
	book, c := startLedger(t), startCoordinator(t, "--session-ttl", "2s")
	cl := c.client()
	gates := t.TempDir()
	mine, others := filepath.Join(gates, "stalled"), filepath.Join(gates, "other")
	stalled := sdkWorker{Coordinator: c.addr, Name: "stalled", Ledger: book.socket, Slots: stalledTasks, Stubborn: stubborn, Gate: mine}.start(t)
	ids := submit(t, cl, repeated(client.Task{Kind: "gated"}, stalledTasks)...)
	before := inState(t, cl, client.Running, ids...)

	stalled.signal(syscall.SIGSTOP)
	sdkWorker{Coordinator: c.addr, Name: "other", Ledger: book.socket, Slots: stalledTasks, Gate: others}.start(t)
	began := time.Now()
	eventually(t, "all tasks run elsewhere", func() bool {
		for _, id := range ids {
			if task := get(t, cl, id); task.GetState() != client.Running || task.GetLease().GetWorker() != "other" {
				return false
			}
		}
		return true
	})
	t.Logf("all tasks run elsewhere %s after the SIGSTOP", time.Since(began).Round(10*time.Millisecond))
	stalled.signal(syscall.SIGCONT)
	reported := "Interrupted" // its handlers were stopped: the leases could not be trusted
	if stubborn {
		reported = "Succeeded"
		stalled.says("lease lost") // so that the success comes after the end of trust, as the handlers see it
		open(t, mine)
	}
	for i, id := range ids {
		stalled.says(fmt.Sprintf("told: task %d token %d was not accepted", id, before[i].GetLease().GetToken()))
	}
	stalled.says("session had expired, new one opened")
	late := 0
	for _, r := range book.records() {
		if r.Kind == recordAnswer && r.Worker == "stalled" {
			late++
			if r.Verdict != fenced || r.Outcome != reported {
				t.Errorf("the stalled worker's late outcome: %+v", r)
			}
		}
	}
	if late != stalledTasks {
		t.Errorf("%d late outcomes were answered, want %d", late, stalledTasks)
	}
	t.Logf("%d late outcomes (%s) were FENCED while the tasks ran elsewhere, and the worker was told", late, reported)

	open(t, others)
	for i, out := range outcomes(t, cl, ids) {
		if out.State != client.Succeeded || out.Worker != "other" || out.Token == before[i].GetLease().GetToken() {
			t.Errorf("task %d ended %+v", out.ID, out)
		}
	}
	judged(t, cl, book, ids)
	open(t, mine)
	comesBack(t, cl, "stalled", client.Task{Kind: "gated"}, stalledTasks)
}

// comesBack submits more until the worker has ended some: its slots came back.
func comesBack(t *testing.T, cl *client.Client, name string, task client.Task, n int) {
	t.Helper()
	eventually(t, name+" gets work again", func() bool {
		back := false
		for _, out := range outcomes(t, cl, submit(t, cl, repeated(task, n)...)) {
			back = back || out.Worker == name
		}
		return back
	})
}

// testStallExec stops bin/worker; the programs that it started run on meanwhile.
func testStallExec(t *testing.T) {
	c := startCoordinator(t, "--session-ttl", "2s")
	cl := c.client()
	gate := newFifo(t)
	stalled := startWorker(t, c.addr, "stalled", writeHandlers(t, `handlers:
- kind: long
  exec: {argv: [/bin/sh, -c, 'exec 9>"$1"; echo up >&9; sleep 1000', sh, `+gate.path+`]}
`), "--slots", "1")
	id := submit(t, cl, client.Task{Kind: "long"})[0]
	gate.lines(t, 1)
	inState(t, cl, client.Running, id)
	stalled.signal(syscall.SIGSTOP)
	startWorker(t, c.addr, "other", writeHandlers(t, `handlers:
- kind: long
  exec: {argv: [/bin/echo, done]}
`), "--slots", "1")
	out := outcomes(t, cl, []uint64{id})[0]
	if out.State != client.Succeeded || out.Worker != "other" || string(out.Result) != "done\n" {
		t.Errorf("the task ended %+v", out)
	}
	stalled.signal(syscall.SIGCONT)
	gate.ends(t) // it trusts its lease no longer and ends the program
	stalled.says("outcome not accepted: the lease was no longer ours", "task="+strconv.FormatUint(id, 10))
}

// repeated is n tasks alike.
func repeated(task client.Task, n int) []client.Task {
	list := make([]client.Task, n)
	for i := range list {
		list[i] = task
	}
	return list
}

// judged has the judge look at tasks whose submits were acknowledged.
func judged(t *testing.T, cl *client.Client, book *ledger, ids []uint64) {
	t.Helper()
	final := outcomes(t, cl, ids)
	records := book.records() // read after the outcomes, so that all their runs are in it
	for _, id := range ids {
		records = append(records, record{Kind: recordAck, Task: id})
	}
	v := judge(records, final, nil)
	for _, p := range v.problems {
		t.Error(p)
	}
}
