package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func TestHelloAndGrant(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	w := startWorker(t, c, Config{
		Name: "w1", Slots: 3, Pools: []Pool{{Name: "cpu", Slots: 2}}, Queues: []string{"q"}, Labels: map[string]string{"zone": "a"},
	}, func(w *Worker) {
		w.HandleRaw("echo", echo)
		w.HandleRaw("burn", echo, InPool("cpu"))
		Handle(w, "double", func(_ context.Context, in int) (int, error) { return 2 * in, nil })
	})
	s, hello := c.accept()
	want := `protocol_version:2 worker_name:"w1" kinds:"burn" kinds:"double" kinds:"echo" queues:"q" labels:{key:"zone" value:"a"}` +
		` pools:{name:"default" slots:3 kinds:"double" kinds:"echo" prefetch:3} pools:{name:"cpu" slots:2 kinds:"burn"} max_message_bytes:4194304`
	if len(hello.Incarnation) != 16 {
		t.Errorf("incarnation %x", hello.Incarnation)
	}
	hello.Incarnation = nil
	if got := strings.Join(strings.Fields(hello.String()), " "); got != want {
		t.Errorf("Hello\n %s\nwant\n %s", got, want)
	}
	s.welcome(&pb.Welcome{SessionId: 7})
	s.grant(&pb.TaskLease{Token: 1, Kind: "echo", Payload: []byte("hello")})
	if o := s.outcome(); o.Token != 1 || o.TaskId != 1001 || string(o.GetSucceeded().GetResult()) != "hello" {
		t.Errorf("outcome %v", o)
	}
	s.grant(&pb.TaskLease{Token: 2, Kind: "double", Payload: []byte("21")})
	if o := s.outcome(); string(o.GetSucceeded().GetResult()) != "42" {
		t.Errorf("outcome %v", o)
	}
	w.stopped(s)
	if n := w.Stats(); n.Started != 2 || n.Finished != 2 || n.SessionID != 7 || n.Running != 0 {
		t.Errorf("stats %+v", n)
	}
}

// badError is the usual typed nil: as an error it isn't nil, and its method panics.
type badError struct{ text string }

func (e *badError) Error() string { return e.text }

type point struct{ X, Y int }

// failures are handlers that fail in every way, and what is told of each.
func TestFailures(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	w := startWorker(t, c, Config{Slots: 1}, func(w *Worker) {
		Handle(w, "typed", func(_ context.Context, in point) (point, error) { return in, nil })
		Handle(w, "func", func(context.Context, struct{}) (func(), error) { return func() {}, nil })
		raw := func(kind string, fn func() ([]byte, error)) {
			w.HandleRaw(kind, func(context.Context, *Task) ([]byte, error) { return fn() })
		}
		raw("plain", func() ([]byte, error) { return nil, errors.New("plain") })
		raw("permanent", func() ([]byte, error) { return nil, fmt.Errorf("wrapped: %w", Permanent(errors.New("no use"))) })
		raw("later", func() ([]byte, error) { return nil, RetryAfter(90*time.Second, errors.New("busy")) })
		raw("exit", func() ([]byte, error) {
			return nil, fmt.Errorf("run: %w", &Failure{Cause: CauseExit, Message: "x", ExitCode: 3, Signal: "SIGTERM", Detail: "tail"})
		})
		raw("panic", func() ([]byte, error) { panic("ouch") })
		raw("nilerr", func() ([]byte, error) { return nil, (*badError)(nil) })
		raw("goexit", func() ([]byte, error) { runtime.Goexit(); return nil, nil })
		raw("large", func() ([]byte, error) { return make([]byte, ResultBytesMax+1), nil })
		raw("largest", func() ([]byte, error) { return make([]byte, ResultBytesMax), nil })
		raw("loud", func() ([]byte, error) { return nil, errors.New(strings.Repeat("é", 4000) + "\xff") })
	})
	s := c.open(1)
	token := uint64(0)
	do := func(kind, payload string) *pb.AttemptOutcome {
		t.Helper()
		token++
		s.grant(&pb.TaskLease{Token: token, Kind: kind, Payload: []byte(payload)})
		return s.outcome()
	}
	for _, test := range []struct{ kind, payload, want string }{
		{"typed", `{"X":`, `failure:{cause:CAUSE_ERROR message:"decode payload of 5 bytes: unexpected end of JSON input"} permanent:true`},
		{"func", ``, `failure:{cause:CAUSE_ERROR message:"encode result: json: unsupported type: func()"} permanent:true`},
		{"plain", ``, `failure:{cause:CAUSE_ERROR message:"plain"}`},
		{"permanent", ``, `failure:{cause:CAUSE_ERROR message:"wrapped: no use"} permanent:true`},
		{"later", ``, `failure:{cause:CAUSE_ERROR message:"busy"} retry_after:{seconds:90}`},
		{"exit", ``, `failure:{cause:CAUSE_EXIT message:"run: x" exit_code:3 signal:"SIGTERM" detail:"tail"}`},
		{"goexit", ``, `failure:{cause:CAUSE_ERROR message:"the handler ended its goroutine (runtime.Goexit)"}`},
		{"large", ``, `failure:{cause:CAUSE_ERROR message:"result has 1048577 bytes, the most is 1048576 (1 MiB): store it elsewhere and return where it is"} permanent:true`},
		{"unknown", ``, `failure:{cause:CAUSE_ERROR message:"this worker has no handler for the kind"}`},
	} {
		if got := strings.Join(strings.Fields(do(test.kind, test.payload).GetFailed().String()), " "); got != test.want {
			t.Errorf("%s:\n %s\nwant\n %s", test.kind, got, test.want)
		}
	}
	if f := do("panic", "").GetFailed().GetFailure(); f.GetCause() != pb.Cause_CAUSE_PANIC || f.Message != "panic: ouch" || !strings.Contains(f.Detail, "TestFailures") {
		t.Errorf("panic: %v", f)
	}
	if f := do("nilerr", "").GetFailed().GetFailure(); f.GetCause() != pb.Cause_CAUSE_PANIC || !strings.HasPrefix(f.Message, "panic in the error (*worker.badError)") {
		t.Errorf("an error that panics: %v", f)
	}
	if o := do("largest", ""); len(o.GetSucceeded().GetResult()) != ResultBytesMax {
		t.Error("a result of exactly the limit didn't arrive")
	}
	if f := do("loud", "").GetFailed().GetFailure(); f.Message != strings.Repeat("é", 2048) {
		t.Errorf("a long error is cut to %d bytes", len(f.GetMessage()))
	}
	if o := do("typed", ""); string(o.GetSucceeded().GetResult()) != `{"X":0,"Y":0}` {
		t.Errorf("empty payload: %v", o)
	}
	w.stopped(s)
}

