package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"pgregory.net/rapid"
)

// pages walks a list to its end.
func (r *rig) pages(f ListFilter) (ids []scheduler.TaskID, all []*Task) {
	r.t.Helper()
	for {
		tasks, more, err := r.e.List(context.Background(), f)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(tasks) > f.Max || more && len(tasks) < f.Max {
			r.t.Fatalf("a page of %d tasks, %d asked for, more: %v", len(tasks), f.Max, more)
		}
		for _, task := range tasks {
			if task.ID <= f.After {
				r.t.Fatalf("task %d comes after %d", task.ID, f.After)
			}
			f.After = task.ID
			ids, all = append(ids, task.ID), append(all, task)
		}
		if !more {
			return ids, all
		}
	}
}

// TestListWhereverTheyAre: tasks are listed alike while their ends are staged, sealed, stored or both.
func TestListWhereverTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := livedRig(t, true)
		check := func(where any) {
			t.Helper()
			for _, size := range []int{1, 2, 3, 100} {
				_, tasks := r.pages(ListFilter{Max: size})
				var got []string
				for _, task := range tasks {
					if task.Live == nil { // a page has no bodies of dead letters
						got = append(got, fmt.Sprint(task.ID, " ", scheduler.TaskState(task.Finished.GetState()), " ", len(task.Finished.GetLabels())))
					} else {
						got = append(got, fmt.Sprint(task.ID, " ", task.Live.State, " ", len(task.Body.GetLabels())))
					}
				}
				want := []string{"1 SUCCEEDED 2", "2 LEASED 1", "3 DEAD 1", "4 SUCCEEDED 0", "6 CANCELLED 1", "7 PENDING 1", "8 LEASED 0"}
				if !slices.Equal(got, want) {
					t.Errorf("%v, pages of %d:\n\t%q, want\n\t%q", where, size, got, want)
				}
			}
			for want, f := range map[string]ListFilter{
				"[1 4]":   {Max: 1, States: []scheduler.TaskState{scheduler.Succeeded}},
				"[2 3 8]": {Max: 2, States: []scheduler.TaskState{scheduler.Dead, scheduler.Leased}},
				"[6 7]":   {Max: 2, Kind: "other"},
				"[6]":     {Max: 3, Kind: "other", States: []scheduler.TaskState{scheduler.Cancelled}},
				"[]":      {Max: 3, Queue: "none"},
				"[7 8]":   {Max: 3, After: 6},
				"[8]":     {Max: 1, Queue: scheduler.DefaultQueue, After: 7},
			} {
				if ids, _ := r.pages(f); fmt.Sprint(ids) != want {
					t.Errorf("%v: %+v lists %v, want %s", where, f, ids, want)
				}
			}
		}
		r.through(func(s stage) { check(s) })
		r.cancel(7)
		r.retry(3)
		r.through(func(s stage) {
			if ids, _ := r.pages(ListFilter{Max: 2, States: []scheduler.TaskState{scheduler.Dead}}); len(ids) != 0 {
				t.Errorf("%v: a retried dead letter is listed as dead: %v", s, ids)
			}
			if ids, _ := r.pages(ListFilter{Max: 2, States: []scheduler.TaskState{scheduler.Cancelled}}); fmt.Sprint(ids) != "[6 7]" {
				t.Errorf("%v: cancelled are %v", s, ids)
			}
		})
	})
}

