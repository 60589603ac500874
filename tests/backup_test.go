//go:build e2e

package tests

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const (
	restoreJump  = 1 << 32
	restoreKills = 12
	restoreStep  = 4 * time.Millisecond // each restore may live that much longer than the one before
)

// submitting submits tasks, one after the other by each of its clients, and keeps the ids that were acknowledged.
type submitting struct {
	mu    sync.Mutex
	ids   []uint64 // guarded by mu
	stop  chan struct{}
	ended sync.WaitGroup
}

func startSubmitting(t *testing.T, c *coordinator, clients int, task client.Task) *submitting {
	t.Helper()
	l := &submitting{stop: make(chan struct{})}
	for range clients {
		cl := c.client()
		l.ended.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				ids, err := cl.SubmitAll(bounded(t), repeated(task, 10))
				if err != nil {
					t.Errorf("submit: %v", err)
					return
				}
				l.mu.Lock()
				l.ids = append(l.ids, ids...)
				l.mu.Unlock()
			}
		})
	}
	return l
}

// acknowledged are the ids so far.
func (l *submitting) acknowledged() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]uint64(nil), l.ids...)
}

func (l *submitting) end() {
	close(l.stop)
	l.ended.Wait()
}

// restored is a coordinator at the same address that serves a restored directory. It isn't started.
func (c *coordinator) restored(backup string) *coordinator {
	c.t.Helper()
	n := *c
	n.data = filepath.Join(workDir(c.t), "restored")
	if code, out := run(c.t, program("coordinator"), "restore", "--data-dir", n.data, backup); code != exitClean {
		c.t.Fatalf("restore: exit code %d: %s", code, out)
	}
	return &n
}

// sessionOf returns a worker's session and leases.
func sessionOf(t *testing.T, cl *client.Client, name string) (session uint64, leases []*pb.WorkerLease) {
	t.Helper()
	res, err := cl.Operator().GetWorker(bounded(t), &pb.GetWorkerRequest{Name: name})
	if err != nil || len(res.GetSessions()) != 1 {
		return 0, nil
	}
	x := res.GetSessions()[0]
	return x.GetWorker().GetSessionId(), x.GetLeases()
}

// TestBackup backs a cluster up under a load of submits and workers, kills it, restores it elsewhere and goes on: nothing
// that was acknowledged before the backup is lost, nothing is charged, ids, tokens and sessions are new, and a worker of the
// lost cluster works on in a session of its own.
func TestBackup(t *testing.T) {
	t.Parallel()
	c := startCoordinator(t, "--session-ttl", "10m")
	handlers := writeHandlers(t, "handlers:\n- {kind: hello, exec: {argv: ['true']}}\n- {kind: slow, exec: {argv: [sleep, '3']}}\n")
	old := startWorker(t, c.addr, "old", handlers, "--slots", "2")
	cl := c.client()
	c.workers(cl, 1)
	once := client.Retry{MaxAttempts: 1, MaxWorkerLosses: 1} // a charge would be the end
	slow := submit(t, cl, repeated(client.Task{Kind: "slow", Retry: once}, 2)...)
	inState(t, cl, pb.TaskState_TASK_STATE_RUNNING, slow...)
	oldSession, oldLeases := sessionOf(t, cl, "old")
	l := startSubmitting(t, c, 2, client.Task{Kind: "hello", Retry: once})
	eventually(t, "there is a load", func() bool { return len(l.acknowledged()) > 300 })

	before := append(l.acknowledged(), slow...)
	file := filepath.Join(workDir(t), "backup")
	if code, out := c.yardctl("cluster", "backup", file); code != exitClean {
		t.Fatalf("backup: exit code %d: %s", code, out)
	}
	last := len(l.acknowledged())
	eventually(t, "the load goes on after the backup", func() bool { return len(l.acknowledged()) > last+100 })
	l.end()
	c.proc.kill() // and the directory is lost, but the worker runs on

	n := c.restored(file)
	if code, out := run(t, program("coordinator"), "check", file); code != exitClean || !strings.Contains(out, "no problem found") {
		t.Errorf("check of the backup: exit code %d: %s", code, out)
	}
	n.start()
	cl = n.client()
	for _, id := range before {
		get(t, cl, id) // or the test ends
	}
	id := submit(t, cl, client.Task{Kind: "slow", Retry: once})[0]
	if id < restoreJump {
		t.Errorf("the first task after the restore is %d", id)
	}
	var session uint64
	var leases []*pb.WorkerLease
	eventually(t, "the worker of the lost cluster works in a session of its own", func() bool {
		session, leases = sessionOf(t, cl, "old")
		return session > oldSession && len(leases) > 0
	})
	if session < restoreJump || len(oldLeases) == 0 {
		t.Errorf("its session is %d, after %d with %d leases", session, oldSession, len(oldLeases))
	}
	for i, out := range outcomes(t, cl, append(before, id)) {
		if out.State != client.Succeeded || out.Token < restoreJump && i >= len(before)-len(slow) {
			t.Fatalf("task %d ended %v with token %d", out.ID, out.State, out.Token)
		}
	}
	for _, task := range inState(t, cl, client.Succeeded, slow...) {
		if task.GetAttempts() != 1 || task.GetWorkerLosses() != 0 {
			t.Errorf("task %d: %d attempts, %d losses", task.GetId(), task.GetAttempts(), task.GetWorkerLosses())
		}
	}
	if !old.alive() {
		t.Error("the worker has ended")
	}
	n.proc.kill()
	n.start() // nothing is restored twice
	if again := submit(t, n.client(), client.Task{Kind: "nobody"})[0]; again != id+1 {
		t.Errorf("after another start the next task is %d, want %d", again, id+1)
	}
	t.Logf("%d tasks acknowledged before the backup, %d after, session %d then %d", len(before), len(l.acknowledged())-len(before), oldSession, session)
}

