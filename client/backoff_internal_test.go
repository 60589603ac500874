package client

import (
	"testing"
	"time"
)

func TestBackoffIsDrawnFromAGrowingRange(t *testing.T) {
	for n, top := range map[int]time.Duration{1: BackoffMin, 2: 2 * BackoffMin, 5: 16 * BackoffMin, 6: BackoffMax, 1000: BackoffMax} {
		highest := time.Duration(0)
		for range 1000 {
			d := backoff(n)
			if d < 0 || d > top {
				t.Fatalf("pause %d is %v, at most %v allowed", n, d, top)
			}
			highest = max(highest, d)
		}
		if highest < top/2 {
			t.Errorf("pause %d: the highest of 1000 is %v of %v", n, highest, top)
		}
	}
}

func TestRetryBudget(t *testing.T) {
	var b retryBudget
	now := time.Unix(0, 0)
	for i := range RetryBurst {
		if wait := b.take(now); wait != 0 {
			t.Fatalf("repeat %d of the burst waits %v", i, wait)
		}
	}
	for i := range 2 * RetryRate {
		want := time.Duration(i+1) * time.Second / RetryRate
		if wait := b.take(now); wait != want {
			t.Fatalf("repeat %d beyond the burst waits %v, want %v", i, wait, want)
		}
	}
	if wait := b.take(now.Add(2 * time.Second)); wait != time.Second/RetryRate {
		t.Errorf("after two seconds a repeat waits %v", wait)
	}
	if b.take(now.Add(time.Hour)); b.tokens != RetryBurst-1 {
		t.Errorf("after an hour %v tokens are left", b.tokens)
	}
}
