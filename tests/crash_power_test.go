//go:build e2e && crash

package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	"golang.org/x/sys/unix"
)

const (
	powerCutsDefault = 12
	powerRoundCuts   = 35 // on one disk, before it is judged and made anew
	powerPauseMax    = 400 * time.Millisecond
	powerWatchLimit  = 3000 // milliseconds that a checkpoint or a rotation is waited for
)

// power is a run of TestCrashPowerCuts.
type power struct {
	rng *rand.Rand

	cuts     map[string]int  // by moment
	serving  []time.Duration // from the start after a cut until it serves
	first    []time.Duration // from that start until a task has completed
	acked    int
	stopped  int // cuts before which the program was stopped; it saw the others
	runs     int
	refused  int
	problems int
}

// TestCrashPowerCuts cuts the power of a coordinator's disk: under load, at its very first start, while it compacts and
// while it carries an older format over. What wasn't fsynced is gone then. What was acknowledged is there, each task has one
// outcome, and the checkpoint has no fault.
func TestCrashPowerCuts(t *testing.T) {
	cuts := int(setting(t, "YARD_POWER_CUTS", powerCutsDefault))
	seed := setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	p := &power{rng: rand.New(rand.NewPCG(seed, 3)), cuts: map[string]int{}}
	few := max(1, cuts/10)
	rest := cuts - 3*few
	for n := 0; rest > 0; n++ {
		now := min(rest, powerRoundCuts)
		rest -= now
		t.Run(fmt.Sprintf("load-%d", n), func(t *testing.T) { p.underLoad(t, now, max(1, few*now/(cuts-3*few)), seed+uint64(n)) })
	}
	t.Run("first-start", func(t *testing.T) { p.firstStart(t, few) })
	t.Run("upgrade", func(t *testing.T) { p.upgrade(t, few) })
	total := 0
	for _, n := range p.cuts {
		total += n
	}
	fmt.Printf("crash: %d power cuts %v, %d of them seen by the program: %d tasks acknowledged, %d runs, %d late outcomes refused, %d problems; start to serving %s, to the first task %s; YARD_SEED=%d\n",
		total, p.cuts, total-p.stopped, p.acked, p.runs, p.refused, p.problems, spread(p.serving), spread(p.first), seed)
}

// spread is the median and the worst of some times.
func spread(list []time.Duration) string {
	if len(list) == 0 {
		return "-"
	}
	slices.Sort(list)
	return fmt.Sprintf("median %s worst %s", list[len(list)/2].Round(time.Millisecond), list[len(list)-1].Round(time.Millisecond))
}

// cut cuts the power at a moment, kills who then can't write any more, and brings the power back. In half of the cases the
// program goes on for the moment between, with a disk that refuses all.
func (p *power) cut(d *powerDisk, proc *process, moment string) {
	d.t.Helper()
	p.cuts[moment]++
	if p.rng.IntN(2) == 0 {
		p.stopped++
		proc.signal(syscall.SIGSTOP) // it has no power either, and can't tell anybody that its writes fail
	} else { // it may: nothing that fails is acknowledged, and who asked tries again
		proc.asked.Store(true) // it may end before it is killed
	}
	d.cut()
	proc.kill()
	d.powered()
}

// underLoad cuts the power while tasks are submitted and done, then while the file is compacted.
func (p *power) underLoad(t *testing.T, cuts, compacts int, seed uint64) {
	disk := newPowerDisk(t)
	book := startLedger(t)
	c := newCoordinator(t, "--session-ttl", "2s").onDisk(disk.dir)
	c.start()
	for _, name := range []string{"sdk-1", "sdk-2"} {
		sdkWorker{Coordinator: c.addr, Name: name, Ledger: book.socket, Slots: 8}.start(t)
	}
	runs := filepath.Join(workDir(t), "exec-runs")
	(&killing{t: t, c: c}).exec("exec-1", runs)()
	l := startLoad(t, []string{c.addr, c.addr}, book, seed)
	eventually(t, "the load runs", func() bool { return l.done.Load() > 100 })
	for i := range cuts {
		moment := p.await(t, c, i)
		p.cut(disk, c.proc, moment)
		c.wantChecked()
		began := time.Now()
		seen := l.watch(func(out *client.Outcome) bool { return out.FinishTime.After(began) })
		c.start()
		p.serving = append(p.serving, time.Since(began))
		p.first = append(p.first, received(t, "the first task after a power cut", seen).Sub(began))
	}
	l.stop()
	cl := c.client()
	before := outcomesBy(t, cl, l.acked())
	p.compact(t, disk, c, compacts)
	c.start()
	after := outcomesBy(t, cl, l.acked())
	sameOutcomes(t, before, after)
	v := judge(append(book.records(), execRuns(t, runs)...), after, listIDs(t, cl))
	for _, problem := range v.problems {
		t.Error(problem)
	}
	if code := c.stop(); code != exitClean {
		t.Errorf("exit code %d", code)
	}
	c.wantChecked()
	disk.wantWhole()
	p.acked, p.runs, p.refused, p.problems = p.acked+v.acked, p.runs+v.runs, p.refused+v.fenced, p.problems+len(v.problems)
}

