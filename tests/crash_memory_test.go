//go:build e2e && crash

package tests

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/worker"
)

const (
	memoryBytes          = 256 << 20
	memorySessions       = 1000
	memoryTasksDefault   = 5000 // of each half: before all connections are cut, and after
	memoryWatchers       = 100
	memoryAwaits         = 100
	memoryBatch          = 500
	memorySlack          = 25 // goroutines and descriptors above the base line in the end: timers, the admin listener's own
	memoryCrowdReconnect = 40 * time.Second
)

// TestCrashMemory has a coordinator with a memory limit of 256 MiB serve 1,000 sessions of a process of their own, and
// watchers and await streams that don't read, has all of these cut and resumed, and looks at memory, goroutines and
// descriptors.
func TestCrashMemory(t *testing.T) {
	tasks := int(setting(t, "YARD_MEMORY_TASKS", memoryTasksDefault))
	began := time.Now()
	cage, admin := newCage(t, memoryBytes), steadyAddress(t)
	c := newCoordinator(t, "--session-ttl", "1m", "--admin-listen", admin, "--log-level", "warn",
		"--log-segment-bytes", "67108864")
	c.launchCaged(cage)
	eventually(t, "the coordinator serves", c.serves)
	c.proc.lives()
	cl := c.client()
	t.Cleanup(func() {
		if use, how := cage.usage(c.proc.pid()); use.killed > 0 {
			t.Errorf("the coordinator was killed for its memory (%s)", how)
		}
	})
	submit(t, cl, client.Task{Kind: "first"})
	base := scrape(t, admin)

	front := startProxy(t, c.addr)
	crowd := startRole(t, roleCrowd, "crowd", crowdPart{front.addr, memorySessions})
	c.workers(cl, memorySessions)
	mute := startMute(t, front.addr, c.addr)
	x := &memoryLoad{t: t, cl: cl}
	x.half(tasks)
	front.cut()
	front.restore()
	x.half(tasks)
	c.within(cl, memorySessions, memoryCrowdReconnect)
	peak := scrape(t, admin)
	usage, limited := cage.usage(c.proc.pid())

	mute.end()
	crowd.signal(syscall.SIGTERM)
	crowd.exit()
	front.cut()
	after := map[string]float64{}
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if !holdsWithin(trialOf(t), patience, func() bool {
			after[name] = scrape(t, admin)[name]
			return after[name] <= base[name]+memorySlack
		}) {
			t.Errorf("%s was %g, is %g with nobody there any more", name, base[name], after[name])
		}
	}
	if usage.peak > memoryBytes || usage.killed > 0 {
		t.Errorf("%d MiB were used at most, and %d processes killed", usage.peak>>20, usage.killed)
	}
	fmt.Printf("crash lab, memory: %d sessions, %d watchers and %d awaits that don't read, %d tasks, all connections cut once; "+
		"peak RSS %d MiB of %d (%s), %d killed; goroutines %g, %g at work, %g after; descriptors %g, %g, %g; %s\n",
		memorySessions, memoryWatchers, memoryAwaits, 2*tasks, usage.peak>>20, memoryBytes>>20, limited, usage.killed,
		base["go_goroutines"], peak["go_goroutines"], after["go_goroutines"],
		base["process_open_fds"], peak["process_open_fds"], after["process_open_fds"], time.Since(began).Round(time.Second))
}

// within waits until n sessions are attached.
func (c *coordinator) within(cl *client.Client, n uint32, limit time.Duration) {
	c.t.Helper()
	if !holdsWithin(trialOf(c.t), limit, func() bool {
		st, err := cl.Operator().Status(bounded(c.t), &pb.OperatorServiceStatusRequest{})
		return err == nil && st.GetAttached() == n
	}) {
		c.t.Errorf("%d sessions aren't attached within %s", n, limit)
	}
}

// memoryLoad submits and awaits.
type memoryLoad struct {
	t  *testing.T
	cl *client.Client
}

func (x *memoryLoad) half(tasks int) {
	x.t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	for range tasks / memoryBatch {
		list := make([]client.Task, memoryBatch)
		for i := range list {
			list[i] = client.Task{Kind: "note", Payload: make([]byte, rng.IntN(1024))}
		}
		ids := submit(x.t, x.cl, list...)
		for i, out := range outcomes(x.t, x.cl, ids) {
			if want := fmt.Sprintf("%d/%d", ids[i], out.Token); out.Err() != nil || string(out.Result) != want {
				x.t.Fatalf("task %d ended %+v", ids[i], out)
			}
		}
	}
}

