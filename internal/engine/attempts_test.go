package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// said lists what the attempts of a timeline reported.
func (r *rig) said(id scheduler.TaskID) string {
	tl, err := r.e.Timeline(context.Background(), id)
	if err != nil {
		return err.Error()
	}
	s := fmt.Sprint("earlier ", tl.Earlier)
	for _, a := range tl.Attempts {
		s += fmt.Sprintf(" %d:%s", a.GetAttempt(), a.GetDetail().GetMessage())
	}
	return s
}

// TestTimeline: the last ten attempts, and how many came before, whether they are staged, sealed, stored or all of that,
// over the end of a dead letter, its next generation and restarts.
func TestTimeline(t *testing.T) {
	for saveEvery := range 14 {
		synctest.Test(t, func(t *testing.T) {
			r := startRig(t)
			s := spec(t, "p")
			s.Policy.MaxAttempts = 14
			r.submit(s)
			w := r.worker("w", 1)
			want := func(from, to int, extra string) string {
				text := fmt.Sprint("earlier ", from-1)
				for i := from; i <= to; i++ {
					text += fmt.Sprintf(" %d:no %d", i, i)
				}
				return text + extra
			}
			for i := 1; i <= 14; i++ {
				w.report(failed(w.grants()[0], fmt.Sprint("no ", i)))
				from, to := max(1, i-9), min(i, 13) // the last one is the outcome that ended it
				if got := r.said(1); got != want(from, to, "") {
					t.Fatalf("after attempt %d the timeline is %s", i, got)
				}
				if saveEvery > 0 && i%saveEvery == 0 {
					r.save()
				}
			}
			r.through(func(s stage) {
				if got := r.said(1); got != want(5, 13, "") {
					t.Errorf("%v: dead, it is %s", s, got)
				}
			})
			r.retry(1)
			r.through(func(s stage) {
				if got := r.said(1); got != want(5, 14, "") {
					t.Errorf("%v: retried, it is %s", s, got)
				}
			})
			w.report(failed(w.grants()[0], "again"))
			again := want(6, 14, " 1:again")
			r.through(func(s stage) {
				if got := r.said(1); got != again {
					t.Errorf("%v: in the next generation it is %s, want %s", s, got, again)
				}
			})
			for _, stored := range []bool{true, false} {
				if got := r.restarted(stored).said(1); got != again {
					t.Errorf("restarted (from storage: %v) it is %s", stored, got)
				}
			}
			w.report(succeeded(w.grants()[0], "well"))
			r.through(func(s stage) {
				if got := r.said(1); got != again {
					t.Errorf("%v: ended well, it is %s", s, got)
				}
			})
			tl, err := r.e.Timeline(context.Background(), 1)
			if err != nil || !tl.Task.Finished.GetHasAttempts() || tl.Attempts[0].GetEnded() == 0 {
				t.Errorf("timeline: %+v, %v", tl, err)
			}
			if got := r.said(2); got != ErrNoTask.Error() {
				t.Errorf("of no task: %s", got)
			}
		})
	}
}

// TestTimelineWhileSaved: attempts that are saved on the way from the buffers to storage are there once.
func TestTimelineWhileSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.submit(spec(t, "p"))
		w := r.worker("w", 1)
		fail := func(from, to int) {
			for i := from; i <= to; i++ {
				w.report(failed(w.grants()[0], fmt.Sprint("no ", i)))
			}
		}
		fail(1, 2)
		r.save()
		fail(3, 14)
		set(&r.storage.mu, &r.storage.inFailure, func() {
			set(&r.storage.mu, &r.storage.inFailure, nil)
			r.save()
		})
		const want = "earlier 4 5:no 5 6:no 6 7:no 7 8:no 8 9:no 9 10:no 10 11:no 11 12:no 12 13:no 13 14:no 14"
		for _, when := range []string{"saved on the way", "saved"} {
			if got := r.said(1); got != want {
				t.Errorf("%s: the timeline is %s", when, got)
			}
		}
	})
}

// TestAttemptsGo: with the task of which nothing is kept, with the finished row, and with a dead letter that is forgotten,
// wherever they are.
func TestAttemptsGo(t *testing.T) {
	for _, saved := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := startRig(t)
			never := spec(t, "n")
			never.Policy.Retention = 0
			dies := spec(t, "d")
			dies.Policy.MaxAttempts = 2
			r.submit(never, dies, dies, never)
			w := r.worker("w", 4)
			var list []scheduler.Outcome
			for _, g := range w.grants() {
				list = append(list, failed(g, "once"))
			}
			w.report(list...)
			if saved {
				r.save()
			}
			g := w.grants()
			w.report(succeeded(g[0], "well"), failed(g[1], "twice"), failed(g[2], "twice"))
			r.save()
			if _, n, _ := r.storage.counts(); n != 3 { // of the last, too: it lives
				t.Errorf("saved before: %v: attempts of %d tasks are stored, want 3", saved, n)
			}
			r.do(scheduler.Command{Op: scheduler.OpForget, Forget: &scheduler.Forget{Items: []scheduler.DeadRef{{ID: 2, Gen: 1}}}})
			r.retry(3)
			g = w.grants()
			w.report(failed(g[0], "of the next generation"))
			r.do(scheduler.Command{Op: scheduler.OpDelete, Delete: &scheduler.Delete{Items: []scheduler.DeleteItem{{ID: 3, Gen: 1, Found: true}}}})
			if got := r.said(3); got != "earlier 0 1:once 2:twice 1:of the next generation" {
				t.Errorf("a dead letter that lives: %s", got)
			}
			r.save()
			if _, n, _ := r.storage.counts(); n != 2 {
				t.Errorf("saved before: %v: attempts of %d tasks are stored, want 2", saved, n)
			}
			if got := r.said(2); got != ErrNotRetained.Error() {
				t.Errorf("a forgotten one: %s", got)
			}
			r.e.mu.RLock()
			left := r.e.live.bytes
			r.e.mu.RUnlock()
			if left != 0 {
				t.Errorf("%d bytes are staged", left)
			}
		})
	}
}

