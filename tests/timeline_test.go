//go:build e2e

package tests

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// timeline asks yardctl for a task's timeline.
func (c *coordinator) timeline(id uint64) *pb.TimelineResponse {
	c.t.Helper()
	code, out := c.yardctl("task", "timeline", strconv.FormatUint(id, 10), "-o", "json")
	line := &pb.TimelineResponse{}
	if err := protojson.Unmarshal([]byte(out), line); err != nil || code != 0 {
		c.t.Fatalf("yardctl task timeline %d, exit code %d, %v:\n%s", id, code, err, out)
	}
	return line
}

// restart kills the coordinator, or stops it in order, and starts it again.
func (c *coordinator) restart(orderly bool) {
	c.t.Helper()
	if !orderly {
		c.proc.kill()
	} else if code := c.stop(); code != exitClean {
		c.t.Errorf("the coordinator's exit code is %d", code)
	}
	c.start()
}

// wantSame holds that the timeline is told after a kill and after an orderly stop as it was before.
func (c *coordinator) wantSame(before *pb.TimelineResponse) {
	c.t.Helper()
	for _, orderly := range []bool{false, true} {
		c.restart(orderly)
		if after := c.timeline(before.GetTask().GetId()); !proto.Equal(before, after) {
			c.t.Errorf("the timeline was %v\nand is after a restart (orderly: %t) %v", before, orderly, after)
		}
	}
}

// TestTimelineOfFailures: of 15 failed attempts the last 10 are told, each with what it left, and that 5 came before; a
// retry is a new generation, beside which those before stay; all of it over restarts.
func TestTimelineOfFailures(t *testing.T) {
	t.Parallel()
	const attempts = 15
	c := startCoordinator(t)
	cl := c.client()
	dir := t.TempDir()
	startWorker(t, c.addr, "exec-1", writeHandlers(t, `handlers:
- kind: fragile
  exec:
    argv:
    - /bin/sh
    - -c
    - |
      if test "$YARD_GENERATION" = 2; then exec echo well; fi
      while test "$YARD_ATTEMPT" = 15 && ! test -e "$1"; do sleep 0.01; done
      echo "generation $YARD_GENERATION attempt $YARD_ATTEMPT" >&2
      exit 7
    - sh
    - `+filepath.Join(dir, "go")+`
`), "--slots", "1")
	id := submit(t, cl, client.Task{Kind: "fragile", Retry: client.Retry{MaxAttempts: attempts, Backoff: new(time.Duration(0))}})[0]
	eventually(t, "the last attempt runs", func() bool {
		task := get(t, cl, id)
		return task.GetState() == client.Running && task.GetAttempts() == attempts-1
	})
	line := c.wantAttempts(id, 5, 14, 4)
	if line.GetTask().GetLease().GetToken() != 15 {
		t.Errorf("the task that runs is told as %v", line.GetTask())
	}

	open(t, filepath.Join(dir, "go"))
	if out := outcomes(t, cl, []uint64{id})[0]; out.State != client.Dead || out.Attempts != attempts {
		t.Fatalf("the task ended %+v", out)
	}
	c.wantSame(c.wantAttempts(id, 6, 15, 5))

	if _, err := cl.Retry(bounded(t), id); err != nil {
		t.Fatal(err)
	}
	if out := outcomes(t, cl, []uint64{id})[0]; out.State != client.Succeeded || out.Attempts != 1 {
		t.Fatalf("the retried task ended %+v", out)
	}
	line = c.timeline(id)
	end := line.GetAttempts()[len(line.GetAttempts())-1]
	if !end.GetSucceeded() || end.GetNumber() != 1 || end.GetGeneration() != 2 || end.GetFailure() != nil || end.GetRunTime() == nil {
		t.Errorf("the last attempt is %v", end)
	}
	line.Attempts = line.Attempts[:len(line.Attempts)-1]
	wantFailures(t, line, 6, 15, 5)
	c.wantSame(c.timeline(id))
	code, out := c.yardctl("task", "timeline", strconv.FormatUint(id, 10), "--detail")
	for _, want := range []string{"generation 2", "generation 1 attempt 15", "5 earlier attempts"} {
		if !strings.Contains(out, want) || code != 0 {
			t.Errorf("exit code %d, no %q in\n%s", code, want, out)
		}
	}
}

