package client_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// counter is a coordinator that stores nothing: what is measured is the client, gRPC and the decoding at the other side.
type counter struct {
	yardmasterv1.UnimplementedTaskServiceServer
	last     uint64
	requests int
}

func (f *counter) SubmitStream(stream submitStream) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // the client has gone
		}
		f.requests++
		ids := make([]uint64, len(req.GetSubmit().GetTasks()))
		for i := range ids {
			f.last++
			ids[i] = f.last
		}
		resp := &yardmasterv1.SubmitStreamResponse{Answer: &yardmasterv1.SubmitStreamResponse_Stored{
			Stored: &yardmasterv1.SubmitResponse{TaskIds: ids}}}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
}

// BenchmarkSubmitter has 1,024 callers submit tasks of 256 bytes one by one, over TCP on the loopback.
func BenchmarkSubmitter(b *testing.B) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f, server := new(counter), grpc.NewServer()
	yardmasterv1.RegisterTaskServiceServer(server, f)
	go server.Serve(lis) //nolint:errcheck // ends with Stop
	defer server.Stop()
	c, err := client.New(client.Config{Addresses: []string{lis.Addr().String()}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	task := client.Task{Kind: "hash", Payload: make([]byte, 256)}

	b.Run("callers=1024", func(b *testing.B) {
		s := newSubmitter(b, c, client.SubmitterConfig{})
		b.ReportAllocs()
		before := f.requests
		var callers sync.WaitGroup
		for i := range 1024 {
			callers.Go(func() {
				for range (b.N + i) / 1024 {
					if _, err := s.Submit(context.Background(), task); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		callers.Wait()
		report(b, f.requests-before)
		s.Close(b.Context())
	})
	b.Run("func", func(b *testing.B) {
		s := newSubmitter(b, c, client.SubmitterConfig{})
		b.ReportAllocs()
		before := f.requests
		var told sync.WaitGroup
		told.Add(b.N)
		for range b.N {
			if err := s.SubmitFunc(context.Background(), task, func(uint64, error) { told.Done() }); err != nil {
				b.Fatal(err)
			}
		}
		told.Wait()
		report(b, f.requests-before)
		s.Close(b.Context())
	})
}

func report(b *testing.B, requests int) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	b.ReportMetric(float64(b.N)/float64(max(requests, 1)), "tasks/request")
}
