//go:build e2e

package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// zooRSSMax bounds the worker's memory while programs write gigabytes, in bytes.
const zooRSSMax = 160 << 20

const zooSlots = 8

// zooKeeper is a worker with the animals as its handlers.
type zooKeeper struct {
	t    *testing.T
	c    *coordinator
	cl   *client.Client
	nap  string // span of sleep that only its animals have
	gate string // file that lets the probes end
	pipe *fifo  // that the probes hold
	proc *process
}

// zooNap is a span of sleep that no other zoo has.
func zooNap() string { return fmt.Sprintf("9%07d.%d", os.Getpid(), 1_000_000+rand.IntN(9_000_000)) }

// startZoo starts a worker, whose address may be a proxy's.
func startZoo(t *testing.T, c *coordinator, name, addr string, animals []animal, flags ...string) *zooKeeper {
	t.Helper()
	k := &zooKeeper{t: t, c: c, cl: c.client(), nap: zooNap(), gate: filepath.Join(t.TempDir(), "gate"), pipe: newFifo(t)}
	text := "handlers:\n"
	add := func(kind, shell, script string, progress bool) {
		text += fmt.Sprintf("- kind: %s\n  progress: %t\n  exec: {argv: [%s, -c, \"%s\", sh, %s, %s]}\n", kind, progress, shell,
			yamlQuoted(strings.ReplaceAll(": NAP; "+script, "NAP", k.nap)), k.pipe.path, k.gate)
	}
	for _, a := range animals {
		shell := a.shell
		if shell == "" {
			shell = "/bin/sh"
		}
		add(a.name, shell, a.script, a.progress)
	}
	add("probe", "/bin/sh", `exec 9>"$1"; echo up >&9; while [ ! -e "$2" ]; do sleep 0.01; done`, false)
	k.proc = startWorker(t, addr, name, writeHandlers(t, text), append([]string{"--slots", strconv.Itoa(zooSlots), "--kill-grace", "200ms"}, flags...)...)
	return k
}

// show runs animals, all at once, and checks how they end.
func (k *zooKeeper) show(animals []animal) {
	k.t.Helper()
	tasks := make([]client.Task, len(animals))
	for i := range animals {
		tasks[i] = animals[i].task()
	}
	for i, out := range outcomes(k.t, k.cl, submit(k.t, k.cl, tasks...)) {
		if wrong := animals[i].want(out); wrong != "" {
			k.t.Errorf("%s: %s; it ended %s: %v", animals[i].name, wrong, client.StateWord(out.State), out.Failure)
		}
	}
}

// slots wants all slots to be back: as many probes run at once.
func (k *zooKeeper) slots() {
	k.t.Helper()
	ids := submit(k.t, k.cl, repeated(client.Task{Kind: "probe"}, zooSlots)...)
	k.pipe.lines(k.t, zooSlots)
	open(k.t, k.gate)
	for _, out := range outcomes(k.t, k.cl, ids) {
		if out.State != client.Succeeded {
			k.t.Errorf("a probe ended %+v", out)
		}
	}
	k.pipe.ends(k.t)
}

// procs are the processes of this machine: what they are called, and their parents.
func procs(t *testing.T) (args map[int]string, parents map[int]int) {
	t.Helper()
	args, parents = map[int]string{}, map[int]int{}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		stat, statErr := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil || statErr != nil {
			continue // it has gone
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // a zombie has none
		args[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		parents[pid], _ = strconv.Atoi(fields[1])
	}
	return args, parents
}

// nappers lists the processes of this zoo, wherever they have gone. The worker's own arguments don't hold the span.
func (k *zooKeeper) nappers() (left []string) {
	k.t.Helper()
	args, parents := procs(k.t)
	for pid, line := range args {
		if strings.Contains(line, k.nap) {
			left = append(left, fmt.Sprintf("%d (child of %d): %.80s", pid, parents[pid], line))
		}
	}
	return left
}

// helper finds the worker's helper, 0 if there is none, and all that is below it.
func (k *zooKeeper) helper() (pid int, below []string) {
	k.t.Helper()
	args, parents := procs(k.t)
	for p, parent := range parents {
		if parent == k.proc.pid() && strings.HasPrefix(args[p], "yard-exec ") {
			pid = p
		}
	}
	for p := range parents {
		for up := parents[p]; up > 1; up = parents[up] {
			if up == pid {
				below = append(below, fmt.Sprintf("%d: %.80s", p, args[p]))
				break
			}
		}
	}
	return pid, below
}

// descriptors counts what a process has open: pipes alone, and all.
func descriptors(pid int) (pipes, all int) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil {
			all++
			if strings.HasPrefix(to, "pipe:") {
				pipes++
			}
		}
	}
	return pipes, all
}

// openFiles are those of the worker and of its helper.
type openFiles struct{ worker, workerPipes, helper, helperPipes int }

func (k *zooKeeper) openFiles() (n openFiles) {
	helper, _ := k.helper()
	n.workerPipes, n.worker = descriptors(k.proc.pid())
	n.helperPipes, n.helper = descriptors(helper)
	return n
}

// idle counts them of an idle worker that has a helper.
func (k *zooKeeper) idle() (n openFiles) {
	k.t.Helper()
	k.show([]animal{{name: "no-newline", want: succeeds("end")}})
	eventually(k.t, "the helper is there", func() bool { n = k.openFiles(); return n.helper > 0 })
	return n
}

