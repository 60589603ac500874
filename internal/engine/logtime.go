package engine

// LogTime is the leader's estimate of the log's time: the rule alone, without a clock. It advances with the monotonic clock,
// slewed towards the wall clock by at most a tenth, so that it neither stops nor steps when the wall clock is set. All times
// are nanoseconds, those of the wall and the log since the Unix epoch.
// Invariant: at never goes back.
type LogTime struct {
	at   int64 // log time at the last reading
	wall int64 // what the wall clock showed then
}

// LogTimeAt is a log's time that stands, as its last entry left it: no term was begun yet.
func LogTimeAt(at int64) LogTime { return LogTime{at: at} }

// Begin starts a term: only here the time may step to the wall clock, forward.
func (t *LogTime) Begin(wall int64) int64 {
	t.at, t.wall = max(t.at, wall), wall
	return t.at
}

// Raise takes note of a time that the log has reached otherwise.
func (t *LogTime) Raise(at int64) { t.at = max(t.at, at) }

// Advance takes a reading: passed is what the monotonic clock says has gone by since the last one.
func (t *LogTime) Advance(passed, wall int64) int64 {
	d := max(passed, 0)
	slew := d / 10
	off := wall - (t.at + d)
	t.at += d + min(max(off, -slew), slew)
	t.wall = wall
	return t.at
}

// Until is how long the machine's clock takes from the last reading until the log's time is at, if nobody sets the clock:
// while the log's time is behind the wall clock it runs a tenth faster, while ahead a tenth slower.
func (t *LogTime) Until(at int64) int64 {
	left := at - t.at
	if left <= 0 {
		return 0
	}
	if off := t.wall - t.at; off > 0 {
		return max(left-off, left-left/11)
	}
	return min(left-(t.wall-t.at), left+left/9)
}
