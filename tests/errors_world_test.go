//go:build e2e

package tests

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// errorWorld is what the commands of docs/errors.md meet: coordinators, tasks, data directories.
type errorWorld struct {
	addr   string            // of the shared coordinator
	shared map[string]string // what words of the tables stand for
	whole  string            // the data directory of a coordinator that was killed, to be copied and damaged
}

// newErrorWorld starts what all rows share.
func newErrorWorld(t *testing.T) *errorWorld {
	t.Helper()
	admin := steadyAddress(t)
	c := startCoordinator(t, "--admin-listen", admin)
	reserve := startCoordinator(t, "--disk-reserve", "1000000000000000000")
	small := startCoordinator(t, "--max-tasks", "1")
	w := &errorWorld{addr: c.addr, whole: killedData(t)}
	submit(t, small.client(), client.Task{Kind: "nobody"})
	w.shared = map[string]string{
		"ADDR": c.addr, "ADMIN": admin, "LOCKED": c.data, "RESERVE": reserve.addr, "SMALL": small.addr,
		"OTHER": startOther(t, c.addr), "BACKUP": filepath.Join(workDir(t), "whole.backup"),
	}
	w.populate(t, c)
	if code, out := c.yardctl("cluster", "backup", w.shared["BACKUP"]); code != 0 {
		t.Fatalf("backup: exit code %d: %s", code, out)
	}
	return w
}

// populate gives the shared coordinator a worker, and a task in each state that rows name.
func (w *errorWorld) populate(t *testing.T, c *coordinator) {
	t.Helper()
	startWorker(t, c.addr, "taken", writeHandlers(t, "handlers:\n- {kind: hello, exec: {argv: [cat]}}\n"+
		"- {kind: fail, exec: {argv: ['false'], permanent_codes: [1]}}\n"))
	cl := c.client()
	ids := submit(t, cl, client.Task{Kind: "hello"}, client.Task{Kind: "fail"}, client.Task{Kind: "nobody"}, client.Task{Kind: "nobody"})
	for i, name := range []string{"DONE", "DEAD", "CANCELLED", "PENDING"} {
		w.shared[name] = strconv.FormatUint(ids[i], 10)
	}
	for _, args := range [][]string{
		{"task", "cancel", w.shared["CANCELLED"]}, {"submit", "hello", "--key", "once"},
		{"queue", "configure", "full", "--depth", "2"}, {"submit", "nobody", "--queue", "full", "--count", "2"},
	} {
		if code, out := c.yardctl(args...); code != 0 {
			t.Fatalf("yardctl %q: exit code %d: %s", args, code, out)
		}
	}
	outcomes(t, cl, ids[:3])
}

// names are what the words of one row stand for.
func (w *errorWorld) names(dir string) map[string]string {
	names := map[string]string{"CONTEXTS": filepath.Join(dir, "config", "yardmaster", "contexts.yaml")}
	for k, v := range w.shared {
		names[k] = v
	}
	return names
}

// furnish puts files and data directories into a row's working directory: those that its command names.
func (w *errorWorld) furnish(t *testing.T, dir, command string) {
	t.Helper()
	files := map[string]string{"config/yardmaster/contexts.yaml": "contexts:\n  prod: {addresses: ['127.0.0.1:7420']}\n"}
	for name, text := range errorFiles {
		if strings.Contains(command, name) {
			files[name] = text
		}
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, word := range strings.Fields(command) {
		if spoil, ok := errorBackups[word]; ok {
			spoil(t, w.shared["BACKUP"], filepath.Join(dir, word))
		}
		if spoil, ok := errorData[word]; ok {
			data := filepath.Join(dir, word)
			if word != "newer-format" && !strings.HasPrefix(word, "full-disk") {
				if err := os.CopyFS(data, os.DirFS(w.whole)); err != nil {
					t.Fatal(err)
				}
			}
			spoil(t, data)
		}
	}
}

// killedData is the data directory of a coordinator that was killed: a checkpoint of 300 tasks, and commands behind it.
func killedData(t *testing.T) string {
	t.Helper()
	c := startCoordinator(t)
	cl := c.client()
	repeat := func(kind string, n int) {
		submit(t, cl, repeated(client.Task{Kind: kind, Payload: []byte("payload of " + kind)}, n)...)
	}
	repeat("saved", 300)
	if code := c.stop(); code != exitClean {
		t.Fatalf("exit code %d", code)
	}
	c.start()
	cl = c.client()
	repeat("behind", 3)
	repeat("last", 1)
	c.proc.kill()
	return c.data
}

// otherVersion passes sessions on to a coordinator, and says in the worker's name that it speaks a version that there never was.
// It knows no other service: so does a server that is older than its client.
type otherVersion struct {
	pb.UnimplementedWorkerServiceServer
	to pb.WorkerServiceClient
}

func (o *otherVersion) Session(from grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]) error {
	m, err := from.Recv()
	if err != nil {
		return err
	}
	m.GetHello().ProtocolVersion = 0
	s, err := o.to.Session(from.Context())
	if err != nil {
		return err
	}
	if err := s.Send(m); err != nil {
		return err
	}
	_, err = s.Recv()
	return err
}

func startOther(t *testing.T, target string) string {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	pb.RegisterWorkerServiceServer(srv, &otherVersion{to: pb.NewWorkerServiceClient(conn)})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		conn.Close()
	})
	return lis.Addr().String()
}
