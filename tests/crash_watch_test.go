//go:build e2e && crash

package tests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const (
	slowWatchers  = 8
	slowEvents    = 130_000 // tasks submitted, each with an event at least: more than the 100,000 that are kept
	slowPause     = time.Millisecond
	slowBatch     = 1000
	slowAwaited   = 8000                                 // tasks whose outcomes an await stream doesn't read: more than a stream holds
	slowBlocked   = 8 * time.Second                      // beyond the 5 s after which a stream that doesn't read is ended
	slowHalfOpen  = 18 * time.Second                     // beyond the 10 s and 5 s of keepalive
	slowProbes    = 20                                   // events whose way to the watcher that reads is timed
	slowSeenMax   = 250 * time.Millisecond               // that half of them take at most, fifty times what they should
	slowMemoryMax = float64(slowWatchers+40) * (1 << 20) // that the watchers may add, beside ring and tasks
)

// reader is a watch whose reader waits for each event, or for a gate first.
type reader struct {
	*watching
	gate chan struct{}
}

// followSlowly begins a watch that reads nothing until its gate is closed, and then pauses after so many events.
func followSlowly(t *testing.T, cl *client.Client, after uint64, every int) *reader {
	t.Helper()
	r := &reader{&watching{t: t, watch: cl.Watch(client.WatchFilter{After: after})}, make(chan struct{})}
	ctx, cancel := context.WithCancel(trialOf(t))
	over := make(chan struct{})
	r.stop = func() { cancel(); <-over }
	t.Cleanup(r.stop)
	go func() {
		defer close(over)
		n := 0
		for e, err := range r.watch.Events(ctx) {
			if n++; n == 1 {
				select {
				case <-r.gate:
				case <-ctx.Done():
				}
			}
			if n%every == 0 {
				pass(ctx, slowPause)
			}
			r.take(ctx, e, err)
		}
	}()
	return r
}

// TestCrashWatchers: watchers that read slowly or not at all are told what they missed and go on behind it; an await stream
// that isn't read, and a watcher behind a connection that carries nothing any more, are ended; a watcher that reads sees all.
func TestCrashWatchers(t *testing.T) {
	began, admin := time.Now(), steadyAddress(t)
	c := startCoordinator(t, "--admin-listen", admin, "--log-segment-bytes", "67108864")
	cl := c.client()
	over := &workersOver{}
	t.Cleanup(over.Wait)
	w := over.startWork(t, c.addr)
	c.workers(cl, 1)
	ids := submit(t, cl, repeated(client.Task{Kind: "note"}, slowAwaited)...)
	outcomes(t, cl, ids)
	from := position(t, cl)
	base := scrape(t, admin)

	halfOpen, dead := func() {}, "not tried"
	if setting(t, "YARD_HALF_OPEN", 0) > 0 {
		halfOpen, dead = startHalfOpen(t, startProxy(t, c.addr)), "ended"
	}
	frozen := startFrozen(t, c.addr, ids)
	all := follow(t, cl, client.WatchFilter{After: from})
	var slow []*reader
	for i := range slowWatchers {
		slow = append(slow, followSlowly(t, newClient(t, c.addr), from, 100+i))
		if i%2 == 1 {
			close(slow[i].gate)
		}
	}
	load := time.Now()
	for range slowEvents / slowBatch {
		submit(t, cl, repeated(client.Task{Kind: "nobody"}, slowBatch)...)
	}
	rate := float64(slowEvents) / time.Since(load).Seconds()
	received(t, "work beside them", w.do(workPart{2, 20, 8, 512, 3}))
	w.judge(cl, false)
	all.through(position(t, cl))
	seen := all.delays(cl, slowProbes)
	if median := quantile(seen, 50); median > slowSeenMax {
		t.Errorf("the watcher that reads sees an event %s after its acknowledgement, with slow watchers beside it", median)
	}
	last := position(t, cl)
	submit(t, cl, client.Task{Kind: "nobody"}) // who has come to its event was handed all before it
	all.wantAll(from, last)
	if len(all.lagged) > 0 {
		t.Errorf("the watcher that reads was told %v", all.lagged[0])
	}
	full := scrape(t, admin)
	added := full["go_memstats_heap_inuse_bytes"] - base["go_memstats_heap_inuse_bytes"]
	if added > slowMemoryMax+slowEvents*400 {
		t.Errorf("the heap has grown by %.0f MiB", added/(1<<20))
	}
	lagged, missed := 0, uint64(0)
	for i, r := range slow {
		if i%2 == 0 {
			close(r.gate)
		}
		r.wantAll(from, last)
		lagged += min(1, len(r.lagged))
		for _, l := range r.lagged {
			missed += l.Missed
		}
	}
	if lagged < slowWatchers/2 {
		t.Errorf("%d watchers of %d that read nothing for a while were told so", lagged, slowWatchers/2)
	}
	blocked := frozen.ended()
	halfOpen()
	all.stop()
	fmt.Printf("crash lab, watchers: %d events at %.0f submits/s; of %d slow watchers %d were told LAGGED (%d events in all) and went on behind it; "+
		"a watcher that reads missed none: %t, and saw events after %s, at worst %s; the heap grew by %.0f MiB; an await stream that isn't read was ended within %s; a half-open watcher: %s; %s\n",
		last-from, rate, slowWatchers, lagged, missed, len(all.lagged) == 0, quantile(seen, 50), quantile(seen, 100), added/(1<<20), blocked.Round(time.Second), dead, time.Since(began).Round(time.Second))
}

