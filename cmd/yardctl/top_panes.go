package main

import (
	"strings"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// queueTable draws all queues.
func (v *topView) queueTable() *pane {
	mark := func(order topOrder, title string) string {
		if v.order == order {
			return title + "▼"
		}
		return title
	}
	p := &pane{empty: "no queues", columns: []column{
		{title: mark(orderName, "QUEUE"), left: true},
		{title: "STATE", left: true, drop: 4},
		{title: mark(orderPending, "PENDING")},
		{title: mark(orderOldest, "OLDEST"), drop: 1},
		{title: "LEASED"},
		{title: mark(orderIn, "IN/S"), drop: 2},
		{title: mark(orderOut, "OUT/S"), drop: 2},
		{title: mark(orderDead, "DEAD"), drop: 3},
		{title: "SCHEDULED", drop: 5},
		{title: "WEIGHT", drop: 6},
		{title: "MAX LEASES", drop: 7},
	}}
	for _, q := range v.sorted() {
		state := styled(styleGood, "open")
		if q.GetPaused() {
			state = styled(styleWarn, "paused")
		}
		oldest, most := plain("-"), plain("-")
		if age := v.oldest(q); age >= 0 {
			oldest = plain(span(age))
		}
		if q.GetMaxLeases() > 0 {
			most = plain(number(q.GetMaxLeases()))
		}
		rate := v.rates.Queues[q.GetName()]
		p.rows = append(p.rows, []piece{plain(q.GetName()), state, count(q.GetPending()), oldest, count(q.GetLeased()),
			rateCell(rate.In), rateCell(rate.Out), badUnlessZero("", q.GetDead(), ""), count(q.GetScheduled()),
			plain(number(q.GetWeight())), most})
	}
	return p
}

// workerTable draws the workers of the first page.
func (v *topView) workerTable() *pane {
	p := &pane{empty: "no workers", columns: []column{
		{title: "WORKER", left: true},
		{title: "STATE", left: true},
		{title: "SLOTS"},
		{title: "PREFETCHED", drop: 3},
		{title: "LEASES"},
		{title: "HEARD", drop: 1},
		{title: "QUEUES", left: true, drop: 4},
		{title: "KINDS", left: true, drop: 5},
	}}
	for _, w := range v.shot.workers {
		heard := plain("-")
		if w.GetLastHeard() != nil {
			heard = plain(span(w.GetLastHeard().AsDuration()))
		}
		_, _, prefetched := slotsOf(w.GetPools())
		p.rows = append(p.rows, []piece{plain(w.GetName()), styled(workerStyle(w), workerState(w)), plain(slotsText(w.GetPools())),
			count(prefetched), count(uint64(w.GetLeases())), heard, plain(glance([]byte(queuesText(w)), 24)),
			plain(glance([]byte(strings.Join(w.GetKinds(), ",")), 32))})
	}
	return p
}

func workerStyle(w *yardmasterv1.Worker) style {
	switch w.GetState() {
	case yardmasterv1.Worker_STATE_ATTACHED:
		return styleGood
	case yardmasterv1.Worker_STATE_DETACHED:
		return styleBad
	}
	return styleWarn
}

// count draws a number; zero stands back.
func count(n uint64) piece {
	if n == 0 {
		return styled(styleDim, "0")
	}
	return plain(number(n))
}

func rateCell(perSecond float64) piece {
	if perSecond == 0 {
		return styled(styleDim, "0")
	}
	return plain(rateText(perSecond))
}

// rateSpan draws a rate of failures.
func rateSpan(perSecond float64) piece {
	if perSecond == 0 {
		return styled(styleBold, "0")
	}
	return styled(styleBad, rateText(perSecond))
}

// badUnlessZero draws a number that should be zero.
func badUnlessZero(before string, n uint64, after string) piece {
	if n == 0 {
		return styled(styleDim, before+"0"+after)
	}
	return styled(styleBad, before+number(n)+after)
}

func diskSpan(free uint64) piece {
	switch {
	case free < diskFull:
		return styled(styleBad, size(free))
	case free < diskLow:
		return styled(styleWarn, size(free))
	}
	return plain(size(free))
}

// pane is a table that is fitted into a width and scrolls.
type pane struct {
	columns []column
	rows    [][]piece
	empty   string // what stands there without rows
}

// column is one column of a pane.
type column struct {
	title string
	left  bool // aligned to the left
	drop  int  // columns with higher numbers go first where the width is short; 0: never
}

// draw draws the header and rows lines from first on. The header of the pane that scrolls stands out.
func (p *pane) draw(width, first, rows int, focused bool) []screenLine {
	widths := p.widths()
	keep := p.fit(widths, width)
	cells := func(row []piece) screenLine {
		var l screenLine
		for i, piece := range row {
			if !keep[i] {
				continue
			}
			if len(l.spans) > 0 {
				l.spans = append(l.spans, plain("  "))
			}
			gap := plain(strings.Repeat(" ", widths[i]-piece.width()))
			if p.columns[i].left {
				l.spans = append(l.spans, piece, gap)
			} else {
				l.spans = append(l.spans, gap, piece)
			}
		}
		return l
	}
	look := styleHead
	if focused {
		look = styleFocus
	}
	titles := make([]piece, len(p.columns))
	for i, c := range p.columns {
		titles[i] = plain(c.title)
	}
	lines := []screenLine{cells(titles).all(look, width)}
	if len(p.rows) == 0 {
		return append(lines, line(styled(styleDim, p.empty)))
	}
	for _, row := range p.rows[first:min(first+rows, len(p.rows))] {
		lines = append(lines, cells(row))
	}
	return lines
}

// widths are those of the widest cells, shown or not: scrolling doesn't move columns.
func (p *pane) widths() []int {
	widths := make([]int, len(p.columns))
	for i, c := range p.columns {
		widths[i] = plain(c.title).width()
		for _, row := range p.rows {
			widths[i] = max(widths[i], row[i].width())
		}
	}
	return widths
}

// fit chooses the columns that a width has room for. What can't be dropped is cut at the edge.
func (p *pane) fit(widths []int, width int) []bool {
	keep := make([]bool, len(p.columns))
	for i := range keep {
		keep[i] = true
	}
	for {
		total, last := -2, -1
		for i, c := range p.columns {
			if !keep[i] {
				continue
			}
			total += widths[i] + 2
			if c.drop > 0 && (last < 0 || c.drop >= p.columns[last].drop) {
				last = i
			}
		}
		if total <= width || last < 0 {
			return keep
		}
		keep[last] = false
	}
}
