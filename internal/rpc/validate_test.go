package rpc

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// fieldsAtFault returns the fields of a refusal, in order.
func fieldsAtFault(t *testing.T, err error) []string {
	t.Helper()
	st := wantStatus(t, err, codes.InvalidArgument, ReasonInvalid)
	var fields []string
	for _, d := range st.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				if v.GetDescription() == "" {
					t.Errorf("%s: no description", v.GetField())
				}
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

func many(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("l%d", i)] = ""
	}
	return m
}

// TestTaskSpecBounds tries each field at and beyond its bounds.
func TestTaskSpecBounds(t *testing.T) {
	day := 24 * time.Hour
	d := durationpb.New
	type spec = yardmasterv1.TaskSpec
	for field, at := range map[string]struct{ good, bad []func(*spec) }{
		"kind": {
			[]func(*spec){func(s *spec) { s.Kind = strings.Repeat("a", 63) }, func(s *spec) { s.Kind = "0._-" }},
			[]func(*spec){func(s *spec) { s.Kind = "" }, func(s *spec) { s.Kind = strings.Repeat("a", 64) }, func(s *spec) { s.Kind = "A" }, func(s *spec) { s.Kind = ".a" }},
		},
		"queue":    {[]func(*spec){func(s *spec) { s.Queue = "q" }, func(s *spec) { s.Queue = "" }}, []func(*spec){func(s *spec) { s.Queue = "a b" }}},
		"payload":  {[]func(*spec){func(s *spec) { s.Payload = make([]byte, 1<<20) }}, []func(*spec){func(s *spec) { s.Payload = make([]byte, 1<<20+1) }}},
		"priority": {[]func(*spec){func(s *spec) { s.Priority = 100 }, func(s *spec) { s.Priority = -100 }}, []func(*spec){func(s *spec) { s.Priority = 101 }, func(s *spec) { s.Priority = -101 }}},
		"weight":   {[]func(*spec){func(s *spec) { s.Weight = 1000 }}, []func(*spec){func(s *spec) { s.Weight = 1001 }}},
		"not_before": {[]func(*spec){func(s *spec) { s.NotBefore = timestamppb.New(time.Unix(1, 0)) }},
			[]func(*spec){func(s *spec) { s.NotBefore = &timestamppb.Timestamp{Seconds: -1} }, func(s *spec) { s.NotBefore = &timestamppb.Timestamp{Seconds: 1, Nanos: -1} }}},
		"delay": {[]func(*spec){func(s *spec) { s.Delay = d(3650 * day) }},
			[]func(*spec){func(s *spec) { s.Delay = d(3650*day + 1) }, func(s *spec) { s.Delay = d(-1) }, func(s *spec) { s.Delay, s.NotBefore = d(1), timestamppb.New(time.Unix(1, 0)) }}},
		"start_by":        {nil, []func(*spec){func(s *spec) { s.StartBy = &timestamppb.Timestamp{} }}},
		"deadline":        {[]func(*spec){func(s *spec) { s.Deadline = timestamppb.New(time.Unix(1<<33, 0)) }}, []func(*spec){func(s *spec) { s.Deadline = timestamppb.New(time.Unix(1<<34, 0)) }}},
		"attempt_timeout": {[]func(*spec){func(s *spec) { s.AttemptTimeout = d(30 * day) }, func(s *spec) { s.AttemptTimeout = d(0) }}, []func(*spec){func(s *spec) { s.AttemptTimeout = d(30*day + 1) }}},
		"retention":       {[]func(*spec){func(s *spec) { s.Retention = d(365 * day) }}, []func(*spec){func(s *spec) { s.Retention = d(365*day + 1) }, func(s *spec) { s.Retention = &durationpb.Duration{Seconds: 1, Nanos: -1} }}},
		"dead_retention":  {[]func(*spec){func(s *spec) { s.DeadRetention = d(365 * day) }}, []func(*spec){func(s *spec) { s.DeadRetention = d(-1) }}},
		"retry.max_attempts": {[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{MaxAttempts: 1000} }},
			[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{MaxAttempts: 1001} }}},
		"retry.max_worker_losses": {[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{MaxWorkerLosses: 100} }},
			[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{MaxWorkerLosses: 101} }}},
		"retry.backoff_factor": {[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{BackoffFactor: 10} }},
			[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{BackoffFactor: 11} }}},
		"retry.backoff": {[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{Backoff: d(day)} }},
			[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{Backoff: d(day + 1)} }}},
		"retry.backoff_max": {[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{BackoffMax: d(7 * day)} }},
			[]func(*spec){func(s *spec) { s.Retry = &yardmasterv1.RetryPolicy{BackoffMax: d(7*day + 1)} }}},
		"labels":          {[]func(*spec){func(s *spec) { s.Labels = many(32) }}, []func(*spec){func(s *spec) { s.Labels = many(33) }, func(s *spec) { s.Labels = map[string]string{"A": ""} }}},
		"require":         {[]func(*spec){func(s *spec) { s.Require = many(32) }}, []func(*spec){func(s *spec) { s.Require = many(33) }}},
		`labels["a"]`:     {nil, []func(*spec){func(s *spec) { s.Labels = map[string]string{"a": strings.Repeat("x", 129)} }}},
		"idempotency_key": {[]func(*spec){func(s *spec) { s.IdempotencyKey = strings.Repeat("x", 128) }}, []func(*spec){func(s *spec) { s.IdempotencyKey = strings.Repeat("x", 129) }}},
	} {
		try := func(change func(*spec)) error {
			s := &spec{Kind: "k"}
			change(s)
			c, err := submitCommand(&yardmasterv1.SubmitRequest{Tasks: []*spec{{Kind: "k"}, s}})
			if err == nil { // what passes here must pass the core
				core := scheduler.New()
				var eff scheduler.Effects
				core.Apply(&scheduler.Batch{Logic: scheduler.LogicVersion, Commands: []scheduler.Command{{Op: scheduler.OpSubmit, Submit: c}}}, &eff)
				if eff.Replies[0].Code != scheduler.CodeOK {
					t.Errorf("%s: passed here, %s in the core", field, eff.Replies[0].Code)
				}
			}
			return err
		}
		for i, change := range at.good {
			if err := try(change); err != nil {
				t.Errorf("%s, good %d: %v", field, i, err)
			}
		}
		for i, change := range at.bad {
			if got := fieldsAtFault(t, try(change)); len(got) != 1 || got[0] != "tasks[1]."+field {
				t.Errorf("%s, bad %d: fields %q", field, i, got)
			}
		}
	}
}

