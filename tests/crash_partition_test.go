//go:build e2e && crash

package tests

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

const (
	partitionsDefault = 4
	partitionShort    = 900 * time.Millisecond
	partitionBeyond   = 2500 * time.Millisecond // beyond the TTL of 2 s: late outcomes are refused
	partitionFlaps    = 5
)

// parted is a run of the partition test: who is behind which proxy.
type parted struct {
	t       *testing.T
	rng     *rand.Rand
	c       *coordinator
	load    *load
	fronts  []*proxy
	workers []string       // those of fronts[:len(workers)]; submitters are behind the rest
	faults  map[string]int // by kind
	back    []time.Duration
}

// TestCrashPartition harms connections of workers and submitters, several at a time and in each way, and has the judge
// compare what is left with the ledger. After each harm every worker that it met must end a task again.
func TestCrashPartition(t *testing.T) {
	rounds := int(setting(t, "YARD_PARTITIONS", partitionsDefault))
	seed := setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	book := startLedger(t)
	x := &parted{t: t, rng: rand.New(rand.NewPCG(seed, 4)), c: startCoordinator(t, "--session-ttl", "2s"), faults: map[string]int{}}
	runs := filepath.Join(workDir(t), "exec-runs")
	for i := range 3 {
		name := fmt.Sprintf("sdk-%d", i)
		sdkWorker{Coordinator: x.front(), Name: name, Ledger: book.socket, Slots: 8, Prefetch: 8 * (i % 2)}.start(t).lives()
		x.workers = append(x.workers, name)
	}
	partedExec(t, x.c.addr, runs)
	x.load = startLoad(t, []string{x.front(), x.front(), x.c.addr}, book, seed)
	eventually(t, "the load runs", func() bool { return x.load.done.Load() > 100 })

	for i := range rounds {
		x.round(i)
	}
	healed := time.Now()
	x.load.stop()
	ended := time.Since(healed)

	cl := x.c.client()
	final := outcomesBy(t, cl, x.load.acked())
	v := judge(append(book.records(), execRuns(t, runs)...), final, listIDs(t, cl))
	for _, p := range v.problems {
		t.Error(p)
	}
	if code := x.c.stop(); code != 0 {
		t.Errorf("the coordinator's orderly stop: exit code %d", code)
	}
	if code, out := run(t, program("coordinator"), "check", "--data-dir", x.c.data); code != 0 {
		t.Errorf("coordinator check: exit code %d\n%s", code, out)
	}
	slices.Sort(x.back)
	fmt.Printf("partitions: %d rounds (%s); %d tasks acknowledged, %d runs, %d of them repeated, %d late outcomes refused; "+
		"healed to the next completed task of a worker: median %s, worst %s (%d); all ended %s after the last; %d problems; seed %d\n",
		rounds, byName(x.faults), v.acked, v.runs, v.again, v.fenced, x.back[len(x.back)/2].Round(time.Millisecond),
		x.back[len(x.back)-1].Round(time.Millisecond), len(x.back), ended.Round(time.Millisecond), len(v.problems), seed)
}

// front is the address of a new proxy.
func (x *parted) front() string {
	x.fronts = append(x.fronts, startProxy(x.t, x.c.addr))
	return x.fronts[len(x.fronts)-1].addr
}

// partedExec starts bin/worker for the load's programs. Its program appends each run to a file and prints task and token.
func partedExec(t *testing.T, addr, runs string) {
	t.Helper()
	startWorker(t, addr, "exec-1", writeHandlers(t, `handlers:
- kind: exec
  exec:
    argv: [/bin/sh, -c, 'echo "$YARD_TASK $YARD_TOKEN" >>"$1"; printf %s/%s "$YARD_TASK" "$YARD_TOKEN"', sh, `+runs+`]
`), "--slots", "2").lives()
}

// round harms some connections, of one worker at least, each in its own way, and heals them all at once.
func (x *parted) round(number int) {
	x.t.Helper()
	ctx := trialOf(x.t)
	order := x.rng.Perm(len(x.fronts))
	met := order[:1+x.rng.IntN(len(order))]
	if !slices.ContainsFunc(met, func(i int) bool { return i < len(x.workers) }) {
		met = append(met, x.rng.IntN(len(x.workers)))
	}
	length := 50*time.Millisecond + time.Duration(x.rng.Int64N(int64(partitionShort)))
	if number%4 == 1 {
		length = partitionBeyond
	}
	flaps := 1
	if x.rng.IntN(5) == 0 {
		flaps = partitionFlaps
		x.faults["flapping"]++
	}
	for range flaps {
		for _, i := range met {
			harm := harms[x.rng.IntN(len(harms))]
			x.faults[harm.name]++
			harm.do(x.fronts[i], x.rng)
		}
		pass(ctx, length/time.Duration(flaps))
		if flaps > 1 {
			x.heal(met)
		}
	}
	x.heal(met)
	healed := time.Now()
	for _, i := range met {
		if i >= len(x.workers) {
			continue
		}
		name := x.workers[i]
		watch := x.load.watch(func(out *client.Outcome) bool { return out.Worker == name && out.FinishTime.After(healed) })
		x.back = append(x.back, received(x.t, "the first task of "+name+" after its partition", watch).Sub(healed))
	}
}

// heal lets connections pass again; those that were held may break at last, as most outages end.
func (x *parted) heal(met []int) {
	for _, i := range met {
		if x.rng.IntN(2) == 0 {
			x.faults["broken at last"]++
			x.fronts[i].cut()
		}
		x.fronts[i].restore()
	}
}
