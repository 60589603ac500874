package engine

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// machineClock is the clock of a machine, set by hand. Its times have no monotonic reading, so that setting it counts as
// time that passed.
type machineClock struct{ t time.Time }

func (m *machineClock) now() time.Time { return m.t }

// TestClockBegins: a term may step the time forward to the wall clock, and nothing steps it back.
func TestClockBegins(t *testing.T) {
	m := &machineClock{time.Unix(1000, 0)}
	c := logClock{now: m.now, LogTime: LogTimeAt(time.Unix(500, 0).UnixNano())}
	if got := c.read(); got != time.Unix(500, 0).UnixNano() {
		t.Errorf("before any term the clock reads %d: it should stand at the log's time", got)
	}
	if got := c.begin(); got != time.Unix(1000, 0).UnixNano() {
		t.Errorf("a term began at %d, want the wall clock's", got)
	}
	m.t = time.Unix(900, 0) // the wall clock was set back, another term begins
	if got := c.begin(); got < time.Unix(1000, 0).UnixNano() {
		t.Errorf("a term took the time back to %d", got)
	}
	c.raise(time.Unix(2000, 0).UnixNano())
	c.raise(time.Unix(1500, 0).UnixNano())
	if got := c.read(); got != time.Unix(2000, 0).UnixNano() {
		t.Errorf("raised to 2000 s, it reads %d", got)
	}
}

// TestClockSlews: whatever the offset from the wall clock, the log's time advances by nine to eleven tenths of the
// machine's, towards the wall clock and not past it; until says when it gets there.
func TestClockSlews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machineClock{time.Unix(1_000_000, 0)}
		c := logClock{now: m.now}
		c.begin()
		c.at += rapid.Int64Range(-1e12, 1e12).Draw(t, "offset")
		for range rapid.IntRange(1, 20).Draw(t, "readings") {
			before, off := c.at, m.t.UnixNano()-c.at
			d := rapid.Int64Range(0, 1e12).Draw(t, "passed")
			m.t = m.t.Add(time.Duration(d))
			gone := c.read() - before
			if gone < d-d/10 || gone > d+d/10 {
				t.Fatalf("in %d ns the log's time went on by %d", d, gone)
			}
			if left := m.t.UnixNano() - c.at; off > 0 && (left < 0 || left > off) || off < 0 && (left > 0 || left < off) {
				t.Fatalf("it was %d ns off the wall clock and is %d off", off, left)
			}
		}
		at := c.at + rapid.Int64Range(1, 1e12).Draw(t, "deadline")
		m.t = m.t.Add(c.until(at))
		if early := at - c.read(); early > 2 || early < -2 {
			t.Fatalf("after until the deadline is %d ns ahead", early)
		}
	})
}

// TestClockStandsStill: time that the machine takes back isn't taken back.
func TestClockStandsStill(t *testing.T) {
	m := &machineClock{time.Unix(1000, 0)}
	c := logClock{now: m.now}
	at := c.begin()
	m.t = m.t.Add(-time.Minute)
	if got := c.read(); got != at {
		t.Errorf("the clock went from %d to %d", at, got)
	}
}
