package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// figure is one measured quantity.
type figure struct {
	Suite   string    `json:"suite"`
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Runs    []float64 `json:"runs"`
	Ceiling string    `json:"ceiling,omitempty"` // the figure that bounds it
	Ratio   float64   `json:"ratio,omitempty"`   // to that one's median
	Aim     string    `json:"aim,omitempty"`
	Met     *bool     `json:"met,omitempty"`
}

func (f *figure) median() float64 {
	s := slices.Sorted(slices.Values(f.Runs))
	return s[len(s)/2]
}

// report gathers figures and prints each as it is complete.
type report struct {
	Figures []*figure         `json:"figures"`
	Series  map[string]series `json:"series,omitempty"`
	suite   string
}

// series are samples over time, for the plots.
type series struct {
	Columns []string    `json:"columns"` // the first is seconds since the beginning
	Rows    [][]float64 `json:"rows"`
}

// add notes a figure and prints it.
func (r *report) add(name, unit string, runs ...float64) *figure {
	f := &figure{Suite: r.suite, Name: name, Unit: unit, Runs: runs}
	r.Figures = append(r.Figures, f)
	fmt.Printf("%-58s %14.2f %-9s (%.2f to %.2f, %d runs)\n", f.Name, f.median(), f.Unit, slices.Min(runs), slices.Max(runs), len(runs))
	return f
}

// against prints the ratio to another figure, its ceiling.
func (r *report) against(f *figure, ceiling string) *figure {
	for _, c := range r.Figures {
		if c.Name == ceiling && c.median() > 0 {
			f.Ceiling, f.Ratio = ceiling, f.median()/c.median()
			fmt.Printf("%58s %14.3f of %s\n", "", f.Ratio, ceiling)
		}
	}
	return f
}

// atLeast and atMost compare a figure with its aim. At least 0 is no aim.
func (f *figure) atLeast(aim float64) {
	if aim == 0 {
		return
	}
	f.judge(fmt.Sprintf("at least %g %s", aim, f.Unit), f.median() >= aim)
}

func (f *figure) atMost(aim float64) {
	f.judge(fmt.Sprintf("at most %g %s", aim, f.Unit), f.median() <= aim)
}

func (f *figure) judge(aim string, met bool) {
	f.Aim, f.Met = aim, &met
	word := "missed"
	if met {
		word = "met"
	}
	fmt.Printf("%58s %14s: %s\n", "", word, aim)
}

// keep notes a series.
func (r *report) keep(name string, s series) {
	if r.Series == nil {
		r.Series = map[string]series{}
	}
	r.Series[name] = s
}

func (r *report) write(path string) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
