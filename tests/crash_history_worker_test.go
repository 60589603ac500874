//go:build e2e && crash

package tests

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/worker"
)

// historyRole is the worker of the history test. It is played before TestMain looks at the roles that it knows.
const historyRole = "history-worker"

func init() {
	if os.Getenv(roleVariable) == historyRole {
		os.Exit(playHistoryWorker())
	}
}

// historyWorker is a worker that tells the test what it receives, does and sends, each before it happens or before the SDK
// knows of it: what was not told, by a killed worker, has not happened as far as the worker goes.
type historyWorker struct {
	Coordinator, Name, Scribe string
	Slots, Prefetch           int
}

func (s historyWorker) start(t *testing.T) *process {
	t.Helper()
	return startRole(t, historyRole, s.Name, s)
}

// historyPayload says what a handler does.
type historyPayload struct {
	Group    int
	Hold     time.Duration
	Ends     []string // of each generation, the last one of all further ones: succeeded, failed, permanent
	Stubborn bool     // it doesn't heed the end of its context
}

// told is what a worker tells.
type told struct {
	What     string // grant, began, ended, sent, answered
	Group    int    `json:",omitempty"` // grant
	Task     uint64 `json:",omitempty"`
	Token    uint64 `json:",omitempty"`
	Gen      uint32 `json:",omitempty"`
	Attempts uint32 `json:",omitempty"` // grant: spent before
	Session  uint64 `json:",omitempty"` // sent, answered
	Seq      uint64 `json:",omitempty"` // likewise
	Word     string `json:",omitempty"` // sent: what is reported; answered: the answer
}

// mouth is a worker's line to the test.
type mouth struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

// tell returns once the test has it.
func (m *mouth) tell(list ...told) error {
	if len(list) == 0 {
		return nil
	}
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.conn.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	_, err = m.in.ReadString('\n')
	return err
}

func playHistoryWorker() int {
	var s historyWorker
	if err := settings(&s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	conn, err := net.Dial("unix", s.Scribe)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	m := &mouth{conn: conn, in: bufio.NewReader(conn)}
	w, err := worker.New(worker.Config{
		Coordinators: []string{s.Coordinator}, Name: s.Name, Slots: s.Slots, Prefetch: s.Prefetch, DrainTimeout: time.Second,
		Logger:      hclog.New(&hclog.LoggerOptions{Name: s.Name, Level: hclog.Info, Output: os.Stderr}),
		DialOptions: []grpc.DialOption{grpc.WithStreamInterceptor(m.intercept)},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	w.HandleRaw("history", m.handle)
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer release()
	if err := w.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stopped:", err)
		return 1
	}
	return 0
}

var errPlanned = errors.New("as the payload says")

func (m *mouth) handle(ctx context.Context, t *worker.Task) ([]byte, error) {
	var work historyPayload
	if err := json.Unmarshal(t.Payload, &work); err != nil {
		return nil, worker.Permanent(err)
	}
	if err := m.tell(told{What: "began", Task: t.ID, Token: t.Token}); err != nil {
		return nil, err
	}
	watched := ctx
	if work.Stubborn {
		watched = context.WithoutCancel(ctx)
	}
	passed := pass(watched, work.Hold)
	if err := m.tell(told{What: "ended", Task: t.ID, Token: t.Token}); err != nil {
		return nil, err
	}
	if !passed {
		return nil, context.Cause(ctx)
	}
	switch work.Ends[min(t.Generation, len(work.Ends))-1] {
	case histFails:
		return nil, errPlanned
	case histPermanent:
		return nil, worker.Permanent(errPlanned)
	}
	return result(t), nil
}

// intercept stands between the SDK and its stream.
func (m *mouth) intercept(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, err
	}
	return &overheard{ClientStream: stream, m: m, open: map[uint64]bool{}}, nil
}

// overheard is one stream.
type overheard struct {
	grpc.ClientStream
	m       *mouth
	session atomic.Uint64

	mu   sync.Mutex
	open map[uint64]bool // guarded by mu: numbers of outcomes sent on it and unanswered
}

func (s *overheard) SendMsg(msg any) error {
	if o := msg.(*pb.SessionRequest).GetOutcomes(); o != nil {
		var list []told
		s.mu.Lock()
		for i, out := range o.GetOutcomes() {
			seq := o.GetFirstSeq() + uint64(i)
			s.open[seq] = true
			list = append(list, told{What: "sent", Task: out.GetTaskId(), Token: out.GetToken(), Session: s.session.Load(), Seq: seq, Word: reported(out)})
		}
		s.mu.Unlock()
		if err := s.m.tell(list...); err != nil {
			return err
		}
	}
	return s.ClientStream.SendMsg(msg)
}

func reported(out *pb.AttemptOutcome) string {
	switch k := out.GetKind().(type) {
	case *pb.AttemptOutcome_Succeeded:
		return histSucceeded
	case *pb.AttemptOutcome_Cancelled:
		return histCancelled
	case *pb.AttemptOutcome_Interrupted:
		return histInterrupted
	case *pb.AttemptOutcome_Failed:
		if k.Failed.GetPermanent() {
			return histPermanent
		}
	}
	return histFails
}

func (s *overheard) RecvMsg(msg any) error {
	if err := s.ClientStream.RecvMsg(msg); err != nil {
		return err
	}
	in := msg.(*pb.SessionResponse)
	if w := in.GetWelcome(); w != nil {
		s.session.Store(w.GetSessionId())
	}
	var list []told
	for _, l := range in.GetGrants().GetLeases() {
		var work historyPayload
		if err := json.Unmarshal(l.GetPayload(), &work); err != nil {
			return err
		}
		list = append(list, told{What: "grant", Group: work.Group, Task: l.GetTaskId(), Token: l.GetToken(), Gen: l.GetGeneration(), Attempts: l.GetAttempt() - 1})
	}
	if ack := in.GetOutcomeAck(); ack != nil {
		list = append(list, s.answers(ack)...)
	}
	return s.m.tell(list...)
}

func (s *overheard) answers(ack *pb.OutcomeAck) []told {
	refused := map[uint64]string{}
	for _, r := range ack.GetRejected() {
		refused[r.GetSeq()] = histFenced
		if r.GetCode() == pb.Rejected_CODE_GONE {
			refused[r.GetSeq()] = histGone
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []told
	for seq := range s.open {
		if seq > ack.GetThroughSeq() {
			continue
		}
		word := refused[seq]
		if word == "" {
			word = histAccepted
		}
		list = append(list, told{What: "answered", Session: s.session.Load(), Seq: seq, Word: word})
		delete(s.open, seq)
	}
	return list
}
