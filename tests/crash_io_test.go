//go:build e2e && crash

package tests

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// faultsDefault is how many calls are made to fail, all series together.
const faultsDefault = 18

// ioSeries is one sweep: which calls fail, how, and of which start.
type ioSeries struct {
	kind  callKind
	errno syscall.Errno
	warm  bool // the start finds the data of a coordinator that was killed
}

func (s ioSeries) String() string {
	start := "first"
	if s.warm {
		start = "again"
	}
	return fmt.Sprintf("%s-%s-%s", s.kind.name, errnoName(s.errno), start)
}

func errnoName(e syscall.Errno) string {
	if e == syscall.ENOSPC {
		return "ENOSPC"
	}
	return "EIO"
}

var ioSweeps = []ioSeries{
	{callsSync, syscall.EIO, false}, {callsSync, syscall.EIO, true},
	{callsWrite, syscall.EIO, false}, {callsWrite, syscall.EIO, true},
	{callsWrite, syscall.ENOSPC, false}, {callsWrite, syscall.ENOSPC, true},
	{callsSize, syscall.EIO, false}, {callsSize, syscall.ENOSPC, false}, {callsSize, syscall.ENOSPC, true},
}

// ioLab is the test and what its cases have found.
type ioLab struct {
	seed uint64
	data string // of a killed coordinator, for the warm starts
	was  *work  // what that one was told and has told
	over workersOver

	mu       sync.Mutex
	fell     map[string]int  // guarded by mu: cases by the call that failed
	survived map[string]int  // guarded by mu: those in which the process went on
	beyond   int             // guarded by mu: cases with no such call any more
	acked    int             // guarded by mu
	recovery []time.Duration // guarded by mu: from the next start to serving
}

