//go:build e2e && crash

package tests

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
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
	historySecondsDefault = 6                       // during which faults are injected
	historyCheck          = 20 * time.Second        // what the checker is given for one task
	historyStop           = 2500 * time.Millisecond // beyond the TTL of 2 s
)

// chronicle is a run of the history test.
type chronicle struct {
	t      *testing.T
	rng    *rand.Rand
	seed   uint64
	s      *scribe
	c      *coordinator
	fronts []*proxy // of the hands but the last, then of the workers
	crew   []*crewMember
	hands  []*hand
	until  time.Time
	stops  sync.WaitGroup

	mu     sync.Mutex
	faults map[string]int // guarded by mu: by kind
}

// TestCrashHistory has clients and workers do their work, several at each task, while processes are killed and stopped and
// connections cut, and has porcupine look whether there is an order of all that was answered in which each task is one
// state machine.
func TestCrashHistory(t *testing.T) {
	seconds := setting(t, "YARD_HISTORY_SECONDS", historySecondsDefault)
	seed := setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	x := &chronicle{t: t, rng: rand.New(rand.NewPCG(seed, 3)), seed: seed, s: startScribe(t), faults: map[string]int{}}
	x.c = startCoordinator(t, "--session-ttl", "2s")
	x.open()
	x.until = time.Now().Add(time.Duration(seconds) * time.Second)

	var loops sync.WaitGroup
	t.Cleanup(loops.Wait)
	for i := range groupsAtOnce {
		rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
		loops.Go(func() { x.labour(rng) })
	}
	for i := range 2 {
		rng := rand.New(rand.NewPCG(seed, uint64(200+i)))
		loops.Go(func() { x.network(trialOf(t), rng) })
	}
	x.processes()
	loops.Wait()
	x.stops.Wait()
	x.settle()
	x.report()
}

// open connects hands and workers.
func (x *chronicle) open() {
	for i := range historyHands {
		addr := x.c.addr
		if i < historyHands-1 {
			x.fronts = append(x.fronts, startProxy(x.t, x.c.addr))
			addr = x.fronts[i].addr
		}
		h, err := newHand(i, x.s, addr)
		if err != nil {
			x.t.Fatal(err)
		}
		x.t.Cleanup(func() { h.cl.Close() })
		x.hands = append(x.hands, h)
	}
	for i := range 3 {
		front := startProxy(x.t, x.c.addr)
		x.fronts = append(x.fronts, front)
		w := historyWorker{Coordinator: front.addr, Name: fmt.Sprintf("history-%d", i), Scribe: x.s.socket, Slots: 8, Prefetch: 4*i - 1}
		start := func() *process { return w.start(x.t) }
		x.crew = append(x.crew, &crewMember{start, start()})
	}
	x.c.workers(x.hands[historyHands-1].cl, 3)
}

// labour makes one group after the other.
func (x *chronicle) labour(rng *rand.Rand) {
	for time.Now().Before(x.until) && trialOf(x.t).Err() == nil {
		newLabour(x.s, rng).run(trialOf(x.t), x.hands, x.seed)
	}
}

func (x *chronicle) fault(kind string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.faults[kind]++
}

// processes kills, stops and restarts, each kind in turn in an order that the seed draws.
func (x *chronicle) processes() {
	kinds := []string{"kill coordinator", "kill worker", "stop coordinator", "stop worker", "restart coordinator", "restart worker"}
	for time.Now().Before(x.until) {
		x.rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, kind := range kinds {
			if !time.Now().Before(x.until) || !pass(trialOf(x.t), time.Duration(x.rng.Int64N(int64(400*time.Millisecond)))) {
				return
			}
			x.fault(kind)
			x.process(kind, x.crew[x.rng.IntN(len(x.crew))])
		}
	}
}

func (x *chronicle) process(kind string, w *crewMember) {
	switch kind {
	case "kill coordinator":
		x.c.proc.kill()
		x.c.start()
	case "restart coordinator":
		x.c.stop()
		x.c.start()
	case "stop coordinator":
		x.c.proc.signal(syscall.SIGSTOP)
		pass(trialOf(x.t), historyStop)
		x.c.proc.signal(syscall.SIGCONT)
	case "kill worker":
		w.proc.kill()
		w.proc = w.start()
	case "restart worker":
		w.proc.signal(syscall.SIGCONT)
		w.proc.signal(syscall.SIGTERM)
		w.proc.exit()
		w.proc = w.start()
	case "stop worker":
		p := w.proc
		p.signal(syscall.SIGSTOP)
		x.stops.Go(func() {
			pass(trialOf(x.t), historyStop)
			p.signal(syscall.SIGCONT)
		})
	}
}