// mute is watchers and await streams that never read.
type mute struct {
	end func()
}

// startMute has half of them behind the first address, half behind the second. Await streams wait for tasks that never end.
func startMute(t *testing.T, addrs ...string) *mute {
	t.Helper()
	ctx, cancel := context.WithCancel(trialOf(t))
	var conns []*grpc.ClientConn
	for i := range memoryWatchers {
		conn, err := grpc.NewClient(addrs[i%len(addrs)], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		stub := pb.NewTaskServiceClient(conn)
		watch, err := stub.Watch(ctx, &pb.TaskServiceWatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Header(); err != nil && i%len(addrs) != 0 {
			t.Fatal(err)
		}
		for range memoryAwaits / memoryWatchers {
			if _, err := stub.Await(ctx, &pb.AwaitRequest{TaskIds: []uint64{1}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var once sync.Once
	m := &mute{end: func() {
		once.Do(func() {
			cancel()
			for _, conn := range conns {
				conn.Close()
			}
		})
	}}
	t.Cleanup(m.end)
	return m
}

// roleCrowd is a process with many workers.
const roleCrowd = "crowd"

// crowdPart is its settings.
type crowdPart struct {
	Coordinator string
	Workers     int
}

func playCrowd() int {
	var part crowdPart
	if err := settings(&part); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer release()
	var all sync.WaitGroup
	for i := range part.Workers {
		w, err := worker.New(worker.Config{Coordinators: []string{part.Coordinator}, Name: fmt.Sprint("crowd-", i), Slots: 2, DrainTimeout: -1})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		w.HandleRaw("note", func(_ context.Context, task *worker.Task) ([]byte, error) { return result(task), nil })
		all.Go(func() { _ = w.Run(ctx) })
	}
	all.Wait()
	return 0
}

// cage is a control group with a memory limit, or, where none can be made, a limit that only the Go runtime heeds.
type cage struct {
	dir  string // "": none
	v2   bool
	most int
}

type memoryUse struct {
	peak   int // bytes
	killed int
}

// newCage makes a group below the one that the tests run in, so that they stay within their own limits.
func newCage(t *testing.T, most int) *cage {
	t.Helper()
	g := &cage{most: most}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return g
	}
	for line := range strings.Lines(string(text)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 || part[1] != "memory" && part[1] != "" {
			continue
		}
		root, limit := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		if part[1] == "" {
			root, limit = "/sys/fs/cgroup", "memory.max"
		}
		dir := filepath.Join(root, part[2], fmt.Sprint("yard-crash-", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		if os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(most)), 0o644) != nil {
			continue
		}
		g.dir, g.v2 = dir, part[1] == ""
		return g
	}
	t.Logf("no control group with a memory limit can be made: GOMEMLIMIT and a look at the RSS in its place")
	return g
}

// usage is how much a process has used at most, and how that was bounded.
func (g *cage) usage(pid int) (use memoryUse, how string) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(rest, &use.peak) // 0 is no peak that a test takes for one
			use.peak <<= 10
		}
	}
	if g.dir == "" {
		return use, "GOMEMLIMIT"
	}
	events := "memory.oom_control"
	if g.v2 {
		events = "memory.events"
	}
	text, _ = os.ReadFile(filepath.Join(g.dir, events))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "oom_kill "); ok {
			_, _ = fmt.Sscan(rest, &use.killed)
		}
	}
	return use, "control group"
}

// roleCaged is the role that joins a group and becomes the program.
const roleCaged = "caged"

// cagedPart is its settings.
type cagedPart struct {
	Procs string // "": none
	Argv  []string
}

// launchCaged launches the coordinator with a memory limit and doesn't wait.
func (c *coordinator) launchCaged(g *cage) {
	c.t.Helper()
	part := cagedPart{Argv: c.argv()}
	if g.dir != "" {
		part.Procs = filepath.Join(g.dir, "cgroup.procs")
	} else {
		part.Argv = append([]string{"/usr/bin/env", fmt.Sprint("GOMEMLIMIT=", g.most)}, part.Argv...)
	}
	c.proc = startRole(c.t, roleCaged, "coordinator", part)
}

func playCaged() int {
	var part cagedPart
	if err := settings(&part); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if part.Procs != "" {
		if err := os.WriteFile(part.Procs, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "join the control group:", err)
			return 1
		}
	}
	return become(part.Argv)
}
