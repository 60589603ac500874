package shutdown_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/shutdown"
)

func TestStragglersAreNamedAbortedAndLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var log logBook
		release := make(chan struct{})
		s := newSequence(shutdown.Options{Logger: log.logger(), AbortGrace: 2 * time.Second})
		work := s.AddPhase("work", 10*time.Second)
		store := s.AddPhase("store", 10*time.Second)
		mustGo(t, work.Go("good", untilStopped))
		mustGo(t, work.Go("slow", func(ctx context.Context) error {
			err := untilAborted(ctx)
			if !errors.Is(err, shutdown.ErrAborted) {
				t.Errorf("cause %v, want ErrAborted", err)
			}
			<-time.After(time.Second)
			j.add("slow let go")
			return err
		}))
		<-time.After(time.Minute)
		mustGo(t, work.Go("deaf", until(release)))
		mustGo(t, work.OnStop("grpc", func(ctx context.Context) error {
			if d, ok := ctx.Deadline(); !ok || time.Until(d) != 10*time.Second {
				t.Errorf("deadline %v, %t; want the phase's", d, ok)
			}
			if shutdown.WorkContext(ctx) != ctx {
				t.Error("a stop function's context is its work context")
			}
			<-ctx.Done()
			return ctx.Err()
		}))
		mustGo(t, store.OnStop("close", takes(0, &j, "store closed")))

		r := s.Stop(t.Context())
		j.want(t, "slow let go", "store closed")
		if got, want := stragglerNames(r), []string{"work/slow", "work/deaf!", "work/grpc"}; !slices.Equal(got, want) {
			t.Errorf("stragglers %q, want %q", got, want)
		}
		for i, age := range []time.Duration{70 * time.Second, 10 * time.Second, 10 * time.Second} {
			if r.Stragglers[i].Age != age {
				t.Errorf("straggler %+v, want age %s", r.Stragglers[i], age)
			}
		}
		if got, want := log.tasks(t, "aborting straggler"), []string{"work/slow", "work/deaf", "work/grpc"}; !slices.Equal(got, want) {
			t.Errorf("logged as aborted %q, want %q", got, want)
		}
		if got, want := log.tasks(t, "straggler ignores the abort"), []string{"work/deaf"}; !slices.Equal(got, want) {
			t.Errorf("logged as ignoring it %q, want %q", got, want)
		}
		if r.Cut != nil || len(r.Errors) > 0 || r.Duration != 12*time.Second {
			t.Errorf("result %+v", r)
		}
		if !errors.Is(r.Err(), shutdown.ErrAborted) {
			t.Errorf("Err tells nothing of stragglers: %v", r.Err())
		}
		wantCode(t, r, shutdown.ExitStragglers)
		close(release)
	})
}

// A phase without stragglers doesn't wait for its deadline, nor an aborted one
// for its grace.
func TestGraceEndsWithTheLastStraggler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSequence(shutdown.Options{AbortGrace: time.Hour, HardTimeout: 10 * time.Hour})
		mustGo(t, s.AddPhase("only", time.Second).Go("slow", untilAborted))
		if r := s.Stop(t.Context()); r.Duration != time.Second {
			t.Errorf("took %s, want 1s", r.Duration)
		}
	})
}

func TestStragglersErrorIsKeptButNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errStream := errors.New("rpc error: code = Canceled")
		s := newSequence(shutdown.Options{})
		mustGo(t, s.AddPhase("only", time.Second).Go("stream", func(ctx context.Context) error {
			_ = untilAborted(ctx)
			return errStream
		}))
		r := s.Stop(t.Context())
		if !errors.Is(r.Stragglers[0].Err, errStream) || !errors.Is(r.Err(), errStream) {
			t.Errorf("what the straggler returned is lost: %+v", r)
		}
		wantCode(t, r, shutdown.ExitStragglers)
	})
}

func TestNoTimeAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSequence(shutdown.Options{AbortGrace: -1})
		release := make(chan struct{})
		mustGo(t, s.AddPhase("only", 0).Go("deaf", until(release)))
		r := s.Stop(t.Context())
		if got := stragglerNames(r); !slices.Equal(got, []string{"only/deaf!"}) || r.Duration != 0 {
			t.Errorf("stragglers %q after %s", got, r.Duration)
		}
		close(release)
		synctest.Wait() // a return after the end changes no Result
		if s.Wait().Stragglers[0].Returned {
			t.Error("the Result changed after Done")
		}
	})
}

