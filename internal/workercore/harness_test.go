package workercore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	testTTL      = 15 * second
	testInterval = 5 * second
	testMargin   = 2 * second
)

// rig drives a core step by step and writes down what it does, a line an action.
type rig struct {
	t    testing.TB
	core *Core
	now  Time
	act  Actions
	log  []string
	sent []Message // deep copies, in order
	end  End
}

func newRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	if cfg.Pools == nil {
		cfg.Pools = []Pool{{Name: "default", Slots: 2}}
	}
	core, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, core: core, now: Time(second)}
}

// live is a rig whose session is open.
func live(t testing.TB, cfg Config) *rig {
	t.Helper()
	return liveAt(t, cfg, 1)
}

// liveAt is a rig whose session is open, with a version of the protocol.
func liveAt(t testing.TB, cfg Config, version uint32) *rig {
	t.Helper()
	r := newRig(t, cfg)
	r.connect()
	r.welcome(WelcomeMessage{Session: 1, Version: version})
	r.log = nil
	return r
}

func (r *rig) connect() {
	r.core.Connected(r.now)
	r.settle()
}

func (r *rig) welcome(m WelcomeMessage) {
	if m.TTL == 0 {
		m.TTL, m.Interval, m.Margin = testTTL, testInterval, testMargin
	}
	r.core.Welcome(r.now, m, &r.act)
	r.settle()
}

func (r *rig) cut() {
	r.core.Disconnected(r.now)
	r.settle()
}

func (r *rig) grant(seq uint64, leases ...Lease) {
	for i := range leases {
		leases[i].Weight = max(leases[i].Weight, 1)
		if leases[i].Pool == "" {
			leases[i].Pool = "default"
		}
		if leases[i].Task == 0 {
			leases[i].Task = TaskID(leases[i].Token) + 100
		}
	}
	r.core.Grants(r.now, seq, leases, &r.act)
	r.settle()
}

func (r *rig) cancel(token Token, reason CancelReason) {
	r.core.Cancel(r.now, token, TaskID(token)+100, reason, &r.act)
	r.settle()
}

func (r *rig) recall(tokens ...Token) {
	r.core.Recall(r.now, tokens, &r.act)
	r.settle()
}

func (r *rig) finished(token Token, kind OutcomeKind) {
	r.core.Finished(r.now, token, Report{Kind: kind, Size: 10})
	r.settle()
}

func (r *rig) answer(through uint64, rejected ...Rejection) {
	r.core.Answers(r.now, through, rejected, &r.act)
	r.settle()
}

func (r *rig) drain() {
	r.core.Drain(r.now)
	r.settle()
}

// pass lets time go by, waking when the core wants to be woken, and answers heartbeats if beat is set.
func (r *rig) pass(d Duration, beat bool) {
	until := r.now.Add(d)
	for steps := 0; r.act.NextWake <= until && !r.end.Ended; steps++ {
		if steps > 1000 {
			r.t.Fatalf("the core wants to be woken without end, at %d, now %d", r.act.NextWake, r.now)
		}
		r.now = max(r.now, r.act.NextWake)
		sent := len(r.sent)
		r.settle()
		for _, m := range r.sent[sent:] {
			if m.Kind == Heartbeat && beat {
				r.core.HeartbeatAck(r.now, m.SendTime, &r.act)
				r.settle()
			}
		}
	}
	r.now = until
	r.settle()
}

// settle carries out a step with a shell that sends at once.
func (r *rig) settle() {
	r.t.Helper()
	for first := true; ; first = false {
		r.core.Settle(r.now, &r.act)
		if err := r.core.Check(); err != nil {
			r.t.Fatal(err)
		}
		r.record()
		n := len(r.act.Send)
		next := r.act.NextWake
		r.end = r.act.End
		r.act.Reset()
		r.act.NextWake = next
		r.core.Sent(n)
		if n == 0 && !first {
			return
		}
	}
}

func (r *rig) record() {
	note := func(format string, args ...any) { r.log = append(r.log, fmt.Sprintf(format, args...)) }
	for _, s := range r.act.Start {
		note("start %d", s.Token)
	}
	for _, s := range r.act.Stop {
		note("%s %d: %s", map[bool]string{false: "stop", true: "kill"}[s.Kill], s.Token, causeNames[s.Cause])
	}
	for _, m := range r.act.Send {
		note("%s", describe(m))
		m.Outcomes, m.Started = slices.Clone(m.Outcomes), slices.Clone(m.Started)
		r.sent = append(r.sent, m)
	}
	for _, f := range r.act.Fenced {
		note("fenced %d gone=%t", f.Token, f.Gone)
	}
	if r.act.Straggle {
		note("stragglers")
	}
	if r.act.Reconnect != "" {
		note("reconnect: %s", r.act.Reconnect)
	}
}

var causeNames = [...]string{"none", "timeout", "deadline", "cancelled", "revoked", "lost", "draining"}
var kindNames = [...]string{"?", "succeeded", "failed", "timed out", "cancelled", "interrupted"}

func describe(m Message) string {
	conf := fmt.Sprintf("[r%d a%d] ", m.ReceivedThrough, m.AnswersThrough)
	switch m.Kind {
	case Hello:
		s := fmt.Sprintf("%shello session %d:", conf, m.Session)
		for _, k := range m.Tokens {
			s += fmt.Sprintf(" %d%s", k.Token, [...]string{"?", "h", "r", "f"}[k.Phase])
		}
		return s
	case Started:
		return fmt.Sprintf("%sstarted %v", conf, m.Started)
	case Outcomes:
		s := fmt.Sprintf("%soutcomes from %d:", conf, m.FirstSeq)
		for _, o := range m.Outcomes {
			s += fmt.Sprintf(" %d %s", o.Token, kindNames[o.Kind])
			if o.Reason != "" {
				s += " (" + o.Reason + ")"
			}
		}
		return s
	case Heartbeat:
		if m.Progress {
			return conf + "heartbeat with progress"
		}
		return conf + "heartbeat"
	case Recalled:
		return fmt.Sprintf("%srecalled %v", conf, m.Recalled)
	case Draining:
		return fmt.Sprintf("%sdraining %d %d", conf, m.Running, m.Waiting)
	case Drained:
		return fmt.Sprintf("%sdrained %d", conf, m.Left)
	case Goodbye:
		return conf + "goodbye"
	}
	return conf + "receipt"
}

// want compares what was done since the last want, heartbeats and words of starts left out.
func (r *rig) want(lines ...string) {
	r.t.Helper()
	got := slices.DeleteFunc(r.log, func(s string) bool { return strings.HasSuffix(s, "heartbeat") || strings.Contains(s, "] started [") })
	if !slices.Equal(got, lines) {
		r.t.Fatalf("did\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
	r.log = nil
}
