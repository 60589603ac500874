package client

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Bounds of the pauses between attempts.
const (
	BackoffMin = 100 * time.Millisecond // the first pause is drawn from [0, BackoffMin]
	BackoffMax = 3 * time.Second        // and no later one from more than [0, BackoffMax]

	// RetryBurst and RetryRate are the budget of a client: so many repeats at once, so many per second from then on, over
	// all its calls. A repeat beyond it waits; none is dropped for it.
	RetryBurst = 256
	RetryRate  = 64
)

// backoff draws the pause before attempt n+1 (n from 1): full jitter, so that callers cut off together don't return
// together.
func backoff(n int) time.Duration {
	top := BackoffMin << min(n-1, 10)
	return rand.N(min(top, BackoffMax) + 1)
}

// retryBudget is a token bucket that keeps the repeats of all callers of a client from burying a coordinator that has just
// come back. Refusing a repeat for want of a token was the other way: it would turn each restart of a busy coordinator
// into errors, so here a repeat waits for its token.
type retryBudget struct {
	mu     sync.Mutex
	tokens float64 // negative: promised to repeats that wait
	filled time.Time
}

// take takes a token and returns how long its owner has to wait for it.
func (b *retryBudget) take(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.filled.IsZero() {
		b.tokens, b.filled = RetryBurst, now
	}
	if passed := now.Sub(b.filled); passed > 0 {
		b.tokens = min(RetryBurst, b.tokens+passed.Seconds()*RetryRate)
		b.filled = now
	}
	b.tokens--
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / RetryRate * float64(time.Second))
}
