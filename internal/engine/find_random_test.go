package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// checkFind compares a walk by pages with looking at each task.
func (l *life) checkFind() {
	f := ListFilter{Max: l.between(1, 7), After: scheduler.TaskID(l.between(0, 5))}
	states := []scheduler.TaskState{
		scheduler.Scheduled, scheduler.Pending, scheduler.Leased, scheduler.Succeeded, scheduler.Dead, scheduler.Cancelled,
	}
	for range l.between(0, 3) {
		f.States = append(f.States, states[l.between(0, len(states)-1)])
	}
	if l.between(0, 2) == 0 {
		f.Looks = l.between(1, 9)
	}
	if l.between(0, 3) == 0 {
		f.Through = l.anyTask()
	}
	if l.between(0, 3) == 0 {
		f.Labels = map[string]string{"of": l.payloads[l.anyTask()]}
	}
	if l.between(0, 3) == 0 {
		f.SubmittedFrom = l.e.Now().Add(-scheduler.Minute)
	}
	var want []string
	for id := f.After + 1; int(id) <= len(l.payloads) && (f.Through == 0 || id <= f.Through); id++ {
		task, err := l.e.Task(context.Background(), id)
		if err != nil {
			continue
		}
		state, submitted, labels := scheduler.TaskState(task.Finished.GetState()), scheduler.Time(task.Finished.GetSubmitted()), task.Finished.GetLabels()
		if task.Live != nil {
			state, submitted, labels = task.Live.State, task.Live.Submitted, task.Body.GetLabels()
		}
		if len(f.States) > 0 && !slices.Contains(f.States, state) || submitted < f.SubmittedFrom ||
			f.Labels != nil && (len(labels) == 0 || labels[0].GetValue() != f.Labels["of"]) {
			continue
		}
		want = append(want, fmt.Sprint(id, state))
	}
	var got []string
	_, tasks := l.pages(f)
	for _, task := range tasks {
		state := scheduler.TaskState(task.Finished.GetState())
		if task.Live != nil {
			state = task.Live.State
		}
		got = append(got, fmt.Sprint(task.ID, state))
	}
	if !slices.Equal(got, want) {
		l.t.Fatalf("%+v finds\n%v, want\n%v", f, got, want)
	}
}
