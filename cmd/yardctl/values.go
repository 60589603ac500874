package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads Go's durations, and days before them: "90s", "7d", "1d12h".
func parseDuration(text string) (time.Duration, error) {
	const day, daysMax = 24 * time.Hour, 100_000
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 32)
	var d time.Duration
	if err == nil && (rest != "" || !found) {
		d, err = time.ParseDuration(rest)
	}
	if err != nil || n > daysMax || found && d < 0 {
		return 0, fmt.Errorf("%q is no duration; write it as 90s, 15m, 12h, 7d or 1d12h", text)
	}
	if d > math.MaxInt64-time.Duration(n)*day {
		return 0, fmt.Errorf("%q is no duration that can be: choose one up to %dd", text, daysMax)
	}
	return time.Duration(n)*day + d, nil
}

// parseTime reads a time (RFC 3339), or a duration from now.
func parseTime(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := parseDuration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time, as 2030-01-31T15:04:05Z, nor a duration from now, as 90s or 7d", text)
	}
	return now.Add(d), nil
}

// durationFlag is a flag that may be absent.
type durationFlag struct{ value *time.Duration }

func (f *durationFlag) String() string {
	if f.value == nil {
		return ""
	}
	return f.value.String()
}

func (f *durationFlag) Type() string { return "duration" }

func (f *durationFlag) Set(text string) error {
	d, err := parseDuration(text)
	if err != nil {
		return err
	}
	f.value = &d
	return nil
}

// parseIDs reads task ids.
func parseIDs(args []string) ([]uint64, error) {
	ids := make([]uint64, len(args))
	for i, arg := range args {
		id, err := strconv.ParseUint(arg, 10, 64)
		if err != nil || id == 0 {
			return nil, usagef("%q is no task id; ids are numbers from 1", arg)
		}
		ids[i] = id
	}
	return ids, nil
}
