package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// bench is one run of the program.
type bench struct {
	options
	report
}

func run(ctx context.Context, o options) error {
	b := &bench{options: o}
	suites := map[string]func(context.Context) error{
		"rates": b.rates, "backlog": b.backlogSuite, "huge": b.hugeSuite, "due": b.dueSuite,
		"sessions": b.sessionsSuite, "steady": b.steadySuite,
	}
	for _, name := range o.suites {
		if !slices.Contains(allSuites, name) {
			return fmt.Errorf("suite %q: want some of %v", name, allSuites)
		}
	}
	var failed error
	for _, name := range o.suites {
		b.suite = name
		fmt.Printf("--- %s\n", name)
		if err := suites[name](ctx); err != nil {
			failed = fmt.Errorf("suite %s: %w", name, err)
			break
		}
	}
	return errors.Join(failed, b.write(o.out)) // what was measured is kept
}

// value is the median of a figure, 0 if it wasn't measured.
func (r *report) value(name string) float64 {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.median()
		}
	}
	return 0
}
