// Command plot draws what bench measured: the rates beside their ceilings, and the steady load over time.
//
//	go run ./plot -json figures.json -out plots
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// report is the part of bench's report that is drawn.
type report struct {
	Figures []struct {
		Suite, Name, Unit string
		Runs              []float64
	}
	Series map[string]struct {
		Columns []string
		Rows    [][]float64
	}
}

func main() {
	in := flag.String("json", "figures.json", "what bench -json wrote")
	out := flag.String("out", "plots", "directory for the SVG files")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	drawn := 0
	if n, err := r.rates(filepath.Join(out, "rates.svg")); err != nil {
		return err
	} else if n > 0 {
		drawn++
	}
	for name, s := range r.Series {
		for c := 1; c < len(s.Columns); c++ {
			file := filepath.Join(out, name+"-"+strings.ReplaceAll(s.Columns[c], " ", "-")+".svg")
			if err := line(file, name+": "+s.Columns[c], s.Columns[c], s.Rows, c); err != nil {
				return err
			}
			drawn++
		}
	}
	if drawn == 0 {
		return fmt.Errorf("%s holds nothing to draw: run the suites rates or steady", in)
	}
	fmt.Printf("%d plots in %s\n", drawn, out)
	return nil
}

// rates draws the medians of all figures in tasks a second.
func (r *report) rates(file string) (int, error) {
	var values plotter.Values
	var names []string
	for _, f := range slices.Backward(r.Figures) { // the first on top
		if f.Suite != "rates" || f.Unit != "tasks/s" {
			continue
		}
		sorted := slices.Sorted(slices.Values(f.Runs))
		values = append(values, sorted[len(sorted)/2])
		names = append(names, f.Name)
	}
	if len(values) == 0 {
		return 0, nil
	}
	p := plot.New()
	p.Title.Text = "Tasks a second, medians"
	bars, err := plotter.NewBarChart(values, vg.Points(14))
	if err != nil {
		return 0, err
	}
	bars.Horizontal = true
	bars.Color = color.RGBA{R: 0x2b, G: 0x6c, B: 0xb0, A: 0xff}
	bars.LineStyle.Width = 0
	p.Add(bars)
	p.NominalY(names...)
	p.X.Min = 0
	return len(values), p.Save(24*vg.Centimeter, vg.Length(len(values)+3)*0.9*vg.Centimeter, file)
}

// line draws one column over time.
func line(file, title, label string, rows [][]float64, column int) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "seconds", label
	points := make(plotter.XYs, len(rows))
	for i, row := range rows {
		points[i] = plotter.XY{X: row[0], Y: row[column]}
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color = color.RGBA{R: 0x2b, G: 0x6c, B: 0xb0, A: 0xff}
	p.Add(plotter.NewGrid(), l)
	p.Y.Min = 0
	return p.Save(24*vg.Centimeter, 8*vg.Centimeter, file)
}
