package rpc

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// wantBack has the engine say that a session's tokens should be given up.
func (f *fakeEngine) wantBack(id scheduler.SessionID, attach uint64, tokens ...uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recallable = nil
	for _, t := range tokens {
		f.recallable = append(f.recallable, scheduler.RecallItem{Session: id, Attach: attach, Token: scheduler.Token(t)})
	}
}

// attachOf is the attach number of a worker's session.
func (f *fakeEngine) attachOf(name string) uint64 {
	for _, s := range f.Sessions() {
		if s.Worker.Name == name {
			return s.Attach
		}
	}
	return 0
}

// pauseSession has the core give a worker's session no more work.
func (f *fakeEngine) pauseSession(name string) {
	for _, s := range f.Sessions() {
		if s.Worker.Name == name {
			f.Propose(scheduler.Command{Op: scheduler.OpDrainSession, Session: &scheduler.SessionCommand{Session: s.ID, Attach: s.Attach}}, nil)
		}
	}
}

func (f *fakeEngine) Recallable(most int) []scheduler.RecallItem {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recallMost = most
	return f.recallable
}

func helloOf2(name string, slots uint32) *yardmasterv1.Hello {
	h := helloOf(name, 1, slots)
	h.ProtocolVersion = 2
	return h
}

func (p *testWorker) recalled(seq uint64, tokens ...uint64) {
	p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, Message: &yardmasterv1.SessionRequest_Recalled{
		Recalled: &yardmasterv1.Recalled{Tokens: tokens}}})
}

// tick lets the registry look once.
func (r *rig) tick() { r.pass(TickPeriod); synctest.Wait() }

// TestRecallMovesALease: what one worker holds unstarted goes to another, under a new token and at no cost.
func TestRecallMovesALease(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, w := r.welcomed(helloOf2("w1", 3))
		r.submit(3, 10)
		leases, seq := p.grants(3)
		p.started(seq, leases[0].GetToken())
		synctest.Wait()
		p2, _ := r.welcomed(helloOf2("w2", 8))
		tokens := []uint64{leases[0].GetToken(), leases[1].GetToken(), leases[2].GetToken()}
		r.e.wantBack(scheduler.SessionID(w.GetSessionId()), r.e.attachOf("w1"), tokens...)
		r.tick()
		recall := p.recv().GetRecall()
		if !slices.Equal(recall.GetTokens(), tokens[1:]) {
			t.Fatalf("recall %v of %v, the first of which is started", recall, tokens)
		}
		if r.e.recallMost != session.RecallMax {
			t.Fatalf("the engine is asked for %d", r.e.recallMost)
		}
		r.e.wantBack(0, 0)
		r.e.pauseSession("w1")
		p.recalled(seq, tokens[2])
		moved, _ := p2.grants(1)
		if moved[0].GetTaskId() != leases[2].GetTaskId() || moved[0].GetToken() == tokens[2] || moved[0].GetAttempt() != 1 {
			t.Fatalf("moved %v, was %v", moved[0], leases[2])
		}
	})
}

func TestRecallBreaches(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf2("w1", 1))
		r.submit(1, 10)
		leases, seq := p.grants(1)
		p.recalled(seq, leases[0].GetToken()) // nobody asked
		st := wantStatus(t, p.ends().Err(), codes.InvalidArgument, ReasonInvalid)
		if !strings.Contains(fmt.Sprint(st.Details()...), "recalled.tokens") {
			t.Fatal(st.Details())
		}
		p, _ = r.welcomed(helloOf2("w2", 1))
		p.recalled(0, make([]uint64, session.RecallMax+1)...)
		wantStatus(t, p.ends().Err(), codes.InvalidArgument, ReasonInvalid)
		p, _ = r.welcomed(helloOf2("w3", 1))
		p.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Heartbeat{
			Heartbeat: &yardmasterv1.Heartbeat{Progress: make([]*yardmasterv1.TaskProgress, ProgressMax+1)}}})
		wantStatus(t, p.ends().Err(), codes.InvalidArgument, ReasonInvalid)
	})
}

// hooks write down what they are told.
type hooks struct {
	mu    sync.Mutex
	lines []string
}

func (h *hooks) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

// heard returns what was told so far.
func (h *hooks) heard() []string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

func (h *hooks) started(now scheduler.Time, id scheduler.SessionID, worker string, token scheduler.Token, task scheduler.TaskID) {
	h.note("%t session %d %s token %d task %d started", now > 0, id, worker, token, task)
}

func (h *hooks) progress(now scheduler.Time, id scheduler.SessionID, worker string, token scheduler.Token, task scheduler.TaskID,
	permille uint32, message string) {
	h.note("%t session %d %s token %d task %d at %d: %s", now > 0, id, worker, token, task, permille, message)
}

