package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// Runner tries mutants.
type Runner struct {
	Root   string
	Sim    Simulator
	By     string   // "own", "sim" or "test": which detector
	From   []uint64 // starting points: the first seed of each
	Seeds  int      // the most tried from each starting point
	Limit  time.Duration
	Jobs   int // programs at once
	checks map[Detector]error
}

// Result is what became of a mutant.
type Result struct {
	Name     string      `json:"name"`
	Bug      string      `json:"bug"`
	Breaks   []Invariant `json:"breaks"`
	Detector string      `json:"detector"`
	Caught   int         `json:"caught"` // starting points from which it was
	Tried    int         `json:"tried"`
	By       []string    `json:"by,omitempty"`    // what caught it, each once
	Text     string      `json:"text,omitempty"`  // what the first said
	Seeds    []int       `json:"seeds,omitempty"` // of those: how many it took
	Looked   int         `json:"looked"`          // seeds in all
	Median   int         `json:"median_seeds,omitempty"`
	Worst    int         `json:"worst_seeds,omitempty"`
	Seconds  float64     `json:"seconds"` // with the build
	Error    string      `json:"error,omitempty"`
}

// Good reports whether the mutant was caught from every starting point.
func (r *Result) Good() bool { return r.Error == "" && r.Caught == r.Tried && r.Tried > 0 }

// detector returns what is to catch a mutant; nil: it has none of the kind asked for.
func (r *Runner) detector(m *Mutant) Detector {
	if r.By != "test" && m.NoSim == "" {
		return r.Sim
	}
	if r.By == "sim" || m.Test == (Test{}) {
		return nil
	}
	return Tests{r.Root, m.Test, r.Sim.Hang}
}

// Run tries one mutant. ok is false if it is to be passed over.
func (r *Runner) Run(ctx context.Context, m *Mutant) (res Result, ok bool) {
	d := r.detector(m)
	if d == nil {
		return Result{}, false
	}
	began := time.Now()
	res = Result{Name: m.Name, Bug: m.Bug, Breaks: m.Breaks, Detector: d.String()}
	if err := r.try(ctx, m, d, &res); err != nil {
		res.Error = err.Error()
	}
	res.Seconds = time.Since(began).Seconds()
	return res, true
}

func (r *Runner) try(ctx context.Context, m *Mutant, d Detector, res *Result) error {
	if err := r.unmutated(ctx, d); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "yard-mutant-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := m.WriteOverlay(r.Root, dir)
	if err != nil {
		return err
	}
	p, err := d.Build(ctx, overlay, dir)
	if err != nil {
		return err
	}
	return r.hunt(ctx, p, res)
}

// unmutated shows once that a detector finds nothing in the product as it is: a few seeds from each starting point.
func (r *Runner) unmutated(ctx context.Context, d Detector) error {
	if err, done := r.checks[d]; done {
		return err
	}
	err := r.passes(ctx, d)
	if r.checks == nil {
		r.checks = map[Detector]error{}
	}
	r.checks[d] = err
	return err
}

// unmutatedSeeds are tried from each starting point on the product as it is.
const unmutatedSeeds = 4

func (r *Runner) passes(ctx context.Context, d Detector) error {
	dir, err := os.MkdirTemp("", "yard-unmutated-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p, err := d.Build(ctx, "", dir)
	if err != nil {
		return fmt.Errorf("the product as it is: %w", err)
	}
	from, seeds := r.starts(p, unmutatedSeeds)
	for _, seed := range from {
		for n := range seeds {
			v, err := p.Try(ctx, seed+uint64(n))
			if err == nil && v.Caught {
				err = fmt.Errorf("the unmutated product fails, so nothing can be told: seed %d: %s", seed+uint64(n), v.Text)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// starts are a program's starting points and how many seeds are tried from each.
func (r *Runner) starts(p Program, seeds int) ([]uint64, int) {
	if p.Seeded() {
		return r.From, seeds
	}
	return []uint64{0}, 1
}

// hunt tries seed after seed from each starting point.
func (r *Runner) hunt(ctx context.Context, p Program, res *Result) error {
	limited, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	from, seeds := r.starts(p, r.Seeds)
	trails := make([]trail, len(from))
	slots := make(chan struct{}, r.Jobs)
	var all sync.WaitGroup
	for i := range from {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			trails[i] = follow(limited, p, from[i], seeds)
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return res.add(trails)
}

// trail is what was found from one starting point.
type trail struct {
	verdict Verdict
	seeds   int // tried, the one that caught it included
	err     error
}

func follow(ctx context.Context, p Program, from uint64, seeds int) (t trail) {
	for t.seeds < seeds && !t.verdict.Caught && ctx.Err() == nil {
		t.verdict, t.err = p.Try(ctx, from+uint64(t.seeds))
		if t.err != nil {
			break
		}
		t.seeds++
	}
	if errors.Is(t.err, context.DeadlineExceeded) {
		t.err = nil // not caught in time
	}
	return t
}

// add sums trails up.
func (r *Result) add(trails []trail) error {
	r.Tried = len(trails)
	for _, t := range trails {
		if t.err != nil {
			return t.err
		}
		r.Looked += t.seeds
		if !t.verdict.Caught {
			continue
		}
		r.Caught++
		r.Seeds = append(r.Seeds, t.seeds)
		if r.Text == "" {
			r.Text = t.verdict.Text
		}
		if !slices.Contains(r.By, t.verdict.By) {
			r.By = append(r.By, t.verdict.By)
		}
	}
	if r.Caught > 0 {
		sorted := slices.Sorted(slices.Values(r.Seeds))
		r.Median, r.Worst = sorted[(len(sorted)-1)/2], sorted[len(sorted)-1]
	}
	slices.Sort(r.By)
	return nil
}

// Compile checks that a mutant still applies and that the packages it changes compile with it.
func (r *Runner) Compile(ctx context.Context, m *Mutant) (Result, bool) {
	began := time.Now()
	res := Result{Name: m.Name, Bug: m.Bug, Breaks: m.Breaks, Detector: "compile", Tried: 1}
	err := func() error {
		dir, err := os.MkdirTemp("", "yard-mutant-*")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		overlay, err := m.WriteOverlay(r.Root, dir)
		if err != nil {
			return err
		}
		args := append([]string{"build", "-o", os.DevNull}, overlayFlag(overlay)...)
		return goTool(ctx, r.Root, append(args, m.Packages()...)...)
	}()
	if err != nil {
		res.Error = err.Error()
	} else {
		res.Caught = 1
	}
	res.Seconds = time.Since(began).Seconds()
	return res, true
}