// empty waits until nothing is left of the animals: no process, zombies included, and no pipe or descriptor more than before.
// A moment after the last outcome something may be there still: what a stranger left dies with the last task beside it.
func (k *zooKeeper) empty(before openFiles) {
	k.t.Helper()
	var seen []string
	none := func() bool {
		_, below := k.helper()
		if seen = append(k.nappers(), below...); len(seen) > 0 {
			return false
		}
		now := k.openFiles()
		if now.worker > before.worker || now.workerPipes > before.workerPipes || now.helper > before.helper || now.helperPipes > before.helperPipes {
			seen = append(seen, fmt.Sprintf("open files %+v, they were %+v", now, before))
		}
		return len(seen) == 0
	}
	if !holdsWithin(trialOf(k.t), 5*time.Second, none) {
		k.t.Errorf("left behind: %s", strings.Join(seen, "; "))
	}
}

// memory is the most memory that a process has had, in bytes; fresh: since now.
func memory(t *testing.T, pid int, fresh bool) int {
	t.Helper()
	if fresh {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kilobytes, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// TestZoo shows every animal: each ends as the documents say, its slot comes back, and nothing of it is left.
func TestZoo(t *testing.T) {
	t.Parallel()
	c := startCoordinator(t, "--session-ttl", "2s")
	k := startZoo(t, c, "zoo", c.addr, append(zoo, floods...))
	before := k.idle()
	began := time.Now()
	k.show(zoo)
	memory(t, k.proc.pid(), true)
	k.show(floods)
	peak := memory(t, k.proc.pid(), false)
	if peak > zooRSSMax {
		t.Errorf("the worker took %d MiB while programs wrote 2 GiB, at most %d are expected", peak>>20, zooRSSMax>>20)
	}
	if n := strings.Count(k.proc.log.text(), "a line of progress was ignored"); n != 1 {
		t.Errorf("%d warnings of progress, want 1", n)
	}
	k.empty(before)
	k.slots()
	k.empty(before)
	fmt.Printf("  zoo: %d animals in %s, leftovers 0, the worker's memory at most %d MiB while they wrote 2 GiB\n", len(zoo)+len(floods),
		time.Since(began).Round(10*time.Millisecond), peak>>20)
}

// hanging are the animals that don't end by themselves, without their time-outs, and something of each kind of leftover
// beside them.
func hanging() []animal {
	list := []animal{
		{name: "hang-daemons", hangs: true, script: `(setsid sh -c '(sleep NAP </dev/null >/dev/null 2>&1 &); exit 0' <&- >&- 2>&- &); trap '' TERM; while :; do sleep NAP; done`},
		{name: "hang-stranger", hangs: true, script: `(env -i setsid sh -c '(sleep NAP <&- >&- 2>&- &); exit 0' <&- >&- 2>&- &); sleep NAP`},
	}
	for _, a := range zoo {
		if a.hangs {
			a.timeout = 0
			list = append(list, a)
		}
	}
	return list
}

// TestZooInterrupted ends a worker, or its contact, while animals run: nothing of them is left, and the tasks come back as
// the documents say.
func TestZooInterrupted(t *testing.T) {
	t.Parallel()
	animals := hanging()
	for _, c := range []struct {
		name      string
		interrupt func(k *zooKeeper, x *proxy)
		state     client.TaskState
		losses    uint32
	}{
		{"the worker is killed", func(k *zooKeeper, _ *proxy) { k.proc.kill() }, client.Dead, 1},
		{"the worker drains", func(k *zooKeeper, _ *proxy) {
			k.proc.signal(syscall.SIGTERM)
			if code := k.proc.exit(); code != exitClean {
				k.t.Errorf("exit code %d", code)
			}
		}, client.Pending, 0},
		{"the coordinator is cut off", func(_ *zooKeeper, x *proxy) { x.cut() }, client.Dead, 1},
		{"the helper is killed", func(k *zooKeeper, _ *proxy) {
			pid, _ := k.helper()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				k.t.Error(err)
			}
		}, client.Dead, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := startCoordinator(t, "--session-ttl", "2s")
			x := startProxy(t, server.addr)
			k := startZoo(t, server, "zoo", x.addr, animals, "--drain-timeout", "100ms")
			var tasks []client.Task
			for i := range animals {
				tasks = append(tasks, animals[i].task())
			}
			ids := submit(t, k.cl, tasks...)
			inState(t, k.cl, client.Running, ids...)
			eventually(t, "the animals are at it", func() bool { return len(k.nappers()) >= 2*len(animals) })
			processes := len(k.nappers())
			began := time.Now()
			c.interrupt(k, x)
			eventually(t, "nothing is left", func() bool { return len(k.nappers()) == 0 })
			took := time.Since(began)
			for _, task := range inState(t, k.cl, c.state, ids...) {
				if task.GetWorkerLosses() != c.losses || c.state == client.Pending && task.GetAttempts() != 0 {
					t.Errorf("%s: %d attempts, %d losses", task.GetKind(), task.GetAttempts(), task.GetWorkerLosses())
				}
			}
			t.Logf("%s: of %d animals with %d processes none is left %s later", c.name, len(animals), processes, took.Round(time.Millisecond))
		})
	}
}