func TestSubmitBounds(t *testing.T) {
	id := bytes.Repeat([]byte{1}, 16)
	task := []*yardmasterv1.TaskSpec{{Kind: "k"}}
	p := func(id []byte, number, lowest uint64) *yardmasterv1.Producer {
		return &yardmasterv1.Producer{Id: id, Number: number, LowestUnanswered: lowest}
	}
	for _, x := range []struct {
		req  *yardmasterv1.SubmitRequest
		want string
	}{
		{&yardmasterv1.SubmitRequest{}, "[tasks]"},
		{&yardmasterv1.SubmitRequest{Tasks: make([]*yardmasterv1.TaskSpec, 1001)}, "[tasks]"},
		{&yardmasterv1.SubmitRequest{Tasks: task, Producer: p(id, 256, 1)}, "[]"},
		{&yardmasterv1.SubmitRequest{Tasks: task, Producer: p(id, 257, 1)}, "[producer.lowest_unanswered]"},
		{&yardmasterv1.SubmitRequest{Tasks: task, Producer: p(id, 1, 2)}, "[producer.lowest_unanswered]"},
		{&yardmasterv1.SubmitRequest{Tasks: task, Producer: p(id, 0, 0)}, "[producer.number producer.lowest_unanswered]"},
		{&yardmasterv1.SubmitRequest{Tasks: task, Producer: p(id[:15], 1, 1)}, "[producer.id]"},
		{&yardmasterv1.SubmitRequest{Tasks: task, Producer: p(make([]byte, 16), 1, 1)}, "[producer.id]"},
		{&yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{{}, {Kind: "k", Weight: 2000, Priority: 200}}},
			"[tasks[0].kind tasks[1].priority tasks[1].weight]"},
	} {
		_, err := submitCommand(x.req)
		got := "[]"
		if err != nil {
			got = fmt.Sprint(fieldsAtFault(t, err))
		}
		if got != x.want {
			t.Errorf("got %s, want %s", got, x.want)
		}
	}
}

