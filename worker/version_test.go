package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// acceptOld plays a coordinator of the first release: it refuses any version but 1.
func (c *fakeCoordinator) acceptOld() (*fakeStream, *pb.Hello) {
	c.t.Helper()
	s, hello := c.accept()
	if hello.ProtocolVersion != protocolVersion {
		c.t.Fatalf("a new stream begins with version %d", hello.ProtocolVersion)
	}
	refusal, err := status.New(codes.FailedPrecondition, "protocol version 2 isn't spoken here, only 1").
		WithDetails(&errdetails.ErrorInfo{Reason: "PROTOCOL_VERSION", Domain: "yardmaster"})
	if err != nil {
		c.t.Fatal(err)
	}
	s.end(refusal.Err())
	s, hello = c.accept()
	if hello.ProtocolVersion != 1 {
		c.t.Fatalf("then it says version %d", hello.ProtocolVersion)
	}
	for _, p := range hello.Pools {
		if p.Prefetch != 0 {
			c.t.Fatalf("pool %v in version 1", p)
		}
	}
	return s, hello
}

// TestOlderCoordinator takes a worker through its life with a coordinator of the first release.
func TestOlderCoordinator(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	book := newLogBook()
	goOn, spoke := make(chan struct{}), make(chan struct{})
	w := startWorker(t, c, Config{Slots: 2, Logger: book.logger()}, func(w *Worker) {
		w.HandleRaw("talk", func(_ context.Context, task *Task) ([]byte, error) {
			task.Progress(500, "half")
			close(spoke)
			<-goOn
			return []byte("done"), nil
		})
	})
	s, _ := c.acceptOld()
	s.welcome(&pb.Welcome{SessionId: 3})
	s.grant(&pb.TaskLease{Token: 1, Kind: "talk"})
	within(t, "the handler", spoke)
	s.cancel(9, pb.Cancel_REASON_REVOKED)
	if o := s.outcome(); o.Token != 9 || o.GetInterrupted() == nil {
		t.Errorf("outcome %v", o)
	}
	s.end(status.Error(codes.Unavailable, "restarting"))

	s, hello := c.acceptOld()
	if r := hello.GetResume(); r.GetSessionId() != 3 || len(r.GetTokens()) != 1 {
		t.Errorf("resumes with %v", r)
	}
	s.welcome(&pb.Welcome{SessionId: 3})
	close(goOn)
	if o := s.outcome(); string(o.GetSucceeded().GetResult()) != "done" || o.RunTime.AsDuration() <= 0 {
		t.Errorf("outcome %v", o)
	}
	w.stopped(s)
	log := strings.Join(book.all(), "")
	if strings.Count(log, "the coordinator is older than this worker") != 2 || strings.Count(log, "[WARN]") != 1 {
		t.Errorf("log %s", log)
	}
	if n := w.Stats(); n.Reconnects != 1 || n.Streams != 2 || n.Slots != 2 || n.Used != 0 || n.Sent != 2 {
		t.Errorf("stats %+v", n)
	}
}

