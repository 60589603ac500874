//go:build e2e

package tests

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// pollEvery is the pause between two looks at what gives no signal.
const pollEvery = 2 * time.Millisecond

// trials holds the context of each test, by its name.
var trials sync.Map

// trial is the context and its end.
type trial struct {
	context.Context
	end context.CancelCauseFunc
}

// trialOf is the test's context, which its subtests share. It ends early when a process has died that should live: then no
// wait goes on in vain.
func trialOf(t testing.TB) *trial {
	for name := t.Name(); ; name = name[:strings.LastIndexByte(name, '/')] {
		if c, ok := trials.Load(name); ok {
			return c.(*trial)
		}
		if !strings.Contains(name, "/") {
			break
		}
	}
	ctx, end := context.WithCancelCause(context.Background())
	fresh := &trial{ctx, end}
	trials.Store(t.Name(), fresh)
	t.Cleanup(func() { trials.Delete(t.Name()); end(nil) })
	return fresh
}

// eventually looks until cond holds, and fails the test after patience.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if ctx := trialOf(t); !holdsWithin(ctx, patience, cond) {
		t.Fatalf("waited for: %s: %v", what, whyNot(ctx))
	}
}

var errPatience = fmt.Errorf("not within %s", patience)

func whyNot(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return errPatience
}

// holdsWithin looks until cond holds; false: not in time.
func holdsWithin(ctx context.Context, limit time.Duration, cond func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if cond() {
			return true
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// pass lets a span of time go by that is part of what is tested (an outage's length, a moment of a kill).
func pass(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// bounded is a context for calls that are to be answered at once.
func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(trialOf(t), patience, errPatience)
	t.Cleanup(cancel)
	return ctx
}

// received waits for one value.
func received[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	ctx := trialOf(t)
	var v T
	select {
	case v = <-c:
	case <-timer.C:
		t.Fatalf("waited for %s: %v", what, errPatience)
	case <-ctx.Done():
		t.Fatalf("waited for %s: %v", what, whyNot(ctx))
	}
	return v
}

// within is a context for a call that is to wait no longer.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(trialOf(t), d)
	t.Cleanup(cancel)
	return ctx
}
