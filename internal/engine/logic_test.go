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

// oldLog is a log under the first version's rules: a term, and some tasks.
func oldLog(t tb) [][]byte {
	t.Helper()
	cmds := []scheduler.Command{
		{Op: scheduler.OpBeginTerm, BeginTerm: &scheduler.BeginTerm{Term: 1, Limits: scheduler.Limits{MaxTasks: 1000, Depth: 1000}}},
		submitCmd(spec(t, "one"), spec(t, "two")), tick(), submitCmd(spec(t, "three")),
	}
	var entries [][]byte
	for i, c := range cmds {
		entries = append(entries, encoded(t, 1, scheduler.Time(i+1), c))
	}
	return entries
}

func encoded(t tb, logic uint32, now scheduler.Time, c scheduler.Command) []byte {
	t.Helper()
	data, err := (&encoder{}).entry(&scheduler.Batch{Logic: logic, Now: now, Commands: []scheduler.Command{c}}, identity{processes.Add(1), 1})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// openOld is an engine that has replayed an old log.
func openOld(t tb) *rig {
	r := openRig(t, newTestStorage(), newTestLog(oldLog(t)...))
	r.log.term = 1
	synctest.Wait()
	return r
}

// versions says of each entry its version and its operations.
func versions(t tb, entries [][]byte) []string {
	t.Helper()
	var all []string
	for _, en := range entries {
		var b scheduler.Batch
		if err := decodeEntry(en, &b); err != nil {
			t.Fatal(err)
		}
		var ops []string
		for _, c := range b.Commands {
			ops = append(ops, fmt.Sprint(c.Op))
		}
		all = append(all, fmt.Sprintf("%d:%s", b.Logic, strings.Join(ops, ",")))
	}
	return all
}

func (r *rig) logic() uint32 {
	r.e.mu.RLock()
	defer r.e.mu.RUnlock()
	return r.e.state.Logic()
}

// TestUpgrade: a log under older rules gets the newest before anything is served: BeginTerm, a checkpoint of it, SetLogic
// alone, and only then the term is open and entries carry the new version.
func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := openOld(t)
		begun, goOn := make(chan struct{}), make(chan struct{})
		r.inSave(func() { begun <- struct{}{}; <-goOn })
		r.log.lead()
		started := make(chan error, 1)
		go func() { started <- r.e.Start(context.Background(), r.log) }()
		<-begun
		synctest.Wait()
		if err := <-r.propose(tick()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("while the checkpoint is written a command came back with %v", err)
		}
		if n := len(r.log.copied()); n != 5 || r.told.terms() != "" || len(started) > 0 {
			t.Errorf("it serves before the checkpoint is there: %d entries, told %q", n, r.told.terms())
		}
		r.inSave(nil)
		r.log.hold()
		close(goOn)
		synctest.Wait()
		if r.storage.DurableIndex() < 5 || r.e.Leading() || r.log.queued() != 1 {
			t.Errorf("storage holds %d, %d entries are proposed", r.storage.DurableIndex(), r.log.queued())
		}
		r.log.release()
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		r.submit(spec(t, "four"))
		got := versions(t, r.log.copied()[4:])
		want := fmt.Sprintf("[1:%d 1:%d %d:%d]", scheduler.OpBeginTerm, scheduler.OpSetLogic, scheduler.LogicVersion, scheduler.OpSubmit)
		if fmt.Sprint(got) != want {
			t.Errorf("entries are %v, want %s", got, want)
		}
		if got := r.told.terms(); got != "began 2 with 0 sessions" {
			t.Errorf("the observer was told %q", got)
		}
		if s := r.e.Status(); s.Logic != scheduler.LogicVersion {
			t.Errorf("logic version %d is in force", s.Logic)
		}
		for _, stored := range []bool{true, false} {
			if n := r.restarted(stored); n.e.Hash() != r.e.Hash() || n.logic() != scheduler.LogicVersion {
				t.Errorf("restarted (from storage: %v) it is another", stored)
			}
		}
	})
}

// TestUpgradeAwaitsItsCheckpoint: one that was begun before BeginTerm was applied isn't enough.
func TestUpgradeAwaitsItsCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := openOld(t)
		begun, goOn := make(chan struct{}), make(chan struct{})
		r.inSave(func() { begun <- struct{}{}; <-goOn })
		r.log.hold()
		r.log.lead()
		started := make(chan error, 1)
		go func() { started <- r.e.Start(context.Background(), r.log) }()
		<-begun // of what was replayed
		r.log.release()
		synctest.Wait()
		goOn <- struct{}{}
		<-begun
		synctest.Wait()
		if n := len(r.log.copied()); n != 5 || r.storage.DurableIndex() != 4 || r.log.queued() != 0 {
			t.Errorf("storage holds %d, the log %d entries and %d on their way", r.storage.DurableIndex(), n, r.log.queued())
		}
		r.inSave(nil)
		close(goOn)
		if err := <-started; err != nil || r.logic() != scheduler.LogicVersion {
			t.Errorf("then: %v, logic %d", err, r.logic())
		}
	})
}

