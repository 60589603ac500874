//go:build e2e && crash

package tests

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const (
	diskRoundsDefault = 1
	diskBytes         = 256 << 20
	diskReserve       = 120 << 20 // free space is looked at once a second; so much is not written in one
	diskFillers       = 32 << 10  // bytes of a payload
	diskFillersMost   = 20_000
	diskHeld          = 100  // tasks whose outcomes come below the reserve
	diskLate          = 1500 // tasks whose outcomes come when there is no room left
	diskLeftMax       = 400 << 10
	diskRoom          = 8 << 20         // left for submits that go on until there is none
	diskLook          = 5 * time.Second // in which it is noticed that the reserve is touched
	diskRefusals      = 20              // submits one after the other below the reserve
)

// diskTotals are the figures of all rounds.
type diskTotals struct {
	acked, refused, below int // below: outcomes accepted below the reserve
	late                  int // of acked: without a reserve, before the disk was full
	ends                  map[string]int
	starts                []time.Duration
}

// TestCrashDiskFull fills small disks under load: below the reserve submits are refused and outcomes accepted, the first
// real ENOSPC ends the process, and with space again nothing that was acknowledged is lost.
func TestCrashDiskFull(t *testing.T) {
	rounds := int(setting(t, "YARD_DISK_ROUNDS", diskRoundsDefault))
	seed := setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	began := time.Now()
	total := &diskTotals{ends: map[string]int{}}
	for i := range rounds {
		t.Run(fmt.Sprint("round ", i), func(t *testing.T) {
			x := &diskLab{t: t, total: total, rng: rand.New(rand.NewPCG(seed, uint64(i))), book: startLedger(t)}
			x.round()
		})
	}
	slices.Sort(total.starts)
	fmt.Printf("crash lab, full disk: %d disks filled, each ended the process with code 1; %d tasks acknowledged, 0 lost: %t; "+
		"%d submits refused below the reserve, %d outcomes accepted there; %d tasks submitted until a full disk ended it again; start with space again median %s, worst %s; %s; seed %d\n",
		rounds, total.acked, !t.Failed(), total.refused, total.below, total.late, quantile(total.starts, 50), quantile(total.starts, 100),
		time.Since(began).Round(time.Second), seed)
	for _, what := range sorted(total.ends) {
		t.Logf("  %3d ended in: %s", total.ends[what], what)
	}
}

// diskLab is one round.
type diskLab struct {
	t       *testing.T
	total   *diskTotals
	rng     *rand.Rand
	book    *ledger
	c       *coordinator
	unknown int // tasks of the submit that the end came into: there, or not
	stub    pb.TaskServiceClient
	line    *ledgerLine
}

func (x *diskLab) round() {
	t := x.t
	disk, gates := smallDisk(t, diskBytes), t.TempDir()
	x.c = newCoordinator(t, "--session-ttl", "2s", "--disk-reserve", fmt.Sprint(diskReserve)).onDisk(disk)
	x.c.start()
	x.stub, x.line = x.c.stub(), x.book.line()
	early, late := filepath.Join(gates, "early"), filepath.Join(gates, "late")
	sdkWorker{Coordinator: x.c.addr, Name: "w", Ledger: x.book.socket, Slots: diskHeld, Gate: early}.start(t)
	held := x.must(x.submit(repeatedSpec(&pb.TaskSpec{Kind: "gated"}, diskHeld)...))
	after := x.must(x.submit(repeatedSpec(&pb.TaskSpec{Kind: "gated", Payload: []byte(late)}, diskLate)...))

	fillers := x.fillUp()
	open(t, early)
	if err := x.c.client().AwaitAll(bounded(t), held, func(id uint64, out *client.Outcome) error {
		if out.State != client.Succeeded {
			t.Errorf("task %d ended %+v", id, out)
		}
		x.total.below++
		return nil
	}); err != nil {
		t.Fatalf("%d outcomes of %d were accepted below the reserve: %v", x.total.below, len(held), err)
	}
	for range diskRefusals {
		if _, err := x.submit(&pb.TaskSpec{Kind: "nobody"}); !reserveRefusal(err) {
			t.Fatalf("a submit below the reserve, after the outcomes: %v", err)
		}
		x.total.refused++
	}

	ballast := filepath.Join(disk, "ballast")
	x.c.proc.asked.Store(true) // it is to end by itself
	fill(t, ballast)
	x.leave(ballast)
	open(t, late)
	x.lateOutcomes()
	x.c.launch() // still full: it may serve for a while or not, but must do no harm
	x.c.proc.asked.Store(true)
	holdsWithin(trialOf(t), time.Second, func() bool { return !x.c.proc.alive() })
	x.c.proc.kill()
	fillers = append(fillers, x.submitsToTheEnd(ballast)...)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	x.c.start()
	x.total.starts = append(x.total.starts, time.Since(began))
	x.judge(slices.Concat(held, after), fillers)
}

