//go:build e2e && crash

package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	"github.com/yardmaster/yardmaster/internal/store"
)

const (
	tornImagesDefault = 80
	tornPerTape       = 50 // images of one tape, at least
	tornTapesMax      = 20
	tornLoad          = 1200 * time.Millisecond // of each start on a tape, at least: a checkpoint comes within a second
	tornLoadMore      = 500 * time.Millisecond  // at most, beyond that
	tornStartEvery    = 20                      // of so many images one is also served by a real coordinator
	tornCheckers      = 2
	tornRestart       = 80 // steps of a second start that are looked at closely
)

// torn is a run of TestCrashTornImages.
type torn struct {
	t      *testing.T
	rng    *rand.Rand
	slots  chan struct{}
	work   sync.WaitGroup
	images int
	cut    int // writes that kills cut short

	mu       sync.Mutex
	problems []string        // guarded by mu
	opened   []time.Duration // guarded by mu: store and log, until all is applied
	served   []time.Duration // guarded by mu: real starts
	kinds    map[string]int  // guarded by mu: what the images had
}

// TestCrashTornImages records what a coordinator under load writes and fsyncs, and draws images of what a loss of power may
// have left at any moment: each must open as the last fsynced transaction or the one in flight, with every entry of the log
// that was fsynced. Each tape goes on from an image of the one before, and has two starts with a kill -9 between them, of
// which the second begins on what the first had not fsynced.
func TestCrashTornImages(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skipf("TORN IMAGES ARE NOT TESTED: %v; install strace", err)
	}
	images := int(setting(t, "YARD_TORN_IMAGES", tornImagesDefault))
	seed := setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	x := &torn{t: t, rng: rand.New(rand.NewPCG(seed, 4)), slots: make(chan struct{}, tornCheckers), kinds: map[string]int{}}
	tapes := min(tornTapesMax, max(1, images/tornPerTape))
	base, past := map[string]*inode{}, &moment{commands: history{}}
	for n := range tapes {
		base, past = x.tape(n, (images-x.images)/(tapes-n), base, past)
		if t.Failed() || len(x.problems) > problemsMax {
			break
		}
	}
	x.work.Wait()
	for _, p := range x.problems {
		t.Error(p)
	}
	fmt.Printf("crash: %d torn images of %d tapes, %d writes cut by a kill, %v: %d wrong; opened %s, %d served by a coordinator: start to serving %s; YARD_SEED=%d\n",
		x.images, tapes, x.cut, x.kinds, len(x.problems), spread(x.opened), len(x.served), spread(x.served), seed)
}

func (x *torn) problem(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.problems) < problemsMax {
		x.problems = append(x.problems, fmt.Sprintf(format, args...))
	}
}

// tape makes one tape, draws images from it, and returns one of them for the next.
func (x *torn) tape(n, images int, base map[string]*inode, past *moment) (map[string]*inode, *moment) {
	root := workDir(x.t)
	writeImage(x.t, root, base)
	steps, restart, acks := x.record(n, root)
	disk := settled(base)
	points := x.points(steps, restart, images)
	chosen, next := x.rng.IntN(images), past
	for i, s := range steps {
		for len(points) > 0 && points[0] == i {
			points = points[1:]
			m := momentOf(disk, past, steps[:i], acks)
			image := disk.torn(x.rng)
			x.images++
			name := fmt.Sprintf("tape %d, before step %d of %d (%s)", n, i, len(steps), &s)
			if images-len(points)-1 == chosen {
				base, next = image, m
			}
			x.judge(name, m, image, x.images%tornStartEvery == 0)
		}
		disk.apply(i, &steps[i])
	}
	x.work.Wait()
	return base, next
}

// points draws the moments of a tape's images: anywhere, amid a commit of the checkpoint, at the end of a sync, and where the
// second start finds what the first had not fsynced.
func (x *torn) points(steps []step, restart, n int) []int {
	var synced, commits []int
	for i, s := range steps {
		if s.op == "synced" {
			synced = append(synced, i)
			if strings.HasSuffix(s.path, "/"+store.FileName) {
				commits = append(commits, i)
			}
		}
	}
	if len(commits) == 0 {
		x.t.Fatal("no checkpoint on the tape")
	}
	points := make([]int, n)
	for i := range points {
		switch x.rng.IntN(4) {
		case 0:
			points[i] = min(restart+x.rng.IntN(tornRestart), len(steps)-1)
		case 1:
			points[i] = synced[x.rng.IntN(len(synced))]
		case 2:
			points[i] = commits[x.rng.IntN(len(commits))]
		default:
			points[i] = x.rng.IntN(len(steps))
		}
	}
	slices.Sort(points)
	return points
}

// ackedAt is what was acknowledged, and when.
type ackedAt struct {
	id uint64
	at time.Time
}

