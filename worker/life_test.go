package worker

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/name"
)

func TestDrainHandsBackAndWaits(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	begun, release := make(chan struct{}, 1), make(chan struct{})
	w := startWorker(t, c, Config{Slots: 1}, func(w *Worker) {
		w.HandleRaw("wait", func(ctx context.Context, _ *Task) ([]byte, error) {
			begun <- struct{}{}
			<-release
			return nil, ctx.Err() // not ended by Run's context
		})
	})
	s := c.open(1)
	s.grant(&pb.TaskLease{Token: 1, Kind: "wait"}, &pb.TaskLease{Token: 2, Kind: "wait"})
	within(t, "a start", begun)
	w.stop()
	if d := until(s, (*pb.SessionRequest).GetDraining); d.Running != 1 || d.Waiting != 1 {
		t.Errorf("draining %v", d)
	}
	if o := s.outcome(); o.Token != 2 || o.GetInterrupted().GetReason() != "the worker stops" {
		t.Errorf("outcome %v", o)
	}
	close(release)
	if o := s.outcome(); o.Token != 1 || o.GetSucceeded() == nil {
		t.Errorf("outcome %v", o)
	}
	if d := s.farewell(); d.GetProcessesLeft() != 0 {
		t.Errorf("drained %v", d)
	}
	if err := within(t, "Run to return", w.done); err != nil {
		t.Error(err)
	}
	if err := w.Run(t.Context()); err == nil {
		t.Error("Run ran twice")
	}
}

func TestDrainTimeoutEndsContexts(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	p := newStopper()
	w := startWorker(t, c, Config{DrainTimeout: -1}, func(w *Worker) { w.HandleRaw("stop", p.handle) })
	s := c.open(1)
	s.grant(&pb.TaskLease{Token: 1, Kind: "stop"})
	within(t, "a start", p.begun)
	w.Drain()
	if got := within(t, "end", p.ended); !strings.Contains(got, "worker stops") {
		t.Error(got)
	}
	if o := s.outcome(); o.GetInterrupted() == nil {
		t.Errorf("outcome %v", o)
	}
	s.farewell()
	if err := within(t, "Run to return", w.done); err != nil {
		t.Error(err)
	}
}