// harms are what is done to connections.
var harms = []struct {
	name string
	do   func(x *proxy, rng *rand.Rand)
}{
	{"cut", func(x *proxy, _ *rand.Rand) { x.cut() }},
	{"one way up", func(x *proxy, _ *rand.Rand) { x.hold(up) }},
	{"one way down", func(x *proxy, _ *rand.Rand) { x.hold(down) }},
	{"half-open", func(x *proxy, _ *rand.Rand) { x.hold(up, down) }},
	{"slow", func(x *proxy, rng *rand.Rand) { x.slow(time.Duration(5+rng.IntN(150)) * time.Millisecond) }},
	{"slow, one way", func(x *proxy, rng *rand.Rand) {
		x.slow(time.Duration(5+rng.IntN(100)) * time.Millisecond)
		x.hold(down)
	}},
}

// network harms one connection after the other.
func (x *chronicle) network(ctx context.Context, rng *rand.Rand) {
	for time.Now().Before(x.until) {
		front, harm := x.fronts[rng.IntN(len(x.fronts))], harms[rng.IntN(len(harms))]
		length := 50*time.Millisecond + time.Duration(rng.Int64N(int64(900*time.Millisecond)))
		if rng.IntN(8) == 0 {
			length += historyStop
		}
		x.fault(harm.name)
		harm.do(front, rng)
		pass(ctx, min(length, time.Until(x.until)))
		if rng.IntN(2) == 0 {
			front.cut()
		}
		front.restore()
		if !pass(ctx, time.Duration(rng.Int64N(int64(500*time.Millisecond)))) {
			return
		}
	}
}

// settle heals all, waits for every task's end, and looks at each once more.
func (x *chronicle) settle() {
	for _, front := range x.fronts {
		front.restore()
	}
	began := x.s.now()
	last := x.hands[historyHands-1]
	listed := map[uint64]int{}
	for task, err := range last.cl.List(bounded(x.t), client.Filter{}) {
		if err != nil {
			x.t.Fatal(err)
		}
		group, err := strconv.Atoi(task.GetLabels()["group"])
		if err != nil {
			x.t.Fatalf("task %d: %v", task.GetId(), err)
		}
		listed[task.GetId()] = group
	}
	ids := slices.Sorted(maps.Keys(listed))
	for _, id := range ids {
		x.s.note(listed[id], histOp{Kind: histListed, Client: last.number, Call: began, Return: x.s.now(), Answer: histStored, Task: id})
	}
	outcomes(x.t, last.cl, ids)
	for _, h := range x.s.history() {
		if h.ID != 0 {
			_, err := last.cl.Get(context.WithValue(bounded(x.t), groupKey{}, h.Group), h.ID)
			if err != nil && missingWord(err) == histOpen {
				x.t.Fatal(err)
			}
		}
	}
}

// report has the history checked and prints what it was.
func (x *chronicle) report() {
	list := x.s.history()
	n := x.s.countLate(list)
	dir := os.Getenv("YARD_KEEP")
	if dir == "" {
		dir = os.TempDir()
	}
	dir, err := os.MkdirTemp(dir, fmt.Sprintf("yard-history-%d-", x.seed))
	if err != nil {
		x.t.Fatal(err)
	}
	began := time.Now()
	v, err := checkHistory(list, historyCheck, dir)
	if err != nil {
		x.t.Error(err)
	}
	if len(v.files) == 0 {
		os.RemoveAll(dir)
	}
	for _, p := range n.problems {
		x.t.Error(p)
	}
	open, stored := 0, 0
	for i := range list {
		if list[i].ID != 0 {
			stored++
		}
		open += count(list[i].Ops, func(op *histOp) bool { return op.Answer == histOpen })
	}
	fmt.Printf("history: %d operations (%s), %d of them unanswered, on %d tasks in %d partitions, up to %d at once on one task, %d tasks at a time; "+
		"%d grants received, %d handlers began, %d ended; late outcomes: %d = %d fenced or gone + %d unanswered; faults: %s; %d illegal, %d unknown (checked in %s); seed %d\n",
		v.ops, kindsOf(list), open, stored, v.tasks, v.most, groupsAtOnce, n.grants, n.began, n.ended, n.late, n.refused, n.open, byName(x.faults),
		v.illegal, v.unknown, time.Since(began).Round(10*time.Millisecond), x.seed)
	if v.illegal+v.unknown > 0 {
		x.t.Errorf("%d histories are illegal, %d unknown; see\n%s", v.illegal, v.unknown, strings.Join(v.files, "\n"))
	}
	if n.accepted != 0 || n.late != n.refused+n.open {
		x.t.Errorf("late outcomes: %+v", n)
	}
	if v.most < 3 || stored == 0 || len(x.faults) < 6 {
		x.t.Errorf("the run shows nothing: %+v, %d tasks, faults %v", v, stored, x.faults)
	}
}

func count[T any](list []T, fits func(*T) bool) (n int) {
	for i := range list {
		if fits(&list[i]) {
			n++
		}
	}
	return n
}

func kindsOf(list []histTask) string {
	n := map[string]int{}
	for i := range list {
		for _, op := range list[i].Ops {
			n[op.Kind]++
		}
	}
	return byName(n)
}

// byName writes counts by name.
func byName(n map[string]int) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(n)) {
		words = append(words, fmt.Sprintf("%s %d", name, n[name]))
	}
	return strings.Join(words, ", ")
}
