package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// The smallest terminal that a frame fits into.
const (
	topWidthMin  = 40
	topHeightMin = 12
	topHead      = 5 // lines above the panes
)

// Below these, free disk is shown in yellow and in red: submits are refused below 1 GiB.
const (
	diskLow  = 4 << 30
	diskFull = 1 << 30
)

// topOrder is what queues are sorted by.
type topOrder int

const (
	orderPending topOrder = iota
	orderIn
	orderOut
	orderOldest
	orderDead
	orderName
	orders // how many there are
)

var orderWords = [orders]string{"pending", "in/s", "out/s", "oldest", "dead", "name"}

// The panes, each of which scrolls for itself.
const (
	paneQueues = iota
	paneWorkers
	panes
)

// topView is all that a frame shows: frame is a function of it and of the size.
type topView struct {
	address  string
	interval time.Duration
	shot     *topShot
	rates    topRates
	trouble  string // what the last poll failed with; the shot is then an older one
	order    topOrder
	focus    int        // the pane that scrolls
	scroll   [panes]int // first row shown; may be beyond the end, where it counts as the end
	colour   bool
}

// frame draws the view, each line ended by a newline but the last of a terminal's. height 0 is as high as it takes, without
// the line of keys.
func (v *topView) frame(width, height int) string {
	if height > 0 && (width < topWidthMin || height < topHeightMin) {
		return screenText([]screenLine{line(styled(styleBad,
			fmt.Sprintf("%dx%d is too small; top needs %dx%d", width, height, topWidthMin, topHeightMin)))}, width, v.colour)
	}
	lines := v.head()
	queues, workers := v.queueTable(), v.workerTable()
	rows := v.rows(height)
	first := [panes]int{v.first(paneQueues, height), v.first(paneWorkers, height)}
	lines = append(lines, queues.draw(width, first[paneQueues], rows[paneQueues], v.focus == paneQueues && height > 0)...)
	lines = append(lines, line())
	lines = append(lines, workers.draw(width, first[paneWorkers], rows[paneWorkers], v.focus == paneWorkers && height > 0)...)
	if height == 0 {
		if more := v.shot.moreWorkers(); more > 0 {
			lines = append(lines, line(styled(styleDim, fmt.Sprintf("and %s", plural(more, "more worker", "more workers")))))
		}
		return screenText(lines, width, v.colour) + "\n"
	}
	for len(lines) < height-1 {
		lines = append(lines, line())
	}
	return screenText(append(lines[:height-1], v.foot(first, rows)), width, v.colour)
}

// rows shares the height out: each pane has at least half of it, if it has so many rows, and takes what the other leaves.
func (v *topView) rows(height int) [panes]int {
	needs := [panes]int{max(1, len(v.shot.queues)), max(1, len(v.shot.workers))}
	if height == 0 {
		return needs
	}
	room := height - topHead - 4 // two headers, the line between the panes, the foot
	queues := min(needs[paneQueues], max(room/2, room-needs[paneWorkers]))
	return [panes]int{queues, min(needs[paneWorkers], room-queues)}
}

// first is the first row that a pane shows.
func (v *topView) first(pane, height int) int {
	n := [panes]int{len(v.shot.queues), len(v.shot.workers)}[pane]
	return max(0, min(v.scroll[pane], n-v.rows(height)[pane]))
}

