//go:build e2e

package tests

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

const (
	killsDefault  = 5
	killPauseMax  = 400 * time.Millisecond // between the recovery from one kill and the next
	unansweredFor = 20 * time.Millisecond  // before a kill of the coordinator
	stallEvery    = 5                      // of so many kills one comes while a worker is stopped
	stallLength   = 3 * time.Second        // beyond the TTL: what that worker reports afterwards is refused
)

// setting reads a number from the environment.
func setting(t *testing.T, name string, def uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// fallen is one kill and what came of it.
type fallen struct {
	name    string // of the process
	pid     int
	at      time.Time
	serving time.Duration // coordinator: until it serves again
	first   time.Duration // until the first task completed that shows it back at work
}

// killing is a run of the kill test.
type killing struct {
	t      *testing.T
	rng    *rand.Rand
	book   *ledger
	c      *coordinator
	crew   map[string]*crewMember
	names  []string // of crew
	load   *load
	front  *proxy // a submitter and a worker are behind it
	runs   string // the file into which the exec handlers' program notes its runs
	kills  []*fallen
	stalls sync.WaitGroup
}

// crewMember is a worker that is started again under its name.
type crewMember struct {
	start func() *process
	proc  *process
}

// TestKill kills coordinator and workers under load, and has the judge compare what is left with the ledger.
func TestKill(t *testing.T) {
	kills := int(setting(t, "YARD_KILLS", killsDefault))
	seed := setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	fmt.Printf("kill test: %d kills of the coordinator, %d of workers; replay the moments with YARD_SEED=%d\n", kills, kills, seed)
	k := startKilling(t, seed)
	for i, victim := range k.plan(kills) {
		pass(t.Context(), time.Duration(k.rng.Int64N(int64(killPauseMax))))
		if i%stallEvery == 0 {
			k.stall(k.names[k.rng.IntN(2)])
		}
		k.killOne(victim)
	}
	v, records, after := k.end()
	k.report(&v, records, after)
}

// startKilling starts the coordinator, the workers and the load.
func startKilling(t *testing.T, seed uint64) *killing {
	t.Helper()
	k := &killing{t: t, rng: rand.New(rand.NewPCG(seed, 2)), book: startLedger(t), crew: map[string]*crewMember{}}
	k.c = startCoordinator(t, "--session-ttl", "2s")
	k.runs = filepath.Join(workDir(t), "exec-runs")
	k.front = startProxy(t, k.c.addr)
	k.hire("sdk-1", k.sdk("sdk-1", k.front.addr))
	k.hire("sdk-2", k.sdk("sdk-2", k.c.addr))
	k.hire("exec-1", k.exec("exec-1", k.runs))

	k.load = startLoad(t, []string{k.front.addr, k.c.addr, k.c.addr}, k.book, seed)
	t.Cleanup(k.stalls.Wait)
	eventually(t, "the load runs", func() bool { return k.load.done.Load() > 100 })
	return k
}

// end ends the load, stops the coordinator in order, and has the judge look at what it says after another start.
func (k *killing) end() (verdict, []record, []*client.Outcome) {
	t := k.t
	t.Helper()
	k.stalls.Wait()
	k.stall(k.names[k.rng.IntN(2)]) // with no kill to give its session another TTL
	k.stalls.Wait()
	k.load.stop()

	cl := k.c.client()
	before := outcomesBy(t, cl, k.load.acked())
	if code := k.c.stop(); code != 0 {
		t.Errorf("the coordinator's orderly stop: exit code %d", code)
	}
	if code, out := run(t, program("coordinator"), "check", "--data-dir", k.c.data); code != 0 {
		t.Errorf("coordinator check: exit code %d\n%s", code, out)
	}
	k.c.start()
	after := outcomesBy(t, cl, k.load.acked())
	sameOutcomes(t, before, after)

	records := append(k.book.records(), execRuns(t, k.runs)...)
	v := judge(records, after, listIDs(t, cl))
	for _, p := range v.problems {
		t.Error(p)
	}
	return v, records, after
}

// hire starts a worker.
func (k *killing) hire(name string, start func() *process) {
	k.crew[name] = &crewMember{start, start()}
	k.names = append(k.names, name)
}

func (k *killing) sdk(name, addr string) func() *process {
	return func() *process {
		return sdkWorker{Coordinator: addr, Name: name, Ledger: k.book.socket, Slots: 8}.start(k.t)
	}
}

// exec starts bin/worker. Its program appends each run to a file, in one write, and prints task and token.
func (k *killing) exec(name, runs string) func() *process {
	handlers := writeHandlers(k.t, `handlers:
- kind: exec
  exec:
    argv: [/bin/sh, -c, 'echo "$YARD_TASK $YARD_TOKEN" >>"$1"; printf %s/%s "$YARD_TASK" "$YARD_TOKEN"', sh, `+runs+`]
`)
	return func() *process { return startWorker(k.t, k.c.addr, name, handlers, "--slots", "2") }
}

// plan is who is killed, in order: the coordinator and workers, shuffled.
func (k *killing) plan(kills int) []string {
	var victims []string
	for i := range kills {
		victims = append(victims, coordinatorName, k.names[i%len(k.names)])
	}
	k.rng.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	return victims
}

const coordinatorName = "coordinator"

// stall stops a worker for longer than its TTL while the kills go on; it may be among the killed.
func (k *killing) stall(name string) {
	w := k.crew[name].proc
	w.signal(syscall.SIGSTOP)
	ctx := trialOf(k.t)
	k.stalls.Go(func() {
		pass(ctx, stallLength)
		w.signal(syscall.SIGCONT)
	})
}

// killOne kills a process, starts it again at once, and waits until it is back at work.
func (k *killing) killOne(name string) {
	k.t.Helper()
	f := &fallen{name: name}
	k.kills = append(k.kills, f)
	if name == coordinatorName {
		f.pid = k.c.proc.pid()
		k.front.hold(down) // what is carried out from now on isn't answered before the kill: it must be repeated
		pass(k.t.Context(), unansweredFor)
		k.c.proc.kill()
		f.at = time.Now()
		k.revive(f)
		return
	}
	w := k.crew[name]
	f.pid = w.proc.pid()
	w.proc.kill()
	f.at = time.Now()
	watch := k.load.watch(func(out *client.Outcome) bool { return out.Worker == name && out.FinishTime.After(f.at) })
	w.proc = w.start()
	f.first = received(k.t, "the first task of "+name+" after its kill", watch).Sub(f.at)
}

// revive starts the coordinator again at once after its kill, and waits until it is back at work.
func (k *killing) revive(f *fallen) {
	k.t.Helper()
	k.front.cut()
	k.front.restore()
	watch := k.load.watch(func(out *client.Outcome) bool { return out.FinishTime.After(f.at) })
	k.c.start()
	f.serving = time.Since(f.at)
	f.first = received(k.t, "the first task after a kill of the coordinator", watch).Sub(f.at)
}

// report prints the figures.
func (k *killing) report(v *verdict, records []record, final []*client.Outcome) {
	fmt.Printf("  %d tasks acknowledged, all succeeded: %t; %d runs, %d of them repeated; %d late outcomes refused; %d problems\n",
		v.acked, len(v.problems) == 0, v.runs, v.again, v.fenced, len(v.problems))
	if segments := segmentsMade(k.t, k.c.data); segments > 0 {
		fmt.Printf("  about %d log segments of 128 KiB were made\n", segments)
	}
	var serving, first, back, orphans []time.Duration
	for _, f := range k.kills {
		if f.name == coordinatorName {
			serving, first = append(serving, f.serving), append(first, f.first)
		} else {
			back = append(back, f.first)
			if d := orphansDone(f, records, final); d > 0 {
				orphans = append(orphans, d)
			}
		}
	}
	figure("coordinator: kill to serving", serving)
	figure("coordinator: kill to first completed task", first)
	figure("worker: kill to its successor's first completed task", back)
	figure("worker (SDK): kill to the last of its running tasks done elsewhere (note below)", orphans)
	fmt.Println("  (the last waits for the TTL of 2 s, which every start of the coordinator begins anew)")
}

func figure(what string, list []time.Duration) {
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	fmt.Printf("  %-80s median %6s  worst %6s  (%d)\n", what, list[len(list)/2].Round(time.Millisecond),
		list[len(list)-1].Round(time.Millisecond), len(list))
}

// orphansDone is how long after a worker's kill the last of the tasks was done that it had begun and not ended.
func orphansDone(f *fallen, records []record, final []*client.Outcome) time.Duration {
	at := map[uint64]*client.Outcome{}
	for _, out := range final {
		at[out.ID] = out
	}
	var last time.Duration
	for _, r := range records {
		out := at[r.Task]
		if r.Kind == recordRun && r.PID == f.pid && out != nil && out.Token != r.Token && out.FinishTime.After(f.at) {
			last = max(last, out.FinishTime.Sub(f.at))
		}
	}
	return last
}

// segmentsMade is the highest number of a log segment: they are counted from the first.
func segmentsMade(t *testing.T, data string) uint64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "raft", "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		files, _ = filepath.Glob(filepath.Join(data, "raft", "*", "*.wal")) // the pattern is good
	}
	var most uint64
	for _, f := range files {
		_, id, _ := strings.Cut(strings.TrimSuffix(filepath.Base(f), ".wal"), "-")
		n, err := strconv.ParseUint(id, 16, 64)
		if err == nil {
			most = max(most, n)
		}
	}
	return most
}