func TestProgressReachesViewsAndHooks(t *testing.T) {
	inBubble(t, func(r *rig) {
		h := &hooks{}
		r.s.registry.events = h
		p, w := r.welcomed(helloOf2("w1", 3))
		task := r.submit(2, 10)
		leases, seq := p.grants(2)
		p.started(seq, leases[0].GetToken())
		say := func(permille uint32, message string, token uint64) {
			p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, Message: &yardmasterv1.SessionRequest_Heartbeat{
				Heartbeat: &yardmasterv1.Heartbeat{SendTimeNanos: 1, Progress: []*yardmasterv1.TaskProgress{
					{Token: token, Permille: permille, Message: message}, {Token: 999, Permille: 1},
				}}}})
			p.recv()
		}
		say(100, "a", leases[0].GetToken())
		say(5000, strings.Repeat("x", 300), leases[1].GetToken())
		s, a, b := w.GetSessionId(), leases[0].GetToken(), leases[1].GetToken()
		want := []string{
			fmt.Sprintf("true session %d w1 token %d task %d started", s, a, task),
			fmt.Sprintf("true session %d w1 token %d task %d at 100: a", s, a, task),
			fmt.Sprintf("true session %d w1 token %d task %d started", s, b, task+1),
			fmt.Sprintf("true session %d w1 token %d task %d at 1000: %s", s, b, task+1, strings.Repeat("x", 256)),
		}
		if got := h.heard(); !slices.Equal(got, want) {
			t.Fatalf("heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		r.pass(3 * time.Second)
		permille, message, at, ok := r.s.registry.progress(scheduler.SessionID(s), scheduler.Token(a))
		if ago := r.e.Now() - at; !ok || permille != 100 || message != "a" || ago < 3*scheduler.Time(time.Second) || ago > 4*scheduler.Time(time.Second) {
			t.Fatalf("progress %d %s, %d ago, %t", permille, message, ago, ok)
		}
		p.succeed(seq, 1, leases[0])
		p.recv()
		if _, _, _, ok := r.s.registry.progress(scheduler.SessionID(s), scheduler.Token(a)); ok {
			t.Fatal("progress of a task that has ended")
		}
	})
}

func TestProgressOfAVersion1WorkerIsIgnored(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, w := r.welcomed(helloOf("w1", 1, 3))
		r.submit(1, 10)
		leases, seq := p.grants(1)
		p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, Message: &yardmasterv1.SessionRequest_Heartbeat{
			Heartbeat: &yardmasterv1.Heartbeat{Progress: []*yardmasterv1.TaskProgress{{Token: leases[0].GetToken(), Permille: 1}}}}})
		p.recv()
		if _, _, _, ok := r.s.registry.progress(scheduler.SessionID(w.GetSessionId()), scheduler.Token(leases[0].GetToken())); ok {
			t.Fatal("progress is kept")
		}
	})
}

func TestRunTimeIsStored(t *testing.T) {
	for _, test := range []struct {
		run  *durationpb.Duration
		want int64
	}{
		{nil, 0}, {durationpb.New(0), 1}, {durationpb.New(1500 * time.Millisecond), 1_500_000_001}, {durationpb.New(-5), 1},
		{&durationpb.Duration{Seconds: 1 << 62}, 1<<63 - 1},
	} {
		c, err := outcomesCommand(&yardmasterv1.Outcomes{FirstSeq: 1, Outcomes: []*yardmasterv1.AttemptOutcome{
			{Token: 1, Kind: &yardmasterv1.AttemptOutcome_Cancelled{Cancelled: &yardmasterv1.AttemptCancelled{}}, RunTime: test.run},
			{Token: 2, Kind: &yardmasterv1.AttemptOutcome_Succeeded{Succeeded: &yardmasterv1.Succeeded{Result: []byte("r")}}, RunTime: test.run},
		}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range c.List {
			var d storagev1.Detail
			if err := proto.Unmarshal(o.Detail, &d); err != nil || d.GetRan() != test.want || string(d.GetResult()) != strings.Repeat("r", i) {
				t.Errorf("run time %v of outcome %d is stored as %v (%v)", test.run, i, &d, err)
			}
		}
	}
}

// A run time alone is no failure.
func TestCancelledWithARunTimeShowsNoFailure(t *testing.T) {
	inBubble(t, func(r *rig) {
		p, _ := r.welcomed(helloOf2("w1", 1))
		id := r.submit(1, 10)
		leases, seq := p.grants(1)
		if _, err := r.tasks.Cancel(r.ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: []uint64{id}}); err != nil {
			t.Fatal(err)
		}
		p.recv()
		p.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: &yardmasterv1.Outcomes{
			FirstSeq: 1, Outcomes: []*yardmasterv1.AttemptOutcome{{Token: leases[0].GetToken(), TaskId: id, RunTime: durationpb.New(time.Second),
				Kind: &yardmasterv1.AttemptOutcome_Cancelled{Cancelled: &yardmasterv1.AttemptCancelled{}}}}}}})
		p.recv()
		got, err := r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: id})
		if err != nil || got.GetTask().GetState() != yardmasterv1.TaskState_TASK_STATE_CANCELLED || got.GetTask().GetOutcome().GetFailure() != nil {
			t.Fatalf("%v, %v", got, err)
		}
	})
}
