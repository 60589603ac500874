package rpc

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// provoked is one limit, met through the real server.
type provoked struct {
	name   string
	call   func(*rig) error
	code   codes.Code
	reason string
	field  string   // of BadRequest; empty: none
	parts  []string // of the message: the limit, the value, and the cure last
	full   bool     // there is RetryInfo: wait, and it may do
}

func (r *rig) spec(s *yardmasterv1.TaskSpec) error {
	if s.GetKind() == "" {
		s.Kind = "k"
	}
	_, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{s}})
	return err
}

// badSpecs are the limits of a task's fields.
func badSpecs() []provoked {
	type spec = yardmasterv1.TaskSpec
	type retry = yardmasterv1.RetryPolicy
	bad := func(field string, s *spec, parts ...string) provoked {
		return provoked{field, func(r *rig) error { return r.spec(s) }, codes.InvalidArgument, ReasonInvalid, "tasks[0]." + field, parts, false}
	}
	year := scheduler.RetentionMax + 1
	return []provoked{
		bad("kind", &spec{Kind: strings.Repeat("x", 64)}, "1 to 63", strings.Repeat("x", 40), "rename"),
		bad("queue", &spec{Queue: "Q"}, "a-z", `"Q"`, "rename"),
		bad("payload", &spec{Payload: make([]byte, 1<<20+1)}, "1048576", "1048577", "reference"),
		bad("priority", &spec{Priority: -101}, "-100 to 100", "-101", "choose"),
		bad("weight", &spec{Weight: 1001}, "1 to 1000", "1001", "lower"),
		bad("delay", &spec{Delay: span(scheduler.DelayMax + 1)}, "0 to 3650 d", "87600h0m0.000000001s", "shorten"),
		bad("attempt_timeout", &spec{AttemptTimeout: span(scheduler.AttemptTimeMax + 1)}, "0 to 30 d", "720h0m0.000000001s", "shorten"),
		bad("retention", &spec{Retention: span(year)}, "0 to 365 d", "8760h0m0.000000001s", "shorten"),
		bad("dead_retention", &spec{DeadRetention: span(-1)}, "0 to 365 d", "-1ns", "negative"),
		bad("retry.max_attempts", &spec{Retry: &retry{MaxAttempts: 1001}}, "1 to 1000", "1001", "lower"),
		bad("retry.max_worker_losses", &spec{Retry: &retry{MaxWorkerLosses: 101}}, "1 to 100", "101", "lower"),
		bad("retry.backoff_factor", &spec{Retry: &retry{BackoffFactor: 11}}, "1 to 10", "11", "lower"),
		bad("retry.backoff", &spec{Retry: &retry{Backoff: span(scheduler.BackoffFirstMax + 1)}}, "0 to 1 d", "24h0m0.000000001s", "shorten"),
		bad("retry.backoff_max", &spec{Retry: &retry{BackoffMax: span(scheduler.BackoffBoundMax + 1)}}, "0 to 7 d", "168h0m0.000000001s", "shorten"),
		bad("labels", &spec{Labels: many(33)}, "32", "33", "leave some out"),
		bad("require", &spec{Require: many(33)}, "32", "33", "leave some out"),
		bad(`labels["a"]`, &spec{Labels: map[string]string{"a": strings.Repeat("x", 129)}}, "128", "129", "shorten"),
		bad("idempotency_key", &spec{IdempotencyKey: strings.Repeat("x", 129)}, "128", "129", "hash"),
	}
}

