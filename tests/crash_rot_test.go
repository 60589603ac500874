//go:build e2e && crash

package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const (
	flipsDefault = 1 // rows of each bucket, and four times as many places of the log
	rotTasks     = 60
)

// Buckets that a start reads whole: damage there refuses it. Of the others damage is found when a row is needed, and costs
// what stands in that row.
var refusedBuckets = []string{"meta", "globals", "queues", "shapes", "policies", "sessions", "tasks", "leases", "producers", "keys", "dead", "finished-queues"}

// rotLab is the test: a data directory to be damaged, and what it holds.
type rotLab struct {
	data    string
	pending []uint64 // with payloads, not yet handed out
	logged  []uint64 // those of them that any worker may run; they stand in the log behind the checkpoint
	ended   []uint64 // succeeded
	over    workersOver

	mu      sync.Mutex
	flips   int            // guarded by mu, as all below
	results map[string]int // cases by what became of them
}

// TestCrashRot flips a bit in a row of each bucket of a stopped coordinator's checkpoint: `check` names it, `compact`
// refuses, and a start is refused or goes on without what stands in the row. Then in places of the log.
func TestCrashRot(t *testing.T) {
	flips := int(setting(t, "YARD_FLIPS", flipsDefault))
	seed := setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	began := time.Now()
	x := &rotLab{results: map[string]int{}}
	t.Cleanup(x.over.Wait)
	x.prepare(t)
	t.Run("flips", func(t *testing.T) {
		for i, bucket := range x.buckets(t) {
			for n := range flips {
				t.Run(fmt.Sprintf("%s/%d", bucket, n), func(t *testing.T) {
					t.Parallel()
					ownTrial(t)
					x.row(t, bucket, rand.New(rand.NewPCG(seed, uint64(100*n+i))))
				})
			}
		}
		for n := range 4 * flips {
			t.Run(fmt.Sprint("log/", n), func(t *testing.T) {
				t.Parallel()
				ownTrial(t)
				x.log(t, rand.New(rand.NewPCG(seed, uint64(1000+n))))
			})
		}
	})
	var words []string
	for _, what := range sorted(x.results) {
		words = append(words, fmt.Sprintf("%d %s", x.results[what], what))
	}
	fmt.Printf("crash lab, rot: %d flipped bits: %s; 0 wrong states: %t; %s; seed %d\n", x.flips, strings.Join(words, ", "), !t.Failed(),
		time.Since(began).Round(time.Second), seed)
}

// prepare makes data with rows in every bucket, and a log behind the checkpoint.
func (x *rotLab) prepare(t *testing.T) {
	book, c := startLedger(t), startCoordinator(t, "--session-ttl", "10m")
	cl := c.client()
	w := sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 8, Gate: filepath.Join(t.TempDir(), "gate")}.start(t)
	c.workers(cl, 1)
	once, twice := client.Retry{MaxAttempts: 1}, client.Retry{MaxAttempts: 3, Backoff: new(time.Millisecond)}
	x.ended = submit(t, cl, repeated(client.Task{Kind: "fails", Payload: client.JSON(1), Retry: twice}, rotTasks)...)
	dead := submit(t, cl, repeated(client.Task{Kind: "fails", Payload: client.JSON(1), Retry: once}, 5)...)
	outcomes(t, cl, slices.Concat(x.ended, dead))
	submit(t, cl, client.Task{Kind: "gated", Key: "a key"}, client.Task{Kind: "gated", Key: "another"})
	for _, n := range []int{rotTasks, 5} { // 5 too large for a run
		for range n {
			x.pending = append(x.pending, submit(t, cl, client.Task{Kind: "note", Queue: "side", Payload: make([]byte, 12_000/n),
				Require: map[string]string{"side": "yes"}, Labels: map[string]string{"a": "label"}})...)
		}
	}
	w.kill() // its two leases stay: the TTL is long
	checkpointed(t, cl)
	for range 20 {
		x.logged = append(x.logged, submit(t, cl, client.Task{Kind: "note", Queue: "side", Payload: make([]byte, 500)})...)
	}
	x.pending = append(x.pending, x.logged...)
	c.proc.kill()
	x.data = c.data
}

