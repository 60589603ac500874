//go:build e2e && crash

package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// zooRoundsDefault is how many rounds TestCrashZoo has without YARD_ZOO_ROUNDS.
const zooRoundsDefault = 3

// interruptions end a round's worker, or what it needs. Most leave it be.
var interruptions = []string{"", "", "kill -9", "SIGTERM", "helper killed", "cut", "SIGSTOP"}

// TestCrashZoo lets random animals loose together, many of each, and ends workers, helpers and connections meanwhile, for
// YARD_ZOO_ROUNDS rounds. After each nothing is left: no process, no descriptor, no slot that isn't back.
func TestCrashZoo(t *testing.T) {
	rounds := int(setting(t, "YARD_ZOO_ROUNDS", zooRoundsDefault))
	seed := setting(t, "YARD_SEED", uint64(rand.Int64()))
	fmt.Printf("TestCrashZoo: YARD_SEED=%d YARD_ZOO_ROUNDS=%d\n", seed, rounds)
	rng := rand.New(rand.NewPCG(seed, 0))
	all := append(append([]animal{}, zoo...), hanging()...)
	for i := range all {
		if all[i].hangs {
			all[i].name += map[bool]string{true: "", false: "-forever"}[all[i].timeout > 0]
		}
	}
	if _, err := exec.LookPath("setpriv"); err == nil && os.Geteuid() == 0 {
		all = append(all, bomber)
	} else {
		fmt.Println("  no fork bomb: it needs root and setpriv (util-linux)")
	}
	c := startCoordinator(t, "--session-ttl", "2s")
	x := startProxy(t, c.addr)
	var k *zooKeeper
	var before openFiles
	begun, peak, counts := 0, 0, map[string]int{}
	var cleared []time.Duration
	for range rounds {
		if k == nil {
			k = startZoo(t, c, "zoo", x.addr, all, "--drain-timeout", "100ms")
			before = k.idle()
		}
		how := interruptions[rng.IntN(len(interruptions))]
		counts[how]++
		tasks, ids := k.draw(rng, all, how != "")
		begun += len(tasks)
		began := time.Now()
		if how != "" {
			eventually(t, "animals run", func() bool { return len(k.nappers()) >= zooSlots })
			pass(trialOf(t), time.Duration(rng.IntN(200))*time.Millisecond)
			began = time.Now()
		}
		peak = max(peak, memory(t, k.proc.pid(), false))
		gone := k.interrupt(how, x)
		if how != "" { // the others would begin again, for ever
			if _, err := k.cl.Cancel(bounded(t), ids...); err != nil {
				t.Fatal(err)
			}
		}
		ends := outcomes(t, k.cl, ids)
		for i, out := range ends {
			if how == "" && out.State != client.Cancelled {
				if wrong := all[tasks[i]].want(out); wrong != "" {
					t.Errorf("%s: %s; it ended %s: %v", all[tasks[i]].name, wrong, client.StateWord(out.State), out.Failure)
				}
			}
		}
		eventually(t, "nothing is left after "+how, func() bool { return len(k.nappers()) == 0 })
		cleared = append(cleared, time.Since(began))
		if gone {
			k = nil
			continue
		}
		k.empty(before)
	}
	if k != nil {
		k.slots()
	}
	fmt.Printf("  zoo: %d kinds, %d rounds, %d animals, interruptions %v, leftovers 0; the worker's memory at most %d MiB\n",
		len(all), rounds, begun, counts, peak>>20)
	figure("a round: until all is gone", cleared)
}

// draw submits animals; those that never end only if the round is interrupted.
func (k *zooKeeper) draw(rng *rand.Rand, all []animal, interrupted bool) (drawn []int, ids []uint64) {
	var tasks []client.Task
	for len(tasks) < 40 {
		i := rng.IntN(len(all))
		if all[i].want == nil && !interrupted || all[i].hangs && all[i].timeout == 0 && !interrupted {
			continue
		}
		drawn, tasks = append(drawn, i), append(tasks, all[i].task())
	}
	return drawn, submit(k.t, k.cl, tasks...)
}

// interrupt ends what how names. gone: the worker has ended.
func (k *zooKeeper) interrupt(how string, x *proxy) (gone bool) {
	k.t.Helper()
	switch how {
	case "kill -9":
		k.proc.kill()
		return true
	case "SIGTERM":
		k.proc.signal(syscall.SIGTERM)
		if code := k.proc.exit(); code != exitClean {
			k.t.Errorf("the worker's exit code is %d", code)
		}
		return true
	case "helper killed":
		if pid, _ := k.helper(); pid > 0 {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				k.t.Error(err)
			}
		}
	case "cut":
		x.cut()
		eventually(k.t, "nothing is left at a worker that is cut off", func() bool { return len(k.nappers()) == 0 })
		x.restore()
	case "SIGSTOP": // a moment, shorter than the TTL
		k.proc.signal(syscall.SIGSTOP)
		pass(trialOf(k.t), 300*time.Millisecond)
		k.proc.signal(syscall.SIGCONT)
	}
	return false
}