// wantAttempts asks for a timeline that ends with failed attempts.
func (c *coordinator) wantAttempts(id uint64, from, to, earlier uint32) *pb.TimelineResponse {
	c.t.Helper()
	line := c.timeline(id)
	wantFailures(c.t, line, from, to, earlier)
	return line
}

// wantFailures holds that a timeline has failed attempts of the first generation, and so many that it doesn't tell.
func wantFailures(t *testing.T, line *pb.TimelineResponse, from, to, earlier uint32) {
	t.Helper()
	if n := uint32(len(line.GetAttempts())); n != to-from+1 || line.GetEarlierAttempts() != earlier {
		t.Fatalf("%d attempts and %d earlier ones, want attempts %d to %d and %d", n, line.GetEarlierAttempts(), from, to, earlier)
	}
	var last *pb.Attempt
	for i, at := range line.GetAttempts() {
		wantFailed(t, at, from+uint32(i), 1, "exec-1")
		if at.GetToken() <= last.GetToken() || at.GetGrantTime().AsTime().Before(last.GetEndTime().AsTime()) {
			t.Errorf("attempt %v comes after %v", at, last)
		}
		last = at
	}
}

// wantFailed checks an attempt of the exec handler.
func wantFailed(t *testing.T, at *pb.Attempt, number, generation uint32, worker string) {
	t.Helper()
	f := at.GetFailure()
	stderr := fmt.Sprintf("generation %d attempt %d\n", generation, number)
	if at.GetNumber() != number || at.GetGeneration() != generation || at.GetWorker() != worker || at.GetSucceeded() ||
		f.GetCause() != pb.Cause_CAUSE_EXIT || f.GetExitCode() != 7 || f.GetDetail() != stderr {
		t.Errorf("attempt %d of generation %d is %v", number, generation, at)
	}
	if at.GetRunTime().AsDuration() <= 0 || at.GetEndTime().AsTime().Before(at.GetGrantTime().AsTime()) || at.GetSessionId() == 0 {
		t.Errorf("attempt %d: granted %s, ended %s, ran %s", number, at.GetGrantTime().AsTime(), at.GetEndTime().AsTime(), at.GetRunTime().AsDuration())
	}
}

// TestTimelineOfALostWorker: a worker that dies with the task stands in its timeline as a loss, the worker that did it as
// the success; while it runs the lease is there beside the loss.
func TestTimelineOfALostWorker(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t, "--session-ttl", "2s")
	cl := c.client()
	gate := filepath.Join(t.TempDir(), "gate")
	w := sdkWorker{Coordinator: c.addr, Name: "mortal", Ledger: book.socket, Slots: 1, Gate: gate}.start(t)
	id := submit(t, cl, client.Task{Kind: "gated"})[0]
	lease := inState(t, cl, client.Running, id)[0].GetLease()
	if line := c.timeline(id); len(line.GetAttempts()) != 0 || line.GetTask().GetLease().GetToken() != lease.GetToken() {
		t.Errorf("of a task that runs is told %v", line)
	}
	w.kill()
	sdkWorker{Coordinator: c.addr, Name: "heir", Ledger: book.socket, Slots: 1, Gate: gate}.start(t)
	eventually(t, "the heir runs it", func() bool {
		task := get(t, cl, id)
		return task.GetState() == client.Running && task.GetLease().GetWorker() == "heir"
	})
	wantLoss := func(at *pb.Attempt) {
		t.Helper()
		if at.GetFailure().GetCause() != pb.Cause_CAUSE_WORKER_LOST || at.GetToken() != lease.GetToken() || at.GetWorker() != "mortal" ||
			at.GetSessionId() != lease.GetSessionId() || at.GetNumber() != 1 || at.GetRunTime() != nil || at.GetSucceeded() {
			t.Errorf("the loss of lease %v is told as %v", lease, at)
		}
	}
	line := c.timeline(id)
	if len(line.GetAttempts()) != 1 || line.GetTask().GetWorkerLosses() != 1 || line.GetTask().GetAttempts() != 0 {
		t.Fatalf("while the heir runs it is told %v", line)
	}
	wantLoss(line.GetAttempts()[0])
	c.restart(false)
	open(t, gate)
	judged(t, cl, book, []uint64{id})
	line = c.timeline(id)
	if list := line.GetAttempts(); len(list) != 2 || line.GetEarlierAttempts() != 0 || !list[1].GetSucceeded() || list[1].GetWorker() != "heir" {
		t.Fatalf("in the end is told %v", line)
	}
	wantLoss(line.GetAttempts()[0])
	c.wantSame(line)
}
