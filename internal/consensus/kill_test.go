package consensus

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const killChildEnv = "YARD_CONSENSUS_KILL_DIR"

// TestKill kills a process that appends to small segments and cuts all the
// while, twenty times. Each next one must find every entry that its
// predecessors acknowledged, in order, and append.
func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	acknowledged := 0
	for round := range rounds {
		acknowledged = killRound(t, dir, round, acknowledged, 1+random.IntN(300))
	}
	t.Logf("%d entries", acknowledged)
}

// killRound runs the child until it has acknowledged count more entries, kills
// it, and returns the last number that it acknowledged.
func killRound(t *testing.T, dir string, round, acknowledged, count int) int {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killChildEnv+"="+dir)
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines, last := bufio.NewScanner(out), acknowledged
	for lines.Scan() {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "found %d", &n); err == nil {
			if n < acknowledged {
				t.Errorf("round %d: found %d entries, %d were acknowledged", round, n, acknowledged)
			}
			last, acknowledged = n, n
		} else if _, err := fmt.Sscanf(lines.Text(), "ok %d", &n); err == nil {
			last = n
		}
		if last-acknowledged == count {
			_ = child.Process.Kill()
		}
	}
	_ = child.Wait() // it says "killed"
	if last-acknowledged < count {
		t.Fatalf("round %d: the child ended after %d entries:\n%s", round, last-acknowledged, stderr.String())
	}
	return last
}

// killChild is the process that is killed. It proposes the numbers after those
// it found, eight at a time, and prints each when it is acknowledged.
func killChild(dir string) {
	fail := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		os.Exit(1)
	}
	counter := &fileCounter{path: filepath.Join(dir, "disk.json"), fail: fail}
	if err := counter.load(); err != nil {
		fail("load: %v", err)
	}
	l, err := Open(Options{
		Dir: dir, NodeID: "one", Machine: counter, Disk: counter, Now: time.Now,
		Fatal:        func(err error) { fail("fatal: %v", err) },
		SegmentBytes: 128 << 10, TrailingEntries: 8,
		hooks: hooks{raftTimeout: 10 * time.Millisecond},
	})
	if err != nil {
		fail("open: %v", err)
	}
	for term := range l.Terms() {
		if term.Leader {
			break
		}
	}
	// An entry of the new term: behind it, everything old is applied.
	wait, err := l.Propose(numberedEntry(0))
	if err == nil {
		err = wait()
	}
	if err != nil {
		fail("first: %v", err)
	}
	next := counter.found()
	fmt.Printf("found %d\n", next)
	go func() {
		for {
			if err := l.Cut(context.Background()); err != nil {
				fail("cut: %v", err)
			}
		}
	}()
	var waits []func() error
	for {
		next++
		wait, err := l.Propose(numberedEntry(next))
		if err != nil {
			fail("propose %d: %v", next, err)
		}
		if waits = append(waits, wait); len(waits) == 8 {
			if err := waits[0](); err != nil {
				fail("wait: %v", err)
			}
			waits = waits[1:]
			fmt.Printf("ok %d\n", next-7)
		}
	}
}

func numberedEntry(n int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 4096), uint64(n))[:8+n*37%4000]
}

// fileCounter is Machine and Disk of the child: it counts entries, which must
// come in order, and keeps its checkpoint in a file.
type fileCounter struct {
	path string
	fail func(string, ...any)

	mu    sync.Mutex
	state counterState // as applied
	disk  counterState // as on disk
}

type counterState struct {
	Index uint64
	Count int
	Meta  []byte
}

func (c *fileCounter) load() error {
	data, err := os.ReadFile(c.path)
	if os.IsNotExist(err) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c.disk)
	}
	c.state = c.disk
	return err
}

func (c *fileCounter) save(s counterState) error {
	data, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(c.path+".tmp", data, 0o600)
	}
	if err == nil {
		err = os.Rename(c.path+".tmp", c.path)
	}
	if err == nil {
		c.disk = s
	}
	return err
}

func (c *fileCounter) found() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Count
}

func (c *fileCounter) Apply(index, _ uint64, entry []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := int(binary.BigEndian.Uint64(entry)); n != 0 {
		if n != c.state.Count+1 {
			c.fail("entry %d follows %d", n, c.state.Count)
		}
		c.state.Count = n
	}
	c.state.Index = index
}

func (c *fileCounter) Checkpoint(_ context.Context, _ uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.save(counterState{c.state.Index, c.state.Count, c.disk.Meta})
}

func (c *fileCounter) DurableIndex() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disk.Index
}

func (c *fileCounter) SnapshotMeta() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disk.Meta, nil
}

func (c *fileCounter) PutSnapshotMeta(data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.save(counterState{c.disk.Index, c.disk.Count, data})
}

func (c *fileCounter) WriteTo(io.Writer) (int64, error) { return 0, nil }