// head draws the cluster as a whole.
func (v *topView) head() []screenLine {
	s := v.shot.status
	live := s.GetScheduled() + s.GetPending() + s.GetLeased()
	lag := s.GetAppliedIndex() - min(s.GetAppliedIndex(), s.GetCheckpointIndex())
	over := fmt.Sprintf("  over %.1f s", v.rates.Seconds)
	if v.rates.SinceStart {
		over = "  average since start"
	}
	trouble := line()
	if v.trouble != "" {
		trouble = line(styled(styleBad, "not up to date: "+v.trouble))
	}
	bold := func(text string) piece { return styled(styleBold, text) }
	return []screenLine{
		line(bold("yardctl top"), plain("  "+v.address+"  "+s.GetVersion()+"  up "), bold(span(uptime(s))),
			plain("  log time "+timeText(s.GetLogTime())), styled(styleDim, "  every "+v.interval.String()), plain("  term "+number(s.GetTerm()))),
		line(plain("Tasks   "), bold(number(s.GetPending())), plain(" pending  "), bold(number(s.GetLeased())), plain(" leased  "),
			bold(number(s.GetScheduled())), plain(" scheduled  "), badUnlessZero("", s.GetDead(), " dead"),
			styled(styleDim, "  "+number(live)+" of "+number(s.GetMaxTasks()))),
		line(plain("Per s   "), bold(rateText(v.rates.Submits)), plain(" submits  "), bold(rateText(v.rates.Starts)),
			plain(" starts  "), bold(rateText(v.rates.Ends)), plain(" ends  "), rateSpan(v.rates.Failures), plain(" failures"),
			styled(styleDim, over)),
		line(plain("Log     checkpoint "), bold(number(lag)), plain(" behind "+number(s.GetAppliedIndex())+"  disk free "),
			diskSpan(s.GetDiskFreeBytes()), plain("  store "+size(s.GetStoreBytes())+"  workers "+number(s.GetAttached())+" of "+
				number(s.GetSessions())+" attached")),
		trouble,
	}
}

// foot draws the keys, and which rows are shown.
func (v *topView) foot(first, rows [panes]int) screenLine {
	shown := func(pane, all int) string {
		if all == 0 {
			return "0"
		}
		return fmt.Sprintf("%s-%s/%s", number(first[pane]+1), number(first[pane]+rows[pane]), number(all))
	}
	return line(styled(styleDim, fmt.Sprintf("queues %s  workers %s  q quit  s sort: %s  Tab: %s  ↑↓ PgUp PgDn",
		shown(paneQueues, len(v.shot.queues)), shown(paneWorkers, len(v.shot.workers)+v.shot.moreWorkers()),
		orderWords[v.order], [panes]string{"queues", "workers"}[v.focus])))
}

// sorted returns the queues in the chosen order; those that are equal by it in order of name.
func (v *topView) sorted() []*yardmasterv1.Queue {
	queues := slices.Clone(v.shot.queues)
	rate := func(q *yardmasterv1.Queue) queueRate { return v.rates.Queues[q.GetName()] }
	slices.SortStableFunc(queues, func(a, b *yardmasterv1.Queue) int {
		first := 0
		switch v.order {
		case orderPending:
			first = cmp.Compare(b.GetPending(), a.GetPending())
		case orderIn:
			first = cmp.Compare(rate(b).In, rate(a).In)
		case orderOut:
			first = cmp.Compare(rate(b).Out, rate(a).Out)
		case orderOldest:
			first = cmp.Compare(v.oldest(b), v.oldest(a))
		case orderDead:
			first = cmp.Compare(b.GetDead(), a.GetDead())
		}
		return cmp.Or(first, strings.Compare(a.GetName(), b.GetName()))
	})
	return queues
}

// oldest is how long the next in line has waited, by the log's time.
func (v *topView) oldest(q *yardmasterv1.Queue) time.Duration {
	if q.GetOldestPending() == nil {
		return -1
	}
	return max(0, v.shot.status.GetLogTime().AsTime().Sub(q.GetOldestPending().AsTime()))
}

func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05Z")
}

// rateText writes a rate: small ones with a decimal.
func rateText(perSecond float64) string {
	switch {
	case perSecond == 0:
		return "0"
	case perSecond < 0.05:
		return "<0.1"
	case perSecond < 9.95:
		return fmt.Sprintf("%.1f", perSecond)
	}
	return number(uint64(perSecond + 0.5))
}
