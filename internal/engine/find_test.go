package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// pages walks a list to its end.
func (r *rig) pages(f ListFilter) (ids []scheduler.TaskID, all []*Task) {
	r.t.Helper()
	for {
		page, err := r.e.FindPage(context.Background(), f)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(page.Tasks) > f.Max || f.Looks == 0 && page.Next != 0 && len(page.Tasks) < f.Max && page.Next < ListLooks {
			r.t.Fatalf("a page of %d tasks, %d asked for, next: %d", len(page.Tasks), f.Max, page.Next)
		}
		for _, task := range page.Tasks {
			if task.ID <= f.After {
				r.t.Fatalf("task %d comes after %d", task.ID, f.After)
			}
			f.After = task.ID
			ids, all = append(ids, task.ID), append(all, task)
		}
		if page.Next == 0 {
			return ids, all
		}
		if page.Next < f.After || page.Next == 0 {
			r.t.Fatalf("the page after task %d begins after %d", f.After, page.Next)
		}
		f.After = page.Next
	}
}

// TestFindWhereverTheyAre: tasks are listed alike while their ends are staged, sealed, stored or both.
func TestFindWhereverTheyAre(t *testing.T) {
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
				"[2 3 4]": {Max: 1, After: 1, Through: 4},
				"[1 2]":   {Max: 5, Labels: map[string]string{"a": "1"}},
				"[1]":     {Max: 5, Labels: map[string]string{"a": "1", "b": "2"}},
				"[3]":     {Max: 1, Labels: map[string]string{"env": "test"}},
				"[7]":     {Max: 1, Labels: map[string]string{"x": "y"}, States: []scheduler.TaskState{scheduler.Pending}},
				"[] ":     {Max: 1, Labels: map[string]string{"a": "2"}},
				"[]  ":    {Max: 1, After: 5, Through: 5},
				"[3 4]":   {Max: 1, Looks: 1, After: 2, Through: 4},
			} {
				if ids, _ := r.pages(f); fmt.Sprint(ids) != strings.TrimSpace(want) {
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

// TestFindWhileTasksEnd: whatever ends, is saved or lives again while a list walks, each task that existed throughout is
// on it, once.
func TestFindWhileTasksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		dies := spec(t, "d", "l", "v")
		dies.Policy.MaxAttempts = 1
		var specs []scheduler.TaskSpec
		for range 450 {
			specs = append(specs, dies)
		}
		r.submit(specs...)
		w := r.worker("w", 450)
		g := w.grants()
		die := func(some []scheduler.Grant) {
			var list []scheduler.Outcome
			for _, g := range some {
				list = append(list, failed(g, "x"))
			}
			w.report(list...)
		}
		die(g[:150]) // 1 to 150 are dead and stored
		r.save()
		die(g[150:300]) // 151 to 300 are dead and staged
		// What may happen between the looks of a list: each once at each moment.
		cancelled, revived := scheduler.TaskID(350), scheduler.TaskID(0)
		moves := []func(){
			func() { cancelled++; r.cancel(cancelled) },
			func() { revived++; r.retry(revived) }, // stored
			func() { r.retry(150 + revived) },      // staged at first
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
				set(&r.storage.mu, &r.storage.inBodies, look)   // before labels are read
				f := ListFilter{Max: 160, Labels: map[string]string{"l": "v"}}
				var ids []scheduler.TaskID
				for {
					page, err := r.e.FindPage(lookedAt{t.Context(), look}, f)
					if err != nil {
						t.Fatal(err)
					}
					for _, task := range page.Tasks {
						ids = append(ids, task.ID)
					}
					if f.After = page.Next; f.After == 0 {
						break
					}
				}
				set(&r.storage.mu, &r.storage.inFinished, nil)
				set(&r.storage.mu, &r.storage.inBodies, nil)
				if len(ids) != 450 || ids[0] != 1 || ids[449] != 450 || !slices.IsSorted(ids) {
					t.Errorf("move %d at moment %d: %d tasks, want 450", i, moment, len(ids))
				}
				moments = min(max(moments, now), 30)
			}
		}
		if moments < 12 {
			t.Errorf("the test doesn't test much: %d moments", moments)
		}
	})
}

// lookedAt is a context that calls look whenever it is asked whether it has ended: a find asks between its windows.
type lookedAt struct {
	context.Context
	look func()
}

func (l lookedAt) Err() error {
	l.look()
	return l.Context.Err()
}

// TestFindSparse: a filter that few of many tasks pass finds them, over live and finished ones, and a list can be given up.
func TestFindSparse(t *testing.T) {
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
		if _, err := r.e.FindPage(ctx, ListFilter{Max: 1, Kind: "none"}); !errors.Is(err, why) {
			t.Errorf("a list whose caller has gone returned %v", err)
		}
	})
}

