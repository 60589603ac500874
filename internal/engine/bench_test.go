package engine

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// benchRig is an engine on a log that costs nothing, with one worker of one pool.
type benchRig struct {
	e       *Engine
	log     *testLog
	storage *testStorage
	session scheduler.SessionID
	attach  uint64
	seq     uint64
	grants  []scheduler.Grant
	granted chan struct{} // 100 grants are there
}

func (r *benchRig) TermBegan(uint64, scheduler.Time, []scheduler.SessionInfo) {}
func (r *benchRig) TermEnded()                                                {}
func (r *benchRig) Applied(_ scheduler.Time, eff *scheduler.Effects) {
	r.grants = append(r.grants, eff.Grants...)
	if len(eff.Grants) > 0 && len(r.grants) == 100 {
		r.granted <- struct{}{}
	}
}

func newBenchRig(b *testing.B) *benchRig {
	r := &benchRig{log: newTestLog(), storage: newTestStorage(), granted: make(chan struct{}, 1)}
	r.storage.keep = true
	e, err := New(Options{Proposer: 1, Storage: r.storage, Fatal: func(err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	r.e = e
	e.SetObserver(r)
	r.log.serve(e)
	r.log.lead()
	if err := e.Start(context.Background(), r.log); err != nil {
		b.Fatal(err)
	}
	res := r.do(b, scheduler.Command{Op: scheduler.OpOpenSession, Open: &scheduler.OpenSession{Worker: scheduler.WorkerInfo{
		Name: "w", Kinds: []string{"resize"}, Incarnation: scheduler.Hash128{1},
		Pools: []scheduler.Pool{{Name: "default", Slots: 1000}},
	}}})
	r.session, r.attach = res.Session, res.Attach
	b.Cleanup(func() {
		_ = e.Stop(context.Background())
		r.log.close()
	})
	return r
}

func (r *benchRig) do(b *testing.B, c scheduler.Command) Result {
	res, err := r.e.Do(context.Background(), c)
	if err != nil || res.Code != scheduler.CodeOK {
		b.Fatal(res.Code, err)
	}
	return res
}

func benchSubmit(tasks int, retention scheduler.Duration) *scheduler.Submit {
	s := &scheduler.Submit{Tasks: make([]scheduler.TaskSpec, tasks)}
	body := make([]byte, 260)
	body[0], body[1], body[2] = 1<<3|2, 0x80|(257&0x7f), 257>>7
	for i := range s.Tasks {
		p := scheduler.DefaultPolicy()
		p.Retention = retention
		s.Tasks[i] = scheduler.TaskSpec{
			Kind: "resize", Queue: scheduler.DefaultQueue, Weight: 1, Policy: p, PayloadBytes: 256, Body: body,
		}
	}
	return s
}

// BenchmarkTask is what a task costs the engine from submit to saved end: encode, apply, stage, checkpoint. Log and
// storage cost nothing here.
func BenchmarkTask(b *testing.B) {
	for name, retention := range map[string]scheduler.Duration{"retention=0": 0, "retention=default": scheduler.DefaultRetention} {
		b.Run(name, func(b *testing.B) {
			r := newBenchRig(b)
			detail := []byte{1<<3 | 2, 4, 'd', 'o', 'n', 'e'}
			b.ReportAllocs()
			b.ResetTimer()
			began := cpuTime(b)
			for done := 0; done < b.N; done += 100 {
				r.do(b, scheduler.Command{Op: scheduler.OpSubmit, Submit: benchSubmit(100, retention)})
				<-r.granted
				o := &scheduler.Outcomes{Session: r.session, Attach: r.attach, FirstSeq: r.seq + 1, AnswersThrough: r.seq}
				for i := range r.grants {
					o.List = append(o.List, scheduler.Outcome{
						Token: r.grants[i].Token, Task: r.grants[i].Task, Kind: scheduler.OutcomeSucceeded, Detail: detail,
					})
				}
				r.grants = r.grants[:0]
				r.seq += uint64(len(o.List))
				r.do(b, scheduler.Command{Op: scheduler.OpOutcomes, Outcomes: o})
			}
			b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what the process has used of all its cores.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDecodeSubmit is what a replay costs before the core sees it, a task; and what the generated code would.
func BenchmarkDecodeSubmit(b *testing.B) {
	data, err := (&encoder{}).entry(benchBatch(), identity{1, 1})
	if err != nil {
		b.Fatal(err)
	}
	for name, decode := range map[string]func([]byte, *scheduler.Batch) error{"hand": (&decoder{}).entry, "generated": decodeGenerated} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime(b)
			for done := 0; done < b.N; done += 1000 {
				var got scheduler.Batch
				if err := decode(data, &got); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkFindPage is a page of 100 of a million tasks that wait, wherever it begins.
func BenchmarkFindPage(b *testing.B) {
	const tasks = 1_000_000
	r := newBenchRig(b)
	cmd := scheduler.Command{Op: scheduler.OpSubmit, Submit: benchSubmit(1000, 0)}
	for range tasks / 1000 {
		r.do(b, cmd)
	}
	for name, after := range map[string]scheduler.TaskID{"start": 1000, "middle": tasks / 2, "end": tasks - 200} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				page, err := r.e.FindPage(context.Background(), ListFilter{Max: 100, After: after})
				if err != nil || len(page.Tasks) != 100 || page.Tasks[0].ID != after+1 {
					b.Fatal(page, err)
				}
			}
		})
	}
}

// BenchmarkEncodeSubmit likewise: of one submit in an entry, and of as many as fit.
func BenchmarkEncodeSubmit(b *testing.B) {
	for _, commands := range []int{1, batch.RowsMax / batch.Rows(&benchBatch().Commands[0])} {
		b.Run(fmt.Sprintf("commands=%d", commands), func(b *testing.B) {
			batch, enc := benchBatch(), &encoder{}
			for range commands - 1 {
				batch.Commands = append(batch.Commands, batch.Commands[0])
			}
			b.ReportAllocs()
			began := cpuTime(b)
			for done := 0; done < b.N; done += 1000 * commands {
				if _, err := enc.entry(batch, identity{1, 1}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

func benchBatch() *scheduler.Batch {
	return &scheduler.Batch{Logic: scheduler.LogicVersion, Now: 1e18, Commands: []scheduler.Command{
		{Op: scheduler.OpSubmit, Submit: benchSubmit(1000, scheduler.DefaultRetention)},
	}}
}

// TestHotPathAllocations: encoding a submit, and staging ends, costs no allocation a task.
func TestHotPathAllocations(t *testing.T) {
	const tasks = 1000
	b, enc := benchBatch(), &encoder{}
	if n := testing.AllocsPerRun(10, func() {
		if _, err := enc.entry(b, identity{1, 1}); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("encoding %d tasks takes %v allocations", tasks, n)
	}
	e, err := New(Options{Proposer: 1, Storage: newTestStorage(), Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	o := &scheduler.Outcomes{List: make([]scheduler.Outcome, tasks)}
	outcomes := &scheduler.Batch{Commands: []scheduler.Command{{Op: scheduler.OpOutcomes, Outcomes: o}}}
	s := benchSubmit(tasks, scheduler.DefaultRetention)
	submits := &scheduler.Batch{Commands: []scheduler.Command{{Op: scheduler.OpSubmit, Submit: s}}}
	eff := &e.eff
	id := scheduler.TaskID(0)
	round := func() {
		eff.Reset()
		for i := range tasks {
			eff.Staged = append(eff.Staged, scheduler.Staged{Task: id + scheduler.TaskID(i) + 1, Item: int32(i)})
		}
		e.stage(submits)
		eff.Reset()
		for i := range tasks {
			id++
			eff.Finished = append(eff.Finished, scheduler.Finished{
				Task: id, State: scheduler.Succeeded, Kind: "resize", Queue: "default", Policy: s.Tasks[i].Policy, HasLabels: true,
				ExpiresAt: scheduler.Day, At: 1e18, Submitted: 1e18, Token: 7, Session: 3, Worker: "w", Item: int32(i),
			})
		}
		e.stage(outcomes)
	}
	for range 10 {
		round() // lists and maps grow at first
	}
	e.live = e.live.reuse()
	if n := testing.AllocsPerRun(5, round); n > 20 {
		t.Errorf("staging %d tasks and their ends takes %v allocations", tasks, n)
	}
}
