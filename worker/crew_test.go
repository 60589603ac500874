package worker

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/yardmaster/yardmaster/internal/workercore"
)

// testCrew is a crew without a loop.
type testCrew struct {
	*crew
	woken chan struct{} // as loop.wake
	wakes []int         // how many had returned at each wake-up; guarded by crew.mu
}

func newTestCrew(t *testing.T, slots int) *testCrew {
	t.Helper()
	before := goleak.IgnoreCurrent()
	woken := make(chan struct{}, 1)
	c := &testCrew{woken: woken}
	c.crew = newCrew(t.Context(), slots, func() workercore.Time { return 0 }, func() {
		c.mu.Lock()
		c.wakes = append(c.wakes, len(c.returned))
		c.mu.Unlock()
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	t.Cleanup(func() {
		c.close()
		c.hands.Wait()
		if c.size > slots || len(c.line) > 0 {
			t.Errorf("%d goroutines for %d slots, %d runs left", c.size, slots, len(c.line))
		}
		goleak.VerifyNone(t, before)
	})
	return c
}

// start begins runs in one step, numbered from 1.
func (c *testCrew) start(fns ...func()) {
	for i, fn := range fns {
		h := &handler{fn: func(context.Context, *Task) ([]byte, error) { fn(); return nil, nil }}
		c.starting = append(c.starting, &run{handler: h, Task: Task{Token: uint64(i + 1)}})
	}
	c.begin()
}

// wait waits until the loop would have seen n more handlers return, and returns their tokens in that order.
func (c *testCrew) wait(t *testing.T, n int) (tokens []uint64) {
	t.Helper()
	for len(tokens) < n {
		within(t, "the loop to be woken", c.woken)
		for _, r := range c.take(nil) {
			tokens = append(tokens, r.Token)
		}
	}
	return tokens
}

// Runs of one step that each wait for all the others end only if each has a goroutine, whichever took the first.
func TestCrewRunsAllAtATime(t *testing.T) {
	const slots = 50
	c := newTestCrew(t, slots)
	for range 3 { // the second time the goroutines are there
		come, all := make(chan struct{}, slots), make(chan struct{})
		end := sync.OnceFunc(func() { close(all) })
		t.Cleanup(end)
		fns := make([]func(), slots)
		for i := range fns {
			fns[i] = func() { come <- struct{}{}; <-all }
		}
		c.start(fns...)
		for range slots {
			within(t, "a handler to begin", come)
		}
		end()
		c.wait(t, slots)
	}
}

// What has ended is told while the handler that follows on the same goroutine goes on.
func TestCrewTellsOfTheEndedBehindASlowOne(t *testing.T) {
	for _, procs := range []int{1, 2} {
		before := runtime.GOMAXPROCS(procs)
		c := newTestCrew(t, 3)
		for range 100 {
			slow := make(chan struct{})
			c.start(func() {}, func() { <-slow })
			if got := c.wait(t, 1); len(got) != 1 || got[0] != 1 {
				t.Fatalf("returned: %v", got)
			}
			c.start(func() {}) // one more slot is free
			if got := c.wait(t, 1); len(got) != 1 {
				t.Fatalf("returned: %v", got)
			}
			close(slow)
			c.wait(t, 1)
		}
		runtime.GOMAXPROCS(before)
	}
}

// A handler that ends its goroutine, or panics, leaves those in the line to others.
func TestCrewOutlivesItsHandlers(t *testing.T) {
	c := newTestCrew(t, 4)
	for range 50 {
		c.start(runtime.Goexit, func() {}, func() { panic("no") }, runtime.Goexit)
		c.wait(t, 4)
	}
}

// A burst of short tasks costs one wake-up of the loop, unless the goroutine that runs them is interrupted.
func TestCrewTellsOfABurstTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // nobody else takes part
	const slots = 64
	c := newTestCrew(t, slots)
	fns := make([]func(), slots)
	for i := range fns {
		fns[i] = func() {}
	}
	for range 20 {
		c.start(fns...)
		c.wait(t, slots)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.wakes, slots) {
		t.Errorf("woken for %v, never for the %d of a burst", c.wakes, slots)
	}
}
