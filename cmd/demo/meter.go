package main

import (
	"fmt"
	"strings"
	"time"
)

// Settings of the meter.
const (
	rateOver = 2 * time.Second // the rate shown is that of the last so long
	barCells = 20
)

// meter counts ended tasks and tells their rate. It is handed the time, and belongs to one goroutine.
type meter struct {
	total, done, attempts int

	marks []mark // counts of the last rateOver, oldest first
}

type mark struct {
	at   time.Time
	done int
}

func newMeter(total int, now time.Time) *meter {
	return &meter{total: total, marks: []mark{{now, 0}}}
}

// add counts a task that has ended.
func (m *meter) add(attempts int) {
	m.done++
	m.attempts += attempts
}

// tick notes the time. Rates are between ticks.
func (m *meter) tick(now time.Time) {
	m.marks = append(m.marks, mark{now, m.done})
	for len(m.marks) > 2 && now.Sub(m.marks[1].at) >= rateOver {
		m.marks = m.marks[1:]
	}
}

// rate is in tasks a second, over the last rateOver or what there is of it.
func (m *meter) rate() int {
	first, last := m.marks[0], m.marks[len(m.marks)-1]
	return perSecond(last.done-first.done, last.at.Sub(first.at))
}

// line shows it: " 31%  3,558/11,478  640/s  coordinator 411  worker-1 down  3,560 attempts  ######..............". What
// matters least comes last, where a narrow terminal cuts.
func (m *meter) line(standing string) string {
	filled := barCells * m.done / max(m.total, 1)
	bar := strings.Repeat("#", filled) + strings.Repeat(".", barCells-filled)
	return fmt.Sprintf("%3d%%  %s/%s  %s/s  %s  %s  %s", 100*m.done/max(m.total, 1), number(m.done), number(m.total),
		number(m.rate()), standing, plural(m.attempts, "attempt", "attempts"), bar)
}

func perSecond(n int, d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int(float64(n)/d.Seconds() + 0.5)
}