// badRequests are the limits of requests.
func badRequests() []provoked {
	bad := func(name, field string, call func(*rig) error, parts ...string) provoked {
		return provoked{name, call, codes.InvalidArgument, ReasonInvalid, field, parts, false}
	}
	submit := func(req *yardmasterv1.SubmitRequest) func(*rig) error {
		return func(r *rig) error { _, err := r.tasks.Submit(r.ctx, req); return err }
	}
	big := &yardmasterv1.SubmitRequest{}
	for range 5 {
		big.Tasks = append(big.Tasks, &yardmasterv1.TaskSpec{Kind: "k", Payload: make([]byte, 1<<20)})
	}
	ids := make([]uint64, AwaitMax+1)
	n := func(x uint32) *uint32 { return &x }
	return []provoked{
		bad("batch", "tasks", submit(&yardmasterv1.SubmitRequest{Tasks: tasksOf(1001, "")}), "1 to 1000", "1001", "split"),
		bad("empty batch", "tasks", submit(&yardmasterv1.SubmitRequest{}), "1 to 1000", "got 0", "at least one"),
		bad("request", "tasks", submit(big), "4259840", "5242", "split"),
		bad("in flight", "producer.lowest_unanswered", submit(&yardmasterv1.SubmitRequest{Tasks: tasksOf(1, ""), Producer: producerOf(1, 257, 1)}), "256", "257", "wait"),
		bad("cancel", "task_ids", func(r *rig) error {
			_, err := r.tasks.Cancel(r.ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: ids[:1001]})
			return err
		}, "1 to 1000", "1001", "split"),
		bad("retry", "task_ids", func(r *rig) error {
			_, err := r.tasks.Retry(r.ctx, &yardmasterv1.RetryRequest{TaskIds: ids[:1001]})
			return err
		}, "1 to 1000", "1001", "split"),
		bad("delete", "task_ids", func(r *rig) error {
			_, err := r.tasks.Delete(r.ctx, &yardmasterv1.TaskServiceDeleteRequest{TaskIds: ids[:1001]})
			return err
		}, "1 to 1000", "1001", "split"),
		bad("await", "task_ids", func(r *rig) error {
			gs, err := r.tasks.Await(r.ctx, &yardmasterv1.AwaitRequest{TaskIds: ids})
			if err == nil {
				_, err = gs.Recv()
			}
			return err
		}, "1 to 10000", "10001", "split"),
		bad("page", "page_size", func(r *rig) error {
			_, err := r.tasks.List(r.ctx, &yardmasterv1.TaskServiceListRequest{PageSize: 1001})
			return err
		}, "1 to 1000", "1001", "lower"),
		bad("queue weight", "weight", func(r *rig) error {
			_, err := r.queues.Configure(r.ctx, &yardmasterv1.ConfigureRequest{Name: "q", Weight: n(1001)})
			return err
		}, "1 to 1000", "1001", "proportion"),
		bad("queue depth", "depth_limit", func(r *rig) error {
			_, err := r.queues.Configure(r.ctx, &yardmasterv1.ConfigureRequest{Name: "q", DepthLimit: n(20_000_001)})
			return err
		}, "1 to 20000000", "20000001", "spread"),
		bad("queue leases", "max_leases", func(r *rig) error {
			_, err := r.queues.Configure(r.ctx, &yardmasterv1.ConfigureRequest{Name: "q", MaxLeases: n(1_000_001)})
			return err
		}, "1 to 1000000", "1000001", "set 0"),
		bad("watched queues", "queues", func(r *rig) error {
			_, err := r.watch(&yardmasterv1.TaskServiceWatchRequest{Queues: make([]string, 101)}).gs.Recv()
			return err
		}, "1 to 100", "101", "leave some out"),
	}
}

