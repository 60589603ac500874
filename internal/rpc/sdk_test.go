package rpc

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/worker"
)

// TestWorkerSDK has the Go SDK's worker and this server speak to each other: version, prefetch, progress, run time, a
// stream that breaks, and the end.
func TestWorkerSDK(t *testing.T) {
	inBubble(t, func(r *rig) {
		h := &hooks{}
		r.s.registry.events = h
		var conn net.Conn
		w, err := worker.New(worker.Config{
			Name: "sdk", Slots: 2, Prefetch: 5, Coordinators: []string{"passthrough:///rig"},
			DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				var err error
				conn, err = r.lis.DialContext(ctx)
				return conn, err
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		begun, goOn := make(chan struct{}), make(chan struct{})
		w.HandleRaw("k", func(_ context.Context, task *worker.Task) ([]byte, error) {
			task.Progress(250, "a quarter")
			begun <- struct{}{}
			<-goOn
			return []byte("done"), nil
		})
		ctx, stop := context.WithCancel(r.ctx)
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		id := r.submit(1, 10)
		<-begun
		r.pass(1500 * time.Millisecond)
		synctest.Wait()
		x := r.e.Sessions()[0]
		token := r.e.SessionLeases(x.ID, 1)[0].Token
		if permille, message, _, ok := r.s.registry.progress(x.ID, token); !ok || permille != 250 || message != "a quarter" {
			t.Errorf("progress %d %q %t", permille, message, ok)
		}
		if heard := h.heard(); len(heard) != 2 || x.Worker.Pools[0].Prefetch != 5 {
			t.Errorf("heard %q, pools %+v", heard, x.Worker.Pools)
		}
		got, err := r.ops.GetWorker(r.ctx, &yardmasterv1.GetWorkerRequest{Name: "sdk"})
		if err != nil || got.GetSessions()[0].GetWorker().GetProtocolVersion() != 2 {
			t.Errorf("%v, %v", got, err)
		}
		conn.Close()
		r.pass(5 * time.Second)
		synctest.Wait()
		if n := w.Stats(); n.Reconnects != 1 || n.Running != 1 || n.Slots != 2 || n.Used != 1 {
			t.Errorf("stats %+v", n)
		}
		close(goOn)
		synctest.Wait()
		row := r.e.finishedTask(scheduler.TaskID(id))
		if string(row.GetDetail().GetResult()) != "done" || row.GetDetail().GetRan() != int64(6500*time.Millisecond)+1 {
			t.Errorf("finished %v", row)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// finishedTask is a finished task's row, or nil.
func (f *fakeEngine) finishedTask(id scheduler.TaskID) *storagev1.Finished {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.finished[id]
}
