package worker

import (
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// OneTask is a coordinator for examples: it leases one task to the first worker that comes, prints its outcome, and lets
// the worker go when it says goodbye.
type OneTask struct {
	pb.UnimplementedWorkerServiceServer
	Kind, Payload string
	Printed       chan struct{} // closed once the outcome is printed

	server *grpc.Server
}

// Serve returns the address at which c serves.
func (c *OneTask) Serve() string {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	c.server = grpc.NewServer()
	pb.RegisterWorkerServiceServer(c.server, c)
	go c.server.Serve(lis) //nolint:errcheck // ends with Stop
	return lis.Addr().String()
}

// Stop ends the server.
func (c *OneTask) Stop() { c.server.Stop() }

// Session plays the coordinator's side.
func (c *OneTask) Session(s grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		switch m := m.Message.(type) {
		case *pb.SessionRequest_Hello:
			err = s.Send(&pb.SessionResponse{Message: &pb.SessionResponse_Welcome{Welcome: &pb.Welcome{
				SessionId: 1, SessionTtl: durationpb.New(15e9), HeartbeatInterval: durationpb.New(5e9), Margin: durationpb.New(2e9),
			}}})
			if err == nil {
				err = s.Send(&pb.SessionResponse{Message: &pb.SessionResponse_Grants{Grants: &pb.Grants{Seq: 1, Leases: []*pb.TaskLease{{
					Token: 7, TaskId: 1, Kind: c.Kind, Payload: []byte(c.Payload), Weight: 1, Pool: DefaultPool, Attempt: 1, MaxAttempts: 20,
				}}}}})
			}
		case *pb.SessionRequest_Outcomes:
			for _, o := range m.Outcomes.Outcomes {
				fmt.Printf("task %d: %s%s\n", o.TaskId, o.GetSucceeded().GetResult(), o.GetFailed().GetFailure().GetMessage())
			}
			err = s.Send(&pb.SessionResponse{Message: &pb.SessionResponse_OutcomeAck{OutcomeAck: &pb.OutcomeAck{
				ThroughSeq: m.Outcomes.FirstSeq + uint64(len(m.Outcomes.Outcomes)) - 1,
			}}})
			close(c.Printed)
		case *pb.SessionRequest_Goodbye:
			return nil
		}
		if err != nil {
			return err
		}
	}
}
