package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestDamagedBodies: of bodies that are damaged or lost Bodies tells the tasks, and hands over all others; the tasks can be
// looked at, and end, and the checkpoint that drops them goes on.
func TestDamagedBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.submit(spec(t, "one", "l", "1"), spec(t, "two", "l", "1"), spec(t, "three", "l", "1"), spec(t, "four", "l", "1"))
		r.save()
		r.storage.mu.Lock()
		r.storage.damaged = []scheduler.TaskID{2}
		delete(r.storage.bodies, 3) // lost
		r.storage.mu.Unlock()
		r.submit(spec(t, "five", "l", "1")) // staged
		for _, ids := range [][]scheduler.TaskID{{1, 2, 3, 4, 99}, {4, 3, 99, 2, 5, 1}} {
			var got []scheduler.TaskID
			err := r.e.Bodies(ids, func(i int, data []byte) error {
				if (data == nil) != (ids[i] == 99) {
					t.Errorf("body of task %d: %q", ids[i], data)
				}
				got = append(got, ids[i])
				return nil
			})
			lost := slices.Sorted(slices.Values(Damaged(err)))
			if want := []scheduler.TaskID{2, 3}; !slices.Equal(lost, want) || len(got) != len(ids)-2 || slices.Contains(got, 2) || slices.Contains(got, 3) {
				t.Errorf("%v: handed over %v, lost %v: %v", ids, got, lost, err)
			}
		}
		for id, want := range map[scheduler.TaskID]bool{1: false, 2: true, 3: true} {
			if task, err := r.e.Task(context.Background(), id); err != nil || task.Live == nil || task.Unreadable != want || (task.Body == nil) != want {
				t.Errorf("task %d: %+v, %v", id, task, err)
			}
		}
		list, err := r.e.FindPage(context.Background(), ListFilter{Labels: map[string]string{"l": "1"}, Max: 10, Looks: 100})
		if err != nil || len(list.Tasks) != 3 {
			t.Errorf("listed %v, %v", list, err)
		}
		if list, err = r.e.FindPage(context.Background(), ListFilter{Max: 10, Looks: 100}); err != nil || len(list.Tasks) != 5 {
			t.Errorf("listed %v, %v", list, err)
		}
		r.cancel(1, 2)
		if fin, err := r.e.Finished(2); err != nil || len(fin.GetLabels()) != 0 {
			t.Errorf("%v, %v", fin, err)
		}
		r.save()
		for id, want := range map[scheduler.TaskID]string{1: "1", 2: ""} {
			fin, err := r.e.Finished(id)
			if got := fmt.Sprint(fin.GetLabels()); err != nil || (len(fin.GetLabels()) > 0) != (want != "") {
				t.Errorf("labels of task %d: %s, %v", id, got, err)
			}
		}
	})
}
