package rpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/yardmaster/yardmaster/worker"
)

// stopRound is one life of the SDK's worker: it runs tasks and is stopped from within one of its last handlers.
type stopRound struct {
	no, slots, prefetch, tasks, left int // left: tasks that nobody has run when it is stopped
	cuts                             map[int]time.Duration

	mu      sync.Mutex
	conn    net.Conn
	ran     int
	stopped time.Time
}

func (x *stopRound) String() string {
	return fmt.Sprintf("round %d, %d slots, prefetch %d, %d tasks, %d left over, cuts after %v", x.no, x.slots, x.prefetch, x.tasks, x.left, x.cuts)
}

// run is the worker's life. It returns how long the stop took.
func (x *stopRound) run(r *rig) time.Duration {
	w, err := worker.New(worker.Config{
		Name: fmt.Sprintf("w%d", x.no), Slots: x.slots, Prefetch: x.prefetch, Coordinators: []string{"passthrough:///rig"},
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := r.lis.DialContext(ctx)
			x.mu.Lock()
			defer x.mu.Unlock()
			x.conn = conn
			return conn, err
		})},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	w.HandleRaw("k", func(context.Context, *worker.Task) ([]byte, error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.ran++
		if held, ok := x.cuts[x.ran]; ok {
			x.conn.Close()
			r.e.hold()
			time.AfterFunc(held, r.e.release)
		}
		if x.ran == x.tasks-x.left {
			x.stopped = time.Now()
			stop()
		}
		return nil, nil
	})
	first := r.submit(x.tasks, 0)
	if err := w.Run(ctx); err != nil {
		r.t.Fatalf("%v: %v", x, err)
	}
	took := time.Since(x.stopped)
	r.cancelled(first, first+uint64(x.tasks)-1)
	synctest.Wait()
	return took
}

// stopRounds runs many rounds. Time in the bubble passes only while everything waits: so a signal that is lost anywhere
// between the worker's handlers and the stream's end shows as a stop that takes until some timer, however slow the machine
// is.
func stopRounds(t *testing.T, most time.Duration, cuts func(rnd *rand.Rand, tasks int) map[int]time.Duration) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	inBubble(t, func(r *rig) {
		for i := range 40 {
			x := &stopRound{no: i, slots: 1 + rnd.IntN(64), prefetch: rnd.IntN(64) - 1, tasks: 1 + rnd.IntN(300)}
			x.left, x.cuts = rnd.IntN(2)*rnd.IntN(x.tasks), cuts(rnd, x.tasks)
			if took := x.run(r); took > most {
				t.Fatalf("%v: the stop took %s", x, took)
			}
		}
	})
}

func TestAStoppingWorkerWaitsForNothing(t *testing.T) {
	stopRounds(t, 20*time.Millisecond, func(*rand.Rand, int) map[int]time.Duration { return nil })
}

// TestAStoppingWorkerWhoseStreamBreaks: the stream breaks, once or several times and at worst in the stop, and the coordinator
// stands still for a while.
func TestAStoppingWorkerWhoseStreamBreaks(t *testing.T) {
	stopRounds(t, 10*time.Second, func(rnd *rand.Rand, tasks int) map[int]time.Duration {
		cuts := map[int]time.Duration{}
		for range 1 + rnd.IntN(3) {
			cuts[max(1, tasks-rnd.IntN(80))] = time.Duration(rnd.IntN(2000)) * time.Millisecond
		}
		return cuts
	})
}
