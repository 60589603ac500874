package scheduler

import (
	"fmt"
	"testing"
)

// reloaded is a state that a start loads from a checkpoint, or from one that was restored from a backup.
func reloaded(t testing.TB, s *State, restore bool) *State {
	t.Helper()
	d := checkpointOf(t, s)
	if restore {
		g := s.globals
		g.Restoring = true
		d.write(t, []Row{{Table: TableGlobals, Key: 1, Globals: &g}})
	}
	return d.load(t)
}

// TestBoundRestored ends as many sessions as there may be, each with leases: no step changes too many rows, and nothing is
// charged.
func TestBoundRestored(t *testing.T) {
	h := quiet(t)
	h.submit(specs(30_000, "a")...)
	for i := range SessionsMax {
		h.open(worker(fmt.Sprintf("w%d", i), 1+i%2, "a"))
	}
	h.tick(Second)
	x := h.s.sessions[1]
	h.apply(onSession(OpExpireSession, SessionCommand{Session: x.ID, Attach: x.Attach, Started: h.s.tokensOf(x)}))
	h.tick(0)
	if c := h.s.Counts(); c.Leased < 29_990 {
		t.Fatalf("%+v", c)
	}
	h.s = reloaded(t, h.s, true)
	h.begin(Limits{MaxTasks: MaxTasksDefault, Depth: QueueDepth})
	if h.eff.More || len(h.eff.Events) != 0 || h.s.Restored() {
		t.Fatalf("before OpRestored: more %v, %d events", h.eff.More, len(h.eff.Events))
	}
	h.apply(Command{Op: OpRestored})
	if !h.eff.More || h.s.Restored() {
		t.Fatal("OpRestored has ended its work at once")
	}
	h.bounded(6)
	if c := h.s.Counts(); c.Leased != 0 || c.Pending != 30_000 || c.Sessions != 0 {
		t.Fatalf("%+v", c)
	}
	charged := 0
	h.s.tasks.each(func(_ uint32, t *task) bool {
		if t.Losses > 0 {
			charged++
		}
		if t.Attempts > 0 {
			charged += 1000
		}
		return true
	})
	if charged > 1 { // what session 1 had started was lost before
		t.Errorf("%d tasks were charged", charged)
	}
}

// TestRestoredUncharged: a session that was ending when the backup was made, and one that no leader of this term has heard
// of, give their leases back at no cost; nothing fires, ends or is granted before.
func TestRestoredUncharged(t *testing.T) {
	h := newHarness(t)
	tasks := specs(8, "a")
	tasks[6].Delay, tasks[7].Deadline = Second, h.now.Add(Second)
	for i := range tasks {
		tasks[i].Policy.MaxLosses, tasks[i].Policy.MaxAttempts = 1, 1
	}
	h.submit(tasks...)
	h.open(worker("w1", 3, "a"))
	h.open(worker("w2", 2, "a"))
	x := h.s.sessions[1]
	x.Ending, x.AttachTerm, x.EndStarted = true, 0, h.s.tokensOf(x) // as a full step leaves it
	delete(h.s.sessionByName, "w1")
	h.s.touchSession(x)
	last := h.s.globals
	h.s = reloaded(t, h.s, true)
	h.now = h.now.Add(Hour)
	for range 2 { // the first leader is lost before it has come to OpRestored
		if eff := h.begin(Limits{MaxTasks: 100, Depth: 100}); eff.More || len(eff.Events)+len(eff.Grants)+len(eff.Finished) > 0 {
			t.Fatalf("something goes on before OpRestored: %+v", eff)
		}
		h.s = reloaded(t, h.s, false)
	}
	if _, due := h.s.NextDeadline(); due {
		t.Error("a tick is due before OpRestored")
	}
	h.apply(Command{Op: OpRestored})
	h.tick(0)
	for id := TaskID(1); id <= 6; id++ {
		if info, ok := h.s.Task(id); !ok || info.State != Pending || info.Attempts != 0 || info.Losses != 0 {
			t.Errorf("task %d: %v %+v", id, ok, info)
		}
	}
	g := h.s.globals
	if len(h.s.sessions) != 0 || !h.s.Restored() || g.LastTask != last.LastTask+1<<32 || g.LastToken != last.LastToken+1<<32 ||
		g.LastSession != last.LastSession+1<<32 || g.LastPosition < last.LastPosition+1<<32 {
		t.Errorf("%d sessions, %+v", len(h.s.sessions), g)
	}
}
