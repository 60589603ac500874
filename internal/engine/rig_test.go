package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// rig is an engine with log and storage in memory. It lives in a synctest bubble.
type rig struct {
	t       tb
	e       *Engine
	log     *testLog
	storage *testStorage
	told    *recorder
	mayFail bool // Fatal is expected

	mu    sync.Mutex
	fatal []error
}

// recorder is an Observer that remembers.
type recorder struct {
	mu     sync.Mutex
	events []string // "began 1", "applied", "ended"
	grants map[scheduler.SessionID][]scheduler.Grant
	hook   func(*scheduler.Effects)
}

func (r *recorder) TermBegan(term uint64, _ scheduler.Time, sessions []scheduler.SessionInfo) {
	r.note(fmt.Sprintf("began %d with %d sessions", term, len(sessions)))
}
func (r *recorder) TermEnded() { r.note("ended") }

func (r *recorder) Applied(_ scheduler.Time, eff *scheduler.Effects) {
	r.note("applied")
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range eff.Grants {
		r.grants[g.Session] = append(r.grants[g.Session], g)
	}
	if r.hook != nil {
		r.hook(eff)
	}
}

func (r *recorder) note(event string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
}

// terms are the events without the steps.
func (r *recorder) terms() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, ev := range r.events {
		if ev != "applied" {
			all = append(all, ev)
		}
	}
	return strings.Join(all, ", ")
}

// take returns the grants of a session that were not taken yet.
func (r *recorder) take(id scheduler.SessionID) []scheduler.Grant {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.grants[id]
	delete(r.grants, id)
	return g
}

// processes numbers the engines, each a process of its own.
var processes atomic.Uint64