func repeatedSpec(spec *pb.TaskSpec, n int) []*pb.TaskSpec {
	list := make([]*pb.TaskSpec, n)
	for i := range list {
		list[i] = spec
	}
	return list
}

// submit stores tasks in requests of at most 500, and has the ledger know.
func (x *diskLab) submit(specs ...*pb.TaskSpec) (ids []uint64, err error) {
	for chunk := range slices.Chunk(specs, 500) {
		ctx, cancel := context.WithTimeout(trialOf(x.t), patience)
		resp, err := x.stub.Submit(ctx, &pb.SubmitRequest{Tasks: chunk})
		cancel()
		if err != nil {
			return ids, err
		}
		ids = append(ids, resp.GetTaskIds()...)
	}
	x.total.acked += len(ids)
	return ids, nil
}

func (x *diskLab) must(ids []uint64, err error) []uint64 {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
	acks := make([]record, len(ids))
	for i, id := range ids {
		acks[i] = record{Kind: recordAck, Task: id}
	}
	if err := x.line.record(acks...); err != nil {
		x.t.Fatal(err)
	}
	return ids
}

// fillUp submits tasks that nobody takes until they are refused for the reserve's sake.
func (x *diskLab) fillUp() (ids []uint64) {
	x.t.Helper()
	for range diskFillersMost {
		if free := x.free(); free < diskReserve {
			return append(ids, x.wantReserve(free)...)
		}
		some, err := x.submit(repeatedSpec(&pb.TaskSpec{Kind: "nobody", Payload: make([]byte, diskFillers)}, 1+x.rng.IntN(4))...)
		ids = append(ids, some...)
		if err == nil {
			continue
		}
		if !reserveRefusal(err) {
			x.t.Fatalf("%d tasks fit, then: %v", len(ids), err)
		}
		x.total.refused++
		return ids
	}
	x.t.Fatalf("%d tasks of %d bytes fit on a disk of %d", len(ids), diskFillers, diskBytes)
	return nil
}

// free is the space that the disk has left.
func (x *diskLab) free() uint64 {
	x.t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(x.c.data), &s); err != nil {
		x.t.Fatal(err)
	}
	return s.Bavail * uint64(s.Bsize)
}

// wantReserve holds that submits are soon refused, while so little is written that the reserve stays as it is.
func (x *diskLab) wantReserve(free uint64) (ids []uint64) {
	x.t.Helper()
	if !holdsWithin(trialOf(x.t), diskLook, func() bool {
		some, err := x.submit(&pb.TaskSpec{Kind: "nobody"})
		if ids = append(ids, some...); err != nil && !reserveRefusal(err) {
			x.t.Fatalf("a submit with %d MiB free of a reserve of %d: %v", free>>20, diskReserve>>20, err)
		}
		return err != nil
	}) {
		x.t.Fatalf("%d submits were taken %s after no more than %d MiB were free, of a reserve of %d", len(ids), diskLook, free>>20, diskReserve>>20)
	}
	x.total.refused++
	return ids
}