// wantAll holds that the watch was told of all events up to last, or how many it missed.
func (w *watching) wantAll(from, last uint64) {
	w.t.Helper()
	w.through(last + 1)
	if got := w.wantWhole(from); got < last {
		w.t.Errorf("the watch has passed position %d, and was told nothing after %d", last, got)
	}
}

// delays times how long after their acknowledgement events are seen, and sorts that. Nothing else goes on.
func (w *watching) delays(cl *client.Client, n int) (list []time.Duration) {
	w.t.Helper()
	for range n {
		at := w.watch.Position()
		submit(w.t, cl, client.Task{Kind: "nobody"})
		began := time.Now()
		eventually(w.t, "the watcher that reads sees an event, with slow watchers beside it", func() bool { return w.watch.Position() > at })
		list = append(list, time.Since(began))
	}
	slices.Sort(list)
	return list
}

// frozen is an await stream that isn't read.
type frozen struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[pb.AwaitResponse]
	began  time.Time
}

func startFrozen(t *testing.T, addr string, ids []uint64) *frozen {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := pb.NewTaskServiceClient(conn).Await(trialOf(t), &pb.AwaitRequest{TaskIds: ids})
	if err != nil {
		t.Fatal(err)
	}
	return &frozen{t, stream, time.Now()}
}

// ended reads at last: some outcomes, and that it was too slow.
func (f *frozen) ended() time.Duration {
	f.t.Helper()
	pass(trialOf(f.t), time.Until(f.began.Add(slowBlocked)))
	n := 0
	for {
		_, err := f.stream.Recv()
		if err == nil {
			n++
			continue
		}
		if errors.Is(err, io.EOF) || status.Code(err) != codes.Aborted || n == slowAwaited {
			f.t.Errorf("an await stream that isn't read for %s ended after %d outcomes: %v", slowBlocked, n, err)
		}
		return time.Since(f.began)
	}
}

// startHalfOpen opens a watch and lets its connection carry nothing any more. The function it returns waits for as long as
// keepalive may take, lets the connection carry again, and finds out whether the coordinator has let go of it.
func startHalfOpen(t *testing.T, front *proxy) func() {
	t.Helper()
	conn, err := grpc.NewClient(front.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithCancel(trialOf(t))
	t.Cleanup(cancel)
	stream, err := pb.NewTaskServiceClient(conn).Watch(ctx, &pb.TaskServiceWatchRequest{})
	if err == nil {
		_, err = stream.Recv() // its place
	}
	if err != nil {
		t.Fatal(err)
	}
	front.hold(up, down)
	began := time.Now()
	return func() {
		t.Helper()
		pass(ctx, time.Until(began.Add(slowHalfOpen)))
		front.restore()
		defer time.AfterFunc(patience/10, cancel).Stop()
		for err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Unavailable {
			t.Errorf("a watcher behind a connection that was dead for %s wasn't ended: %v", slowHalfOpen, err)
		}
	}
}
