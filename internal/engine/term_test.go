package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestTermLostAndRegained: what is in line comes back as ErrNotLeader, what is in flight with its fate; the observer hears
// of each begin and end once and in turn; the next term begins with the sessions that are there, all detached.
func TestTermLostAndRegained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		w := r.worker("w", 1)
		r.log.hold()
		flying := r.propose(submitCmd(spec(t, "one")))
		synctest.Wait()
		flying2 := r.propose(submitCmd(spec(t, "two")))
		synctest.Wait()
		inLine := r.propose(submitCmd(spec(t, "three")))
		r.log.lose()
		if err := <-inLine; !errors.Is(err, ErrNotLeader) {
			t.Errorf("a command in line came back with %v", err)
		}
		synctest.Wait()
		if r.e.Leading() || len(flying)+len(flying2) > 0 {
			t.Error("it leads still, or commands in flight were answered before their fate is known")
		}
		if err := <-r.propose(tick()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("without leadership a command came back with %v", err)
		}
		r.log.drop()
		for _, f := range []chan error{flying, flying2} {
			if err := <-f; !errors.Is(err, ErrUnknown) || !errors.Is(err, errTestLost) {
				t.Errorf("a command in flight came back with %v", err)
			}
		}
		r.log.release()
		r.log.lead()
		synctest.Wait()
		if got, want := r.told.terms(), "began 1 with 0 sessions, ended, began 3 with 1 sessions"; got != want {
			t.Errorf("the observer was told\n\t%s, want\n\t%s", got, want)
		}
		if s := r.e.Sessions(); len(s) != 1 || s[0].Attached {
			t.Errorf("sessions of the new term: %+v", s)
		}
		if res := r.do(w.outcomesCmd()); res.Code != scheduler.CodeOK {
			t.Errorf("the worker that wasn't told speaks on: %v", res.Code)
		}
	})
}

// TestTermComesAtOnce: a term that is lost and regained between two looks is a new one: TermEnded comes before its
// TermBegan, though nobody said that it was lost. One that is said twice is one.
func TestTermComesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.log.lead()
		synctest.Wait()
		r.log.leadership <- Leadership{Leader: true, Term: r.log.term}
		synctest.Wait()
		r.log.lose()
		synctest.Wait()
		r.log.lose()
		synctest.Wait()
		want := "began 1 with 0 sessions, ended, began 2 with 0 sessions, ended"
		if got := r.told.terms(); got != want {
			t.Errorf("the observer was told\n\t%s, want\n\t%s", got, want)
		}
	})
}

// TestBeginTermTooLate: a BeginTerm that is applied after leadership went opens nothing.
func TestBeginTermTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := openRig(t, newTestStorage(), newTestLog())
		r.log.hold()
		r.log.lead()
		started := make(chan error, 1)
		go func() { started <- r.e.Start(context.Background(), r.log) }()
		synctest.Wait()
		r.log.lose()
		synctest.Wait()
		r.log.release()
		synctest.Wait()
		if r.e.Leading() || r.told.terms() != "" || len(started) > 0 {
			t.Errorf("it serves without leading: %s", r.told.terms())
		}
		if r.e.Status().Term != 1 {
			t.Error("BeginTerm was not applied")
		}
		r.log.lead()
		if err := <-started; err != nil || !r.e.Leading() {
			t.Errorf("then it leads, and Start says %v", err)
		}
		if got := r.told.terms(); got != "began 3 with 0 sessions" {
			t.Errorf("the observer was told %s", got)
		}
	})
}

// TestForsakenEntryIsApplied: an entry whose proposer was told that its fate is unknown, and which is committed after all,
// is applied; its proposer isn't called again, and the observer sees it if it comes within a term.
func TestForsakenEntryIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.log.hold()
		done := r.propose(submitCmd(spec(t, "one")))
		synctest.Wait()
		r.log.forsake()
		if err := <-done; !errors.Is(err, ErrUnknown) {
			t.Errorf("it came back with %v", err)
		}
		staged := 0
		r.hook(func(eff *scheduler.Effects) { staged += len(eff.Staged) })
		r.log.release()
		synctest.Wait()
		if len(done) > 0 {
			t.Error("its proposer was called twice")
		}
		r.wantTask("after all", 1, "PENDING gen 1 payload one")
		if staged != 1 {
			t.Errorf("the observer saw %d tasks come", staged)
		}
	})
}

// TestRefusedProposal: an entry that the log doesn't take is known not to be carried out.
func TestRefusedProposal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		full := errors.New("the log is full")
		r.log.refuseWith(full)
		if err := <-r.propose(tick()); !errors.Is(err, full) || errors.Is(err, ErrUnknown) {
			t.Errorf("it came back with %v", err)
		}
		r.log.refuseWith(fmt.Errorf("%w: really", ErrNotLeader))
		if err := <-r.propose(tick()); !errors.Is(err, ErrNotLeader) || errors.Is(err, ErrUnknown) {
			t.Errorf("it came back with %v", err)
		}
		r.log.refuseWith(nil)
		if err := <-r.propose(tick()); err != nil {
			t.Errorf("then: %v", err)
		}
	})
}

// TestStartReplays: a start replays the terms of earlier leaders, tells nobody, and begins its own.
func TestStartReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startRig(t)
		a.worker("w", 2)
		a.submit(spec(t, "one"), spec(t, "two"))
		pass(time.Second)
		at := a.e.Now()
		a.log.lead()
		synctest.Wait()
		a.submit(spec(t, "three"))
		b := a.restarted(false)
		if b.e.Hash() != a.e.Hash() || b.told.terms() != "" || b.e.Leading() {
			t.Errorf("replayed: %x, told %q; the leader has %x", b.e.Hash(), b.told.terms(), a.e.Hash())
		}
		if now := b.e.Now(); now < at || now != b.e.Status().Now {
			t.Errorf("before it leads its clock reads %d, the log's time is %d", now, b.e.Status().Now)
		}
		b.start()
		synctest.Wait()
		if got := b.told.terms(); got != "began 3 with 1 sessions" {
			t.Errorf("the observer was told %s", got)
		}
	})
}

// TestTimeNeverGoesBack: neither a wall clock that was set back nor a leader that lagged take the log's time back.
func TestTimeNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startRig(t)
		pass(time.Hour)
		a.do(tick())
		at := a.e.Status().Now
		b := openRig(t, newTestStorage(), newTestLog(a.log.copied()...), func(o *Options) {
			o.Now = func() time.Time { return time.Now().Add(-30 * time.Minute) }
		})
		b.log.term = a.log.term
		synctest.Wait()
		b.start()
		if now := b.e.Now(); now < at {
			t.Errorf("the clock went back to %d from %d", now, at)
		}
		before := b.e.Now()
		pass(time.Minute)
		if gone := time.Duration(b.e.Now() - before); gone.Round(time.Microsecond) != 54*time.Second {
			t.Errorf("in a minute a clock that is ahead went on by %v, want 54 s", gone)
		}
	})
}
