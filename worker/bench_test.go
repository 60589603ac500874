package worker

import (
	"context"
	"testing"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// BenchmarkNoOp runs tasks that do nothing with 64 slots, over gRPC on loopback; worker and scripted coordinator share the
// machine. The coordinator grants as slots come back, with the answer, as the real one does.
func BenchmarkNoOp(b *testing.B) {
	c := startCoordinator(b)
	const slots = 64
	w := startWorker(b, c, Config{Slots: slots}, func(w *Worker) {
		w.HandleRaw("noop", func(context.Context, *Task) ([]byte, error) { return nil, nil })
	})
	s := c.open(1)
	payload := make([]byte, 256)
	token, answered := uint64(0), uint64(0)
	grant := func(n int) {
		leases := make([]*pb.TaskLease, 0, n)
		for ; n > 0 && token < uint64(b.N); n-- {
			token++
			leases = append(leases, &pb.TaskLease{Token: token, Kind: "noop", Queue: "default", Payload: payload})
		}
		if len(leases) > 0 {
			s.grant(leases...)
		}
	}
	messages := 0
	b.ReportAllocs()
	b.ResetTimer()
	grant(slots)
	for answered < uint64(b.N) {
		o := s.next().GetOutcomes()
		if o == nil {
			continue
		}
		messages++
		answered = o.FirstSeq + uint64(len(o.Outcomes)) - 1
		s.answer(answered)
		grant(len(o.Outcomes))
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	b.ReportMetric(float64(b.N)/float64(messages), "tasks/msg")
	w.stopped(s)
}