// await waits for a moment to cut: any, in a checkpoint, or in a rotation of the log.
func (p *power) await(t *testing.T, c *coordinator, i int) string {
	t.Helper()
	pass(t.Context(), time.Duration(p.rng.Int64N(int64(powerPauseMax))))
	var w *watched
	moment, most := "checkpoint", 12*time.Millisecond
	switch i % 3 {
	case 0:
		return "load"
	case 1:
		w = watchPath(t, filepath.Join(c.data, "yardmaster.db"), unix.IN_MODIFY)
	default:
		moment, most = "rotation", 3*time.Millisecond
		w = watchPath(t, filepath.Join(c.data, "raft", "wal"), unix.IN_CREATE|unix.IN_DELETE)
	}
	if !w.event(powerWatchLimit) {
		t.Errorf("no %s within %d ms under load", moment, powerWatchLimit)
	}
	pass(t.Context(), time.Duration(p.rng.Int64N(int64(most))))
	return moment
}

// compact cuts the power while the file is compacted: it is the old one or the new one then, and holds the same.
func (p *power) compact(t *testing.T, disk *powerDisk, c *coordinator, cuts int) {
	t.Helper()
	if code := c.stop(); code != exitClean {
		t.Errorf("exit code %d", code)
	}
	argv := []string{program("coordinator"), "compact", "--data-dir", c.data}
	began := time.Now()
	if code, out := run(t, argv...); code != 0 {
		t.Fatalf("compact: exit code %d: %s", code, out)
	}
	took := time.Since(began)
	want := c.wantChecked()
	for range cuts {
		proc := start(t, "compact", nil, argv...)
		pass(t.Context(), time.Duration(p.rng.Int64N(int64(took))))
		p.cut(disk, proc, "compact")
		if got := c.wantChecked(); got != want {
			t.Errorf("after a power cut while compacting the file holds\n%s\nand held\n%s", got, want)
		}
	}
}

// wantChecked holds that check finds no problem, and returns what it counts.
func (c *coordinator) wantChecked() string {
	c.t.Helper()
	code, out := run(c.t, program("coordinator"), "check", "--data-dir", c.data)
	if code != 0 || !strings.Contains(out, "no problem found") {
		c.t.Errorf("check: exit code %d: %s", code, out)
	}
	_, counts, _ := strings.Cut(out, "\n") // without the size
	return counts
}

// firstStart cuts the power while a coordinator starts in a directory that isn't there yet.
func (p *power) firstStart(t *testing.T, cuts int) {
	disk := newPowerDisk(t)
	for i := 0; i < cuts; {
		c := newCoordinator(t)
		c.data = filepath.Join(disk.dir, fmt.Sprint(i), "below", "data")
		var ids []uint64
		for range min(1+p.rng.IntN(3), cuts-i) { // in a row
			c.launch()
			pass(t.Context(), time.Duration(p.rng.Int64N(int64(200*time.Millisecond))))
			if c.serves() && c.proc.alive() {
				ids = append(ids, submit(t, c.client(), client.Task{Kind: "nobody"})...)
			}
			p.cut(disk, c.proc, "first start")
			i++
		}
		began := time.Now()
		c.start()
		p.serving = append(p.serving, time.Since(began))
		inState(t, c.client(), client.Pending, ids...)
		if code := c.stop(); code != exitClean {
			t.Errorf("exit code %d", code)
		}
		c.wantChecked()
	}
	disk.wantWhole()
}

// upgrade cuts the power while a coordinator starts on a data directory of an older format.
func (p *power) upgrade(t *testing.T, cuts int) {
	disk := newPowerDisk(t)
	for i := 0; i < cuts; {
		name := fmt.Sprintf("format-%d", 1+p.rng.IntN(2))
		c := newCoordinator(t, "--session-ttl", "10m")
		c.data = filepath.Join(disk.dir, fmt.Sprint(i))
		if err := os.Mkdir(c.data, 0o700); err != nil {
			t.Fatal(err)
		}
		unpack(t, name, c.data)
		disk.sync()
		for range min(1+p.rng.IntN(3), cuts-i) {
			c.launch()
			pass(t.Context(), time.Duration(p.rng.Int64N(int64(200*time.Millisecond))))
			p.cut(disk, c.proc, "upgrade")
			c.wantChecked()
			i++
		}
		began := time.Now()
		c.start()
		p.serving = append(p.serving, time.Since(began))
		for _, want := range recorded(t, name+"/details.json") {
			want = want.asOf(time.Now())
			got := records(t, c.ctl("task", "get", want["id"].(string), "--payload", "-o", "json"))
			says(t, "task "+want["id"].(string), map[string]any(got[0]), map[string]any(want))
		}
		if code := c.stop(); code != exitClean {
			t.Errorf("exit code %d", code)
		}
		c.wantWhole("format 3")
	}
	disk.wantWhole()
}