// A coordinator that says nothing of a version speaks the first: it is told nothing that this doesn't have, and what it
// says beyond it is a breach.
func TestWelcomeWithoutAVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := New(Config{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		open := pipes(w, nil)
		w.HandleRaw("talk", func(ctx context.Context, task *Task) ([]byte, error) {
			task.Progress(500, "half")
			<-ctx.Done()
			return nil, ctx.Err()
		})
		r := runWorker(t, w)
		p := <-open
		<-p.said
		p.welcome(1)
		p.grant(1, &pb.TaskLease{Token: 1, TaskId: 1001, Kind: "talk", Weight: 1, Pool: DefaultPool})
		time.Sleep(11 * time.Second)
		synctest.Wait()
		for len(p.said) > 0 {
			if b := (<-p.said).GetHeartbeat(); b != nil && len(b.Progress) > 0 {
				t.Errorf("heartbeat %v", b)
			}
		}
		p.recall(1)
		p = <-open
		<-p.said
		p.welcomeAt(1, 2)
		if b := p.progress(); b[0].Permille != 500 {
			t.Errorf("progress %v", b)
		}
		r.stop()
		w.Force()
		p.farewell()
		if err := <-r.done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func (p *pipe) recall(tokens ...uint64) {
	p.tell <- &pb.SessionResponse{Message: &pb.SessionResponse_Recall{Recall: &pb.Recall{Tokens: tokens}}}
}

// progress answers heartbeats up to the next that carries progress, and returns that.
func (p *pipe) progress() []*pb.TaskProgress {
	for m := range p.said {
		if b := m.GetHeartbeat(); b != nil {
			p.tell <- &pb.SessionResponse{Message: &pb.SessionResponse_HeartbeatAck{HeartbeatAck: &pb.HeartbeatAck{SendTimeNanos: b.SendTimeNanos}}}
			if len(b.Progress) > 0 {
				return b.Progress
			}
		}
	}
	return nil
}

// Of what handlers say the latest goes out, at most once a second; what a stream may have lost is said again on the next.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := New(Config{Name: "test", Slots: 10})
		if err != nil {
			t.Fatal(err)
		}
		open := pipes(w, nil)
		say := make(chan int)
		Handle(w, "talk", func(ctx context.Context, _ struct{}) (string, error) {
			for n := range say {
				Progress(ctx, n, strings.Repeat("é", max(n, 0)))
			}
			return "", nil
		})
		r := runWorker(t, w)
		p := <-open
		<-p.said
		p.welcomeAt(1, 2)
		p.grant(1, &pb.TaskLease{Token: 1, TaskId: 1001, Kind: "talk", Weight: 1, Pool: DefaultPool})
		began := time.Now()
		for _, n := range []int{-5, 1, 300} {
			say <- n
		}
		got := p.progress()
		if len(got) != 1 || got[0].Token != 1 || got[0].Permille != 300 || got[0].Message != strings.Repeat("é", 128) {
			t.Errorf("progress %v", got)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("told after %s", took)
		}
		say <- 7000
		if got := p.progress(); len(got) != 1 || got[0].Permille != 1000 || time.Since(began) != 2*time.Second {
			t.Errorf("progress %v after %s", got, time.Since(began))
		}
		close(p.tell)
		p = <-open
		<-p.said
		p.welcomeAt(1, 2)
		if got := p.progress(); len(got) != 1 || got[0].Permille != 1000 {
			t.Errorf("progress %v", got)
		}
		say <- 5
		close(say)
		r.stop()
		p.farewell()
		if err := <-r.done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestProgressOfMany: what doesn't fit into one heartbeat goes with the next, and nobody is told of twice before all are
// told of once.
func TestProgressOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 2*progressListMax + 5
		w, err := New(Config{Name: "test", Slots: many})
		if err != nil {
			t.Fatal(err)
		}
		open := pipes(w, nil)
		w.HandleRaw("talk", func(ctx context.Context, task *Task) ([]byte, error) {
			for n := range 1000 {
				task.Progress(n, "")
			}
			<-ctx.Done()
			task.Progress(1, "") // to be forgotten, soon
			return nil, ctx.Err()
		})
		r := runWorker(t, w)
		p := <-open
		<-p.said
		p.welcomeAt(1, 2)
		var leases []*pb.TaskLease
		for i := range many {
			leases = append(leases, &pb.TaskLease{Token: uint64(i + 1), TaskId: 1, Kind: "talk", Weight: 1, Pool: DefaultPool})
		}
		p.grant(1, leases...)
		synctest.Wait()
		told := map[uint64]bool{}
		for _, n := range []int{progressListMax, progressListMax, 5} {
			list := p.progress()
			if len(list) != n {
				t.Errorf("%d in a heartbeat, want %d", len(list), n)
			}
			for _, x := range list {
				if told[x.Token] || x.Permille != 999 {
					t.Fatalf("%v, told %t", x, told[x.Token])
				}
				told[x.Token] = true
			}
		}
		r.stop()
		w.Force()
		p.farewell()
		if err := <-r.done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// The board holds nothing of handlers that have returned, whatever they say when.
func TestBoardForgetsTheReturned(t *testing.T) {
	signals := 0
	b := &board{signal: func() { signals++ }}
	tasks := make([]Task, 5)
	for i := range tasks {
		tasks[i].Token, tasks[i].board = uint64(i+1), b
		tasks[i].Progress(i, "")
		tasks[i].Progress(i+10, "")
	}
	for _, i := range []int{2, 0, 4} { // the middle, the first, the last
		tasks[i].end()
		tasks[i].Progress(99, "")
	}
	b.again(&tasks[2])
	list, more := b.take()
	if fmt.Sprint(list) != fmt.Sprint([]*pb.TaskProgress{{Token: 2, Permille: 11}, {Token: 4, Permille: 13}}) || more || signals != 1 {
		t.Errorf("took %v, more %t, %d signals", list, more, signals)
	}
	if b.first != nil || b.last != nil {
		t.Error("something is left")
	}
	(&Task{}).Progress(1, "") // of a test: nobody listens
	Progress(t.Context(), 1, "")
}

// A lease that is asked back before a slot was free for it is given up, and never starts.
func TestRecall(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	goOn, started := make(chan struct{}), make(chan uint64, 10)
	w := startWorker(t, c, Config{Slots: 1, Prefetch: 5}, func(w *Worker) {
		w.HandleRaw("wait", func(_ context.Context, task *Task) ([]byte, error) {
			started <- task.Token
			<-goOn
			return nil, nil
		})
	})
	s, hello := c.accept()
	if hello.Pools[0].Prefetch != 5 {
		t.Errorf("pools %v", hello.Pools)
	}
	s.welcome(&pb.Welcome{SessionId: 1, ProtocolVersion: 2})
	s.grant(&pb.TaskLease{Token: 1, Kind: "wait"}, &pb.TaskLease{Token: 2, Kind: "wait"}, &pb.TaskLease{Token: 3, Kind: "wait"})
	within(t, "the handler", started)
	s.send(&pb.SessionResponse{Message: &pb.SessionResponse_Recall{Recall: &pb.Recall{Tokens: []uint64{1, 2, 77}}}})
	if got := until(s, (*pb.SessionRequest).GetRecalled); !slices.Equal(got.Tokens, []uint64{2}) {
		t.Errorf("gave up %v", got.Tokens)
	}
	close(goOn)
	if first, list := s.outcomes(2); first != 1 || list[0].Token != 1 || list[1].Token != 3 {
		t.Errorf("outcomes %v", list)
	}
	s.answer(2)
	w.stopped(s)
	if n := w.Stats(); n.GivenUp != 1 || n.Started != 2 || len(started) != 1 {
		t.Errorf("stats %+v", n)
	}
}

func TestPools(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		cpu  bool
		want string
	}{
		{Config{Slots: 3}, false, "default 3+3"},
		{Config{Slots: 300}, false, "default 300+256"},
		{Config{Slots: 3, Prefetch: -1}, false, "default 3+0"},
		{Config{Slots: 3, Prefetch: 9, CPUSlots: 2}, true, "default 3+9 cpu 2+0"},
		{Config{Slots: 3, CPUSlots: 2}, false, "default 3+3"},
		{Config{Slots: 3, Pools: []Pool{{Name: "cpu", Slots: 7, Prefetch: 1}, {Name: "x", Slots: 1, Prefetch: -4}}}, true, "default 3+3 cpu 7+1 x 1+0"},
		{Config{Slots: 10_000, Pools: []Pool{{Name: "x", Slots: 5_900}}}, false, "default 10000+4 x 5900+0"},
	} {
		w, err := New(test.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if test.cpu {
			w.HandleRaw("burn", echo, CPU())
			w.HandleRaw("burn2", echo, CPU())
		}
		var got []string
		for _, p := range w.cfg.Pools {
			got = append(got, fmt.Sprintf("%s %d+%d", p.Name, p.Slots, p.Prefetch))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%+v: pools %v, want %s", test.cfg, got, test.want)
		}
	}
	w, err := New(Config{Slots: 10_000, Pools: []Pool{{Name: "x", Slots: 5_904}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, `pool "cpu" for kind "burn": slots and prefetch of all pools`) {
			t.Errorf("panic %s", text)
		}
	}()
	w.HandleRaw("burn", echo, CPU())
}
