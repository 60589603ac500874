package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"pgregory.net/rapid"
)

// life drives an engine at random and knows what every task has to look like.
type life struct {
	*rig
	t        *rapid.T
	rand     *rand.Rand // rapid draws its seed only: its own numbers lean to the small ones, which here means to few events
	workers  []*worker
	held     map[scheduler.SessionID][]scheduler.Grant // granted, not reported
	payloads map[scheduler.TaskID]string
	labelled map[scheduler.TaskID]bool
	ends     map[scheduler.TaskID]scheduler.Finished // of tasks that are dead or kept
	awaited  map[scheduler.TaskID]*awaiting
	over     map[scheduler.TaskID]int // ends seen since it is awaited
	attempts map[scheduler.TaskID][]scheduler.Failed
}

func newLife(t *bubbleT) *life {
	l := &life{
		rig: startRig(t), t: t.T, rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(t.T, "seed"), 0)), held: map[scheduler.SessionID][]scheduler.Grant{}, payloads: map[scheduler.TaskID]string{},
		labelled: map[scheduler.TaskID]bool{}, ends: map[scheduler.TaskID]scheduler.Finished{},
		awaited: map[scheduler.TaskID]*awaiting{}, over: map[scheduler.TaskID]int{},
		attempts: map[scheduler.TaskID][]scheduler.Failed{},
	}
	l.hook(l.observe)
	return l
}

func (l *life) observe(eff *scheduler.Effects) {
	for _, f := range eff.Failed {
		l.attempts[f.Task] = append(l.attempts[f.Task], f)
	}
	for _, f := range eff.Finished {
		if l.over[f.Task]++; f.ExpiresAt > 0 {
			l.ends[f.Task] = f
		}
		if killed(&f) {
			l.attempts[f.Task] = append(l.attempts[f.Task], scheduler.Failed{
				Cause: f.Cause, Attempt: f.Attempts, Gen: f.Gen, Token: f.Token, Cmd: f.Cmd})
		}
	}
	for _, id := range eff.Revived {
		if l.lives(id) {
			delete(l.ends, id)
		}
	}
	for _, id := range eff.Forgotten {
		delete(l.ends, id)
	}
}

func (l *life) lives(id scheduler.TaskID) bool {
	l.e.mu.RLock()
	defer l.e.mu.RUnlock()
	_, live := l.e.state.Task(id)
	return live
}

// between draws from least to most.
func (l *life) between(least, most int) int { return least + l.rand.IntN(most-least+1) }

func (l *life) anyTask() scheduler.TaskID {
	return scheduler.TaskID(l.between(1, len(l.payloads)+1))
}

func (l *life) submitSome() {
	var specs []scheduler.TaskSpec
	var payloads []string
	for range l.between(1, 8) {
		payload := fmt.Sprint("payload ", len(l.payloads)+len(payloads)+1)
		var labels []string
		if l.between(0, 1) == 1 {
			labels = []string{"of", payload}
		}
		s := spec(l.t, payload, labels...)
		s.Policy.MaxAttempts = uint16([]int{1, 2, 3, 30}[l.between(0, 3)])
		s.Policy.Retention = scheduler.Duration([]time.Duration{0, time.Minute, time.Hour}[l.between(0, 2)])
		s.Policy.DeadRetention = s.Policy.Retention
		s.Priority = int8(l.between(-2, 2))
		if l.between(0, 3) == 0 {
			s.Delay = scheduler.Duration(time.Minute)
		}
		specs, payloads = append(specs, s), append(payloads, payload)
	}
	first := l.submit(specs...)
	for i, p := range payloads {
		id := first + scheduler.TaskID(i)
		l.payloads[id], l.labelled[id] = p, specs[i].HasLabels
	}
}

func (l *life) openWorker() {
	if len(l.workers) < 4 {
		l.workers = append(l.workers, l.worker(fmt.Sprint("w", len(l.workers)), uint16(l.between(1, 6))))
	}
}

// reportSome ends some attempts, in any way, some of them by outcomes that come too late.
func (l *life) reportSome() {
	if len(l.workers) == 0 {
		return
	}
	w := l.workers[l.between(0, len(l.workers)-1)]
	held := slices.Concat(l.held[w.session], w.grants())
	n := l.between(0, len(held))
	var list []scheduler.Outcome
	for _, g := range held[:n] {
		said := fmt.Sprintf("gen %d attempt %d", g.Gen, g.Attempt)
		switch l.between(0, 4) {
		case 0, 1:
			list = append(list, failed(g, said))
		case 2:
			list = append(list, scheduler.Outcome{Token: g.Token, Task: g.Task, Kind: scheduler.OutcomeInterrupted})
		default:
			list = append(list, succeeded(g, said))
		}
	}
	l.held[w.session] = held[n:]
	res := l.do(w.outcomesCmd(list...))
	if res.Code == scheduler.CodeOK {
		w.seq += uint64(len(list))
	}
}

