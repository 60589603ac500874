package engine

import (
	"errors"
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// unreadable is an error of Bodies: these bodies can't be read, all others were handed over.
type unreadable struct {
	ids []scheduler.TaskID
	err error
}

func (u *unreadable) Error() string                    { return u.err.Error() }
func (u *unreadable) Unwrap() error                    { return u.err }
func (u *unreadable) DamagedTasks() []scheduler.TaskID { return u.ids }

// Damaged returns the tasks whose bodies can't be read, if an error of Bodies says so: then those of all others were handed
// over. nil: it is another error.
func Damaged(err error) []scheduler.TaskID {
	var d interface{ DamagedTasks() []scheduler.TaskID }
	if errors.As(err, &d) {
		return d.DamagedTasks()
	}
	return nil
}

// lostBodies returns the live ones of tasks whose bodies weren't found, by their places in ids: those bodies are lost. The
// others have ended.
func (e *Engine) lostBodies(ids []scheduler.TaskID, places []int) (lost []scheduler.TaskID) {
	if len(places) == 0 {
		return nil
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, i := range places {
		if _, lives := e.state.Task(ids[i]); lives {
			lost = append(lost, ids[i])
		}
	}
	return lost
}

// withLost adds lost bodies to an error of Bodies.
func withLost(err error, lost []scheduler.TaskID) error {
	if len(lost) == 0 {
		return err
	}
	if err == nil {
		err = fmt.Errorf("bodies of %d live tasks, first that of task %d, aren't there", len(lost), lost[0])
	}
	return &unreadable{ids: append(lost, Damaged(err)...), err: err}
}