// TestCrashIO lets the n-th fsync, write or change of a file's size fail, for a sweep of n over first start, start after a
// kill, load, checkpoint, rotation of the log and orderly stop. Each time the coordinator must end with code 1 and say why,
// what it had acknowledged must be there after the next start, and all goes on.
func TestCrashIO(t *testing.T) {
	x := &ioLab{fell: map[string]int{}, survived: map[string]int{}}
	x.seed = setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	budget := int(setting(t, "YARD_FAULTS", faultsDefault))
	began := time.Now()
	t.Cleanup(x.over.Wait)
	x.prepare(t)
	rng := rand.New(rand.NewPCG(x.seed, 11))
	t.Run("sweeps", func(t *testing.T) {
		calls := map[bool][]call{false: x.rehearse(t, false), true: x.rehearse(t, true)}
		for _, s := range ioSweeps {
			most := 0
			for _, c := range calls[s.warm] {
				if s.kind.has(c) {
					most++
				}
			}
			for _, n := range chosen(rng, most, (budget+len(ioSweeps)-1)/len(ioSweeps)) {
				t.Run(fmt.Sprintf("%s/%d", s, n), func(t *testing.T) {
					t.Parallel()
					ownTrial(t)
					x.try(t, s, n)
				})
			}
		}
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	slices.Sort(x.recovery)
	ended, went := 0, 0
	for _, n := range x.fell {
		ended += n
	}
	for _, n := range x.survived {
		went += n
	}
	fmt.Printf("crash lab, I/O: %d calls failed and ended the process, %d failed and did not; %d cases came to no call; "+
		"%d tasks acknowledged, 0 lost: %t; recovery median %s, worst %s; %s; seed %d\n", ended, went, x.beyond, x.acked, !t.Failed(),
		quantile(x.recovery, 50), quantile(x.recovery, 100), time.Since(began).Round(time.Second), x.seed)
	for _, what := range sorted(x.fell) {
		t.Logf("  %3d times failed: %s", x.fell[what], what)
	}
	for _, what := range sorted(x.survived) {
		t.Logf("  %3d times failed without an end: %s", x.survived[what], what)
	}
}

// chosen is every number from 1 to most, or so many of them, one of each of as many equal parts.
func chosen(rng *rand.Rand, most, count int) []int {
	var list []int
	if count >= most {
		for n := range most {
			list = append(list, n+1)
		}
		return list
	}
	for i := range count {
		from, to := i*most/count, (i+1)*most/count
		list = append(list, 1+from+rng.IntN(to-from))
	}
	return list
}

// coordinator is one that isn't started.
func (x *ioLab) coordinator(t *testing.T, warm bool) *coordinator {
	c := newCoordinator(t, "--session-ttl", "2s", "--log-segment-bytes", "65536")
	if warm {
		if err := os.CopyFS(c.data, os.DirFS(x.data)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// prepare makes the data of the warm starts: a checkpoint, and a log of a few segments behind it.
func (x *ioLab) prepare(t *testing.T) {
	c := startCoordinator(t, "--session-ttl", "2s", "--log-segment-bytes", "65536")
	x.was = x.over.startWork(t, c.addr)
	received(t, "the first work", x.was.do(workPart{2, 10, 4, 4096, x.seed}))
	checkpointed(t, c.client())
	received(t, "more work", x.was.do(workPart{2, 10, 4, 4096, x.seed + 1}))
	c.proc.kill()
	x.data = c.data
}

// checkpointed waits until the checkpoint holds all that has been done.
func checkpointed(t *testing.T, cl *client.Client) {
	t.Helper()
	eventually(t, "a checkpoint", func() bool { return savedAll(trialOf(t), cl) })
}

func savedAll(ctx context.Context, cl *client.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	st, err := cl.Operator().Status(ctx, &pb.OperatorServiceStatusRequest{})
	return err == nil && st.GetCheckpointIndex() == st.GetAppliedIndex()
}

// rehearse counts the calls of a start and all that follows, without a failure.
func (x *ioLab) rehearse(t *testing.T, warm bool) []call {
	t.Helper()
	c := x.coordinator(t, warm)
	i, w := c.launchInjected(plan{kind: callsAll}), x.startWork(t, c, warm)
	x.scene(t, c, w)
	if code := c.proc.exit(); code != exitClean {
		t.Fatalf("exit code %d without a failed call", code)
	}
	calls, _ := i.found()
	t.Logf("%d calls: %s", len(calls), tallyCalls(calls))
	return calls
}

// startWork is the work, together with what was done before a warm start.
func (x *ioLab) startWork(t *testing.T, c *coordinator, warm bool) *work {
	w := x.over.startWork(t, c.addr)
	if warm {
		w.records, w.ids = slices.Clone(x.was.records), slices.Clone(x.was.ids)
	}
	return w
}

// scene is what a coordinator is put through: a start, load with a checkpoint and rotations in its midst, an orderly stop.
// It returns early if the process ends.
func (x *ioLab) scene(t *testing.T, c *coordinator, w *work) (rest []workPart) {
	ctx := trialOf(t)
	parts := []workPart{{2, 10, 4, 4096, x.seed + 2}, {2, 10, 4, 4096, x.seed + 3}}
	if eventually(t, "the coordinator serves or ends", func() bool { return c.serves() || !c.proc.alive() }); !c.serves() {
		return parts
	}
	cl := c.client()
	for len(parts) > 0 {
		done := w.do(parts[0])
		parts = parts[1:]
		select {
		case <-done:
		case <-c.proc.ended:
			x.restart(c)
			received(t, "the work under way, after a restart", done)
			return parts
		}
		eventually(t, "a checkpoint, or the end", func() bool { return savedAll(ctx, cl) || !c.proc.alive() })
	}
	c.proc.signal(syscall.SIGTERM)
	return nil
}

// restart starts it without failures.
func (x *ioLab) restart(c *coordinator) {
	began := time.Now()
	c.start()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.recovery = append(x.recovery, time.Since(began))
}

// try is one case.
func (x *ioLab) try(t *testing.T, s ioSeries, nth int) {
	c := x.coordinator(t, s.warm)
	w := x.startWork(t, c, s.warm)
	i := c.launchInjected(plan{s.kind, nth, s.errno})
	victim := c.proc
	rest := x.scene(t, c, w)
	code := victim.exit()
	_, hit := i.found()
	if c.proc == victim {
		x.restart(c)
	}
	if hit == nil && code != exitClean {
		t.Errorf("exit code %d, and no call has failed", code)
	}
	survived := hit != nil && code == exitClean
	if hit != nil && !survived {
		x.wantSaid(t, victim, code, s, hit)
	}
	for _, p := range rest {
		received(t, "the rest of the work", w.do(p))
	}
	acked := w.judge(c.client(), true)
	if code := c.stop(); code != exitClean {
		t.Errorf("the next coordinator's orderly stop: exit code %d", code)
	}
	if code, out := run(t, program("coordinator"), "check", "--data-dir", c.data); code != 0 {
		t.Errorf("coordinator check: exit code %d\n%s", code, out)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.acked += acked
	switch {
	case hit == nil:
		x.beyond++
	case survived:
		x.survived[hit.name+" of "+hit.file]++
		t.Errorf("%s failed, and the process went on as if nothing was", hit)
	default:
		x.fell[hit.name+" of "+hit.file]++
	}
}

// wantSaid holds that the process has ended with code 1 and said why, in words that name the error.
func (x *ioLab) wantSaid(t *testing.T, p *process, code int, s ioSeries, hit *call) {
	t.Helper()
	if code != 1 {
		t.Errorf("%s failed: exit code %d, want 1", hit, code)
	}
	line := ""
	for _, how := range []string{"a write failed: ending at once", "cannot start", "stopped with errors"} {
		if line == "" {
			line = p.log.find(how, s.errno.Error())
		}
	}
	if line == "" {
		t.Errorf("%s failed, and the process doesn't say so: %q", hit, p.log.all())
	}
	if text := p.log.text(); strings.Contains(text, "panic:") || strings.Contains(text, "goroutine ") {
		t.Errorf("%s failed, and the process panicked", hit)
	}
}
