package worker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/shutdown"
)

// The abort of a phase of internal/shutdown forces the worker's stop. A handler that ignores even Killed is a straggler.
func TestForceLeavesStragglers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newLogBook()
		w, err := New(Config{Name: "test", Logger: book.logger()})
		if err != nil {
			t.Fatal(err)
		}
		open := pipes(w, nil)
		killed, release := make(chan struct{}), make(chan struct{})
		w.HandleRaw("deaf", func(_ context.Context, task *Task) ([]byte, error) {
			<-task.Killed()
			close(killed)
			<-release
			return nil, nil
		})
		seq := shutdown.New(time.Now, shutdown.Options{AbortGrace: time.Minute})
		done := make(chan error, 1)
		err = seq.AddPhase("worker", time.Hour).Go("worker", func(ctx context.Context) error {
			err := w.Run(ctx)
			done <- err
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		p := <-open
		<-p.said
		p.welcome(1)
		p.grant(1, &pb.TaskLease{Token: 1, TaskId: 1001, Kind: "deaf", Weight: 1, Pool: DefaultPool})
		synctest.Wait()
		seq.Begin("test")
		synctest.Wait()
		if n := w.Stats(); n.Running != 1 {
			t.Errorf("stats %+v; the handler may go on", n)
		}
		seq.Force("second signal")
		<-killed
		if left := p.farewell(); left != 1 {
			t.Errorf("drained with %d left", left)
		}
		if err := <-done; !errors.Is(err, ErrStragglers) || !strings.Contains(err.Error(), "deaf (task 1001)") {
			t.Errorf("Run: %v", err)
		}
		close(release)
		seq.Wait()
		want := "handler still runs, it ignores the end of its context: kind=deaf task=1001 token=1 attempt=0 pool=default"
		if log := strings.Join(book.all(), ""); strings.Count(log, want) != 1 {
			t.Errorf("log %s", log)
		}
	})
}

// farewell answers what a stopping worker says until its Goodbye, and ends the stream.
func (p *pipe) farewell() (left uint32) {
	for m := range p.said {
		switch {
		case m.GetOutcomes() != nil:
			o := m.GetOutcomes()
			p.tell <- &pb.SessionResponse{Message: &pb.SessionResponse_OutcomeAck{OutcomeAck: &pb.OutcomeAck{
				ThroughSeq: o.FirstSeq + uint64(len(o.Outcomes)) - 1,
			}}}
		case m.GetDrained() != nil:
			left = m.GetDrained().ProcessesLeft
		case m.GetGoodbye() != nil:
			close(p.tell)
			return left
		}
	}
	return left
}
