package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/yardmaster/yardmaster/internal/sim"
)

// failuresMost is after how many failures no further seed is begun.
const failuresMost = 10

// summary gathers what runs have shown.
type summary struct {
	began    time.Time
	seeds    int
	steps    int64
	virtual  time.Duration
	coverage sim.Coverage
	invalid  []uint64 // seeds whose plan had faults, and none came
	failures []sim.Result
}

func newSummary() *summary { return &summary{began: time.Now()} }

func (s *summary) add(r *sim.Result) {
	s.seeds++
	s.steps += int64(r.Steps)
	s.virtual += time.Duration(r.Virtual)
	s.coverage.Add(&r.Coverage)
	if r.Failure != nil {
		s.failures = append(s.failures, *r)
	} else if r.Faults && r.Coverage.Injected() == 0 {
		s.invalid = append(s.invalid, r.Seed)
	}
}

// line is the summary in one line.
func (s *summary) line(took time.Duration) string {
	covered, all := s.coverage.Legal()
	return fmt.Sprintf("seeds=%d steps=%d seeds/s=%.0f virtual=%s tasks=%d accepted=%d fenced=%d expired=%d cut-off=%d faults=%d transitions=%d/%d violations=%d",
		s.seeds, s.steps, float64(s.seeds)/max(took.Seconds(), 1e-3), s.virtual.Round(time.Second), s.coverage.Tasks, s.coverage.Accepted,
		s.coverage.Fenced, s.coverage.Expired, s.coverage.ExpiredAlive, s.coverage.Injected(), covered, all, len(s.failures))
}

// finish tells what wasn't covered, and the summary.
func (s *summary) finish(set *settings, out io.Writer) int {
	code := exitClean
	if len(s.failures) > 0 {
		code = exitFailure
	}
	for _, seed := range s.invalid {
		code = exitFailure
		fmt.Fprintf(out, "seed %d is invalid: its plan had faults, and none was injected\n", seed)
	}
	if missing := s.coverage.Missing(); len(missing) > 0 && s.seeds > 1 {
		fmt.Fprintf(out, "never injected: %s\n", strings.Join(missing, ", "))
	}
	if missing := s.coverage.Uncovered(); len(missing) > 0 && s.seeds > 1 {
		fmt.Fprintf(out, "transitions never seen: %s\n", strings.Join(missing, ", "))
	}
	fmt.Fprintf(out, "faults: %s\n", s.coverage.FaultCounts())
	fmt.Fprintln(out, s.line(time.Since(s.began)))
	return code
}

// tell says what is wrong with a seed, what led to it, and how to see it again.
func tell(r *sim.Result, set *settings, out io.Writer) {
	fmt.Fprintf(out, "seed %d: %v\nits last steps:\n%sreplay: make sim SEED=%d%s\n", r.Seed, r.Failure, r.Trace, r.Seed, stepsFlag(set))
}

// stepsFlag says the steps, if they aren't the usual ones.
func stepsFlag(set *settings) string {
	if set.steps == sim.StepsDefault {
		return ""
	}
	return fmt.Sprintf(" STEPS=%d", set.steps)
}
