package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/yardmaster/yardmaster/client"
)

// payloadBytesMax is what a coordinator accepts.
const payloadBytesMax = 1 << 20

// taskFlags are the flags of submit that describe a task.
type taskFlags struct {
	queue, payload, key                    string
	priority                               int32
	weight, maxAttempts, maxLosses, factor uint32
	notBefore, startBy, deadline           string
	delay, attemptTimeout, backoff         durationFlag
	backoffMax, retention, deadRetention   durationFlag
	labels, require                        map[string]string
	set                                    *pflag.FlagSet // these flags alone
}

func (f *taskFlags) register(to *pflag.FlagSet) {
	s := pflag.NewFlagSet("task", pflag.ContinueOnError)
	s.StringVar(&f.queue, "queue", "", "`name` of the queue, made by its first submit (default \"default\")")
	s.StringVar(&f.payload, "payload", "", "`STR` for the handler, or @FILE, or - for stdin")
	s.Int32Var(&f.priority, "priority", 0, "order within the queue, higher first: `N` from -100 to 100")
	s.Uint32Var(&f.weight, "weight", 0, "slots it takes: `N` from 1 to 1000 (default 1)")
	s.Var(&f.delay, "delay", "not started before this has passed")
	s.StringVar(&f.notBefore, "not-before", "", "not started before this `time`")
	s.StringVar(&f.startBy, "start-by", "", "expired if not started by this `time`")
	s.StringVar(&f.deadline, "deadline", "", "expired if it hasn't succeeded by this `time`")
	s.Var(&f.attemptTimeout, "attempt-timeout", "how long one attempt may run, 0: without end (default 1h)")
	s.Uint32Var(&f.maxAttempts, "max-attempts", 0, "attempts in all: `N` from 1 to 1000 (default 20)")
	s.Uint32Var(&f.maxLosses, "max-worker-losses", 0, "how often its worker may be lost: `N` from 1 to 100 (default 3)")
	s.Var(&f.backoff, "backoff", "pause after the first failure (default 1s)")
	s.Uint32Var(&f.factor, "backoff-factor", 0, "growth of the pause with each failure: `N` from 1 to 10 (default 2)")
	s.Var(&f.backoffMax, "backoff-max", "the longest pause (default 1h)")
	s.StringToStringVar(&f.labels, "label", nil, "`k=v` that describes it; repeatable")
	s.StringToStringVar(&f.require, "require", nil, "label `k=v` that its worker must have; repeatable")
	s.Var(&f.retention, "retention", "how long it stays readable once finished, 0: not at all (default 24h)")
	s.Var(&f.deadRetention, "dead-retention", "the same for a dead letter (default 7d)")
	s.StringVar(&f.key, "key", "", "idempotency `key`: the same key with the same task is stored once, cluster-wide")
	for _, name := range []string{"label", "require"} {
		s.Lookup(name).DefValue = "" // not "[]"
	}
	f.set = s
	to.AddFlagSet(s)
}

// given names a flag of these that was given, or is "".
func (f *taskFlags) given(all *pflag.FlagSet) string {
	name := ""
	all.Visit(func(flag *pflag.Flag) {
		if name == "" && f.set.Lookup(flag.Name) != nil {
			name = flag.Name
		}
	})
	return name
}

// task makes the task that the flags describe.
func (f *taskFlags) task(a *app, kind string) (client.Task, error) {
	task := client.Task{
		Kind: kind, Queue: f.queue, Priority: int(f.priority), Weight: int(f.weight),
		AttemptTimeout: f.attemptTimeout.value,
		Retry: client.Retry{
			MaxAttempts: int(f.maxAttempts), MaxWorkerLosses: int(f.maxLosses),
			Backoff: f.backoff.value, Factor: int(f.factor), BackoffMax: f.backoffMax.value,
		},
		Labels: f.labels, Require: f.require,
		Retention: f.retention.value, DeadRetention: f.deadRetention.value, Key: f.key,
	}
	if f.delay.value != nil {
		task.Delay = *f.delay.value
	}
	if f.delay.value != nil && f.notBefore != "" {
		return task, usagef("--delay and --not-before exclude each other")
	}
	for _, at := range []struct {
		name, text string
		to         *time.Time
	}{{"not-before", f.notBefore, &task.NotBefore}, {"start-by", f.startBy, &task.StartBy}, {"deadline", f.deadline, &task.Deadline}} {
		if at.text == "" {
			continue
		}
		t, err := parseTime(at.text, a.now())
		if err != nil {
			return task, usagef("--%s: %w", at.name, err)
		}
		*at.to = t
	}
	payload, err := a.readPayload(f.payload)
	task.Payload = payload
	return task, err
}

// readPayload reads what --payload stands for.
func (a *app) readPayload(text string) ([]byte, error) {
	from := a.stdin
	switch rest, at := strings.CutPrefix(text, "@"); {
	case at && strings.HasPrefix(rest, "@"):
		return []byte(rest), nil
	case at:
		file, err := os.Open(rest)
		if err != nil {
			return nil, fmt.Errorf("read the payload: %w", err)
		}
		defer file.Close()
		from = file
	case text != "-":
		return []byte(text), nil
	}
	data, err := io.ReadAll(io.LimitReader(from, payloadBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read the payload: %w", err)
	}
	if len(data) > payloadBytesMax {
		return nil, fmt.Errorf("read the payload: it has more than %s; store it elsewhere and submit where it is", size(payloadBytesMax))
	}
	return data, nil
}
