package shutdown_test

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/shutdown"
)

func TestFirstSignalStopsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		s := newSequence(shutdown.Options{})
		mustGo(t, s.AddPhase("only", time.Second).Go("loop", untilStopped))
		s.OnSignals(signals)
		signals <- syscall.SIGTERM
		r := s.Run(t.Context())
		if r.Reason != "signal: terminated" {
			t.Errorf("reason %q", r.Reason)
		}
		wantCode(t, r, shutdown.ExitClean)
	})
}

func TestSecondSignalForces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		s, j := cutSequence(t, shutdown.Options{})
		s.OnSignals(signals)
		signals <- syscall.SIGTERM
		<-time.After(2 * time.Second)
		signals <- syscall.SIGINT
		r := s.Wait()
		wantCut(t, r, j, 2*time.Second)
		if r.Reason != "signal: terminated" {
			t.Errorf("reason %q, want the first signal's", r.Reason)
		}
		if want := "shutdown aborted the task: forced: second signal: interrupt"; r.Cut.Error() != want {
			t.Errorf("cut %q, want %q", r.Cut, want)
		}
	})
}

func TestFirstSignalDuringAStopDoesNotForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		signals := make(chan os.Signal)
		s := newSequence(shutdown.Options{})
		mustGo(t, s.AddPhase("only", 5*time.Second).OnStop("close", takes(2*time.Second, &j, "closed")))
		s.OnSignals(signals)
		s.Begin("cluster shutdown")
		<-time.After(time.Second)
		signals <- syscall.SIGTERM
		r := s.Wait()
		j.want(t, "closed")
		if r.Reason != "cluster shutdown" {
			t.Errorf("reason %q", r.Reason)
		}
		wantCode(t, r, shutdown.ExitClean)
	})
}

// The one test with a real signal, sent to this process while it is caught.
func TestNotifySignals(t *testing.T) {
	signals, release := shutdown.NotifySignals()
	defer release()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if err := self.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if got := <-signals; got != sig {
			t.Errorf("got %v, want %v", got, sig)
		}
	}
}

// A closed channel is no signal; the test's bubble would find a goroutine left.
func TestSignalChannelClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		s := newSequence(shutdown.Options{})
		s.OnSignals(signals)
		close(signals)
		synctest.Wait()
		select {
		case <-s.Stopping():
			t.Error("a closed channel began the stop")
		default:
		}
		s.Stop(context.Background())
	})
}