// backupOf makes a backup file of a coordinator with some tasks, and returns their ids.
func backupOf(t *testing.T) (c *coordinator, file string, ids []uint64) {
	t.Helper()
	c = startCoordinator(t)
	ids = submit(t, c.client(), repeated(client.Task{Kind: "nobody", Payload: []byte(strings.Repeat("payload ", 200))}, 2000)...)
	file = filepath.Join(workDir(t), "backup")
	if code, out := c.yardctl("cluster", "backup", file); code != exitClean {
		t.Fatalf("backup: exit code %d: %s", code, out)
	}
	return c, file, ids
}

// TestRestoreRefused: a damaged or cut backup isn't restored, nor is any onto what is there.
func TestRestoreRefused(t *testing.T) {
	t.Parallel()
	_, file, _ := backupOf(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	restore := func(data []byte, dir string, want ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "b")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out := run(t, program("coordinator"), "restore", "--data-dir", dir, path)
		if code != 1 {
			t.Errorf("exit code %d: %s", code, out)
		}
		wantWords(t, out, want...)
	}
	dir := filepath.Join(t.TempDir(), "data")
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)/3] ^= 4
	restore(flipped, dir, "checkpoint is damaged", "it doesn't match its checksum", "copy it again")
	restore(whole[:len(whole)/2], dir, "not a backup", "its end is missing")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	restore(whole, dir, "the directory isn't empty", "holds notes")
}

// TestRestoreUnderKills kills restores at ever later moments, and then the coordinator while it starts: a repeat, or the
// next start, completes them.
func TestRestoreUnderKills(t *testing.T) {
	t.Parallel()
	c, file, ids := backupOf(t)
	c.proc.kill()
	unfinished, complete := 0, 0
	n := *c
	for i := range restoreKills {
		n.data = filepath.Join(workDir(t), fmt.Sprint("restored", i))
		p := start(t, "restore", nil, program("coordinator"), "restore", "--data-dir", n.data, file)
		pass(t.Context(), restoreStep*time.Duration(i))
		p.kill()
		if _, err := os.Stat(filepath.Join(n.data, "yardmaster.db")); err == nil {
			complete++
			continue
		}
		unfinished++
		if code, out := run(t, program("coordinator"), "restore", "--data-dir", n.data, file); code != exitClean {
			t.Fatalf("kill %d: the repeat: exit code %d: %s", i, code, out)
		}
	}
	if unfinished == 0 {
		t.Error("no restore was killed before its end: the test shows too little")
	}
	for i := range restoreKills {
		n.launch()
		pass(t.Context(), 2*restoreStep*time.Duration(i))
		if !n.proc.alive() {
			t.Fatalf("it ended by itself with code %d", n.proc.exit())
		}
		n.proc.kill()
	}
	n.start()
	for _, id := range []uint64{ids[0], ids[len(ids)-1]} {
		inState(t, n.client(), pb.TaskState_TASK_STATE_PENDING, id)
	}
	id := submit(t, n.client(), client.Task{Kind: "nobody"})[0]
	if want := slices.Max(ids) + restoreJump + 1; id != want {
		t.Errorf("the first task after the restore is %d, want %d", id, want)
	}
	if entries, err := filepath.Glob(filepath.Join(n.data, "yardmaster.db?*")); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	t.Logf("%d restores were killed before their end, %d after", unfinished, complete)
}

// errorBackups makes backup files for docs/errors.md, of a whole one.
var errorBackups = map[string]func(t *testing.T, whole, path string){
	"flipped.backup": func(t *testing.T, whole, path string) {
		change(t, filepath.Dir(copyOf(t, whole, path)), filepath.Base(path), func(data []byte) []byte { data[len(data)/3] ^= 1; return data })
	},
	"newer.backup": func(t *testing.T, _, path string) {
		header, err := proto.Marshal(&storagev1.BackupHeader{Version: 99, Release: "v9.0.0"})
		if err != nil {
			t.Fatal(err)
		}
		data := append(binary.BigEndian.AppendUint32(header, uint32(len(header))), "yardmaster bkp\x00\n"...)
		if err := os.WriteFile(path, append(data, make([]byte, 32)...), 0o600); err != nil {
			t.Fatal(err)
		}
	},
}

// copyOf copies a file and returns the copy's path.
func copyOf(t *testing.T, from, to string) string {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}
