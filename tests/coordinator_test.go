//go:build e2e

package tests

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// coordinator is a data directory and the process that serves it, over any number of starts.
type coordinator struct {
	t     *testing.T
	data  string // the data directory
	addr  string // where it serves; the same over all starts
	file  string // the address file
	flags []string
	proc  *process // of the last start
}

// newCoordinator prepares a coordinator that isn't started.
func newCoordinator(t *testing.T, flags ...string) *coordinator {
	t.Helper()
	dir := workDir(t)
	return &coordinator{t: t, data: filepath.Join(dir, "data"), file: filepath.Join(dir, "address"), addr: steadyAddress(t), flags: flags}
}

// startCoordinator starts one and waits until it serves.
func startCoordinator(t *testing.T, flags ...string) *coordinator {
	t.Helper()
	c := newCoordinator(t, flags...)
	c.start()
	return c
}

// launch starts the process and doesn't wait.
func (c *coordinator) launch() {
	c.t.Helper()
	if err := os.Remove(c.file); err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	c.proc = start(c.t, "coordinator", nil, c.argv()...)
}

// argv is the command line of a start.
func (c *coordinator) argv() []string {
	return append([]string{program("coordinator"), "--data-dir", c.data, "--listen", c.addr, "--admin-listen", "",
		"--address-file", c.file, "--log-segment-bytes", "131072", "--disk-reserve", "1"}, c.flags...)
}

// start launches it and waits until it serves.
func (c *coordinator) start() {
	c.t.Helper()
	c.launch()
	eventually(c.t, "the coordinator serves", func() bool { return c.serves() || !c.proc.alive() })
	if !c.serves() {
		c.t.Fatalf("the coordinator ended with code %d before it served", c.proc.exit())
	}
	c.proc.lives()
}

// serves reports whether the address file is there.
func (c *coordinator) serves() bool {
	data, err := os.ReadFile(c.file)
	return err == nil && strings.TrimSpace(string(data)) != ""
}

// stop is an orderly stop; it returns the exit code.
func (c *coordinator) stop() int {
	c.t.Helper()
	c.proc.signal(syscall.SIGTERM)
	return c.proc.exit()
}

// client returns a client of it.
func (c *coordinator) client() *client.Client {
	c.t.Helper()
	return newClient(c.t, c.addr)
}

func newClient(t *testing.T, addr string) *client.Client {
	t.Helper()
	cl, err := client.New(client.Config{Addresses: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl
}

// stub returns the bare stub of TaskService: nothing is repeated.
func (c *coordinator) stub() pb.TaskServiceClient {
	c.t.Helper()
	conn, err := grpc.NewClient(c.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return pb.NewTaskServiceClient(conn)
}

// yardctl runs the command line against it.
func (c *coordinator) yardctl(args ...string) (code int, output string) {
	c.t.Helper()
	return run(c.t, append([]string{program("yardctl"), "--addr", c.addr}, args...)...)
}

// workers waits until n sessions are attached.
func (c *coordinator) workers(cl *client.Client, n uint32) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%d workers are attached", n), func() bool {
		status, err := cl.Operator().Status(bounded(c.t), &pb.OperatorServiceStatusRequest{})
		return err == nil && status.GetAttached() == n
	})
}

// steadyAddress is a free loopback address that nobody's outgoing connection is given while the process behind it is
// dead: it lies below the range of ephemeral ports.
func steadyAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		lis, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err != nil {
			continue
		}
		addr := lis.Addr().String()
		_ = lis.Close()
		return addr
	}
	t.Fatal("no free port between 20000 and 32000")
	return ""
}

// submit stores tasks and returns their ids.
func submit(t testing.TB, cl *client.Client, tasks ...client.Task) []uint64 {
	t.Helper()
	ids, err := cl.SubmitAll(bounded(t), tasks)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// outcomes waits until tasks have ended and returns how, in their order.
func outcomes(t testing.TB, cl *client.Client, ids []uint64) []*client.Outcome {
	t.Helper()
	at := map[uint64]int{}
	for i, id := range ids {
		at[id] = i
	}
	list := make([]*client.Outcome, len(ids))
	err := cl.AwaitAll(bounded(t), ids, func(id uint64, out *client.Outcome) error {
		list[at[id]] = out
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// get returns a task.
func get(t testing.TB, cl *client.Client, id uint64) *client.TaskInfo {
	t.Helper()
	task, err := cl.Get(bounded(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// inState waits until all tasks are in a state, and returns them.
func inState(t testing.TB, cl *client.Client, state client.TaskState, ids ...uint64) []*client.TaskInfo {
	t.Helper()
	tasks := make([]*client.TaskInfo, len(ids))
	for i, id := range ids {
		eventually(t, fmt.Sprintf("task %d is %s", id, client.StateWord(state)), func() bool {
			tasks[i] = get(t, cl, id)
			return tasks[i].GetState() == state
		})
	}
	return tasks
}