// expireWorker loses a session; changeLeader detaches all of them. Workers that are lost stay as ghosts whose outcomes
// come too late.
func (l *life) expireWorker() {
	if len(l.workers) > 0 {
		w := l.workers[l.between(0, len(l.workers)-1)]
		l.do(scheduler.Command{Op: scheduler.OpExpireSession, Session: &scheduler.SessionCommand{Session: w.session, Attach: w.attach}})
		*w = *l.worker(fmt.Sprint("again ", w.session)[len("again "):], uint16(l.between(1, 6)))
	}
}

func (l *life) changeLeader() {
	l.log.lose()
	synctest.Wait()
	l.log.lead()
	synctest.Wait()
	for _, w := range l.workers {
		res := l.do(scheduler.Command{Op: scheduler.OpAttach, Session: &scheduler.SessionCommand{Session: w.session, Attach: w.attach}})
		if res.Code == scheduler.CodeOK {
			w.attach = res.Attach
		}
	}
}

// anyDead returns a dead letter that storage or buffers still hold, or 0.
func (l *life) anyDead() scheduler.TaskID {
	first := l.anyTask()
	for i := range len(l.payloads) {
		id := (first+scheduler.TaskID(i))%scheduler.TaskID(len(l.payloads)) + 1
		if f, err := l.e.Finished(id); err == nil && scheduler.TaskState(f.GetState()) == scheduler.Dead {
			return id
		}
	}
	return 0
}

// retryAndCancel, in one entry if they meet.
func (l *life) retryAndCancel() {
	id := l.anyDead()
	if id == 0 {
		return
	}
	retry := l.propose(l.retryCmd(id))
	if l.between(0, 1) == 1 {
		<-l.propose(scheduler.Command{Op: scheduler.OpCancel, Cancel: &scheduler.Cancel{IDs: []scheduler.TaskID{id}, Force: true}}) //nolint:errcheck // likewise
	}
	<-retry //nolint:errcheck // its end is waited for, not its answer
}

func (l *life) awaitOne() {
	id := l.anyTask()
	if l.lives(id) && l.awaited[id] == nil {
		l.told.mu.Lock()
		l.over[id] = 0
		l.told.mu.Unlock()
		l.awaited[id] = l.await(context.Background(), id)
	}
}

// saveSlowly writes a checkpoint while steps go on.
func (l *life) saveSlowly() {
	l.pull(4)
	l.inRows(func() {
		if l.between(0, 3) == 0 {
			steps := []func(){l.submitSome, l.reportSome, l.retryAndCancel, func() { l.cancel(l.anyTask()) }}
			steps[l.between(0, len(steps)-1)]()
		}
	})
	l.save()
	l.inRows(nil)
	l.pull(1000)
}

// check compares what readers see with what the driver knows.
func (l *life) check() {
	synctest.Wait()
	l.checkFind()
	l.e.mu.RLock()
	served := l.e.state.Served()
	l.e.mu.RUnlock()
	l.told.mu.Lock()
	defer l.told.mu.Unlock()
	for id := scheduler.TaskID(1); int(id) <= len(l.payloads); id++ {
		l.checkTimeline(id)
		task, err := l.e.Task(context.Background(), id)
		fin, ended := l.ends[id]
		live := l.lives(id)
		switch {
		case live && (err != nil || task.Live == nil):
			l.t.Fatalf("live task %d: %s", id, render(task, err))
		case live:
			l.checkBody(id, task.Body)
			l.checkFailure(id, task.Live.Gen, task.LastFailure, task.Live.Flags&scheduler.FlagHasFailure != 0)
		case !ended || fin.State != scheduler.Dead && fin.ExpiresAt <= served:
			if err != nil && !errors.Is(err, ErrNotRetained) || err == nil && !ended {
				l.t.Fatalf("task %d, of which nothing is kept: %s", id, render(task, err))
			}
		case err != nil || scheduler.TaskState(task.Finished.GetState()) != fin.State || task.Finished.GetGen() != fin.Gen:
			l.t.Fatalf("task %d ended as %v gen %d, but is %s", id, fin.State, fin.Gen, render(task, err))
		default:
			if len(task.Finished.GetLabels()) > 0 != l.labelled[id] {
				l.t.Fatalf("task %d has labels %v", id, task.Finished.GetLabels())
			}
			l.checkFailure(id, fin.Gen, task.Finished.GetLastFailure(), fin.HasFailure)
			if fin.State == scheduler.Dead {
				l.checkBody(id, task.Body)
			}
		}
	}
	l.checkAwaits()
}