// record runs a coordinator twice below root, each time under load until it is killed.
func (x *torn) record(n int, root string) (steps []step, restart int, acks []ackedAt) {
	t := x.t
	c := newCoordinator(t, "--session-ttl", "2s")
	c.data = filepath.Join(root, "deep", "down", "data")
	for i := range 2 {
		tape := filepath.Join(t.TempDir(), "tape")
		if err := os.Remove(c.file); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		argv := []string{program("coordinator"), "--data-dir", c.data, "--listen", c.addr, "--admin-listen", "",
			"--address-file", c.file, "--log-segment-bytes", "65536", "--disk-reserve", "1", "--session-ttl", "2s"}
		c.proc = strace(t, "coordinator", tape, argv...)
		pid := x.tracee(c.proc)
		eventually(t, "the coordinator serves", func() bool { return c.serves() || !c.proc.alive() })
		if !c.proc.alive() {
			t.Fatalf("tape %d, start %d: the coordinator has ended: %s", n, i, c.proc.log.text())
		}
		acks = append(acks, x.submits(c, pid)...)
		if i == 0 {
			pass(t.Context(), time.Duration(x.rng.Int64N(int64(3*time.Millisecond))))
		}
		<-c.proc.ended
		keep(pid, false)
		restart = len(steps)
		own := readTape(t, tape, root)
		x.cut += readCut(t, own, root)
		steps = append(steps, x.renumbered(own, len(steps))...)
	}
	return steps, restart, acks
}

// renumbered keeps the calls of one start apart from those of another.
func (x *torn) renumbered(steps []step, by int) []step {
	for i := range steps {
		steps[i].call += by
	}
	return steps
}

// tracee is the process that strace started. It outlives a killed strace, so the keeper and the test's end are told.
func (x *torn) tracee(p *process) int {
	x.t.Helper()
	file := fmt.Sprintf("/proc/%d/task/%d/children", p.pid(), p.pid())
	pid := 0
	eventually(x.t, "strace has started its program", func() bool {
		data, _ := os.ReadFile(file) // of a strace that has ended there is none
		pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) // strace first tries out what it can do on other children
		return exe == program("coordinator") || !p.alive()
	})
	keep(pid, true)
	x.t.Cleanup(func() {
		if p.alive() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended just now
			<-p.ended
		}
		keep(pid, false)
	})
	return pid
}

// submits stores tasks, which a worker ends, and kills the coordinator amid it.
func (x *torn) submits(c *coordinator, pid int) []ackedAt {
	t := x.t
	book := startLedger(t)
	w := sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 8}.start(t)
	defer w.kill()
	var mu sync.Mutex
	var acks []ackedAt
	stub, ctx := c.stub(), bounded(t)
	var loops sync.WaitGroup
	for range 2 {
		rng := rand.New(rand.NewPCG(x.rng.Uint64(), 0))
		loops.Go(func() {
			for ctx.Err() == nil {
				ids, err := submitOnce(ctx, stub, 1+rng.IntN(8), rng.IntN(padBytesMax))
				if err != nil {
					return // it was killed
				}
				now := time.Now()
				mu.Lock()
				for _, id := range ids {
					acks = append(acks, ackedAt{id, now})
				}
				mu.Unlock()
			}
		})
	}
	pass(t.Context(), tornLoad+time.Duration(x.rng.Int64N(int64(tornLoadMore))))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	loops.Wait()
	return acks
}

// judge checks an image, beside the others.
func (x *torn) judge(name string, m *moment, image map[string]*inode, serve bool) {
	x.slots <- struct{}{}
	x.work.Go(func() {
		defer func() { <-x.slots }()
		dir, err := os.MkdirTemp("", "yard-torn-")
		if err != nil {
			x.problem("%v", err)
			return
		}
		defer os.RemoveAll(dir)
		root := filepath.Join(dir, "opened")
		if err := os.Mkdir(root, 0o700); err != nil {
			x.problem("%v", err)
			return
		}
		writeImage(x.t, root, image)
		began := time.Now()
		kind, err := m.check(filepath.Join(root, "deep", "down", "data"), image)
		took := time.Since(began)
		if err != nil {
			x.problem("%s: %v", name, err)
		}
		x.mu.Lock()
		x.opened = append(x.opened, took)
		x.kinds[kind]++
		x.mu.Unlock()
		if serve && err == nil {
			x.serve(name, m, dir, image)
		}
	})
}

// serve starts a real coordinator on an image: it must know what was acknowledged.
func (x *torn) serve(name string, m *moment, dir string, image map[string]*inode) {
	root := filepath.Join(dir, "served")
	if err := os.Mkdir(root, 0o700); err != nil {
		x.problem("%v", err)
		return
	}
	writeImage(x.t, root, image)
	c := newCoordinator(x.t)
	c.data = filepath.Join(root, "deep", "down", "data")
	began := time.Now()
	c.launch()
	defer c.proc.kill()
	if !holdsWithin(trialOf(x.t), patience, func() bool { return c.serves() || !c.proc.alive() }) || !c.serves() {
		x.problem("%s: a coordinator doesn't serve: %s", name, c.proc.log.text())
		return
	}
	took := time.Since(began)
	known := map[uint64]bool{}
	for task, err := range c.client().List(bounded(x.t), client.Filter{PageSize: 1000}) {
		if err != nil {
			x.problem("%s: %v", name, err)
			return
		}
		known[task.GetId()] = true
	}
	for _, id := range m.acked {
		if !known[id] {
			x.problem("%s: task %d was acknowledged before, and is lost", name, id)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.served = append(x.served, took)
}
