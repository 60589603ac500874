package engine

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// saved is a checkpoint.
type saved struct {
	rows int
	took time.Duration
}

// testMeter remembers.
type testMeter struct {
	mu      sync.Mutex
	batches []string
	commits []time.Duration
	saves   []saved
	stalls  []time.Duration
}

func (m *testMeter) note(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *testMeter) Batch(commands, rows, bytes int) {
	m.note(func() { m.batches = append(m.batches, fmt.Sprint(commands, " ", rows, " ", bytes)) })
}
func (m *testMeter) Commit(took time.Duration) {
	m.note(func() { m.commits = append(m.commits, took) })
}
func (m *testMeter) Checkpoint(rows int, took time.Duration) {
	m.note(func() { m.saves = append(m.saves, saved{rows, took}) })
}
func (m *testMeter) Stall(took time.Duration) { m.note(func() { m.stalls = append(m.stalls, took) }) }

// TestMeter: what happens is measured where it happens.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &testMeter{}
		r := startRig(t, func(o *Options) {
			o.Meter = m
		})
		pass(CheckpointInterval) // saves BeginTerm
		set(&m.mu, &m.saves, nil)
		set(&m.mu, &m.batches, nil)
		set(&m.mu, &m.commits, nil)
		r.log.hold()
		done := r.propose(submitCmd(spec(t, "a"), spec(t, "b")))
		synctest.Wait()
		twin := []chan error{r.propose(tick()), r.propose(submitCmd(spec(t, "c")))}
		synctest.Wait()
		pass(100 * time.Millisecond)
		r.log.release()
		<-done //nolint:errcheck // its end is waited for, not its answer
		for _, d := range twin {
			<-d //nolint:errcheck // likewise
		}
		synctest.Wait()
		entries := r.log.copied()
		n := len(entries)
		want := fmt.Sprintf("[1 3 %d 1 1 %d 1 2 %d]", len(entries[n-3]), len(entries[n-2]), len(entries[n-1]))
		if n != 4 { // the two that waited may share an entry
			want = fmt.Sprintf("[1 3 %d 2 3 %d]", len(entries[n-2]), len(entries[n-1]))
		}
		if got := fmt.Sprint(get(&m.mu, &m.batches)); got != want {
			t.Errorf("batches %s, want %s", got, want)
		}
		commits := get(&m.mu, &m.commits)
		if len(commits) != len(get(&m.mu, &m.batches)) || commits[0] != 100*time.Millisecond {
			t.Errorf("commits took %v", commits)
		}
		r.inSave(func() { <-time.After(50 * time.Millisecond) })
		r.save()
		if got := get(&m.mu, &m.saves); len(got) != 1 || got[0].rows < 3 || got[0].took != 50*time.Millisecond {
			t.Errorf("checkpoints %v", got)
		}
		for range 2*CheckpointRows/1000 + 2 {
			r.propose(many(t, 1000))
			synctest.Wait()
		}
		pass(time.Second)
		stalls := get(&m.mu, &m.stalls)
		if len(stalls) == 0 || stalls[0] <= 0 || stalls[0] > 100*time.Millisecond {
			t.Errorf("stalls %v", stalls)
		}
	})
}

// TestTotals: what steps do while this process leads is counted, a replay isn't.
func TestTotals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		dies := spec(t, "d")
		dies.Policy.MaxAttempts = 2
		r.submit(spec(t, "a"), dies, spec(t, "c"))
		w := r.worker("w", 3)
		g := w.grants()
		w.report(succeeded(g[0], "well"), failed(g[1], "once"))
		again := w.grants()
		w.report(failed(again[0], "twice"), succeeded(g[0], "too late"))
		r.cancel(3)
		synctest.Wait()
		got := r.e.Status().Totals
		got.Returned = 0
		want := Totals{Submitted: 3, Granted: 4, Succeeded: 1, FailedAttempts: 2, Dead: 1, Cancelled: 1, RejectedOutcomes: 1}
		want.Causes[scheduler.CauseError] = 2
		if got != want {
			t.Errorf("totals %+v, want %+v", got, want)
		}
		n := r.restarted(false)
		if got := n.e.Status().Totals; got != (Totals{}) {
			t.Errorf("a replay counted %+v", got)
		}
		n.start()
		n.submit(spec(t, "e"))
		if got := n.e.Status().Totals; got != (Totals{Submitted: 1}) {
			t.Errorf("after a restart %+v", got)
		}
		var c totals
		c.count(&scheduler.Effects{Events: []scheduler.Event{{Type: scheduler.EventReturned}, {Type: scheduler.EventReady}}})
		if got := c.read(); got != (Totals{Returned: 1}) {
			t.Errorf("a lease that came back counts as %+v", got)
		}
	})
}
