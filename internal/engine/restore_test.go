package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// restoredStorage is what a restored backup of a cluster with a worker and two tasks holds, and the term of the backup.
func restoredStorage(t tb) (*testStorage, uint64) {
	t.Helper()
	r := startRig(t)
	r.worker("w", 1)
	r.submit(spec(t, "one"), spec(t, "two"))
	r.save()
	s := r.storage.copied()
	row := s.rows[rowAt{scheduler.TableGlobals, 1}]
	g := *row.Globals
	g.Restoring = true
	row.Globals = &g
	s.rows[rowAt{scheduler.TableGlobals, 1}], s.index = row, 0
	return s, g.Term
}

// TestRestored: a state that comes from a backup is set going before anything is served: BeginTerm, Restored alone, empty
// steps until the sessions have ended. A start from whatever a crash has left ends in the same way, by one Restored.
func TestRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, term := restoredStorage(t)
		r := openRig(t, storage.copied(), newTestLog())
		r.log.term = term
		before := r.e.state.LastPosition()
		set(&r.log.mu, &r.log.holdAt, scheduler.OpRestored)
		r.log.lead()
		started := make(chan error, 1)
		go func() { started <- r.e.Start(context.Background(), r.log) }()
		synctest.Wait()
		if err := <-r.propose(tick()); !errors.Is(err, ErrNotLeader) || r.told.terms() != "" || len(started) > 0 {
			t.Errorf("it serves before Restored: %v, told %q", err, r.told.terms())
		}
		if got := r.e.Events().Last(); got != before {
			t.Errorf("events happened before Restored: %d after %d", got, before)
		}
		_, _, _, moved := r.e.Events().Read(before, make([]Event, 1))
		r.log.release()
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(versions(t, r.log.copied())), fmt.Sprintf("[3:%d 3:%d 3:%d]", scheduler.OpBeginTerm, scheduler.OpRestored, scheduler.OpTick); got != want {
			t.Errorf("entries are %v, want %s", got, want)
		}
		if got := r.told.terms(); !strings.HasPrefix(got, "began 2 with ") {
			t.Errorf("the observer was told %q", got)
		}
		<-moved
		if _, _, missed, _ := r.e.Events().Read(before, make([]Event, 1)); missed != scheduler.RestoreJump {
			t.Errorf("a watcher has missed %d", missed)
		}
		first := r.submit(spec(t, "three"))
		if first != 3+scheduler.TaskID(scheduler.RestoreJump) {
			t.Errorf("the next task is %d", first)
		}
		if g := r.worker("w", 3).grants(); len(g) != 3 || g[0].Token < scheduler.Token(scheduler.RestoreJump) || g[0].Attempt != 1 {
			t.Errorf("grants: %+v", g)
		}
		entries := r.log.copied()
		for kept := range 4 {
			for index := 0; index <= kept; index++ { // of the checkpoint; 0: what was restored
				s := storage.copied()
				if index > 0 {
					p := openRig(t, s, newTestLog(entries[:index]...))
					synctest.Wait()
					p.save()
					s = s.copied()
				}
				n := openRig(t, s, newTestLog(entries[:kept]...))
				n.log.term = 10
				n.start()
				n.submit(spec(t, "more"))
				restores := strings.Count(fmt.Sprint(versions(t, n.log.copied())), fmt.Sprint(":", scheduler.OpRestored))
				n.e.mu.RLock()
				last, done := n.e.state.LastTask(), n.e.state.Restored()
				n.e.mu.RUnlock()
				if restores != 1 || last != first || !done {
					t.Errorf("%d entries, checkpoint of %d: %d restores, the last task is %d", kept, index, restores, last)
				}
			}
		}
	})
}

// TestRestoredLosesLeadership: a term that ends while Restored is under way changes nothing; the next one does it.
func TestRestoredLosesLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, term := restoredStorage(t)
		r := openRig(t, storage, newTestLog())
		r.log.term = term
		set(&r.log.mu, &r.log.holdAt, scheduler.OpRestored)
		r.log.lead()
		started := make(chan error, 1)
		go func() { started <- r.e.Start(context.Background(), r.log) }()
		synctest.Wait()
		r.log.lose()
		synctest.Wait()
		set(&r.log.mu, &r.log.holdAt, 0)
		r.log.forsake()
		r.log.lead()
		synctest.Wait()
		r.log.release()
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		if got := r.submit(spec(t, "three")); got != 3+scheduler.TaskID(scheduler.RestoreJump) {
			t.Errorf("the next task is %d: %v", got, versions(t, r.log.copied()))
		}
	})
}