// TestViolationsFitAHeader: a thousand bad tasks are still told in a few KiB.
func TestViolationsFitAHeader(t *testing.T) {
	req := &yardmasterv1.SubmitRequest{}
	for range 1000 {
		req.Tasks = append(req.Tasks, &yardmasterv1.TaskSpec{Kind: strings.Repeat("Ä", 5000), Weight: 1 << 31})
	}
	_, err := submitCommand(req)
	if n := proto.Size(status.Convert(err).Proto()); n > 6<<10 {
		t.Fatalf("the status takes %d bytes", n)
	}
	if !strings.Contains(err.Error(), "and 1999 more fields") {
		t.Fatal(err)
	}
}

func TestDefaults(t *testing.T) {
	c, err := submitCommand(&yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{{Kind: "k"}, {
		Kind: "k", Payload: []byte("p"), Labels: map[string]string{"b": "2", "a": "1"}, IdempotencyKey: "x",
		AttemptTimeout: durationpb.New(0), Retention: durationpb.New(0),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if x := c.Tasks[0]; x.Queue != "default" || x.Weight != 1 || x.Policy != scheduler.DefaultPolicy() || x.HasKey || x.HasLabels || len(x.Body) == 0 {
		t.Fatalf("%+v", x)
	}
	x := c.Tasks[1]
	if x.Policy.AttemptTimeout != 0 || x.Policy.Retention != 0 || x.Policy.DeadRetention != scheduler.DefaultDeadRetention || !x.HasKey || !x.HasLabels {
		t.Fatalf("%+v", x)
	}
	b := &storagev1.Body{}
	if err := proto.Unmarshal(x.Body, b); err != nil {
		t.Fatal(err)
	}
	if string(b.GetPayload()) != "p" || len(b.GetLabels()) != 2 || b.GetLabels()[0].GetKey() != "a" || b.GetLabels()[1].GetValue() != "2" {
		t.Fatalf("%v", b)
	}
	payload, labels, err := readBody(x.Body)
	if err != nil || string(payload) != "p" || labels["a"] != "1" || labels["b"] != "2" {
		t.Fatalf("%q %v %v", payload, labels, err)
	}
	if _, _, err := readBody([]byte{0x0a, 0x7f}); err == nil {
		t.Fatal("a cut body was read")
	}
}

func TestHelloBounds(t *testing.T) {
	names := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("k%d", i))
		}
		return list
	}
	pool := func(name string, slots uint32, kinds ...string) *yardmasterv1.Pool {
		return &yardmasterv1.Pool{Name: name, Slots: slots, Kinds: kinds}
	}
	type hello = yardmasterv1.Hello
	for _, x := range []struct {
		change func(*hello)
		want   string
	}{
		{func(*hello) {}, "[]"},
		{func(h *hello) { h.Kinds = names(1000) }, "[]"},
		{func(h *hello) { h.Kinds = names(1001) }, "[hello.kinds]"},
		{func(h *hello) { h.Kinds = nil }, "[hello.kinds]"},
		{func(h *hello) { h.Kinds = []string{"k", "K"} }, "[hello.kinds[1]]"},
		{func(h *hello) { h.Queues = names(1001) }, "[hello.queues]"},
		{func(h *hello) { h.WorkerName = "W" }, "[hello.worker_name]"},
		{func(h *hello) { h.Incarnation = nil }, "[hello.incarnation]"},
		{func(h *hello) { h.Labels = many(33) }, "[hello.labels]"},
		{func(h *hello) { h.Pools = nil }, "[hello.pools]"},
		{func(h *hello) { h.Pools = make([]*yardmasterv1.Pool, 17) }, "[hello.pools]"},
		{func(h *hello) { h.Pools = []*yardmasterv1.Pool{pool("a", 10_000), pool("b", 1)} }, "[]"},
		{func(h *hello) { h.Pools = []*yardmasterv1.Pool{pool("a", 0), pool("a", 10_001)} },
			"[hello.pools[0].slots hello.pools[1].name hello.pools[1].slots]"},
		{func(h *hello) { h.Pools = []*yardmasterv1.Pool{pool("a", 1, "k"), pool("b", 1, "k")} }, "[hello.pools[1].kinds]"},
		{func(h *hello) { h.MaxMessageBytes = 2 << 20 }, "[]"},
		{func(h *hello) { h.MaxMessageBytes = 2<<20 - 1 }, "[hello.max_message_bytes]"},
		{func(h *hello) { h.Resume = &yardmasterv1.Resume{} }, "[hello.resume.session_id]"},
		{func(h *hello) {
			h.Resume = &yardmasterv1.Resume{SessionId: 1, Tokens: make([]*yardmasterv1.KnownToken, 20_001)}
		}, "[hello.resume.tokens]"},
		{func(h *hello) {
			h.Resume = &yardmasterv1.Resume{SessionId: 1, Tokens: []*yardmasterv1.KnownToken{{}}}
		}, "[hello.resume.tokens[0].phase hello.resume.tokens[0].token hello.resume.tokens[0].weight hello.resume.tokens[0].pool]"},
	} {
		h := helloOf("w", 1, 4)
		x.change(h)
		_, err := checkHello(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Hello{Hello: h}})
		got := "[]"
		if err != nil {
			got = fmt.Sprint(fieldsAtFault(t, err))
		}
		if got != x.want {
			t.Errorf("got %s, want %s", got, x.want)
		}
	}
	if _, err := checkHello(&yardmasterv1.SessionRequest{}); len(fieldsAtFault(t, err)) != 1 {
		t.Error(err)
	}
}

