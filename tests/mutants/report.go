package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Report writes results as they come.
type Report struct {
	w        io.Writer
	asJSON   bool
	began    time.Time
	all, bad int
	worst    string
	most     int
}

// NewReport returns a report in a format, table or json.
func NewReport(w io.Writer, format string) *Report {
	return &Report{w: w, asJSON: format == "json", began: time.Now()}
}

const rowFormat = "%-30s %-8s %-9s %-8s %-14s %6s %6s %6s\n"

// Add tells one result.
func (r *Report) Add(res *Result) {
	if r.all == 0 && !r.asJSON {
		fmt.Fprintf(r.w, rowFormat, "MUTANT", "BREAKS", "DETECTOR", "CAUGHT", "BY", "MEDIAN", "WORST", "TIME")
	}
	r.all++
	if !res.Good() {
		r.bad++
	} else if res.Worst > r.most {
		r.most, r.worst = res.Worst, res.Name
	}
	if r.asJSON {
		_ = json.NewEncoder(r.w).Encode(res) // a broken pipe ends the program by itself
		return
	}
	caught := "no"
	switch {
	case res.Error != "":
		caught = "error"
	case res.Good():
		caught = "yes"
	case res.Caught > 0:
		caught = fmt.Sprintf("%d of %d", res.Caught, res.Tried)
	}
	fmt.Fprintf(r.w, rowFormat, res.Name, list(res.Breaks), res.Detector, caught, orDash(strings.Join(res.By, ",")),
		seeds(res, res.Median), seeds(res, res.Worst), fmt.Sprintf("%.1fs", res.Seconds))
	if res.Error != "" {
		fmt.Fprintf(r.w, "    %s\n", strings.ReplaceAll(res.Error, "\n", "\n    "))
	} else if !res.Good() {
		fmt.Fprintf(r.w, "    not caught in %d runs: %s\n", res.Looked, res.Bug)
	}
}

// End tells the sum to w, and reports whether all is well.
func (r *Report) End(w io.Writer) bool {
	line := fmt.Sprintf("mutants: %d of %d well", r.all-r.bad, r.all)
	if r.worst != "" {
		line += fmt.Sprintf(", the worst after %d seeds: %s", r.most, r.worst)
	}
	fmt.Fprintf(w, "%s, in %v\n", line, time.Since(r.began).Round(time.Second))
	return r.bad == 0 && r.all > 0
}

func list(breaks []Invariant) string {
	var all []string
	for _, i := range breaks {
		all = append(all, fmt.Sprint(int(i)))
	}
	return strings.Join(all, ",")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func seeds(res *Result, n int) string {
	if res.Detector != "sim" || n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
