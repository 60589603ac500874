package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// tableRowsHeld is how many rows are looked at together to align them; longer tables go out in such pieces.
const tableRowsHeld = 1_000

// table writes aligned columns.
type table struct {
	w    *tabwriter.Writer
	held int
}

// newTable begins a table. Its cells are at least width wide, which keeps rows that go out one by one in line.
func newTable(w io.Writer, width int, headers ...string) *table {
	t := &table{w: tabwriter.NewWriter(w, width, 0, 2, ' ', 0)}
	t.row(headers...)
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
	if t.held++; t.held == tableRowsHeld {
		t.flush() //nolint:errcheck // the error stays, and the last flush tells it
	}
}

func (t *table) flush() error {
	t.held = 0
	return t.w.Flush()
}

// sheet writes "name  value" lines; empty values are left out.
type sheet struct{ w *tabwriter.Writer }

func newSheet(w io.Writer) *sheet { return &sheet{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

func (s *sheet) line(name, value string) {
	if value != "" {
		fmt.Fprintf(s.w, "%s\t%s\n", name, strings.ReplaceAll(value, "\n", "\n\t"))
	}
}

func (s *sheet) flush() error { return s.w.Flush() }

// age writes how long ago t was, or how far ahead, in its largest two units: "3m20s", "in 2d4h". No time is "".
func (a *app) age(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	d := a.now().Sub(t.AsTime())
	if d < 0 {
		return "in " + span(-d)
	}
	return span(d)
}

// when writes a time and how long ago it was.
func (a *app) when(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339) + " (" + a.ago(t) + ")"
}

// ago is age as a phrase: "3m20s ago", "in 2d4h".
func (a *app) ago(t *timestamppb.Timestamp) string {
	age := a.age(t)
	if age == "" || strings.HasPrefix(age, "in ") {
		return age
	}
	return age + " ago"
}

// span writes a duration in its largest two units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(major time.Duration, name string, minor time.Duration, minorName string) string {
		text := fmt.Sprint(int64(d/major)) + name
		if rest := d % major / minor; rest > 0 {
			text += fmt.Sprint(int64(rest)) + minorName
		}
		return text
	}
	switch {
	case d >= day:
		return two(day, "d", time.Hour, "h")
	case d >= time.Hour:
		return two(time.Hour, "h", time.Minute, "m")
	case d >= time.Minute:
		return two(time.Minute, "m", time.Second, "s")
	case d >= 10*time.Second:
		return d.Truncate(time.Second).String()
	case d >= time.Second:
		return d.Truncate(100 * time.Millisecond).String()
	}
	return d.Truncate(time.Millisecond).String()
}

// size writes bytes for people: "1.5 MiB".
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// number groups digits: "1,234,567".
func number[N int | uint32 | uint64](n N) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// plural writes "1 task is" or "2,000 tasks are".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// pairs writes labels in order of key.
func pairs(labels map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, key+"="+labels[key])
	}
	return strings.Join(all, ",")
}

// glance writes the beginning of some bytes if they are text, else their number. Never more than one line of most runes.
func glance(data []byte, most int) string {
	if !utf8.Valid(data) {
		return size(uint64(len(data))) + " of data"
	}
	text := strings.TrimSpace(string(data))
	cut := false
	if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		text, cut = text[:i], true
	}
	if runes := []rune(text); len(runes) > most {
		text, cut = string(runes[:most]), true
	}
	if cut {
		text += "…"
	}
	return text
}