// TestUpgradeCrashes: whatever part of the log and whichever checkpoint a crash has left, the next start ends under the
// newest rules, by one SetLogic in the whole log, and in the state that a replay from empty gives.
func TestUpgradeCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := openOld(t)
		r.start()
		r.submit(spec(t, "four"))
		entries := r.log.copied()
		if len(entries) != 7 {
			t.Fatalf("the test doesn't test much: %v", versions(t, entries))
		}
		for kept := range entries {
			for index := -1; index <= kept; index++ { // of the checkpoint; -1: none
				storage := newTestStorage()
				if index >= 0 {
					p := openRig(t, storage, newTestLog(entries[:index+1]...))
					synctest.Wait()
					p.save()
					storage = storage.copied()
				}
				n := openRig(t, storage, newTestLog(entries[:kept+1]...))
				n.log.term = 10
				n.start()
				n.submit(spec(t, "five"))
				synctest.Wait()
				changes := 0
				for _, v := range versions(t, n.log.copied()) {
					if strings.HasSuffix(v, fmt.Sprint(":", scheduler.OpSetLogic)) {
						changes++
					}
				}
				// A crash before the first BeginTerm leaves an empty log, which starts under the newest rules.
				if n.logic() != scheduler.LogicVersion || changes != 1 {
					t.Errorf("%d entries, checkpoint of %d: logic %d after %d changes", kept+1, index+1, n.logic(), changes)
				}
				if twin := n.restarted(false); twin.e.Hash() != n.e.Hash() {
					t.Errorf("%d entries, checkpoint of %d: a replay gives another state", kept+1, index+1)
				}
			}
		}
	})
}

// TestUpgradeLosesLeadership: a term that ends on the way changes nothing; the next one does.
func TestUpgradeLosesLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := openOld(t)
		begun, goOn := make(chan struct{}), make(chan struct{})
		r.inSave(func() { begun <- struct{}{}; <-goOn })
		r.log.lead()
		started := make(chan error, 1)
		go func() { started <- r.e.Start(context.Background(), r.log) }()
		<-begun
		r.log.lose()
		synctest.Wait()
		r.inSave(nil)
		close(goOn)
		synctest.Wait()
		if n := len(r.log.copied()); n != 5 || r.logic() != 1 || r.e.Leading() {
			t.Errorf("without leadership: %v", versions(t, r.log.copied()))
		}
		set(&r.log.mu, &r.log.holdAt, scheduler.OpSetLogic)
		r.log.lead()
		synctest.Wait()
		r.log.lose() // SetLogic is in flight
		synctest.Wait()
		set(&r.log.mu, &r.log.holdAt, 0)
		r.log.forsake()
		r.log.lead()
		synctest.Wait()
		r.log.release()
		if err := <-started; err != nil || r.logic() != scheduler.LogicVersion {
			t.Errorf("then: %v, logic %d", err, r.logic())
		}
		r.submit(spec(t, "four"))
		if got := r.told.terms(); got != "began 6 with 0 sessions" {
			t.Errorf("the observer was told %q", got)
		}
	})
}

// TestBeginTermOnTheWay: a BeginTerm that was proposed before an older SetLogic had arrived here is applied under the rules
// that are then in force; so is one that was proposed before the log's first entries had. Another command isn't.
func TestBeginTermOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := func(term uint64) scheduler.Command {
			return scheduler.Command{Op: scheduler.OpBeginTerm, BeginTerm: &scheduler.BeginTerm{Term: term, Limits: scheduler.Limits{MaxTasks: 9, Depth: 9}}}
		}
		setLogic := scheduler.Command{Op: scheduler.OpSetLogic, SetLogic: &scheduler.SetLogic{Logic: 2}}
		entries := append(oldLog(t), encoded(t, 2, 10, begin(2)), encoded(t, 1, 11, setLogic), encoded(t, 1, 12, begin(3)))
		r := openRig(t, newTestStorage(), newTestLog(entries...))
		synctest.Wait()
		if s := r.e.Status(); s.AppliedIndex != 7 || s.Term != 3 || s.Logic != 2 {
			t.Errorf("applied %d, term %d, logic %d", s.AppliedIndex, s.Term, s.Logic)
		}
		bad := openRig(t, newTestStorage(), newTestLog(append(entries, encoded(t, 1, 13, tick()))...))
		bad.mayFail = true
		synctest.Wait()
		if len(bad.fatals()) != 1 || !strings.Contains(bad.fatals()[0].Error(), "log entry 8: it was written under logic version 1, but 2 is in force") {
			t.Errorf("fatal: %v", bad.fatals())
		}
	})
}

// TestLaterLogicRefused: a checkpoint of a later build isn't loaded.
func TestLaterLogicRefused(t *testing.T) {
	storage := newTestStorage()
	storage.rows[rowAt{scheduler.TableGlobals, 1}] = scheduler.Row{
		Table: scheduler.TableGlobals, Key: 1, Globals: &scheduler.GlobalsRow{Logic: scheduler.LogicVersion + 1},
	}
	storage.rows[rowAt{scheduler.TableQueues, 1}] = scheduler.Row{
		Table: scheduler.TableQueues, Key: 1, Queue: &scheduler.QueueRow{ID: 1, Name: scheduler.DefaultQueue, Weight: 1},
	}
	_, err := New(Options{Proposer: 1, Storage: storage, Fatal: func(error) {}})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint("logic version ", scheduler.LogicVersion+1)) {
		t.Errorf("New: %v", err)
	}
}

// TestOptionsRequired: what has no default is asked for by name.
func TestOptionsRequired(t *testing.T) {
	for want, o := range map[string]Options{
		"Options.Proposer": {Storage: newTestStorage(), Fatal: func(error) {}},
		"Options.Storage":  {Proposer: 1, Fatal: func(error) {}},
		"Options.Fatal":    {Proposer: 1, Storage: newTestStorage()},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New without %s: %v", want, err)
		}
	}
}