func (l *life) checkBody(id scheduler.TaskID, b *storagev1.Body) {
	if string(b.GetPayload()) != l.payloads[id] || len(b.GetLabels()) > 0 != l.labelled[id] {
		l.t.Fatalf("body of task %d is %v, want %s", id, b, l.payloads[id])
	}
}

func (l *life) checkFailure(id scheduler.TaskID, gen uint32, last *storagev1.Attempt, want bool) {
	if (last != nil) != want {
		l.t.Fatalf("last failure of task %d gen %d is %v, want one: %v", id, gen, last, want)
	}
	if !want {
		return
	}
	all, said := l.attempts[id], ""
	if fin, ended := l.ends[id]; ended && killed(&fin) {
		all = all[:len(all)-1] // another than the outcome
	}
	f := all[len(all)-1]
	if f.Cmd >= 0 { // else nobody reported it
		said = fmt.Sprintf("gen %d attempt %d", gen, f.Attempt)
	}
	if last.GetAttempt() != f.Attempt || last.GetDetail().GetMessage() != said {
		l.t.Fatalf("last failure of task %d gen %d is %v, want that of %+v", id, gen, last, f)
	}
}

// checkStorage: after a checkpoint there is a body of each task that needs one and no other, and each end that is kept.
func (l *life) checkStorage() {
	served := get(l.e.mu.RLocker(), &l.e.state).Served()
	bodies, _, _ := l.storage.counts()
	for id := range get(&l.storage.mu, &l.storage.failures) {
		if _, ok := l.storage.finished[id]; !ok && !l.lives(id) {
			l.t.Fatalf("attempts of task %d are stored, of which nothing is kept", id)
		}
	}
	if c := l.e.Status().Counts; bodies != int(c.Scheduled+c.Pending+c.Leased+c.Dead) {
		l.t.Fatalf("%d bodies are stored of %d live and %d dead tasks", bodies, c.Scheduled+c.Pending+c.Leased, c.Dead)
	}
	for id, row := range get(&l.storage.mu, &l.storage.finished) {
		if fin, ok := l.ends[id]; !ok || row.Gen != fin.Gen || row.Dead != (fin.State == scheduler.Dead) || row.ExpiresAt != fin.ExpiresAt {
			l.t.Fatalf("an end of task %d gen %d is stored, want gen %d: %v", id, row.Gen, fin.Gen, ok)
		}
	}
	for id, fin := range l.ends {
		if _, ok := l.storage.finished[id]; !ok && fin.ExpiresAt > served {
			l.t.Fatalf("the end of task %d isn't stored", id)
		}
	}
}

func (l *life) checkAwaits() {
	for id, a := range l.awaited {
		if (len(a.done) > 0) != (l.over[id] > 0) || len(a.seen) > 1 || len(a.done) > 0 && len(a.seen) != 1 {
			l.t.Fatalf("task %d ended %d times while it was awaited, and was delivered as %v", id, l.over[id], a.seen)
		}
		if len(a.done) > 0 {
			delete(l.awaited, id)
		}
	}
}

// TestRandomLife: after any history, checkpoints at any time included, readers see what happened; a replay from empty, and
// checkpoint and tail of the log, give the same state; storage keeps a body of each task that needs one and no other.
func TestRandomLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, rt, func(t *bubbleT) {
			l := newLife(t)
			actions := []func(){
				l.submitSome, l.submitSome, l.reportSome, l.reportSome, l.reportSome, l.openWorker, l.expireWorker, l.retryAndCancel,
				l.awaitOne, l.changeLeader, l.saveSlowly, l.save, func() { l.cancel(l.anyTask()) },
				func() { pass(time.Duration(l.between(1, 40)) * time.Second) },
			}
			for range l.between(1, 80) {
				actions[l.between(0, len(actions)-1)]()
				synctest.Wait()
				l.check()
			}
			for _, stored := range []bool{true, false} {
				if n := l.restarted(stored); n.e.Hash() != l.e.Hash() {
					t.Fatalf("restarted (from storage: %v) its state is %x, the live one %x", stored, n.e.Hash(), l.e.Hash())
				}
			}
			l.save()
			l.checkStorage()
		})
	})
}