func (x *rotLab) buckets(t *testing.T) (names []string) {
	t.Helper()
	err := x.open(x.data, func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if k, _ := b.Cursor().First(); k != nil {
				names = append(names, string(name))
			} else {
				t.Errorf("bucket %s has no row: nothing can be damaged", name)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (x *rotLab) open(data string, fn func(tx *bbolt.Tx) error) error {
	db, err := bbolt.Open(filepath.Join(data, "yardmaster.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(fn)
}

// copied is a coordinator with a copy of the data.
func (x *rotLab) copied(t *testing.T) *coordinator {
	t.Helper()
	c := newCoordinator(t, "--session-ttl", "2s")
	if err := os.CopyFS(c.data, os.DirFS(x.data)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (x *rotLab) came(what string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.flips++
	x.results[what]++
}

// row flips a bit in a row of a bucket.
func (x *rotLab) row(t *testing.T, bucket string, rng *rand.Rand) {
	c := x.copied(t)
	key, next := x.flip(t, c.data, bucket, rng)
	named := bucket + ", key " + fmt.Sprint(key)
	if bucket == "meta" || len(bucket) > 8 && strings.HasPrefix(bucket, "finished-") || strings.HasPrefix(bucket, "expiry") {
		named = bucket // their keys are no numbers of 8 bytes
	}
	code, out := run(t, program("coordinator"), "check", "--data-dir", c.data)
	if code != 1 || !strings.Contains(out, "damaged") || !strings.Contains(out, named) {
		t.Errorf("check doesn't name %s: exit code %d\n%s", named, code, out)
	}
	before := fileSum(t, c.data)
	if code, out := run(t, program("coordinator"), "compact", "--data-dir", c.data); code != 1 || !strings.Contains(out, "damaged") {
		t.Errorf("compact: exit code %d\n%s", code, out)
	}
	if fileSum(t, c.data) != before {
		t.Error("compact has changed a damaged file")
	}
	c.launch()
	eventually(t, "the coordinator serves or ends", func() bool { return c.serves() || !c.proc.alive() })
	refused := !c.serves()
	if want := slices.Contains(refusedBuckets, bucket); refused != want {
		t.Errorf("damage in %s refuses a start: %t, want %t", bucket, refused, want)
	}
	if refused {
		if code := c.proc.exit(); code != 1 || c.proc.log.find("cannot start", "damaged") == "" {
			t.Errorf("exit code %d: %q", code, c.proc.log.all())
		}
		x.came("starts refused")
		return
	}
	x.wantConfined(t, c, bucket, key, next)
	x.came("losses confined to their row")
}

// flip flips a bit of a row's value, and returns its key and that of the next row.
func (x *rotLab) flip(t *testing.T, data, bucket string, rng *rand.Rand) (key, next uint64) {
	t.Helper()
	err := x.open(data, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		var keys [][]byte
		if err := b.ForEach(func(k, _ []byte) error { keys = append(keys, bytes.Clone(k)); return nil }); err != nil {
			return err
		}
		at := rng.IntN(len(keys))
		value := bytes.Clone(b.Get(keys[at]))
		place := rng.IntN(8 * len(value))
		value[place/8] ^= 1 << (place % 8)
		key, next = rowNumber(keys[at]), 1<<63
		if at+1 < len(keys) {
			next = rowNumber(keys[at+1])
		}
		t.Logf("bit %d of %d bytes of key %x", place, len(value), keys[at])
		return b.Put(keys[at], value)
	})
	if err != nil {
		t.Fatal(err)
	}
	return key, next
}

func rowNumber(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

func fileSum(t *testing.T, data string) [32]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "yardmaster.db"))
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(text)
}

// wantConfined holds that all goes on but for the tasks whose row is damaged: those from key on, before next. Without a
// bucket the log is damaged: then its end may be missing, of which it returns how many tasks that are.
func (x *rotLab) wantConfined(t *testing.T, c *coordinator, bucket string, key, next uint64) (lost int) {
	t.Helper()
	c.proc.lives()
	hit := func(id uint64) bool { return id >= key && id < next }
	work := x.pending
	w := x.over.startLabelled(t, c.addr, map[string]string{"side": "yes"})
	cl := c.client()
	log := bucket == ""
	unreadable := 0
	for i, out := range outcomes(t, cl, work) {
		if bucket == "bodies" && hit(work[i]) && !slices.Contains(x.logged, work[i]) {
			unreadable++
			x.wantUnreadable(t, c, work[i], out)
			continue
		}
		if log && out.Lost != nil && slices.Contains(x.logged, work[i]) {
			lost++ // nothing behind it may be there: below
			continue
		}
		if lost > 0 {
			t.Errorf("task %d is there, and %d before it are lost", work[i], lost)
		}
		if out.Err() != nil || string(out.Result) != fmt.Sprintf("%d/%d", work[i], out.Token) {
			t.Errorf("task %d, which wasn't hit, ended %+v", work[i], out)
		}
	}
	if bucket == "bodies" && unreadable == 0 && slices.ContainsFunc(work, hit) {
		t.Error("no task is dead for its damaged payload")
	}
	received(t, "more work", w.do(workPart{1, 5, 4, 512, 1}))
	w.judge(cl, false)
	for _, id := range x.ended {
		if bucket == "finished" && hit(id) {
			continue
		}
		if task := get(t, cl, id); task.GetState() != client.Succeeded {
			t.Errorf("task %d was Succeeded and is %v", id, task)
		}
	}
	if code := c.stop(); code != exitClean {
		t.Errorf("orderly stop: exit code %d", code)
	}
	return lost
}

// wantUnreadable holds that a task is a dead letter whose error says that its payload is damaged, that no worker is blamed,
// that the coordinator's log says it, and that a retry ends the same way.
func (x *rotLab) wantUnreadable(t *testing.T, c *coordinator, id uint64, out *client.Outcome) {
	t.Helper()
	cl := c.client()
	message := out.Failure.GetMessage()
	if out.State != client.Dead || out.Cause != pb.Cause_CAUSE_UNREADABLE || out.Attempts != 0 || !strings.Contains(message, "payload is damaged") {
		t.Errorf("task %d, whose payload is damaged, ended %+v", id, out)
		return
	}
	eventually(t, fmt.Sprintf("the log says that the payload of task %d is damaged", id), func() bool {
		return c.proc.log.find("payload is damaged", fmt.Sprint("task=", id)) != "" // just after the task has ended
	})
	if task := get(t, cl, id); task.GetAttempts() != 0 || task.GetWorkerLosses() != 0 || task.GetOutcome().GetFailure().GetMessage() != message {
		t.Errorf("task %d: %v", id, task)
	}
	why, err := cl.Tasks().Explain(bounded(t), &pb.TaskServiceExplainRequest{TaskId: id})
	if err != nil || !strings.Contains(why.GetSummary(), message) {
		t.Errorf("task %d is explained by %v, %v", id, why, err)
	}
	line, err := cl.Tasks().Timeline(bounded(t), &pb.TimelineRequest{TaskId: id})
	if err != nil || line.GetTask().GetOutcome().GetFailure().GetMessage() != message {
		t.Errorf("task %d has the timeline %v, %v", id, line, err)
	}
	res, err := cl.Tasks().Retry(bounded(t), &pb.RetryRequest{TaskIds: []uint64{id}})
	if err != nil || res.GetResults()[0].GetCode() != pb.TaskResult_CODE_DONE {
		t.Errorf("retry of task %d: %v, %v", id, res, err)
		return
	}
	if again := outcomes(t, cl, []uint64{id})[0]; again.State != client.Dead || again.Failure.GetMessage() != message {
		t.Errorf("task %d ended %+v after a retry", id, again)
	}
}

// log flips a bit somewhere in what the log's segments hold. The start is refused; or nothing is lost, since the checkpoint
// has the entry; or the log ends before it: damage in its last append looks like one that a crash has torn, and what
// raft-wal finds behind a damaged head of an entry it can't read. What is lost is the log's end, without a gap.
func (x *rotLab) log(t *testing.T, rng *rand.Rand) {
	c := x.copied(t)
	files, err := filepath.Glob(filepath.Join(c.data, "raft", "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("segments %q, %v", files, err)
	}
	path := files[rng.IntN(len(files))]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(text, "\x00"))
	place := rng.IntN(8 * used)
	text[place/8] ^= 1 << (place % 8)
	t.Logf("bit %d of %s, %d bytes of which are used", place, filepath.Base(path), used)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c.launch()
	eventually(t, "the coordinator serves or ends", func() bool { return c.serves() || !c.proc.alive() })
	if !c.serves() {
		if code := c.proc.exit(); code != 1 || c.proc.log.find("cannot start", "damaged") == "" {
			t.Errorf("exit code %d: %q", code, c.proc.log.all())
		}
		x.came("starts refused for the log")
		return
	}
	if lost := x.wantConfined(t, c, "", 0, 0); lost > 0 {
		t.Logf("the log's end is lost, %d tasks", lost)
		x.came("starts without the log's end")
		return
	}
	x.came("bits of the log without effect")
}