// execRuns reads what the exec handlers' program noted.
func execRuns(t *testing.T, path string) []record {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []record
	for line := range strings.Lines(string(data)) {
		r := record{Kind: recordRun, Worker: "exec-1"}
		if _, err := fmt.Sscan(line, &r.Task, &r.Token); err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		list = append(list, r)
	}
	return list
}

// outcomesBy returns the outcomes of tasks in order of id.
func outcomesBy(t *testing.T, cl *client.Client, ids []uint64) []*client.Outcome {
	t.Helper()
	list := outcomes(t, cl, ids)
	slices.SortFunc(list, func(a, b *client.Outcome) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// sameOutcomes checks that what was told once is told for ever.
func sameOutcomes(t *testing.T, before, after []*client.Outcome) {
	t.Helper()
	if len(before) != len(after) {
		t.Fatalf("%d outcomes before the restart, %d after", len(before), len(after))
	}
	for i := range before {
		if a, b := outcomeRecord(before[i]), outcomeRecord(after[i]); a != b {
			t.Errorf("the outcome was %+v, and is %+v after a restart", a, b)
		}
	}
}

// listIDs lists every task that the coordinator holds.
func listIDs(t *testing.T, cl *client.Client) []uint64 {
	t.Helper()
	var ids []uint64
	for task, err := range cl.List(bounded(t), client.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, task.GetId())
	}
	return ids
}