// TestListWhileTasksEnd: whatever ends, is saved or lives again while a list walks, each task that existed throughout is
// on it, once.
func TestListWhileTasksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		dies := spec(t, "d")
		dies.Policy.MaxAttempts = 1
		var specs []scheduler.TaskSpec
		for range 300 {
			specs = append(specs, dies)
		}
		r.submit(specs...)
		w := r.worker("w", 400)
		g := w.grants()
		for i := range 100 { // 1 to 100 are dead and stored
			w.report(failed(g[i], "x"))
		}
		r.save()
		for i := 100; i < 150; i++ { // 101 to 150 are dead and staged
			w.report(failed(g[i], "x"))
		}
		// What may happen between the looks of a list: each once at each moment.
		cancelled, revived := scheduler.TaskID(200), scheduler.TaskID(0)
		moves := []func(){
			func() { cancelled++; r.cancel(cancelled) },
			func() { revived++; r.retry(revived) }, // stored
			func() { r.retry(100 + revived) },      // staged at first
			func() { cancelled++; r.cancel(cancelled); r.save() },
			func() { revived++; r.retry(revived); r.save() },
			func() { revived++; r.retry(revived); r.cancel(revived) },
		}
		moments := 4
		for moment := 1; moment <= moments; moment++ {
			for i, move := range moves {
				now := 0
				look := func() {
					if now++; now == moment {
						move()
					}
				}
				set(&r.storage.mu, &r.storage.inFinished, look) // before and after storage is read
				tasks, _, err := r.e.List(lookedAt{t.Context(), look}, ListFilter{Max: 1000})
				if set(&r.storage.mu, &r.storage.inFinished, nil); err != nil || len(tasks) != 300 {
					t.Errorf("move %d at moment %d: %d tasks, %v, want 300", i, moment, len(tasks), err)
				}
				moments = max(moments, now)
			}
		}
	})
}

// lookedAt is a context that calls look whenever it is asked whether it has ended: a List asks between its looks.
type lookedAt struct {
	context.Context
	look func()
}

func (l lookedAt) Err() error {
	l.look()
	return l.Context.Err()
}

// TestListSparse: a filter that few of many tasks pass finds them, over live and finished ones, and a list can be given up.
func TestListSparse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		rare := []scheduler.TaskID{17, 2500, 2501, 6000, 9999}
		for from := 0; from < 10_000; from += 1000 {
			var specs []scheduler.TaskSpec
			for i := range 1000 {
				s := spec(t, "p")
				if slices.Contains(rare, scheduler.TaskID(from+i+1)) {
					s.Kind = "rare"
				}
				specs = append(specs, s)
			}
			r.submit(specs...)
		}
		for from := 0; from < 5000; from += 1000 { // half of them end and are stored
			ids := make([]scheduler.TaskID, 1000)
			for i := range ids {
				ids[i] = scheduler.TaskID(from + i + 1)
			}
			r.cancel(ids...)
		}
		r.save()
		for _, size := range []int{1, 2, 10} {
			if ids, _ := r.pages(ListFilter{Max: size, Kind: "rare"}); !slices.Equal(ids, rare) {
				t.Errorf("pages of %d list %v, want %v", size, ids, rare)
			}
		}
		if ids, _ := r.pages(ListFilter{Max: 999}); len(ids) != 10_000 || !slices.IsSorted(ids) {
			t.Errorf("%d tasks are listed, want 10,000 in order", len(ids))
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		why := errors.New("gone")
		cancel(why)
		if _, _, err := r.e.List(ctx, ListFilter{Max: 1, Kind: "none"}); !errors.Is(err, why) {
			t.Errorf("a list whose caller has gone returned %v", err)
		}
	})
}

// TestPage compares the page with sorting everything.
func TestPage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := ListFilter{Max: rapid.IntRange(1, 5).Draw(t, "max"), After: scheduler.TaskID(rapid.IntRange(0, 20).Draw(t, "after"))}
		p := newPage(f)
		var want []scheduler.TaskID
		for _, id := range rapid.SliceOfN(rapid.Uint64Range(1, 60), 0, 100).Draw(t, "ids") {
			id := scheduler.TaskID(id)
			p.addLive(scheduler.TaskInfo{TaskRow: scheduler.TaskRow{ID: id}})
			if id > f.After && !slices.Contains(want, id) {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		tasks, more := p.result()
		var got []scheduler.TaskID
		for _, task := range tasks {
			got = append(got, task.ID)
		}
		if n := min(len(want), f.Max); !slices.Equal(got, want[:n]) || more != (len(want) > n) {
			t.Fatalf("got %v, more: %v; of %v", got, more, want)
		}
	})
}