// cutSequence has a phase that doesn't end, and two that are never reached.
func cutSequence(t *testing.T, opts shutdown.Options) (*shutdown.Sequence, *journal) {
	j := &journal{}
	s := newSequence(opts)
	first := s.AddPhase("first", 10*time.Second)
	second := s.AddPhase("second", 10*time.Second)
	third := s.AddPhase("third", 10*time.Second)
	mustGo(t, first.Go("slow", untilAborted))
	mustGo(t, second.Go("good", func(ctx context.Context) error {
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), shutdown.ErrAborted) {
			t.Errorf("cause %v, want ErrAborted", context.Cause(ctx))
		}
		j.add("good ended")
		return ctx.Err()
	}))
	mustGo(t, third.OnStop("close", takes(0, j, "never")))
	return s, j
}

func wantCut(t *testing.T, r shutdown.Result, j *journal, after time.Duration) {
	t.Helper()
	j.want(t, "good ended")
	if got, want := stragglerNames(r), []string{"first/slow", "second/good"}; !slices.Equal(got, want) {
		t.Errorf("stragglers %q, want %q", got, want)
	}
	if !slices.Equal(r.Skipped, []string{"third/close"}) {
		t.Errorf("skipped %q", r.Skipped)
	}
	if !errors.Is(r.Cut, shutdown.ErrAborted) || r.Duration != after {
		t.Errorf("cut %v after %s, want after %s", r.Cut, r.Duration, after)
	}
	if !r.Phases[0].Reached || r.Phases[1].Reached || r.Phases[2].Reached {
		t.Errorf("phases %+v, want only the first reached", r.Phases)
	}
	wantCode(t, r, shutdown.ExitStragglers)
}

func TestHardDeadlineCutsTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, j := cutSequence(t, shutdown.Options{HardTimeout: 4 * time.Second})
		wantCut(t, s.Stop(t.Context()), j, 4*time.Second)
	})
}

func TestStopsContextCutsTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, j := cutSequence(t, shutdown.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		wantCut(t, s.Stop(ctx), j, 3*time.Second)
	})
}

func TestForceBeginsTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := cutSequence(t, shutdown.Options{})
		s.Force("disk failed")
		r := s.Wait()
		if r.Reason != "disk failed" || r.Duration != 0 || r.Phases[0].Reached {
			t.Errorf("result %+v", r)
		}
		wantCode(t, r, shutdown.ExitStragglers)
	})
}

// A straggler's grace is cut as well, and the straggler told once.
func TestCutDuringGrace(t *testing.T) {
	for name, test := range map[string]struct {
		hard, force, took time.Duration
	}{
		"hard deadline": {hard: 5 * time.Second, took: 8 * time.Second},
		"force":         {hard: time.Hour, force: 6 * time.Second, took: 9 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				s := newSequence(shutdown.Options{HardTimeout: test.hard, AbortGrace: 3 * time.Second})
				mustGo(t, s.AddPhase("first", 4*time.Second).Go("deaf", until(release)))
				s.AddPhase("second", time.Second)
				if test.force > 0 {
					time.AfterFunc(test.force, func() { s.Force("test") })
				}
				r := s.Stop(t.Context())
				if got := stragglerNames(r); !slices.Equal(got, []string{"first/deaf!"}) {
					t.Errorf("stragglers %q, want the one once", got)
				}
				if r.Cut == nil || r.Duration != test.took {
					t.Errorf("cut %v, took %s, want %s", r.Cut, r.Duration, test.took)
				}
				close(release)
			})
		})
	}
}

func TestLoggedStragglersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBook
		s := newSequence(shutdown.Options{Logger: log.logger()})
		p := s.AddPhase("only", time.Second)
		for range shutdown.StragglersLoggedMax + 3 {
			mustGo(t, p.GoFinite("handler", untilAborted))
		}
		r := s.Stop(t.Context())
		if got := len(log.tasks(t, "aborting straggler")); got != shutdown.StragglersLoggedMax {
			t.Errorf("%d logged", got)
		}
		if len(r.Stragglers) != shutdown.StragglersLoggedMax+3 {
			t.Errorf("%d in the result", len(r.Stragglers))
		}
	})
}
