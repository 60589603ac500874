package engine

import "time"

// wallNow is the one place where the engine reads the machine's clock.
func wallNow() time.Time { return time.Now() }

// logClock is the leader's estimate of the log's time. It advances with the monotonic clock, slewed towards the wall clock
// by at most a tenth, so that it neither stops nor steps when the wall clock is set. Owned by the engine's queue lock.
type logClock struct {
	now  func() time.Time
	last time.Time // with its monotonic reading
	at   int64     // log time at last, in nanoseconds since the Unix epoch
}

// begin starts a term: the time may step forward to the wall clock, never back.
func (c *logClock) begin(least int64) int64 {
	c.last = c.now()
	c.at = max(least, c.last.UnixNano())
	return c.at
}

// read advances the clock and returns the log's time.
func (c *logClock) read() int64 {
	if c.last.IsZero() {
		return c.at
	}
	now := c.now()
	d := now.Sub(c.last).Nanoseconds()
	if d < 0 {
		d = 0
	}
	slew := d / 10
	off := now.UnixNano() - (c.at + d)
	c.at += d + min(max(off, -slew), slew)
	c.last = now
	return c.at
}