// A stream that is cut and restored: tasks run on, none twice, and outcomes wait.
func TestCutAndResume(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	var book = newLogBook()
	release := make(chan struct{})
	begun := make(chan uint64, 10)
	w := startWorker(t, c, Config{Slots: 2, Logger: book.logger()}, func(w *Worker) {
		w.HandleRaw("wait", func(_ context.Context, task *Task) ([]byte, error) {
			begun <- task.Token
			<-release
			return []byte("done"), nil
		})
	})
	s := c.open(5)
	s.grant(&pb.TaskLease{Token: 1, Kind: "wait"}, &pb.TaskLease{Token: 2, Kind: "wait"}, &pb.TaskLease{Token: 3, Kind: "wait"})
	within(t, "a start", begun)
	within(t, "a start", begun)
	until(s, (*pb.SessionRequest).GetStarted)
	s.end(status.Error(codes.Unavailable, "cut by the test"))

	s, hello := c.accept()
	var known []string
	for _, k := range hello.GetResume().GetTokens() {
		known = append(known, fmt.Sprintf("%d %s", k.Token, k.Phase))
	}
	if got := strings.Join(known, ", "); hello.Resume.SessionId != 5 || got != "1 PHASE_STARTED, 2 PHASE_STARTED, 3 PHASE_HELD" {
		t.Errorf("resumes session %d with %s", hello.Resume.SessionId, got)
	}
	close(release)
	s.welcome(&pb.Welcome{SessionId: 5})
	first, list := s.outcomes(3)
	if first != 1 || len(list) != 3 {
		t.Errorf("%d outcomes from %d", len(list), first)
	}
	s.end(status.Error(codes.Unavailable, "cut again")) // before they were answered

	s = c.open(5)
	first, again := s.outcomes(3)
	for i := range again {
		if first != 1 || again[i].Token != list[i].Token {
			t.Errorf("outcome %d is now of token %d, was of %d", i+1, again[i].Token, list[i].Token)
		}
	}
	s.answer(3)
	w.stopped(s)
	if n := w.Stats(); n.Started != 3 || n.Streams != 3 {
		t.Errorf("stats %+v", n)
	}
	log := strings.Join(book.all(), "")
	if strings.Count(log, "[WARN]") != 2 || strings.Count(log, "session resumed") != 2 {
		t.Errorf("want one warning and one line of resumption an outage:\n%s", log)
	}
}

func TestFencedOutcomeIsTold(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	fenced := make(chan Fenced, 1)
	w := startWorker(t, c, Config{OnFenced: func(f Fenced) { fenced <- f }}, func(w *Worker) { w.HandleRaw("echo", echo) })
	s := c.open(1)
	s.grant(&pb.TaskLease{Token: 4, Kind: "echo"})
	first, _ := s.outcomes(1)
	s.answer(first, &pb.Rejected{Seq: first, Token: 4, Code: pb.Rejected_CODE_GONE})
	if f := within(t, "OnFenced", fenced); f != (Fenced{TaskID: 1004, Token: 4, Gone: true}) {
		t.Errorf("fenced %+v", f)
	}
	w.stopped(s)
	if w.Stats().Fenced != 1 {
		t.Errorf("stats %+v", w.Stats())
	}
}

// stopper is a handler that waits for its context and tells how it ended.
type stopper struct{ begun, ended chan string }

func newStopper() *stopper { return &stopper{make(chan string, 10), make(chan string, 10)} }