func TestStopWithoutCoordinator(t *testing.T) {
	leakCheck(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := lis.Addr().String()
	lis.Close()
	book := newLogBook()
	w, err := New(Config{Coordinators: []string{address}, Logger: book.logger()})
	if err != nil {
		t.Fatal(err)
	}
	w.HandleRaw("echo", echo)
	r := runWorker(t, w)
	if line := within(t, "the warning", book.lines); !strings.Contains(line, "no coordinator has answered yet") || !strings.Contains(line, address) ||
		!strings.Contains(line, `error="dial tcp `) {
		t.Error(line)
	}
	r.stop()
	if err := within(t, "Run to return", r.done); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	version, err := status.New(codes.FailedPrecondition, "speaks 2").WithDetails(&errdetails.ErrorInfo{Reason: "PROTOCOL_VERSION"})
	if err != nil {
		t.Fatal(err)
	}
	for name, refusal := range map[string]error{
		"bad name": status.Error(codes.InvalidArgument, "bad name"),
		"speaks 2": version.Err(),
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			c := startCoordinator(t)
			w := startWorker(t, c, Config{}, func(w *Worker) { w.HandleRaw("echo", echo) })
			s, _ := c.accept()
			s.over <- refusal
			if name == "speaks 2" { // it doesn't speak the first version either
				s, _ := c.accept()
				s.over <- refusal
			}
			if err := within(t, "Run to return", w.done); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), name) {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// A name that is taken, and a coordinator that doesn't lead: the worker tries the others, again and again.
func TestTriesTheNextCoordinator(t *testing.T) {
	leakCheck(t)
	a, b := startCoordinator(t), startCoordinator(t)
	book := newLogBook()
	w, err := New(Config{Coordinators: []string{a.address, b.address}, Name: "test", Logger: book.logger()})
	if err != nil {
		t.Fatal(err)
	}
	w.HandleRaw("echo", echo)
	r := runWorker(t, w)
	s, _ := a.accept()
	s.over <- status.Error(codes.AlreadyExists, "worker name test is taken")
	s, _ = b.accept()
	s.over <- status.Error(codes.Unavailable, "not the leader")
	s = a.open(1)
	s.grant(&pb.TaskLease{Token: 1, Kind: "echo"})
	s.outcome()
	r.stopped(s)
	log := book.all()
	if len(log) == 0 || !strings.Contains(log[0], "another live process has this worker's name") || strings.Count(strings.Join(log, ""), "[WARN]") != 1 {
		t.Errorf("log %q", log)
	}
}

func TestConfigErrors(t *testing.T) {
	for want, cfg := range map[string]Config{
		`name "No": want`:                              {Name: "No"},
		`pool "P": want`:                               {Pools: []Pool{{Name: "P", Slots: 1}}},
		`pool "default" is there twice`:                {Pools: []Pool{{Name: DefaultPool, Slots: 1}}},
		`slots of pool "default": -1, want 1 to 10000`: {Slots: -1},
		`CPU slots: -1, want 1 to 10000`:               {CPUSlots: -1},
		`CPU slots: 2, and there is a pool "cpu"`:      {CPUSlots: 2, Pools: []Pool{{Name: CPUPool, Slots: 1}}},
		`slots and prefetch of all pools: 15905`:       {Slots: 9905, Prefetch: 6000},
		`slots and prefetch of all pools: 15910`:       {Slots: 9900, Prefetch: 6000, CPUSlots: 10},
		`queue "": want`:                               {Queues: []string{""}},
		`label "A": want`:                              {Labels: map[string]string{"A": ""}},
		`label a: its value has 200 bytes`:             {Labels: map[string]string{"a": strings.Repeat("x", 200)}},
		`coordinators: an address is empty`:            {Coordinators: []string{""}},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	w, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if !name.Valid(w.Name()) {
		t.Errorf("default name %q", w.Name())
	}
	if err := w.Run(t.Context()); err == nil || err.Error() != "worker: no handlers" {
		t.Errorf("Run without handlers: %v", err)
	}
}

func TestHandlePanics(t *testing.T) {
	w, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	w.HandleRaw("echo", echo)
	for name, register := range map[string]func(){
		"twice":   func() { w.HandleRaw("echo", echo) },
		"no name": func() { w.HandleRaw("Echo", echo) },
		"no pool": func() { w.HandleRaw("other", echo, InPool("gpu")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			register()
		}()
	}
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		failures int
		draw     float64
		want     time.Duration
	}{
		{0, 0, 100 * time.Millisecond}, {1, 0.5, 250 * time.Millisecond}, {2, 1, 800 * time.Millisecond},
		{10, 1, 3 * time.Second}, {1000, 0.5, 1550 * time.Millisecond},
	} {
		if got := backoff(test.failures, test.draw); got != test.want {
			t.Errorf("after %d failures, draw %v: %s, want %s", test.failures, test.draw, got, test.want)
		}
	}
}

func TestCutDetail(t *testing.T) {
	long := strings.Repeat("é", DetailBytesMax/2)
	for name, test := range map[string]struct {
		cause    Cause
		in, want string
	}{
		"stack":       {CausePanic, long + "end", long},
		"stderr":      {CauseExit, long + "end", long[4:] + "end"},
		"short":       {CauseExit, "tail", "tail"},
		"stderr fits": {CauseExit, long, long},
	} {
		if got := cutDetail(test.cause, test.in); got != test.want {
			t.Errorf("%s: %d bytes, %q … %q", name, len(got), got[:4], got[len(got)-4:])
		}
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		in    string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aé", 2, "a"}, {"aé", 3, "aé"}, {"a\xffb", 9, "a?b"}, {"\xff\xff\xff", 2, "?"}, {"", 0, ""}, {"日本", 5, "日"},
	} {
		if got := cut(test.in, test.limit); got != test.want {
			t.Errorf("cut(%q, %d) = %q, want %q", test.in, test.limit, got, test.want)
		}
	}
}
