package engine

import "time"

// wallNow is the one place where the engine reads the machine's clock.
func wallNow() time.Time { return time.Now() }

// logClock is the leader's estimate of the log's time. It advances with the monotonic clock, slewed towards the wall clock
// by at most a tenth, so that it neither stops nor steps when the wall clock is set. Owned by the engine's queue lock.
// Invariant: at never goes back.
type logClock struct {
	now  func() time.Time
	last time.Time // with its monotonic reading; zero: no term was begun yet, the clock stands
	at   int64     // log time at last, in nanoseconds since the Unix epoch
}

// begin starts a term: only here the time may step to the wall clock, forward.
func (c *logClock) begin() int64 {
	c.read()
	c.last = c.now()
	c.at = max(c.at, c.last.UnixNano())
	return c.at
}

// raise takes note of a time that the log has reached under another leader, or before a restart.
func (c *logClock) raise(at int64) { c.at = max(c.read(), at) }

// read advances the clock and returns the log's time.
func (c *logClock) read() int64 {
	if c.last.IsZero() {
		return c.at
	}
	now := c.now()
	d := max(now.Sub(c.last).Nanoseconds(), 0)
	slew := d / 10
	off := now.UnixNano() - (c.at + d)
	c.at += d + min(max(off, -slew), slew)
	c.last = now
	return c.at
}

// until is how long the machine's clock takes from the last reading until the log's time is at, if nobody sets the clock:
// while the log's time is behind the wall clock it runs a tenth faster, while ahead a tenth slower.
func (c *logClock) until(at int64) time.Duration {
	left := at - c.at
	if left <= 0 {
		return 0
	}
	if off := c.last.UnixNano() - c.at; off > 0 {
		left = max(left-off, left-left/11)
	} else {
		left = min(left-off, left+left/9)
	}
	return time.Duration(left)
}
