package engine

import (
	"slices"
	"testing/synctest"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// worker is one worker's session.
type worker struct {
	r       *rig
	session scheduler.SessionID
	attach  uint64
	seq     uint64
}

func (r *rig) worker(name string, slots uint16, kinds ...string) *worker {
	r.t.Helper()
	if len(kinds) == 0 {
		kinds = []string{"k"}
	}
	slices.Sort(kinds)
	res := r.do(scheduler.Command{Op: scheduler.OpOpenSession, Open: &scheduler.OpenSession{Worker: scheduler.WorkerInfo{
		Name: name, Incarnation: scheduler.Hash128{1}, Kinds: kinds, Pools: []scheduler.Pool{{Name: "default", Slots: slots}},
	}}})
	if res.Code != scheduler.CodeOK {
		r.t.Fatalf("open session: %v", res.Code)
	}
	return &worker{r: r, session: res.Session, attach: res.Attach}
}

// grants waits for everything to settle and returns the worker's new grants.
func (w *worker) grants() []scheduler.Grant {
	synctest.Wait()
	return w.r.told.take(w.session)
}

func (w *worker) outcomesCmd(list ...scheduler.Outcome) scheduler.Command {
	return scheduler.Command{Op: scheduler.OpOutcomes, Outcomes: &scheduler.Outcomes{
		Session: w.session, Attach: w.attach, FirstSeq: w.seq + 1, AnswersThrough: w.seq, List: list,
	}}
}

// report reports outcomes.
func (w *worker) report(list ...scheduler.Outcome) {
	w.r.t.Helper()
	if res := w.r.do(w.outcomesCmd(list...)); res.Code != scheduler.CodeOK {
		w.r.t.Fatalf("outcomes: %v", res.Code)
	}
	w.seq += uint64(len(list))
}

func succeeded(g scheduler.Grant, result string) scheduler.Outcome {
	return scheduler.Outcome{Token: g.Token, Task: g.Task, Kind: scheduler.OutcomeSucceeded, Detail: detail(&storagev1.Detail{Result: []byte(result)})}
}

func failed(g scheduler.Grant, message string) scheduler.Outcome {
	return scheduler.Outcome{
		Token: g.Token, Task: g.Task, Kind: scheduler.OutcomeFailed, Cause: scheduler.CauseError, Detail: detail(&storagev1.Detail{Message: message}),
	}
}

func detail(d *storagev1.Detail) []byte {
	data, err := proto.Marshal(d)
	if err != nil {
		panic(err)
	}
	return data
}