// fullOnes are limits that others' tasks fill.
func fullOnes() []provoked {
	full := func(name, reason string, call func(*rig) error, parts ...string) provoked {
		return provoked{name, call, codes.ResourceExhausted, reason, "", parts, true}
	}
	scripted := func(code scheduler.Code) func(*rig) error {
		return func(r *rig) error {
			r.e.mu.Lock()
			r.e.script = func(scheduler.Command) (engine.Result, error, bool) {
				return engine.Result{Reply: scheduler.Reply{Code: code}}, nil, true
			}
			r.e.mu.Unlock()
			return r.spec(&yardmasterv1.TaskSpec{})
		}
	}
	return []provoked{
		full("queue depth", ReasonLimitDepth, func(r *rig) error {
			r.submit(500, 0)
			return r.spec(&yardmasterv1.TaskSpec{})
		}, `"default"`, "500", "depth_limit"),
		full("own queue depth", ReasonLimitDepth, func(r *rig) error {
			r.depthOf("q", 3)
			if _, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(3, "q")}); err != nil {
				return err
			}
			return r.spec(&yardmasterv1.TaskSpec{Queue: "q"})
		}, `"q"`, "at most 3", "depth_limit"),
		full("tasks", ReasonLimitTasks, func(r *rig) error {
			r.submit(500, 0)
			if _, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(500, "q")}); err != nil {
				return err
			}
			return r.spec(&yardmasterv1.TaskSpec{Queue: "r"})
		}, "unfinished tasks of the cluster", "1000", "--max-tasks"),
		full("queues", ReasonLimitQueues, func(r *rig) error {
			for from := 0; from < 999; from += 333 {
				req := &yardmasterv1.SubmitRequest{}
				for i := range 333 {
					req.Tasks = append(req.Tasks, &yardmasterv1.TaskSpec{Kind: "k", Queue: fmt.Sprint("q", from+i)})
				}
				if _, err := r.tasks.Submit(r.ctx, req); err != nil {
					return err
				}
			}
			return r.spec(&yardmasterv1.TaskSpec{Queue: "one-more"})
		}, "queues", "1000", "use fewer"),
		full("shapes", ReasonLimitShapes, func(r *rig) error {
			req := &yardmasterv1.SubmitRequest{}
			for i := range scheduler.ShapesMax {
				req.Tasks = append(req.Tasks, &yardmasterv1.TaskSpec{Kind: fmt.Sprint("k", i)})
			}
			if _, err := r.tasks.Submit(r.ctx, req); err != nil {
				return err
			}
			return r.spec(&yardmasterv1.TaskSpec{Kind: "one-more"})
		}, "combinations of kind", "256", "another queue"),
		full("watchers", ReasonLimitWatchers, func(r *rig) error {
			r.s.watchers.Add(WatchersMax)
			defer r.s.watchers.Add(-WatchersMax)
			_, err := r.watch(&yardmasterv1.TaskServiceWatchRequest{}).gs.Recv()
			return err
		}, "watchers", "1000", "share"),
		full("waiters", ReasonLimitDepth, func(r *rig) error {
			r.submit(500, 0)
			ctx, cancel := context.WithCancel(r.ctx)
			defer cancel()
			var group sync.WaitGroup
			for range SubmitWaiters {
				group.Go(func() {
					_, _ = r.tasks.Submit(ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(1, "")})
				})
			}
			synctest.Wait()
			start := time.Now()
			err := r.spec(&yardmasterv1.TaskSpec{})
			if d := time.Since(start); d != 0 {
				r.t.Errorf("one more than may wait has waited %s", d)
			}
			cancel()
			group.Wait()
			return err
		}, `"default"`, "500", "depth_limit"),
		full("disk", ReasonDisk, func(r *rig) error {
			r.e.mu.Lock()
			r.e.script = func(scheduler.Command) (engine.Result, error, bool) {
				return engine.Result{}, fmt.Errorf("%w: 5 MiB are free, 1024 MiB are held back: free disk space", engine.ErrDiskReserve), true
			}
			r.e.mu.Unlock()
			return r.spec(&yardmasterv1.TaskSpec{})
		}, "1024 MiB", "5 MiB", "free disk space"),
		full("producers (scripted)", ReasonLimitProducers, scripted(scheduler.CodeLimitProducers), "producers", "100000", "share"),
		full("keys (scripted)", ReasonLimitKeys, scripted(scheduler.CodeLimitKeys), "idempotency keys", "10000000", "producers in place"),
	}
}

// others are refusals that waiting doesn't cure.
func others() []provoked {
	return []provoked{
		{"batch larger than the depth", func(r *rig) error {
			_, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(501, "")})
			return err
		}, codes.ResourceExhausted, ReasonLimitDepth, "", []string{"500", "501", "split"}, false},
		{"producer's window", func(r *rig) error {
			_, err := r.tasks.Submit(r.ctx, &yardmasterv1.SubmitRequest{Tasks: tasksOf(1, ""), Producer: producerOf(1, 9, 5)})
			return err
		}, codes.FailedPrecondition, ReasonProducerWindow, "", []string{"producer.number", "256", "draw a new"}, false},
		{"key of another spec", func(r *rig) error {
			if err := r.spec(&yardmasterv1.TaskSpec{IdempotencyKey: "a"}); err != nil {
				return err
			}
			return r.spec(&yardmasterv1.TaskSpec{IdempotencyKey: "a", Priority: 1})
		}, codes.AlreadyExists, ReasonKeyConflict, "", []string{"tasks[0].idempotency_key", "task 1", "another key"}, false},
		{"started", func(r *rig) error {
			p, _ := r.welcomed(helloOf("w1", 1, 1))
			p.started(0, make([]uint64, StartedMax+1)...)
			return p.ends().Err()
		}, codes.InvalidArgument, ReasonInvalid, "started.tokens", []string{fmt.Sprint(StartedMax), fmt.Sprint(StartedMax + 1)}, false},
		{"slots", func(r *rig) error {
			return r.open(helloOf("w1", 1, scheduler.SlotsMax+1)).ends().Err()
		}, codes.InvalidArgument, ReasonInvalid, "hello.pools[0].slots", []string{"1 to 10000", "10001"}, false},
		{"result", func(r *rig) error {
			p, _ := r.welcomed(helloOf("w1", 1, 1))
			p.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: &yardmasterv1.Outcomes{
				FirstSeq: 1, Outcomes: []*yardmasterv1.AttemptOutcome{{Token: 1, TaskId: 1, Kind: &yardmasterv1.AttemptOutcome_Succeeded{
					Succeeded: &yardmasterv1.Succeeded{Result: make([]byte, 1<<20+1)}}}}}}})
			return p.ends().Err()
		}, codes.InvalidArgument, ReasonInvalid, "outcomes.outcomes[0].succeeded.result", []string{"1048576", "1048577"}, false},
	}
}