func (p *stopper) handle(ctx context.Context, t *Task) ([]byte, error) {
	_, hasDeadline := ctx.Deadline()
	p.begun <- fmt.Sprintf("deadline %t", hasDeadline)
	<-ctx.Done()
	child, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	p.ended <- fmt.Sprintf("%v, %v, child: %v, stopped: %t", ctx.Err(), context.Cause(ctx), context.Cause(child), errors.Is(context.Cause(ctx), ErrStopped))
	return nil, context.Cause(ctx)
}

func TestCancel(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	p := newStopper()
	w := startWorker(t, c, Config{Slots: 1}, func(w *Worker) { w.HandleRaw("stop", p.handle) })
	s := c.open(1)
	s.grant(&pb.TaskLease{Token: 1, Kind: "stop"}, &pb.TaskLease{Token: 2, Kind: "stop"})
	if got := within(t, "start", p.begun); got != "deadline false" {
		t.Error(got)
	}
	s.cancel(2, pb.Cancel_REASON_CANCELLED) // held
	if o := s.outcome(); o.Token != 2 || o.GetCancelled() == nil {
		t.Errorf("outcome %v", o)
	}
	s.cancel(1, pb.Cancel_REASON_CANCELLED)
	if got := within(t, "end", p.ended); got != "context canceled, task cancelled, child: task cancelled, stopped: true" {
		t.Error(got)
	}
	if o := s.outcome(); o.Token != 1 || o.GetCancelled() == nil {
		t.Errorf("outcome %v", o)
	}
	s.cancel(99, pb.Cancel_REASON_REVOKED) // never seen
	if o := s.outcome(); o.Token != 99 || o.TaskId != 1099 || o.GetInterrupted() == nil {
		t.Errorf("outcome %v", o)
	}
	s.grant(&pb.TaskLease{Token: 3, Kind: "stop", AttemptTimeout: durationpb.New(time.Millisecond), DeadlineIn: durationpb.New(time.Hour)})
	if got := within(t, "start", p.begun); got != "deadline true" {
		t.Error(got)
	}
	if got := within(t, "end", p.ended); got != "context deadline exceeded, attempt timeout passed, child: attempt timeout passed, stopped: true" {
		t.Error(got)
	}
	f := s.outcome().GetFailed()
	if f.GetFailure().GetCause() != pb.Cause_CAUSE_TIMEOUT || f.Permanent || f.Failure.Message != "attempt timeout passed; the handler returned: attempt timeout passed" {
		t.Errorf("outcome %v", f)
	}
	w.stopped(s)
}

func TestTaskInContext(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	book := newLogBook()
	got := make(chan *Task, 1)
	w := startWorker(t, c, Config{Logger: book.logger()}, func(w *Worker) {
		w.HandleRaw("look", func(ctx context.Context, task *Task) ([]byte, error) {
			Logger(ctx).Warn("seen")
			if TaskFrom(ctx) != task || Token(ctx) != task.Token {
				return nil, errors.New("another task in the context")
			}
			got <- task
			return nil, nil
		})
	})
	s := c.open(1)
	s.grant(&pb.TaskLease{Token: 1, Kind: "look", Queue: "q", Payload: []byte("p"), Labels: map[string]string{"a": "b"}})
	task := within(t, "the task", got)
	if task.ID != 1001 || task.Kind != "look" || task.Queue != "q" || string(task.Payload) != "p" || task.Labels["a"] != "b" ||
		task.Attempt != 1 || task.MaxAttempts != 20 || task.Weight != 1 || task.Pool != DefaultPool || !task.Deadline.IsZero() {
		t.Errorf("task %+v", task)
	}
	if o := s.outcome(); o.GetSucceeded() == nil {
		t.Errorf("outcome %v", o)
	}
	w.stopped(s)
	if log := strings.Join(book.all(), ""); !strings.Contains(log, "seen: attempt=1 kind=look task=1001 token=1") {
		t.Errorf("log\n%s", log)
	}
	if TaskFrom(t.Context()) != nil || Token(t.Context()) != 0 || Logger(t.Context()) == nil {
		t.Error("there is no task outside a handler")
	}
}

// Large results are split over messages; all arrive in order.
func TestManyTasks(t *testing.T) {
	leakCheck(t)
	c := startCoordinator(t)
	w := startWorker(t, c, Config{Slots: 64}, func(w *Worker) { w.HandleRaw("echo", echo) })
	s := c.open(1)
	const tasks = 500
	payload := bytes.Repeat([]byte("x"), 10<<10)
	for token := uint64(1); token <= tasks; token += 50 {
		var leases []*pb.TaskLease
		for i := range uint64(50) {
			leases = append(leases, &pb.TaskLease{Token: token + i, Kind: "echo", Payload: payload})
		}
		s.grant(leases...)
		first, list := s.outcomes(50)
		if first != token {
			t.Fatalf("outcomes from %d, want %d", first, token)
		}
		for _, o := range list {
			if !bytes.Equal(o.GetSucceeded().GetResult(), payload) {
				t.Fatalf("outcome %v", o)
			}
		}
		s.answer(first + 49)
	}
	w.stopped(s)
}
