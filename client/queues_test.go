package client_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func TestConfigureQueue(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onCall = failFirst(status.Error(codes.Unavailable, "stopping"))
		q, err := c.ConfigureQueue(t.Context(), "q", client.QueueSettings{Weight: new(3), DepthLimit: new(0), MaxLeases: new(-1),
			Retention: new(time.Hour), DefaultDeadRetention: true})
		want := &yardmasterv1.ConfigureRequest{Name: "q", Weight: new(uint32(3)), DepthLimit: new(uint32(0)),
			MaxLeases: new(uint32(1<<32 - 1)), Retention: durationpb.New(time.Hour), ClearDeadRetention: true}
		if err != nil || q.GetName() != "q" || len(n.queues.configured) != 2 || !proto.Equal(n.queues.configured[1], want) {
			t.Errorf("queue %v, error %v, asked for %v", q, err, n.queues.configured)
		}
		if q, err := c.GetQueue(t.Context(), "q"); err != nil || q.GetName() != "q" {
			t.Errorf("queue %v, error %v", q, err)
		}
		n.calls = 0 // the next fails first
		if e, err := c.ExplainQueue(t.Context(), "q"); err != nil || e.GetSummary() != "queue q is empty" || n.calls != 2 {
			t.Errorf("explanation %v, error %v", e, err)
		}
	})
}

func TestPurgeQueue(t *testing.T) {
	type stream = grpc.ServerStreamingServer[yardmasterv1.PurgeResponse]
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		purge := func(s stream, last *yardmasterv1.PurgeResponse) error {
			if err := s.Send(&yardmasterv1.PurgeResponse{Purged: 5_000}); err != nil || last == nil {
				return err
			}
			return s.Send(last)
		}
		n.queues.onPurge = func(_ int, s stream) error { return purge(s, &yardmasterv1.PurgeResponse{Purged: 7_000, Done: true}) }
		var told []uint64
		count, err := c.PurgeQueue(t.Context(), "q", false, func(purged uint64) { told = append(told, purged) })
		if err != nil || count != 7_000 || fmt.Sprint(told) != "[5000 7000]" || n.queues.purges[0].GetName() != "q" {
			t.Errorf("purged %d, told %v, error %v", count, told, err)
		}

		// What was begun isn't begun again, but for a question.
		for _, dryRun := range []bool{false, true} {
			n.queues.purges = nil
			n.queues.onPurge = func(nth int, s stream) error {
				if nth == 1 {
					return purge(s, nil)
				}
				return purge(s, &yardmasterv1.PurgeResponse{Purged: 7_000, Done: true})
			}
			count, err := c.PurgeQueue(t.Context(), "q", dryRun, nil)
			if dryRun && (err != nil || count != 7_000) || !dryRun && (status.Code(err) != codes.Unavailable || count != 5_000 || len(n.queues.purges) != 1) {
				t.Errorf("dry run %v: %d, error %v, %d streams", dryRun, count, err, len(n.queues.purges))
			}
		}
		n.setDown(true) // never left: repeated
		synctest.Wait()
		time.AfterFunc(5*time.Second, func() { n.setDown(false) })
		n.queues.onPurge = func(_ int, s stream) error { return purge(s, &yardmasterv1.PurgeResponse{Purged: 1, Done: true}) }
		if count, err := c.PurgeQueue(t.Context(), "q", false, nil); err != nil || count != 1 {
			t.Errorf("purged %d, error %v", count, err)
		}
	})
}