// TestFindLooks: a find gives up after its looks, says where to go on, and finds all in the end; a page of tasks that are
// there costs no more looks than tasks, wherever it begins.
func TestFindLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		for range 20 {
			r.do(many(t, 1000))
		}
		ids := make([]scheduler.TaskID, 1000)
		for from := 3000; from < 6000; from += 1000 { // some have ended, some of those are stored
			for i := range ids {
				ids[i] = scheduler.TaskID(from + i)
			}
			r.cancel(ids...)
			if from == 4000 {
				r.save()
			}
		}
		for _, f := range []ListFilter{{Max: 10, Kind: "none"}, {Max: 10, States: []scheduler.TaskState{scheduler.Dead}}} {
			calls := 0
			for f.Looks = 1500; ; {
				page, err := r.e.FindPage(t.Context(), f)
				if err != nil || len(page.Tasks) > 0 || page.Last != 20_000 {
					t.Fatalf("%+v, %v", page, err)
				}
				calls++
				if f.After = page.Next; f.After == 0 {
					break
				}
			}
			if most := 20_000/1000 + 1; calls > most || len(f.States) == 0 && calls < 20_000/3000 {
				t.Errorf("%d calls of %d looks saw 20,000 tasks", calls, f.Looks)
			}
		}
		for _, after := range []scheduler.TaskID{0, 3500, 5990, 10_000, 19_900} {
			p := newPage(ListFilter{Max: 100, After: after})
			for !p.done() {
				if err := r.e.findWindow(p); err != nil {
					t.Fatal(err)
				}
			}
			if len(p.tasks) != 100 || p.tasks[0].ID != after+1 || p.tasks[99].ID != after+100 || p.looks > 3*101 {
				t.Errorf("after %d: %d tasks by %d looks", after, len(p.tasks), p.looks)
			}
		}
		if len(r.e.finds) != 0 {
			t.Errorf("%d finds are left", len(r.e.finds))
		}
		labels := map[string]string{}
		for i := range scheduler.LabelsMax + 1 {
			labels[fmt.Sprint(i)] = "v"
		}
		if _, err := r.e.FindPage(t.Context(), ListFilter{Labels: labels}); err == nil {
			t.Error("more labels than a task may have")
		}
	})
}

// TestFindSubmitted: the range of submits is that of the log's time, its end excluded, for live and finished tasks.
func TestFindSubmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		var at []scheduler.Time
		for i := range 6 {
			id := r.submit(spec(t, "p"))
			task, err := r.e.Task(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, task.Live.Submitted)
			if i%2 == 0 {
				r.cancel(id)
			}
			pass(time.Second)
		}
		r.through(func(s stage) {
			for want, f := range map[string]ListFilter{
				"[3 4]":         {Max: 1, SubmittedFrom: at[2], SubmittedBefore: at[4]},
				"[4 5 6]":       {Max: 9, SubmittedFrom: at[2] + 1},
				"[1 2 3]":       {Max: 9, SubmittedBefore: at[2] + 1},
				"[]":            {Max: 9, SubmittedFrom: at[5] + 1},
				"[2 4 6]":       {Max: 9, SubmittedFrom: at[0], States: []scheduler.TaskState{scheduler.Pending}},
				"[1 2 3 4 5 6]": {Max: 2, SubmittedFrom: at[0], SubmittedBefore: at[5] + 1},
			} {
				if ids, _ := r.pages(f); fmt.Sprint(ids) != want {
					t.Errorf("%v: %+v finds %v, want %s", s, f, ids, want)
				}
			}
		})
	})
}

// TestFindLabelsGone: a task that lives again, and ends again on the way to its labels, is found as it ended.
func TestFindLabelsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		dies := spec(t, "d", "l", "v")
		dies.Policy.MaxAttempts = 1
		r.submit(dies)
		w := r.worker("w", 1)
		w.report(failed(w.grants()[0], "x"))
		r.save()
		once := func(where *func(), f func()) {
			done := false // storage may call it twice
			set(&r.storage.mu, where, func() {
				if !done {
					done = true
					f()
				}
			})
		}
		once(&r.storage.inFinished, func() {
			r.retry(1)
			r.save()
			once(&r.storage.inBodies, func() { r.cancel(1); r.save() })
		})
		page, err := r.e.FindPage(t.Context(), ListFilter{Max: 1, Labels: map[string]string{"l": "v"}})
		if err != nil || len(page.Tasks) != 1 || scheduler.TaskState(page.Tasks[0].Finished.GetState()) != scheduler.Cancelled {
			t.Errorf("found %+v, %v", page, err)
		}
	})
}

// TestFindKeepsLabels: a task that ends on the way to its labels is listed as it was found, with them; one of which nothing
// is kept isn't listed.
func TestFindKeepsLabels(t *testing.T) {
	for _, c := range []struct {
		name      string
		retention scheduler.Duration
		want      string
	}{
		{"kept", scheduler.Hour, "[l=v]"},
		{"not kept", 0, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startRig(t)
				x := spec(t, "a", "l", "v")
				x.Policy.Retention = c.retention
				r.submit(x)
				r.save()
				ended := false // storage may be asked twice
				set(&r.storage.mu, &r.storage.inBodies, func() {
					if !ended {
						ended = true
						r.cancel(1)
						r.save()
					}
				})
				page, err := r.e.FindPage(t.Context(), ListFilter{Max: 1})
				if err != nil || !ended {
					t.Fatalf("ended %t, %v", ended, err)
				}
				got := []string{}
				for _, task := range page.Tasks {
					for _, l := range task.Body.GetLabels() {
						got = append(got, l.GetKey()+"="+l.GetValue())
					}
				}
				if fmt.Sprint(got) != c.want || len(page.Tasks) != len(got) {
					t.Errorf("found %d tasks with labels %v, want %s", len(page.Tasks), got, c.want)
				}
			})
		})
	}
}
