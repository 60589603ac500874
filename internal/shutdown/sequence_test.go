package shutdown_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/shutdown"
)

func TestPhasesStopInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		s := newSequence(shutdown.Options{})
		intake := s.AddPhase("intake", 10*time.Second)
		engine := s.AddPhase("engine", 10*time.Second)
		store := s.AddPhase("store", 10*time.Second)

		// Registered against the order of the phases, on purpose.
		mustGo(t, store.OnStop("close", takes(time.Second, &j, "store closed")))
		mustGo(t, engine.Go("loop", func(ctx context.Context) error {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), shutdown.ErrStopping) {
				t.Errorf("cause %v, want ErrStopping", context.Cause(ctx))
			}
			if err := shutdown.WorkContext(ctx).Err(); err != nil {
				t.Errorf("work context ended with the first: %v", err)
			}
			j.add("loop asked")
			return takes(2*time.Second, &j, "loop ended")(ctx)
		}))
		mustGo(t, intake.OnStop("quick", takes(time.Second, &j, "quick")))
		mustGo(t, intake.OnStop("slow", takes(3*time.Second, &j, "slow")))

		r := s.Stop(t.Context())
		j.want(t, "quick", "slow", "loop asked", "loop ended", "store closed")
		wantCode(t, r, shutdown.ExitClean)
		if r.Err() != nil || r.Cause != nil || r.Cut != nil {
			t.Errorf("clean stop tells of errors: %v", r.Err())
		}
		// Stop functions of a phase share its time: 3 s, not 4.
		want := []shutdown.PhaseResult{{"intake", true, 3 * time.Second}, {"engine", true, 2 * time.Second}, {"store", true, time.Second}}
		for i, p := range r.Phases {
			if p != want[i] {
				t.Errorf("phase %d: %+v, want %+v", i, p, want[i])
			}
		}
		if r.Duration != 6*time.Second {
			t.Errorf("took %s, want 6s", r.Duration)
		}
	})
}

func TestWhatBeginsTheStop(t *testing.T) {
	boom := errors.New("boom")
	at := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	tests := map[string]struct {
		begin  func(s *shutdown.Sequence, p *shutdown.Phase) error
		reason string
		cause  error
		code   int
	}{
		"Begin": {func(s *shutdown.Sequence, _ *shutdown.Phase) error { s.Begin("drained"); return nil },
			"drained", nil, 0},
		"Fail": {func(s *shutdown.Sequence, _ *shutdown.Phase) error { s.Fail(boom); return nil },
			"boom", boom, 1},
		"task fails": {func(_ *shutdown.Sequence, p *shutdown.Phase) error { return p.Go("raft", at(boom)) },
			"phase only: task raft: boom", boom, 1},
		"task returns": {func(_ *shutdown.Sequence, p *shutdown.Phase) error { return p.Go("raft", at(nil)) },
			"phase only: task raft: returned while serving", shutdown.ErrReturned, 1},
		"task cancelled by another": {func(_ *shutdown.Sequence, p *shutdown.Phase) error { return p.Go("raft", at(context.Canceled)) },
			"phase only: task raft: context canceled", context.Canceled, 1},
		"task exits": {func(_ *shutdown.Sequence, p *shutdown.Phase) error {
			return p.Go("raft", func(context.Context) error { runtime.Goexit(); return nil })
		}, "phase only: task raft: ended without returning", shutdown.ErrExited, 1},
		"finite task fails": {func(_ *shutdown.Sequence, p *shutdown.Phase) error { return p.GoFinite("load", at(boom)) },
			"phase only: task load: boom", boom, 1},
		"task asks, then returns": {func(s *shutdown.Sequence, p *shutdown.Phase) error {
			return p.Go("session", func(context.Context) error { s.Begin("told to exit"); return nil })
		}, "told to exit", nil, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSequence(shutdown.Options{})
				p := s.AddPhase("only", time.Second)
				mustGo(t, p.Go("witness", untilStopped))
				mustGo(t, test.begin(s, p))
				r := s.Run(t.Context())
				if r.Reason != test.reason || !errors.Is(r.Cause, test.cause) {
					t.Errorf("reason %q, cause %v; want %q, %v", r.Reason, r.Cause, test.reason, test.cause)
				}
				if len(r.Errors) > 0 {
					t.Errorf("the cause is told twice: %v", r.Errors)
				}
				wantCode(t, r, test.code)
			})
		})
	}
}

func TestFiniteTaskMayEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSequence(shutdown.Options{})
		p := s.AddPhase("handlers", time.Second)
		mustGo(t, p.GoFinite("task 1", func(context.Context) error { return nil }))
		synctest.Wait()
		select {
		case <-s.Stopping():
			t.Error("the end of a finite task began the stop")
		default:
		}
		wantCode(t, s.Stop(t.Context()), shutdown.ExitClean)
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := newSequence(shutdown.Options{})
		mustGo(t, s.AddPhase("only", time.Second).Go("loop", untilStopped))
		time.AfterFunc(time.Hour, func() { cancel(errors.New("test over")) })
		r := s.Run(ctx)
		if r.Reason != "context ended: test over" {
			t.Errorf("reason %q", r.Reason)
		}
		wantCode(t, r, shutdown.ExitClean)
	})
}

func TestBeginAndStopTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		s := newSequence(shutdown.Options{})
		mustGo(t, s.AddPhase("only", 5*time.Second).OnStop("close", takes(time.Second, &j, "closed")))
		if !s.Begin("first") {
			t.Error("first Begin didn't begin the stop")
		}
		if s.Begin("second") {
			t.Error("second Begin says that it began the stop")
		}
		var results [2]shutdown.Result
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { results[i] = s.Stop(t.Context()) })
		}
		wg.Wait()
		for _, r := range append(results[:], s.Stop(t.Context()), s.Wait(), s.Run(t.Context())) {
			if r.Reason != "first" || r.Duration != time.Second {
				t.Errorf("result %+v", r)
			}
			wantCode(t, r, shutdown.ExitClean)
		}
		j.want(t, "closed")

		// Too late to change anything.
		s.Force("late")
		if s.Fail(errors.New("late")) {
			t.Error("Fail began a stop that is over")
		}
		wantCode(t, s.Wait(), shutdown.ExitClean)
	})
}

func TestRegistrationIsRefusedAfterBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSequence(shutdown.Options{})
		first, last := s.AddPhase("first", time.Second), s.AddPhase("last", time.Second)
		mustGo(t, first.Go("loop", untilStopped))
		s.Begin("test")
		never := func(context.Context) error { t.Error("refused function was called"); return nil }
		late := s.AddPhase("late", time.Second)
		for _, p := range []*shutdown.Phase{first, last, late} {
			for how, err := range map[string]error{
				"Go": p.Go("x", never), "GoFinite": p.GoFinite("x", never), "OnStop": p.OnStop("x", never),
			} {
				if !errors.Is(err, shutdown.ErrStopping) {
					t.Errorf("%s after Begin: %v, want ErrStopping", how, err)
				}
			}
		}
		r := s.Wait()
		if len(r.Phases) != 2 {
			t.Errorf("phases %+v, want two", r.Phases)
		}
		wantCode(t, r, shutdown.ExitClean)
	})
}

func TestErrorsAreCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errDisk, errNet := errors.New("disk"), errors.New("net")
		s := newSequence(shutdown.Options{})
		net, disk := s.AddPhase("net", time.Second), s.AddPhase("disk", time.Second)
		mustGo(t, net.Go("cancelled", func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("receive: %w", ctx.Err())
		}))
		mustGo(t, net.Go("stream", func(ctx context.Context) error {
			<-ctx.Done()
			return errors.Join(ctx.Err(), errNet) // a cancellation hides no error
		}))
		mustGo(t, disk.OnStop("close", func(context.Context) error { return errDisk }))
		mustGo(t, disk.OnStop("unlock", func(context.Context) error { return nil }))
		failed := make(chan struct{})
		mustGo(t, net.Go("holds the phase", until(failed)))
		s.Begin("test")
		extra := errors.New("told by the engine")
		s.Fail(extra)
		close(failed)

		r := s.Wait()
		wantCode(t, r, shutdown.ExitFailure)
		if r.Cause != nil || len(r.Errors) != 3 {
			t.Fatalf("cause %v, errors %v; want three errors", r.Cause, r.Errors)
		}
		for _, want := range []error{errNet, errDisk, extra} {
			if !errors.Is(r.Err(), want) {
				t.Errorf("%v lacks %v", r.Err(), want)
			}
		}
		last := &shutdown.TaskError{}
		if !errors.As(r.Errors[2], &last) || last.Phase != "disk" || last.Task != "close" {
			t.Errorf("last error %v doesn't name phase and task", r.Errors[2])
		}
	})
}

func TestErrorsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSequence(shutdown.Options{})
		p := s.AddPhase("only", time.Second)
		for range shutdown.ErrorsMax + 7 {
			mustGo(t, p.OnStop("x", func(context.Context) error { return errors.New("no") }))
		}
		r := s.Stop(t.Context())
		if len(r.Errors) != shutdown.ErrorsMax || r.ErrorsDropped != 7 {
			t.Errorf("%d errors kept, %d dropped", len(r.Errors), r.ErrorsDropped)
		}
	})
}

func TestMiswiringPanics(t *testing.T) {
	for name, wire := range map[string]func(){
		"no clock":   func() { shutdown.New(nil, shutdown.Options{}) },
		"no name":    func() { newSequence(shutdown.Options{}).AddPhase("", time.Second) },
		"name taken": func() { s := newSequence(shutdown.Options{}); s.AddPhase("a", 1); s.AddPhase("a", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			wire()
		})
	}
}
