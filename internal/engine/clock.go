package engine

import "time"

// wallNow is the one place where the engine reads the machine's clock.
func wallNow() time.Time { return time.Now() }

// logClock reads a machine's clock for a LogTime. Owned by the engine's queue lock.
type logClock struct {
	LogTime
	now  func() time.Time
	last time.Time // with its monotonic reading; zero: no term was begun yet, the clock stands
}

// begin starts a term.
func (c *logClock) begin() int64 {
	c.read()
	c.last = c.now()
	return c.Begin(c.last.UnixNano())
}

// raise takes note of a time that the log has reached under another leader, or before a restart.
func (c *logClock) raise(at int64) {
	c.read()
	c.Raise(at)
}

// read advances the clock and returns the log's time.
func (c *logClock) read() int64 {
	if c.last.IsZero() {
		return c.at
	}
	now := c.now()
	passed := now.Sub(c.last).Nanoseconds()
	c.last = now
	return c.Advance(passed, now.UnixNano())
}

// until is how long the machine's clock takes from the last reading until the log's time is at.
func (c *logClock) until(at int64) time.Duration { return time.Duration(c.Until(at)) }
