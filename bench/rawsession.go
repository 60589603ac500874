package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// rawSession is a worker of few bytes: it opens or resumes a session and sends heartbeats; it is never given work.
type rawSession struct {
	name        string
	incarnation []byte
	id          uint64
	beat        time.Duration
}

func newRawSession(name string) *rawSession {
	r := &rawSession{name: name, incarnation: make([]byte, 16)}
	rand.Read(r.incarnation)
	return r
}

// liveStream is one stream of a session that was welcomed.
type liveStream struct {
	stream grpc.BidiStreamingClient[yardmasterv1.SessionRequest, yardmasterv1.SessionResponse]
	acks   chan int64 // send times of heartbeats that were answered
	broken chan error
}

// open says Hello and waits for the Welcome.
func (r *rawSession) open(ctx context.Context, conn *grpc.ClientConn) (*liveStream, error) {
	stream, err := yardmasterv1.NewWorkerServiceClient(conn).Session(ctx)
	if err != nil {
		return nil, err
	}
	hello := &yardmasterv1.Hello{
		ProtocolVersion: 2, WorkerName: r.name, Incarnation: r.incarnation, Kinds: []string{"never-submitted"},
		Pools: []*yardmasterv1.Pool{{Name: "default", Slots: 1}},
	}
	if r.id != 0 {
		hello.Resume = &yardmasterv1.Resume{SessionId: r.id}
	}
	if err := stream.Send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Hello{Hello: hello}}); err != nil {
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	welcome := first.GetWelcome()
	if welcome == nil {
		return nil, fmt.Errorf("session %s: the first message is %T", r.name, first.GetMessage())
	}
	if r.id != 0 && r.id != welcome.GetSessionId() {
		return nil, errors.New("session " + r.name + " was not resumed")
	}
	r.id, r.beat = welcome.GetSessionId(), welcome.GetHeartbeatInterval().AsDuration()
	l := &liveStream{stream: stream, acks: make(chan int64, 16), broken: make(chan error, 1)}
	go l.read()
	return l, nil
}

func (l *liveStream) read() {
	for {
		m, err := l.stream.Recv()
		if err != nil {
			l.broken <- err
			return
		}
		if ack := m.GetHeartbeatAck(); ack != nil {
			select {
			case l.acks <- ack.GetSendTimeNanos():
			default:
			}
		}
	}
}

func (l *liveStream) heartbeat(sendTime int64) error {
	return l.stream.Send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Heartbeat{
		Heartbeat: &yardmasterv1.Heartbeat{SendTimeNanos: sendTime},
	}})
}
