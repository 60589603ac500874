//go:build e2e

package tests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// smallDisk mounts a tmpfs of its own, or skips the test where that can't be done.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("no small disk can be made (mount a tmpfs: %v); run as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// onDisk moves a coordinator that isn't started to a disk.
func (c *coordinator) onDisk(dir string) *coordinator {
	c.data = filepath.Join(dir, "data")
	return c
}

// TestDiskReserve: below --disk-reserve submits are refused with RESOURCE_EXHAUSTED and a time to come back, while
// outcomes are accepted.
func TestDiskReserve(t *testing.T) {
	t.Parallel()
	const tasks = 8
	book := startLedger(t)
	c := newCoordinator(t, "--session-ttl", "2s").onDisk(smallDisk(t, 256<<20))
	c.start()
	cl := c.client()
	gate := filepath.Join(t.TempDir(), "gate")
	sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: tasks, Gate: gate}.start(t)
	ids := submit(t, cl, repeated(client.Task{Kind: "gated"}, tasks)...)
	inState(t, cl, client.Running, ids...)

	c.flags = append(c.flags, "--disk-reserve", "1000000000") // more than there is
	if code := c.stop(); code != exitClean {
		t.Errorf("exit code %d", code)
	}
	c.start()
	ctx, cancel := context.WithTimeout(trialOf(t), 10*time.Second)
	defer cancel()
	_, err := c.stub().Submit(ctx, &pb.SubmitRequest{Tasks: []*pb.TaskSpec{{Kind: "gated"}}})
	refused := status.Convert(err)
	var retry *errdetails.RetryInfo
	var info *errdetails.ErrorInfo
	for _, d := range refused.Details() {
		switch d := d.(type) {
		case *errdetails.RetryInfo:
			retry = d
		case *errdetails.ErrorInfo:
			info = d
		}
	}
	if refused.Code() != codes.ResourceExhausted || retry.GetRetryDelay().AsDuration() <= 0 || info.GetReason() != "DISK_RESERVE" {
		t.Errorf("a submit below the reserve: %v, %v, %v", err, retry, info)
	}
	t.Logf("submit: %v; retry after %s", err, retry.GetRetryDelay().AsDuration())
	open(t, gate)
	for _, out := range outcomes(t, cl, ids) {
		if out.State != client.Succeeded {
			t.Errorf("task %d ended %+v", out.ID, out)
		}
	}
	judged(t, cl, book, ids)
}

// TestDiskFull fills the disk under a running coordinator. It ends non-zero and says why; with space again nothing that
// was acknowledged is lost.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	const (
		waiting     = 2000 // their outcomes alone are more than a log segment holds
		perRequest  = 100
		moreSubmits = 500
	)
	book := startLedger(t)
	disk := smallDisk(t, 48<<20)
	c := newCoordinator(t, "--session-ttl", "2s").onDisk(disk)
	c.start()
	stub := c.stub()
	line := book.line()
	gate := filepath.Join(t.TempDir(), "gate")
	sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 16, Gate: gate}.start(t)

	var acked []uint64
	store := func(kind string, n int, payload []byte) error {
		ctx, cancel := context.WithTimeout(trialOf(t), patience)
		defer cancel()
		specs := make([]*pb.TaskSpec, n)
		for i := range specs {
			specs[i] = &pb.TaskSpec{Kind: kind, Payload: payload}
		}
		resp, err := stub.Submit(ctx, &pb.SubmitRequest{Tasks: specs})
		if err != nil {
			return err
		}
		var acks []record
		for _, id := range resp.GetTaskIds() {
			acks = append(acks, record{Kind: recordAck, Task: id})
		}
		acked = append(acked, resp.GetTaskIds()...)
		return line.record(acks...)
	}
	for range waiting / perRequest {
		if err := store("gated", perRequest, nil); err != nil {
			t.Fatal(err)
		}
	}
	ballast := filepath.Join(disk, "ballast")
	c.proc.asked.Store(true) // it is to end by itself
	fill(t, ballast)
	open(t, gate)
	payload := client.JSON(notePayload{Pad: make([]byte, 8<<10)})
	for range moreSubmits {
		if store("note", 1, payload) != nil {
			break // refused below the reserve, or the process has ended
		}
	}
	code := c.proc.exit()
	t.Logf("%d submits acknowledged; exit code %d: %s", len(acked), code, c.proc.log.find("a write failed"))
	if code == 0 {
		t.Error("the coordinator ended with code 0 on a full disk")
	}
	if c.proc.log.find("no space left on device") == "" {
		t.Error("it doesn't say that the disk is full")
	}
	c.launch() // still full: it may serve for a while or not, but must do no harm
	c.proc.asked.Store(true)
	ctx, cancel := context.WithTimeout(trialOf(t), patience)
	defer cancel()
	holdsWithin(ctx, 5*time.Second, func() bool { return c.serves() || !c.proc.alive() })
	t.Logf("a start on the full disk: serves: %t; %s", c.serves(), c.proc.log.find("[ERROR]"))
	c.proc.kill()

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.start()
	cl := c.client()
	final := outcomes(t, cl, acked)
	v := judge(book.records(), final, nil)
	for _, p := range v.problems {
		t.Error(p)
	}
	if v.acked != len(acked) {
		t.Errorf("%d acknowledged in the ledger, want %d", v.acked, len(acked))
	}
}

// fill writes until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1<<12; {
		if _, err := f.Write(make([]byte, size)); err == nil {
			continue
		} else if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		size /= 2
	}
}