// openRig makes an engine over a storage and the log's entries. It isn't started.
func openRig(t tb, storage *testStorage, log *testLog, opts ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, log: log, storage: storage, told: &recorder{grants: map[scheduler.SessionID][]scheduler.Grant{}}}
	o := Options{Proposer: processes.Add(1), Storage: storage, Fatal: func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fatal = append(r.fatal, err)
	}}
	for _, opt := range opts {
		opt(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.e = e
	e.SetObserver(r.told)
	log.serve(e)
	t.Cleanup(func() {
		r.log.release()
		if err := r.e.Stop(context.Background()); err != nil && !r.mayFail {
			t.Errorf("stop: %v", err)
		}
		r.log.close()
		if errs := r.fatals(); len(errs) > 0 && !r.mayFail {
			t.Errorf("fatal: %v", errs)
		}
		if err := r.e.state.Check(); err != nil {
			t.Errorf("the state is broken: %v", err)
		}
	})
	return r
}

// startRig makes an engine that leads.
func startRig(t tb, opts ...func(*Options)) *rig {
	t.Helper()
	r := openRig(t, newTestStorage(), newTestLog(), opts...)
	r.start()
	return r
}

func (r *rig) start() {
	r.t.Helper()
	r.log.lead()
	if err := r.e.Start(context.Background(), r.log); err != nil {
		r.t.Fatal(err)
	}
}

// do carries a command out.
func (r *rig) do(cmd scheduler.Command) Result {
	r.t.Helper()
	res, err := r.e.Do(context.Background(), cmd)
	if err != nil {
		r.t.Fatalf("%v: %v", cmd.Op, err)
	}
	return res
}

func (r *rig) propose(cmd scheduler.Command) chan error {
	done := make(chan error, 2) // room for an answer too many
	r.e.Propose(cmd, func(_ Result, err error) { done <- err })
	return done
}

func tick() scheduler.Command { return scheduler.Command{Op: scheduler.OpTick} }

// spec is a task of kind k in the default queue.
func spec(t rapid.TB, payload string, labels ...string) scheduler.TaskSpec {
	t.Helper()
	body := &storagev1.Body{Payload: []byte(payload)}
	for i := 0; i+1 < len(labels); i += 2 {
		body.Labels = append(body.Labels, &storagev1.Label{Key: labels[i], Value: labels[i+1]})
	}
	data, err := proto.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	p := scheduler.DefaultPolicy()
	p.Backoff, p.BackoffMax = 0, 0
	return scheduler.TaskSpec{
		Kind: "k", Queue: scheduler.DefaultQueue, Weight: 1, Policy: p, PayloadBytes: uint32(len(payload)), Body: data,
		HasLabels: len(labels) > 0,
	}
}

func submitCmd(specs ...scheduler.TaskSpec) scheduler.Command {
	return scheduler.Command{Op: scheduler.OpSubmit, Submit: &scheduler.Submit{Tasks: specs}}
}

// submit stores tasks and returns the id of the first.
func (r *rig) submit(specs ...scheduler.TaskSpec) scheduler.TaskID {
	r.t.Helper()
	res := r.do(submitCmd(specs...))
	if res.Code != scheduler.CodeOK {
		r.t.Fatalf("submit: %v", res.Code)
	}
	return res.First
}

func (r *rig) cancel(ids ...scheduler.TaskID) {
	r.t.Helper()
	r.do(scheduler.Command{Op: scheduler.OpCancel, Cancel: &scheduler.Cancel{IDs: ids, Force: true}})
}

// retry revives a dead letter as rpc does it.
func (r *rig) retryCmd(id scheduler.TaskID) scheduler.Command {
	r.t.Helper()
	fin, err := r.e.Finished(id)
	if err != nil {
		r.t.Fatal(err)
	}
	it := scheduler.RetryItem{ID: id, Gen: fin.GetGen(), Found: true}
	if err := specFromProto(fin.GetSpec(), &it.Spec); err != nil {
		r.t.Fatal(err)
	}
	it.Spec.Policy = policyFromProto(fin.GetSpec().GetPolicy())
	return scheduler.Command{Op: scheduler.OpRetry, Retry: &scheduler.Retry{Items: []scheduler.RetryItem{it}}}
}

func (r *rig) retry(id scheduler.TaskID) {
	r.t.Helper()
	if res := r.do(r.retryCmd(id)); res.Items[0].Code != scheduler.ItemDone {
		r.t.Fatalf("retry of %d: %v", id, res.Items)
	}
}

// save writes a checkpoint of all that was applied.
func (r *rig) save() {
	r.t.Helper()
	if err := r.e.save(); err != nil {
		r.t.Fatal(err)
	}
}

// stage names where ends and bodies are kept.
type stage string

const (
	staged stage = "staged" // in the live buffers
	sealed stage = "sealed" // in a checkpoint being saved
	stored stage = "stored"
)

// through calls f with what was staged so far staged, then sealed, then stored.
func (r *rig) through(f func(stage)) {
	r.t.Helper()
	f(staged)
	begun, goOn := make(chan struct{}), make(chan struct{})
	r.inSave(func() { close(begun); <-goOn })
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		r.save()
	}()
	<-begun
	f(sealed)
	close(goOn)
	<-saved
	r.inSave(nil)
	f(stored)
}

// restarted is an engine that starts from what this one has left durable. This one ends without a last checkpoint.
func (r *rig) restarted(fromStorage bool) *rig {
	r.t.Helper()
	storage := newTestStorage()
	if fromStorage {
		storage = r.storage.copied()
	}
	n := openRig(r.t, storage, newTestLog(r.log.copied()...))
	n.log.term = r.log.term
	synctest.Wait()
	return n
}

// inSave calls f when a Save has begun and pulled nothing, inRows between its pulls.
func (r *rig) inSave(f func())     { set(&r.storage.mu, &r.storage.inSave, f) }
func (r *rig) inRows(f func())     { set(&r.storage.mu, &r.storage.inRows, f) }
func (r *rig) pull(rows int)       { set(&r.storage.mu, &r.storage.pull, rows) }
func (r *rig) failSaves(err error) { set(&r.storage.mu, &r.storage.fail, err) }

func (r *rig) saves() int { return get(&r.storage.mu, &r.storage.saves) }
func (r *rig) cuts() int  { return get(&r.log.mu, &r.log.cuts) }

func (r *rig) hook(f func(*scheduler.Effects)) { set(&r.told.mu, &r.told.hook, f) }

// fatals are the errors that Fatal was called with.
func (r *rig) fatals() []error { return slices.Clone(get(&r.mu, &r.fatal)) }