// submitsToTheEnd has no reserve kept, and submits until the disk is full once more: the process ends, and what it had
// acknowledged is to be there.
func (x *diskLab) submitsToTheEnd(ballast string) (ids []uint64) {
	t := x.t
	t.Helper()
	info, err := os.Stat(ballast)
	if err == nil {
		err = os.Truncate(ballast, max(0, info.Size()-diskRoom))
	}
	if err != nil {
		t.Fatal(err)
	}
	flags := x.c.flags
	x.c.flags = append(slices.Clone(flags), "--disk-reserve", "1")
	x.c.start()
	x.c.flags = flags
	x.c.proc.asked.Store(true) // it is to end by itself
	for range diskFillersMost {
		n := 1 + x.rng.IntN(4)
		some, err := x.submit(repeatedSpec(&pb.TaskSpec{Kind: "nobody", Payload: make([]byte, diskFillers)}, n)...)
		if ids = append(ids, some...); err != nil {
			x.unknown = n
			break
		}
	}
	x.wantEnd()
	if len(ids) == 0 {
		t.Errorf("with %d MiB free no submit was taken", diskRoom>>20)
	}
	x.total.late += len(ids)
	return ids
}

// reserveRefusal reports whether a submit was refused for the reserve's sake, with a time to come back.
func reserveRefusal(err error) bool {
	s := status.Convert(err)
	reason, retry := "", time.Duration(0)
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.RetryInfo:
			retry = d.GetRetryDelay().AsDuration()
		}
	}
	return s.Code() == codes.ResourceExhausted && reason == "DISK_RESERVE" && retry > 0
}

// leave gives back a little of the ballast, so that it isn't the same write each time which finds no room.
func (x *diskLab) leave(ballast string) {
	x.t.Helper()
	info, err := os.Stat(ballast)
	if err == nil {
		err = os.Truncate(ballast, max(0, info.Size()-x.rng.Int64N(diskLeftMax)))
	}
	if err != nil {
		x.t.Fatal(err)
	}
}

// lateOutcomes waits for the end of the process, which finds no room for outcomes; or for theirs, if they found some.
func (x *diskLab) lateOutcomes() {
	t, cl := x.t, x.c.client()
	t.Helper()
	if !holdsWithin(trialOf(t), patience, func() bool {
		if !x.c.proc.alive() {
			return true
		}
		ctx, cancel := context.WithTimeout(trialOf(t), time.Second)
		defer cancel()
		st, err := cl.Operator().Status(ctx, &pb.OperatorServiceStatusRequest{})
		return err == nil && st.GetLeased() == 0
	}) {
		t.Fatal("outcomes on a full disk are neither accepted, nor do they end the process")
	}
	if !x.c.proc.alive() {
		x.wantEnd()
		return
	}
	x.total.ends["not yet: outcomes found room"]++
	x.c.proc.kill()
}

// wantEnd holds that the process ends with code 1 and says why.
func (x *diskLab) wantEnd() {
	x.t.Helper()
	if code := x.c.proc.exit(); code != 1 {
		x.t.Errorf("exit code %d on a full disk, want 1", code)
	}
	line := x.c.proc.log.find("a write failed", "no space left on device")
	if line == "" {
		x.t.Errorf("it doesn't say that the disk is full: %q", x.c.proc.log.all())
		return
	}
	_, what, _ := strings.Cut(line, `error="`)
	what, _, _ = strings.Cut(what, ":")
	what, _, _ = strings.Cut(strings.TrimRight(what, "0123456789 to"), " 0") // without the numbers of entries, and a segment's name
	x.total.ends[what]++
}

// judge has held tasks end, and holds that the fillers are all there.
func (x *diskLab) judge(held, fillers []uint64) {
	t := x.t
	cl := x.c.client()
	final := outcomes(t, cl, held)
	v := judge(x.book.records(), final, nil)
	for _, p := range v.problems {
		t.Error(p)
	}
	if v.acked != len(held) {
		t.Errorf("%d acknowledged in the ledger, want %d", v.acked, len(held))
	}
	there := map[uint64]bool{}
	for task, err := range cl.List(bounded(t), client.Filter{Kind: "nobody", PageSize: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		there[task.GetId()] = task.GetState() == client.Pending
	}
	if lost := slices.DeleteFunc(slices.Clone(fillers), func(id uint64) bool { return there[id] }); len(lost) > 0 {
		t.Errorf("%d tasks of %d were acknowledged and are lost, first task %d", len(lost), len(fillers), lost[0])
	}
	if more := len(there) - len(fillers); more != 0 && more != x.unknown {
		t.Errorf("%d tasks are stored, %d were acknowledged, and %d not answered", len(there), len(fillers), x.unknown)
	}
}
