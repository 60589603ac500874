//go:build e2e

package tests

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// TestBrokenStream breaks a worker's connection while its tasks run, for less than the session's TTL: they go on, under
// the same tokens, and none runs twice.
func TestBrokenStream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		resumes bool // a new stream takes the session over; else the old one goes on
		harm    func(x *proxy)
		length  time.Duration
	}{
		{"cut", true, (*proxy).cut, time.Second},
		{"held for a while", false, func(x *proxy) { x.hold(up, down) }, 500 * time.Millisecond},
		{"held, then cut", true, func(x *proxy) { x.hold(up, down) }, time.Second},
		{"half-open: the coordinator hears nothing", true, func(x *proxy) { x.hold(up) }, time.Second},
		{"half-open: the worker hears nothing", true, func(x *proxy) { x.hold(down) }, time.Second},
		{"slow", false, func(x *proxy) { x.slow(150 * time.Millisecond) }, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			testBroken(t, c.resumes, c.length, c.harm)
		})
	}
}

func testBroken(t *testing.T, resumes bool, length time.Duration, harm func(*proxy)) {
	const tasks = 4
	book, c := startLedger(t), startCoordinator(t, "--session-ttl", "6s")
	cl, x := c.client(), startProxy(t, c.addr)
	gate := filepath.Join(t.TempDir(), "gate")
	w := sdkWorker{Coordinator: x.addr, Name: "far", Ledger: book.socket, Slots: tasks, Gate: gate}.start(t)
	sdkWorker{Coordinator: c.addr, Name: "near", Ledger: book.socket, Slots: tasks, Gate: gate + "-other"}.start(t)
	c.workers(cl, 2)
	ids := submit(t, cl, repeated(client.Task{Kind: "gated"}, 2*tasks)...)
	before := map[uint64]uint64{}
	for _, task := range inState(t, cl, client.Running, ids...) {
		before[task.GetId()] = task.GetLease().GetToken()
	}

	harm(x)
	pass(t.Context(), length)
	if resumes {
		x.cut() // an outage that ends with a broken connection, as most do
	}
	x.restore()
	if resumes {
		w.says("session resumed", "running=4")
	}
	open(t, gate)
	open(t, gate+"-other")
	for _, out := range outcomes(t, cl, ids) {
		if out.State != client.Succeeded || out.Attempts != 1 || out.Token != before[out.ID] {
			t.Errorf("task %d had token %d and ended %+v", out.ID, before[out.ID], out)
		}
		if runs := book.runs(out.ID); len(runs) != 1 {
			t.Errorf("task %d ran %d times: %+v", out.ID, len(runs), runs)
		}
	}
	if line := w.log.find("session had expired"); line != "" {
		t.Error(line)
	}
	judged(t, cl, book, ids)
	more := submit(t, cl, repeated(client.Task{Kind: "gated"}, 4*tasks)...) // slots and stream are whole
	judged(t, cl, book, more)
}
