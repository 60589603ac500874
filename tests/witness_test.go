//go:build e2e

package tests

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"google.golang.org/grpc"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// witness stands between an SDK worker and its streams. Each answer to an outcome is in the ledger before the SDK sees it.
type witness struct {
	book   *ledgerLine
	worker string
}

func (w *witness) intercept(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, err
	}
	return &witnessed{ClientStream: stream, w: w, sent: map[uint64]record{}}, nil
}

// witnessed is one stream. Unanswered outcomes are sent again on the next one, with the same numbers, so a stream's
// answers are about what was sent on it.
type witnessed struct {
	grpc.ClientStream
	w       *witness
	session uint64 // owned by the goroutine that receives

	mu   sync.Mutex
	sent map[uint64]record // guarded by mu: by number, unanswered
}

func (s *witnessed) SendMsg(m any) error {
	if o := m.(*pb.SessionRequest).GetOutcomes(); o != nil {
		s.mu.Lock()
		for i, out := range o.GetOutcomes() {
			kind := strings.TrimPrefix(fmt.Sprintf("%T", out.GetKind()), "*yardmasterv1.AttemptOutcome_")
			s.sent[o.GetFirstSeq()+uint64(i)] = record{
				Kind: recordAnswer, Task: out.GetTaskId(), Token: out.GetToken(), Worker: s.w.worker, PID: os.Getpid(), Outcome: kind,
			}
		}
		s.mu.Unlock()
	}
	return s.ClientStream.SendMsg(m)
}

func (s *witnessed) RecvMsg(m any) error {
	if err := s.ClientStream.RecvMsg(m); err != nil {
		return err
	}
	if w := m.(*pb.SessionResponse).GetWelcome(); w != nil {
		s.session = w.GetSessionId()
	}
	ack := m.(*pb.SessionResponse).GetOutcomeAck()
	if ack == nil {
		return nil
	}
	return s.w.book.record(s.answers(ack)...)
}

func (s *witnessed) answers(ack *pb.OutcomeAck) []record {
	rejected := map[uint64]string{}
	for _, r := range ack.GetRejected() {
		rejected[r.GetSeq()] = fenced
		if r.GetCode() == pb.Rejected_CODE_GONE {
			rejected[r.GetSeq()] = gone
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []record
	for seq, r := range s.sent {
		if seq > ack.GetThroughSeq() {
			continue
		}
		r.Session, r.Verdict = s.session, accepted
		if verdict, ok := rejected[seq]; ok {
			r.Verdict = verdict
		}
		list = append(list, r)
		delete(s.sent, seq)
	}
	return list
}