// TestEveryLimitThroughTheServer meets each limit that this package guards: the code, the reason, the field, and a message that
// says the limit, the value and the cure.
func TestEveryLimitThroughTheServer(t *testing.T) {
	for _, list := range [][]provoked{badSpecs(), badRequests(), fullOnes(), others()} {
		for _, x := range list {
			t.Run(x.name, func(t *testing.T) {
				inBubble(t, func(r *rig) { x.check(t, x.call(r)) })
			})
		}
	}
}

func (x *provoked) check(t *testing.T, err error) {
	t.Helper()
	st := wantStatus(t, err, x.code, x.reason)
	if got := strings.Join(violated(st), " "); got != x.field {
		t.Errorf("field %q, want %q", got, x.field)
	}
	if x.field != "" && !strings.Contains(st.Message(), x.field) {
		t.Errorf("%q doesn't say the field", st.Message())
	}
	for _, part := range x.parts {
		if !strings.Contains(st.Message(), part) {
			t.Errorf("%q lacks %q", st.Message(), part)
		}
	}
	if hasRetry(st) != x.full {
		t.Errorf("RetryInfo: %v, want %v", hasRetry(st), x.full)
	}
}

// style is that of every description: what is wanted, what came, and the cure.
var style = regexp.MustCompile(`^(key: )?want .+, got .+: .+$`)

func TestDescriptionsSayTheCure(t *testing.T) {
	inBubble(t, func(r *rig) {
		for _, list := range [][]provoked{badSpecs(), badRequests()} {
			for _, x := range list {
				for _, d := range status.Convert(x.call(r)).Details() {
					bad, _ := d.(*errdetails.BadRequest)
					for _, v := range bad.GetFieldViolations() {
						if !style.MatchString(v.GetDescription()) {
							t.Errorf("%s: %q", v.GetField(), v.GetDescription())
						}
					}
				}
			}
		}
	})
}

func violated(st *status.Status) (fields []string) {
	for _, d := range st.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

// refusals counts what the server tells.
type refusals struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *refusals) Refused(method, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[method[strings.LastIndex(method, "/")+1:]+" "+reason]++
}

func TestRefusalsAreCounted(t *testing.T) {
	inBubble(t, func(r *rig) {
		c := &refusals{count: map[string]int{}}
		r.s.opts.Refusals = c
		r.submit(500, 0)
		_ = r.spec(&yardmasterv1.TaskSpec{Weight: 2000})
		_ = r.spec(&yardmasterv1.TaskSpec{})
		_, _ = r.tasks.Get(r.ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: 999})
		s := r.submitStream(r.ctx)
		s.send(nil)
		s.send(nil, tasksOf(501, "")...)
		s.refused(codes.InvalidArgument, ReasonInvalid)
		s.refused(codes.ResourceExhausted, ReasonLimitDepth)
		w := r.watch(&yardmasterv1.TaskServiceWatchRequest{})
		w.want("[] to 0")
		w.cancel() // by its caller: no refusal
		_, _ = r.watch(&yardmasterv1.TaskServiceWatchRequest{Queues: []string{"Q"}}).gs.Recv()
		ctx, cancel := context.WithCancel(r.ctx)
		gs, err := r.tasks.Await(ctx, &yardmasterv1.AwaitRequest{TaskIds: []uint64{1}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		_, _ = gs.Recv()
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		want := map[string]int{"Submit INVALID_REQUEST": 1, "Submit LIMIT_QUEUE_DEPTH": 1, "Get TASK_UNKNOWN": 1, "SubmitStream INVALID_REQUEST": 1,
			"SubmitStream LIMIT_QUEUE_DEPTH": 1, "Watch INVALID_REQUEST": 1}
		if fmt.Sprint(c.count) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", c.count, want)
		}
	})
}
