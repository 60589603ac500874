package worker

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// pipe is a stream of channels, for tests with fake time.
type pipe struct {
	ctx  context.Context
	said chan *pb.SessionRequest
	tell chan *pb.SessionResponse
}

func (p *pipe) Send(m *pb.SessionRequest) error {
	select {
	case p.said <- m:
		return nil
	case <-p.ctx.Done():
		return io.EOF
	}
}

func (p *pipe) Recv() (*pb.SessionResponse, error) {
	select {
	case m, ok := <-p.tell:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

func (p *pipe) Close() error { return nil }

// pipes makes w connect through pipes, or fail once refuse is closed.
func pipes(w *Worker, refuse <-chan struct{}) <-chan *pipe {
	open := make(chan *pipe)
	w.dial = func(ctx context.Context, _ string) (session, io.Closer, error) {
		p := &pipe{ctx: ctx, said: make(chan *pb.SessionRequest, 1000), tell: make(chan *pb.SessionResponse)}
		select {
		case open <- p:
			return p, p, nil
		case <-refuse:
			return nil, nil, errors.New("no coordinator")
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
	return open
}

func (p *pipe) welcome(session uint64) { p.welcomeAt(session, 0) }

// welcomeAt answers a Hello with a version of the protocol.
func (p *pipe) welcomeAt(session uint64, version uint32) {
	p.tell <- &pb.SessionResponse{Message: &pb.SessionResponse_Welcome{Welcome: &pb.Welcome{
		SessionId: session, SessionTtl: durationpb.New(15 * time.Second), HeartbeatInterval: durationpb.New(5 * time.Second), Margin: durationpb.New(2 * time.Second),
		ProtocolVersion: version,
	}}}
}

func (p *pipe) grant(seq uint64, leases ...*pb.TaskLease) {
	p.tell <- &pb.SessionResponse{Message: &pb.SessionResponse_Grants{Grants: &pb.Grants{Seq: seq, Leases: leases}}}
}

// With the coordinator gone, handlers go on until the trusted deadline and not a moment longer; then they are killed
// without grace. What is held isn't started until the session is resumed.
func TestTrustedDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := New(Config{Slots: 1})
		if err != nil {
			t.Fatal(err)
		}
		refuse := make(chan struct{})
		open := pipes(w, refuse)
		type death struct {
			at    time.Time
			cause error
		}
		deaths, starts := make(chan death, 2), make(chan uint64, 2)
		w.HandleRaw("long", func(ctx context.Context, task *Task) ([]byte, error) {
			starts <- task.Token
			<-task.Killed()
			deaths <- death{time.Now(), context.Cause(ctx)}
			return nil, ctx.Err()
		})
		r := runWorker(t, w)
		p := <-open
		hello := time.Now()
		<-p.said
		p.welcome(1)
		p.grant(1, &pb.TaskLease{Token: 1, TaskId: 1, Kind: "long", Weight: 1, Pool: DefaultPool}, &pb.TaskLease{Token: 2, TaskId: 2, Kind: "long", Weight: 1, Pool: DefaultPool})
		if token := <-starts; token != 1 {
			t.Fatalf("token %d started", token)
		}
		close(refuse)
		close(p.tell)
		d := <-deaths
		if got := d.at.Sub(hello); got != 13*time.Second || !errors.Is(d.cause, ErrLeaseLost) {
			t.Errorf("killed %s after Hello, cause %v; want TTL - margin = 13s", got, d.cause)
		}
		time.Sleep(time.Minute)
		if len(starts) != 0 {
			t.Error("a task was started without trust")
		}
		p = <-open
		known := (<-p.said).GetHello().GetResume().GetTokens()
		if len(known) != 2 || known[0].Phase != pb.KnownToken_PHASE_FINISHED || known[1].Phase != pb.KnownToken_PHASE_HELD {
			t.Errorf("resumes with %v", known)
		}
		p.welcome(1)
		if token := <-starts; token != 2 {
			t.Errorf("token %d started", token)
		}
		for {
			m := <-p.said
			if o := m.GetOutcomes(); o != nil {
				if o.Outcomes[0].GetInterrupted().GetReason() != "no contact with the coordinator" {
					t.Errorf("outcomes %v", o)
				}
				break
			}
		}
		w.Force()
		if err := <-r.done; !errors.Is(err, ErrUnanswered) {
			t.Errorf("Run: %v; nobody answered", err)
		} else if got, want := err.Error(), "worker: outcomes were not answered: 2, waited 5s for them; the stream was up: "; !strings.HasPrefix(got, want) ||
			!strings.Contains(got, "after the session's TTL, 15s") {
			t.Errorf("Run: %v", err)
		}
	})
}

// A coordinator that takes messages and answers none loses the stream before trust is over.
func TestSilentCoordinatorLosesTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		open := pipes(w, nil)
		w.HandleRaw("echo", echo)
		r := runWorker(t, w)
		p := <-open
		began := time.Now()
		<-p.said
		p.welcome(1)
		p2 := <-open
		if got := time.Since(began); got < 11*time.Second || got > 13*time.Second {
			t.Errorf("reconnected after %s", got)
		}
		if p.ctx.Err() == nil {
			t.Error("two streams at a time")
		}
		<-p2.said
		p2.welcome(1)
		r.stop()
		for m := range p2.said {
			if m.GetGoodbye() != nil {
				break
			}
		}
		close(p2.tell)
		if err := <-r.done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