// TestFirstFormatsFailure: the one failure that the first format kept is the oldest attempt, wherever attempts are read.
func TestFirstFormatsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.submit(spec(t, "p"))
		w := r.worker("w", 1)
		w.report(failed(w.grants()[0], "new"))
		r.save()
		old := &storagev1.Attempt{Cause: 1, Attempt: 1, Detail: &storagev1.Detail{Message: "old"}}
		data, err := proto.Marshal(old)
		if err != nil {
			t.Fatal(err)
		}
		set(&r.storage.mu, &r.storage.failures, map[scheduler.TaskID][]byte{1: data})
		r.wantTask("live", 1, "LEASED gen 1 payload p attempt 1 failed: old")
		if got := r.said(1); got != "earlier 0 1:old" {
			t.Errorf("the timeline is %s", got)
		}
		w.report(failed(w.grants()[0], "newer"))
		r.through(func(s stage) {
			r.wantTask(s, 1, "LEASED gen 1 payload p attempt 2 failed: newer")
			if got := r.said(1); got != "earlier 0 1:old 2:newer" {
				t.Errorf("%v: the timeline is %s", s, got)
			}
		})
		set(&r.storage.mu, &r.storage.failures, map[scheduler.TaskID][]byte{1: data})
		w.report(succeeded(w.grants()[0], "well"))
		r.through(func(s stage) { r.wantTask(s, 1, "SUCCEEDED gen 1 said well attempt 1 failed: old") })
	})
}

// TestReadAttempts: what is read field by field is what the generated code reads.
func TestReadAttempts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &storagev1.Attempts{Earlier: rapid.Uint32().Draw(t, "earlier")}
		var want []*storagev1.Attempt
		if rapid.Bool().Draw(t, "first format") {
			p.Cause, p.Attempt, p.Detail = rapid.Uint32().Draw(t, "cause"), rapid.Uint32Min(1).Draw(t, "attempt"), drawDetail(t)
			want = append(want, &storagev1.Attempt{Cause: p.Cause, Attempt: p.Attempt, Detail: p.Detail})
		}
		for range rapid.IntRange(0, AttemptsMax).Draw(t, "attempts") {
			p.List = append(p.List, &storagev1.Attempt{Attempt: rapid.Uint32().Draw(t, "number"), Detail: drawDetail(t)})
		}
		want = append(want, p.List...)
		data, err := proto.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		a := readAttempts(data)
		if len(a.list) != len(want) || a.earlier != p.Earlier {
			t.Fatalf("%d attempts after %d, want %d after %d", len(a.list), a.earlier, len(want), p.Earlier)
		}
		bytesOf := 0
		for i := range want {
			got, err := decodeAttempt(1, a.list[i])
			if err != nil || !proto.Equal(got, want[i]) {
				t.Fatalf("attempt %d is %v, %v, want %v", i, got, err, want[i])
			}
			bytesOf += len(a.list[i])
		}
		if bytesOf != a.bytes {
			t.Fatalf("%d bytes, want %d", a.bytes, bytesOf)
		}
		if p.Detail == nil && !bytes.Equal(a.append(nil), data) {
			t.Fatalf("encoded again it is another")
		}
	})
}

// checkTimeline compares the attempts of a task with all that the observer has seen.
func (l *life) checkTimeline(id scheduler.TaskID) {
	all := l.attempts[id]
	tl, err := l.e.Timeline(context.Background(), id)
	if err != nil {
		if !errors.Is(err, ErrNotRetained) {
			l.t.Fatal(err)
		}
		return // the rest of the check says whether that is right
	}
	kept := all[max(len(all)-AttemptsMax, 0):]
	earlier := len(all) - len(kept)
	if fin, ended := l.ends[id]; ended && killed(&fin) {
		kept = kept[:len(kept)-1] // the finished row tells it
	}
	if int(tl.Earlier) != earlier || len(tl.Attempts) != len(kept) {
		l.t.Fatalf("task %d has %d attempts after %d, want %d of %d", id, len(tl.Attempts), tl.Earlier, len(kept), len(all))
	}
	for i, f := range kept {
		if a := tl.Attempts[i]; a.GetAttempt() != f.Attempt || a.GetToken() != uint64(f.Token) || a.GetGen() != f.Gen || a.GetCause() != uint32(f.Cause) {
			l.t.Fatalf("attempt %d of task %d is %v, want %+v", i, id, a, f)
		}
	}
}
