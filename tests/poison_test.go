//go:build e2e

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// poisoned is a cluster whose workers are killed by some tasks, and started again.
type poisoned struct {
	t     *testing.T
	c     *coordinator
	cl    *client.Client
	book  *ledger
	dir   string
	procs map[string]*process // by the worker's name
}

func (p *poisoned) hire(name string) {
	p.t.Helper()
	p.procs[name] = sdkWorker{Coordinator: p.c.addr, Name: name, Ledger: p.book.socket, Slots: 8}.start(p.t)
}

// file names a gate, or the vial that has a poison end its worker.
func (p *poisoned) file(name string) string { return filepath.Join(p.dir, name) }

// run submits tasks that wait for a file, and waits until they run.
func (p *poisoned) run(kind, file string, n int) []uint64 {
	p.t.Helper()
	ids := submit(p.t, p.cl, repeated(client.Task{Kind: kind, Payload: []byte(p.file(file))}, n)...)
	inState(p.t, p.cl, client.Running, ids...)
	return ids
}

// worker is where a task runs.
func (p *poisoned) worker(id uint64) string {
	p.t.Helper()
	return inState(p.t, p.cl, client.Running, id)[0].GetLease().GetWorker()
}

// take opens a poison's vial, waits until it has ended its worker, and starts that again.
func (p *poisoned) take(id uint64, vial string) {
	p.t.Helper()
	name := p.worker(id)
	open(p.t, p.file(vial))
	if code := p.procs[name].exit(); code != poisonCode {
		p.t.Fatalf("the worker %s ended with exit code %d", name, code)
	}
	if err := os.Remove(p.file(vial)); err != nil {
		p.t.Fatal(err)
	}
	p.hire(name)
}

// wantLosses waits until tasks have so many losses each.
func (p *poisoned) wantLosses(n uint32, ids ...uint64) {
	p.t.Helper()
	for _, id := range ids {
		var got uint32
		eventually(p.t, fmt.Sprintf("task %d has %d losses", id, n), func() bool {
			got = get(p.t, p.cl, id).GetWorkerLosses()
			return got >= n
		})
		if got != n {
			p.t.Errorf("task %d has %d losses, want %d", id, got, n)
		}
	}
}

// TestPoison: two tasks that kill their workers. Who runs beside one of them while it isn't known for it is charged a loss,
// once; after its second loss a poison is a suspect, which never runs beside the other one, and at the third it dies: alone
// blamed for it. All else succeeds.
func TestPoison(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t, "--session-ttl", "2s")
	p := &poisoned{t: t, c: c, cl: c.client(), book: book, dir: t.TempDir(), procs: map[string]*process{}}
	p.hire("w-1")
	first := p.run("gated", "gate-1", 3)
	one, other := p.run("poison", "vial-1", 1)[0], p.run("poison", "vial-2", 1)[0]
	p.take(one, "vial-1")
	p.wantLosses(1, slices.Concat(first, []uint64{one, other})...)

	open(t, p.file("gate-1"))
	second := p.run("gated", "gate-2", 3)
	outcomes(t, p.cl, first)
	inState(t, p.cl, client.Running, one, other)
	p.take(other, "vial-2")
	p.wantLosses(1, second...)
	p.wantLosses(2, one, other)

	third := p.run("gated", "gate-2", 2)
	p.wantApart(one, other)
	p.hire("w-2")
	inState(t, p.cl, client.Running, slices.Concat(second, third, []uint64{one, other})...)
	if a, b := p.worker(one), p.worker(other); a == b {
		t.Errorf("both suspects run on %s", a)
	}
	p.take(one, "vial-1")
	p.take(other, "vial-2")
	for _, out := range outcomes(t, p.cl, []uint64{one, other}) {
		if out.State != client.Dead || out.Cause != pb.Cause_CAUSE_WORKER_LOST || get(t, p.cl, out.ID).GetWorkerLosses() != 3 {
			t.Errorf("a poison ended %+v", out)
		}
	}
	open(t, p.file("gate-2"))
	judged(t, p.cl, book, slices.Concat(first, second, third))
	p.wantLosses(1, slices.Concat(first, second)...)
	p.wantLosses(0, third...)
}

// wantApart holds that of two suspects one runs, and that explain says of the other one why it doesn't.
func (p *poisoned) wantApart(ids ...uint64) {
	p.t.Helper()
	waits := uint64(0)
	eventually(p.t, "one of the suspects runs and one waits", func() bool {
		states := map[client.TaskState]uint64{}
		for _, id := range ids {
			states[get(p.t, p.cl, id).GetState()] = id
		}
		waits = states[client.Pending]
		return waits != 0 && states[client.Running] != 0
	})
	for _, id := range ids {
		if task := get(p.t, p.cl, id); !task.GetSuspect() {
			p.t.Errorf("after two losses the task is %v", task)
		}
	}
	why, err := p.cl.Explain(bounded(p.t), waits)
	if err != nil {
		p.t.Fatal(err)
	}
	if !slices.ContainsFunc(why.GetReasons(), func(r *pb.Reason) bool { return r.GetCode() == pb.Reason_CODE_SUSPECTS_APART }) {
		p.t.Errorf("it waits because %v", why)
	}
}
