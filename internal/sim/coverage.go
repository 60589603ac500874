package sim

import (
	"fmt"
	"strings"
)

// Coverage counts what happened in a run.
type Coverage struct {
	Faults      [faultKinds]int
	Transitions [lifeStates][lifeStates]int
	Tasks       int
	Accepted    int // outcomes
	Fenced      int
	Expired     int // sessions
	// ExpiredAlive are those of them whose worker lived and didn't stand still: it was cut off.
	ExpiredAlive int
	Recalls      int
	GivenUp      int // leases, to a Recall
	Lagged       int // watchers told so
}

// Add adds another run's.
func (c *Coverage) Add(o *Coverage) {
	for i := range c.Faults {
		c.Faults[i] += o.Faults[i]
	}
	for i := range c.Transitions {
		for j := range c.Transitions[i] {
			c.Transitions[i][j] += o.Transitions[i][j]
		}
	}
	c.Tasks += o.Tasks
	c.Accepted += o.Accepted
	c.Fenced += o.Fenced
	c.Expired += o.Expired
	c.ExpiredAlive += o.ExpiredAlive
	c.Recalls += o.Recalls
	c.GivenUp += o.GivenUp
	c.Lagged += o.Lagged
}

// Injected counts the faults of all kinds.
func (c *Coverage) Injected() int {
	n := 0
	for _, k := range c.Faults {
		n += k
	}
	return n
}

// Missing names the kinds of faults that never came.
func (c *Coverage) Missing() []string {
	var names []string
	for i, n := range c.Faults {
		if n == 0 {
			names = append(names, faultNames[i])
		}
	}
	return names
}

// FaultCounts says how often each kind of fault came.
func (c *Coverage) FaultCounts() string {
	parts := make([]string, len(c.Faults))
	for i, n := range c.Faults {
		parts[i] = fmt.Sprintf("%s=%d", faultNames[i], n)
	}
	return strings.Join(parts, " ")
}

// Legal counts the legal changes of a task's state that were seen, and all.
func (c *Coverage) Legal() (seen, all int) {
	c.eachLegal(func(_, _ lifeState, n int) {
		all++
		if n > 0 {
			seen++
		}
	})
	return seen, all
}

// Uncovered names the legal changes that weren't seen.
func (c *Coverage) Uncovered() []string {
	var names []string
	c.eachLegal(func(from, to lifeState, n int) {
		if n == 0 {
			names = append(names, fmt.Sprintf("%s to %s", from, to))
		}
	})
	return names
}

func (c *Coverage) eachLegal(f func(from, to lifeState, n int)) {
	for from := range legal {
		for to := range legal[from] {
			if legal[from][to] {
				f(lifeState(from), lifeState(to), c.Transitions[from][to])
			}
		}
	}
}
