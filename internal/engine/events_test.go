package engine

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// seen reads all events after a position.
func (r *rig) seen(after uint64) (all []Event, missed uint64) {
	buf := make([]Event, 7)
	for {
		n, through, lost, moved := r.e.Events().Read(after, buf)
		if all, missed, after = append(all, buf[:n]...), missed+lost, through; moved != nil {
			return all, missed
		}
	}
}

// TestEvents: the ring holds the events of all steps, in order, with the log's time; a replay gives the same, as far as its
// tail goes, and says how many came before that.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		var told []scheduler.Event
		r.hook(func(eff *scheduler.Effects) { told = append(told, eff.Events...) })
		dies := spec(t, "d")
		dies.Policy.MaxAttempts = 2
		r.submit(spec(t, "a"), dies, spec(t, "c"))
		w := r.worker("w", 2)
		pass(time.Second)
		at := r.e.Now()
		g := w.grants()
		w.report(succeeded(g[0], "well"), failed(g[1], "once"))
		r.save()
		saved := r.e.Status().LastPosition
		for _, g := range w.grants() {
			w.report(failed(g, "again"))
		}
		r.retry(2)
		synctest.Wait()
		all, missed := r.seen(0)
		if len(told) < 5 || missed != 0 || saved == 0 || uint64(len(all)) != r.e.Status().LastPosition {
			t.Fatalf("%d events of %d, %d missed, %d before the checkpoint", len(all), r.e.Status().LastPosition, missed, saved)
		}
		for i, ev := range all[len(all)-len(told):] {
			if ev.Event != told[i] {
				t.Errorf("event %d is %+v, the observer saw %+v", i, ev, told[i])
			}
		}
		for i, ev := range all {
			if ev.Position != uint64(i)+1 {
				t.Errorf("event %d has position %d", i+1, ev.Position)
			}
		}
		if last := all[len(all)-1]; last.At < at || last.At > r.e.Now() {
			t.Errorf("the last event is of %d, now is %d", last.At, r.e.Now())
		}
		if n, _ := r.restarted(false).seen(0); !slices.Equal(n, all) {
			t.Errorf("a replay gives\n%v, want\n%v", n, all)
		}
		n := r.restarted(true)
		if got, missed := n.seen(0); !slices.Equal(got, all[saved:]) || missed != saved {
			t.Errorf("a replay of the tail gives\n%v and has missed %d, want %d\n%v", got, missed, saved, all[saved:])
		}
		if got, missed := n.seen(saved + 1); !slices.Equal(got, all[saved+1:]) || missed != 0 {
			t.Errorf("a watcher that goes on gets %v and has missed %d", got, missed)
		}
	})
}

// signalled takes a signal, if there is one.
func signalled(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestWatchTask: each change of a task signals, once until it is taken, to all who watch that task and to nobody else.
func TestWatchTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.submit(spec(t, "a"), spec(t, "b"))
		first, second, third := r.e.WatchTask(1), r.e.WatchTask(1), r.e.WatchTask(2)
		one, twin, other := first.Changed, second.Changed, third.Changed
		check := func(what string, wantOne, wantTwin, wantOther bool) {
			t.Helper()
			synctest.Wait()
			if a, b, c := signalled(one), signalled(twin), signalled(other); a != wantOne || b != wantTwin || c != wantOther {
				t.Errorf("%s: signalled %v, %v, %v", what, a, b, c)
			}
			if signalled(one) || signalled(twin) || signalled(other) {
				t.Errorf("%s: signalled twice", what)
			}
		}
		check("nothing", false, false, false)
		r.cancel(1)
		check("a task ends", true, true, false)
		r.cancel(2)
		check("the other task ends", false, false, true)
		first.Stop()
		first.Stop()
		r.submit(spec(t, "c"))
		again := r.e.WatchTask(3)
		again.Stop()
		r.cancel(3)
		check("another task", false, false, false)
		if signalled(again.Changed) {
			t.Error("a watch that has stopped is signalled")
		}
		second.Stop()
		third.Stop()
		if n := len(r.e.events.tasks); n != 0 || r.e.events.watches.Load() != 0 {
			t.Errorf("%d tasks, %d watches are left", n, r.e.events.watches.Load())
		}
	})
}

// TestWatchesAreBounded: beyond the limit a watch never signals; one that stops makes room.
// TestWatchTaskSeesTheEnd: also of a task of which nothing is kept, and of each generation the last.
func TestWatchTaskSeesTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		gone := spec(t, "a", "label", "x")
		gone.Policy.Retention = 0
		dies := spec(t, "b")
		dies.Policy.Retention, dies.Policy.MaxAttempts = 0, 1
		r.submit(gone, dies)
		r.save() // so that the label comes late
		one, two, none := r.e.WatchTask(1), r.e.WatchTask(2), r.e.WatchTask(3)
		defer one.Stop()
		defer two.Stop()
		defer none.Stop()
		state := func(w TaskWatch) (scheduler.TaskState, *storagev1.Finished) {
			t.Helper()
			f, err := w.Ended()
			if err != nil {
				t.Fatal(err)
			}
			return scheduler.TaskState(f.GetState()), f
		}
		if s, _ := state(one); s != 0 {
			t.Errorf("a live task has ended: %v", s)
		}
		w := r.worker("w", 2)
		g := w.grants()
		w.report(succeeded(g[0], "well"), failed(g[1], "once"))
		synctest.Wait()
		if s, f := state(one); s != scheduler.Succeeded || string(f.GetDetail().GetResult()) != "well" || len(f.GetLabels()) != 1 {
			t.Errorf("the end is %v", f)
		}
		if _, err := r.e.Task(t.Context(), 1); !errors.Is(err, ErrNotRetained) {
			t.Errorf("it is kept: %v", err)
		}
		if s, _ := state(two); s != scheduler.Dead {
			t.Errorf("a dead letter's end is %v", s)
		}
		r.retry(2)
		w.report(succeeded(w.grants()[0], "at last"))
		synctest.Wait()
		if s, f := state(two); s != scheduler.Succeeded || f.GetGen() != 2 {
			t.Errorf("the second generation's end is %v", f)
		}
		if s, _ := state(none); s != 0 {
			t.Errorf("a task that isn't there has ended: %v", s)
		}
	})
}

func TestWatchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		var stops []func()
		for i := range TaskWatchesMax {
			w := r.e.WatchTask(scheduler.TaskID(i % 10))
			if w.Changed == nil {
				t.Fatalf("watch %d of %d isn't taken", i+1, TaskWatchesMax)
			}
			stops = append(stops, w.Stop)
		}
		w := r.e.WatchTask(1)
		if end, err := w.Ended(); w.Changed != nil || end != nil || err != nil {
			t.Error("a watch beyond the limit is taken")
		}
		w.Stop()
		stops[0]()
		if w = r.e.WatchTask(1); w.Changed == nil {
			t.Error("a watch that stopped made no room")
		}
		for _, stop := range append(stops, w.Stop) {
			stop()
		}
	})
}

// TestEventsCostNothing: steps for nobody allocate nothing, once the ring is full.
func TestEventsCostNothing(t *testing.T) {
	e, err := New(Options{Proposer: 1, Storage: newTestStorage(), Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]scheduler.Event, 1000)
	position := uint64(0)
	round := func() {
		for i := range all {
			position++
			all[i].Position = position
		}
		e.events.publish(all, 7)
	}
	for range scheduler.EventsKept/1000 + 1 {
		round()
	}
	if n := testing.AllocsPerRun(10, round); n != 0 {
		t.Errorf("a step of 1000 events takes %v allocations", n)
	}
}