func TestOutcomeConversion(t *testing.T) {
	fail := func(f *yardmasterv1.Failure, after time.Duration) *yardmasterv1.AttemptOutcome {
		return &yardmasterv1.AttemptOutcome{Token: 1, TaskId: 2, Kind: &yardmasterv1.AttemptOutcome_Failed{
			Failed: &yardmasterv1.AttemptFailed{Failure: f, Permanent: true, RetryAfter: durationpb.New(after)}}}
	}
	long := strings.Repeat("ä", 20_000)
	c, err := outcomesCommand(&yardmasterv1.Outcomes{FirstSeq: 5, Outcomes: []*yardmasterv1.AttemptOutcome{
		{Token: 1, Kind: &yardmasterv1.AttemptOutcome_Succeeded{Succeeded: &yardmasterv1.Succeeded{Result: []byte("r")}}},
		fail(&yardmasterv1.Failure{Cause: yardmasterv1.Cause_CAUSE_EXIT, Message: long, ExitCode: -1, Signal: "SIGKILL", Detail: long + "END"}, 1000*time.Hour),
		{Token: 1, Kind: &yardmasterv1.AttemptOutcome_Cancelled{}},
		{Token: 1, Kind: &yardmasterv1.AttemptOutcome_Interrupted{Interrupted: &yardmasterv1.Interrupted{Reason: "why"}}},
	}}, 4)
	if err != nil {
		t.Fatal(err)
	}
	if c.FirstSeq != 5 || c.AnswersThrough != 4 || len(c.List) != 4 {
		t.Fatalf("%+v", c)
	}
	var d storagev1.Detail
	for i, kind := range []scheduler.OutcomeKind{scheduler.OutcomeSucceeded, scheduler.OutcomeFailed, scheduler.OutcomeCancelled, scheduler.OutcomeInterrupted} {
		o := c.List[i]
		if err := proto.Unmarshal(o.Detail, &d); err != nil || o.Kind != kind || o.Token != 1 {
			t.Fatalf("%d: %+v, %v", i, o, err)
		}
		switch i {
		case 0:
			if string(d.GetResult()) != "r" {
				t.Fatal(&d)
			}
		case 1:
			if len(d.GetMessage()) != FailureMessageMax || len(d.GetText()) > FailureDetailMax || !strings.HasSuffix(d.GetText(), "END") ||
				d.GetExitCode() != -1 || d.GetSignal() != "SIGKILL" || o.RetryAfter != scheduler.RetryAfterMax || !o.Permanent || o.Cause != scheduler.CauseExit {
				t.Fatalf("%+v: message %d, text %d", o, len(d.GetMessage()), len(d.GetText()))
			}
		case 3:
			if d.GetMessage() != "why" {
				t.Fatal(&d)
			}
		}
	}
	for want, bad := range map[string]*yardmasterv1.Outcomes{
		"[outcomes.first_seq]": {},
		"[outcomes.outcomes]":  {FirstSeq: 1, Outcomes: make([]*yardmasterv1.AttemptOutcome, 4097)},
		"[outcomes.outcomes[0].token outcomes.outcomes[0].kind]": {FirstSeq: 1, Outcomes: []*yardmasterv1.AttemptOutcome{{}}},
		"[outcomes.outcomes[0].failed.failure.cause]":            {FirstSeq: 1, Outcomes: []*yardmasterv1.AttemptOutcome{fail(&yardmasterv1.Failure{Cause: yardmasterv1.Cause_CAUSE_WORKER_LOST}, 0)}},
		"[outcomes.outcomes[0].succeeded.result]": {FirstSeq: 1, Outcomes: []*yardmasterv1.AttemptOutcome{{Token: 1,
			Kind: &yardmasterv1.AttemptOutcome_Succeeded{Succeeded: &yardmasterv1.Succeeded{Result: make([]byte, 1<<20+1)}}}}},
	} {
		_, err := outcomesCommand(bad, 0)
		if got := fmt.Sprint(fieldsAtFault(t, err)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSizeBound(t *testing.T) {
	at, d := timestamppb.New(time.Unix(1<<33, 999_999_999)), durationpb.New(365*24*time.Hour-1)
	full := &yardmasterv1.TaskSpec{
		Kind: strings.Repeat("k", 63), Queue: strings.Repeat("q", 63), Payload: make([]byte, 70_000), Priority: -100, Weight: 1 << 31,
		NotBefore: at, Delay: d, StartBy: at, Deadline: at, AttemptTimeout: d, Labels: many(32), Require: many(32), Retention: d, DeadRetention: d,
		Retry:          &yardmasterv1.RetryPolicy{MaxAttempts: 1 << 31, MaxWorkerLosses: 1 << 31, Backoff: d, BackoffFactor: 1 << 31, BackoffMax: d},
		IdempotencyKey: strings.Repeat("x", 128),
	}
	for _, n := range []int{0, 1, 50} {
		req := &yardmasterv1.SubmitRequest{Producer: &yardmasterv1.Producer{Id: make([]byte, 16), Number: 1 << 63, LowestUnanswered: 1 << 63}}
		for range n {
			req.Tasks = append(req.Tasks, full)
		}
		if size, bound := proto.Size(req), sizeBound(req); bound < size || bound > size+600*(n+1)+64*16*n {
			t.Errorf("%d tasks: size %d, bound %d", n, size, bound)
		}
	}
}
