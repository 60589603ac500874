package rpc

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/wire"
)

// BenchmarkLease measures grant, receipt, start, outcome and answer of one lease over one stream on loopback, with the
// core but neither log nor store behind it. The worker's side, on the same machine, is counted too.
func BenchmarkLease(b *testing.B) {
	e := newFakeEngine()
	e.limits = scheduler.Limits{MaxTasks: 1 << 30, Depth: 1 << 30}
	s, err := New(Options{Engine: e, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go e.run(ctx)
	e.lead(1)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(lis) }()
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.New())))
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		conn.Close()
		s.Stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
		cancel()
		<-e.done
	}()
	payload := make([]byte, 256)
	for left := b.N; left > 0; left -= 1000 {
		req := &yardmasterv1.SubmitRequest{}
		for range min(left, 1000) {
			req.Tasks = append(req.Tasks, &yardmasterv1.TaskSpec{Kind: "k", Payload: payload})
		}
		c, err := submitCommand(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := e.Do(ctx, scheduler.Command{Op: scheduler.OpSubmit, Submit: c}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	gs, err := yardmasterv1.NewWorkerServiceClient(conn).Session(ctx)
	if err != nil {
		b.Fatal(err)
	}
	err = gs.Send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Hello{Hello: helloOf("w", 1, 4000)}})
	for sent, acked := uint64(0), uint64(0); acked < uint64(b.N) && err == nil; {
		var m *yardmasterv1.SessionResponse
		if m, err = gs.Recv(); err != nil {
			break
		}
		if a := m.GetOutcomeAck(); a != nil {
			acked = a.GetThroughSeq()
		}
		g := m.GetGrants()
		if g == nil {
			continue
		}
		started := &yardmasterv1.Started{}
		report := &yardmasterv1.Outcomes{FirstSeq: sent + 1}
		for _, l := range g.GetLeases() {
			started.Tokens = append(started.Tokens, l.GetToken())
			report.Outcomes = append(report.Outcomes, &yardmasterv1.AttemptOutcome{Token: l.GetToken(), TaskId: l.GetTaskId(),
				Kind: &yardmasterv1.AttemptOutcome_Succeeded{Succeeded: &yardmasterv1.Succeeded{}}})
		}
		sent += uint64(len(report.Outcomes))
		err = gs.Send(&yardmasterv1.SessionRequest{ReceivedThrough: g.GetSeq(), AnswersThrough: acked,
			Message: &yardmasterv1.SessionRequest_Started{Started: started}})
		if err == nil {
			err = gs.Send(&yardmasterv1.SessionRequest{ReceivedThrough: g.GetSeq(), AnswersThrough: acked,
				Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: report}})
		}
	}
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leases/s")
}
