package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScripts runs the scenarios of testdata/scripts. A directive is one of
//
//	new logic=N                 begin anew, under another version of the rules than the newest
//	step [t=DURATION] [quiet]   one batch, after the time given; one command a line, see script.command
//	step events                 the same, and its events
//	settle [t=DURATION]         empty steps until none is asked for
//	explain N ...               why tasks are where they are
//	show WHAT                   tasks, leases, sessions, queues, shapes, waits, producers, keys, dead or globals
//	walk after=N n=N            tasks in order
//	explain-queue NAME          why a queue's tasks wait
//	recall [N]                  leases that should be given up, at most N
//	due                         when the next tick is, from now
//	reload [restore]            checkpoint, and go on with a state loaded from it, or restored
//
// go test -run TestScripts -rewrite writes the outputs anew.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{harness: newHarness(t)}
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	*harness
	out strings.Builder
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.t = t
	s.out.Reset()
	if d.HasArg("t") {
		s.now = s.now.Add(duration(arg(d, "t")))
	}
	switch d.Cmd {
	case "new":
		s.harness = newHarnessOf(t, uint32(number(arg(d, "logic"))))
	case "walk":
		last, done := s.s.WalkTasks(TaskID(number(arg(d, "after"))), int(number(arg(d, "n"))), func(info TaskInfo) {
			s.printf("#%d %s", info.ID, info.State)
		})
		s.printf("through #%d done %v", last, done)
	case "step":
		var cmds []Command
		for line := range strings.Lines(d.Input) {
			cmds = append(cmds, s.command(strings.TrimSpace(line)))
		}
		if eff := s.apply(cmds...); !d.HasArg("quiet") {
			s.effects(eff)
		}
		if d.HasArg("events") {
			s.events(&s.eff)
		}
	case "settle":
		for n := 1; ; n++ {
			eff := s.apply(Command{Op: OpTick})
			s.effects(eff)
			if !eff.More {
				fmt.Fprintf(&s.out, "steps %d\n", n)
				break
			}
		}
	case "explain":
		for _, a := range d.CmdArgs {
			s.explain(TaskID(number(a.Key)))
		}
	case "explain-queue":
		s.explainQueue(d.CmdArgs[0].Key)
	case "recall":
		most := 100
		if len(d.CmdArgs) > 0 {
			most = int(number(d.CmdArgs[0].Key))
		}
		for _, it := range s.s.Recallable(most, nil) {
			s.printf("recall s%d attach %d t%d", it.Session, it.Attach, it.Token)
		}
	case "due":
		if at, ok := s.s.NextDeadline(); ok {
			s.printf("%s", span(Duration(at-s.now)))
		}
	case "show":
		s.show(d.CmdArgs[0].Key)
	case "reload":
		s.s = reloaded(t, s.s, d.HasArg("restore"))
	default:
		d.Fatalf(t, "no directive %q", d.Cmd)
	}
	return s.out.String()
}

func arg(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return a.Vals[0]
		}
	}
	return ""
}

func number(v string) uint64 {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func duration(v string) Duration {
	d, err := time.ParseDuration(v)
	if err != nil {
		panic(err)
	}
	return Duration(d)
}

// fields are a command's key=value words.
type fields map[string]string

func parseFields(words []string) fields {
	f := fields{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		f[k] = v
	}
	return f
}

func (f fields) str(key, otherwise string) string {
	if v, ok := f[key]; ok {
		return v
	}
	return otherwise
}

func (f fields) num(key string, otherwise uint64) uint64 {
	if v, ok := f[key]; ok {
		return number(v)
	}
	return otherwise
}

func (f fields) dur(key string, otherwise Duration) Duration {
	if v, ok := f[key]; ok {
		return duration(v)
	}
	return otherwise
}

func (f fields) list(key string) []string {
	if f[key] == "" {
		return nil
	}
	return strings.Split(f[key], ",")
}

func (f fields) labels(key string) []Label {
	var all []Label
	for _, kv := range f.list(key) {
		k, v, _ := strings.Cut(kv, ":")
		all = append(all, Label{k, v})
	}
	return all
}

func (f fields) tokens(key string) []Token {
	var all []Token
	for _, v := range f.list(key) {
		all = append(all, Token(number(v)))
	}
	return all
}

func (f fields) hash(key string) (h Hash128) {
	copy(h[:], f[key])
	return h
}

// command parses one line. Sessions, tasks and tokens are named by number; an attach number, unless given, is the
// session's current one, an outcome's number the next one.
func (s *script) command(line string) Command {
	words := strings.Fields(line)
	f := parseFields(words[1:])
	switch words[0] {
	case "term":
		s.term = f.num("n", s.term+1)
		return Command{Op: OpBeginTerm, BeginTerm: &BeginTerm{Term: s.term, Limits: Limits{
			MaxTasks: f.num("tasks", MaxTasksDefault), Depth: f.num("depth", QueueDepth),
		}}}
	case "tick", "restored":
		return Command{Op: map[string]Op{"tick": OpTick, "restored": OpRestored}[words[0]]}
	case "submit":
		return s.submitLine(strings.TrimPrefix(line, "submit"), f)
	case "cancel":
		c := &Cancel{Force: f.str("force", "") == "yes", Purge: f.str("purge", "") == "yes"}
		for _, v := range f.list("id") {
			c.IDs = append(c.IDs, TaskID(number(v)))
		}
		return Command{Op: OpCancel, Cancel: c}
	case "retry":
		id := TaskID(f.num("id", 0))
		gen, _ := s.s.DeadGen(id)
		return Command{Op: OpRetry, Retry: &Retry{Items: []RetryItem{{
			ID: id, Gen: uint32(f.num("gen", uint64(gen))), Found: f.str("found", "yes") == "yes", Spec: s.spec(f),
		}}}}
	case "forget":
		return Command{Op: OpForget, Forget: &Forget{Items: []DeadRef{{TaskID(f.num("id", 0)), uint32(f.num("gen", 1))}}}}
	case "delete":
		return s.deleteLine(f)
	case "logic":
		return Command{Op: OpSetLogic, SetLogic: &SetLogic{Logic: uint32(f.num("n", 0))}}
	case "outcomes":
		return s.outcomesLine(words[1:], f)
	case "pause", "unpause", "configure":
		op := map[string]Op{"pause": OpPauseQueue, "unpause": OpResumeQueue, "configure": OpConfigureQueue}[words[0]]
		return queueLine(op, f)
	}
	return s.sessionLine(words[0], f)
}

// deleteLine parses "delete id=N,... [gen=N] [found=no]".
func (s *script) deleteLine(f fields) Command {
	c := &Delete{}
	for _, v := range f.list("id") {
		id := TaskID(number(v))
		gen, _ := s.s.DeadGen(id)
		c.Items = append(c.Items, DeleteItem{ID: id, Gen: uint32(f.num("gen", uint64(max(gen, 1)))), Found: f.str("found", "yes") == "yes"})
	}
	return Command{Op: OpDelete, Delete: c}
}

// queueLine parses what concerns a queue. A retention of - is the default again.
func queueLine(op Op, f fields) Command {
	c := &QueueCommand{Name: f.str("queue", DefaultQueue), Weight: uint16(f.num("weight", 0))}
	c.Depth, c.MaxLeases = f.num("depth", 0), uint32(f.num("maxleases", 0))
	keep := func(key string) Duration {
		if f.str(key, "-") == "-" {
			return 0
		}
		return f.dur(key, 0) + 1
	}
	c.Retention, c.DeadRetention = keep("retention"), keep("deadretention")
	for i, key := range []string{"depth", "maxleases", "retention", "deadretention"} {
		if _, ok := f[key]; ok {
			c.Fields |= 1 << i
		}
	}
	return Command{Op: op, Queue: c}
}

// submitLine parses "submit SPEC | SPEC ...", the first with the request's own fields.
func (s *script) submitLine(line string, f fields) Command {
	c := &Submit{Producer: f.hash("producer"), Number: f.num("number", 0), Lowest: f.num("lowest", f.num("number", 0))}
	for part := range strings.SplitSeq(line, "|") {
		sf := parseFields(strings.Fields(part))
		for range sf.num("n", 1) {
			c.Tasks = append(c.Tasks, s.spec(sf))
		}
	}
	return Command{Op: OpSubmit, Submit: c}
}

func (s *script) spec(f fields) TaskSpec {
	p := DefaultPolicy()
	p.MaxAttempts, p.MaxLosses = uint16(f.num("attempts", uint64(p.MaxAttempts))), uint8(f.num("losses", uint64(p.MaxLosses)))
	p.Backoff, p.BackoffMax = f.dur("backoff", p.Backoff), f.dur("backoffmax", p.BackoffMax)
	p.Retention, p.DeadRetention = f.dur("retention", p.Retention), f.dur("deadretention", p.DeadRetention)
	p.AttemptTimeout = f.dur("timeout", p.AttemptTimeout)
	prio, err := strconv.Atoi(f.str("prio", "0"))
	if err != nil {
		panic(err)
	}
	t := TaskSpec{
		Kind: f.str("kind", "a"), Queue: f.str("queue", DefaultQueue), Weight: uint16(f.num("weight", 1)), Priority: int8(prio),
		Require: f.labels("require"), Delay: f.dur("delay", 0), Policy: p,
		HasKey: f["key"] != "", Key: f.hash("key"), KeyBody: f.hash("body"),
	}
	for key, at := range map[string]*Time{"startby": &t.StartBy, "deadline": &t.Deadline, "notbefore": &t.NotBefore} {
		if f[key] != "" {
			*at = s.now.Add(f.dur(key, 0))
		}
	}
	return t
}

// outcomesLine parses "outcomes s=1 [seq=N] [through=N] TOKEN=ok|interrupted|cancelled|CAUSE[,permanent][,after=D] ...".
func (s *script) outcomesLine(words []string, f fields) Command {
	c := &Outcomes{Session: SessionID(f.num("s", 0))}
	if x := s.s.sessions[c.Session]; x != nil {
		c.Attach, c.FirstSeq, c.AnswersThrough = x.Attach, x.nextSeq(), x.nextSeq()-1
	}
	c.Attach, c.FirstSeq, c.AnswersThrough = f.num("attach", c.Attach), f.num("seq", c.FirstSeq), f.num("through", c.AnswersThrough)
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		token, err := strconv.ParseUint(k, 10, 64)
		if err != nil {
			continue
		}
		parts := strings.Split(v, ",")
		o := Outcome{Token: Token(token), Kind: OutcomeFailed, Cause: Cause(slices.Index(causeNames[:], parts[0]))}
		if l := s.s.findLease(o.Token); l != nil {
			o.Task = l.Task
		}
		if i := slices.Index([]string{"ok", "failed", "cancelled", "interrupted"}, parts[0]); i >= 0 {
			o.Kind, o.Cause = OutcomeKind(i+1), CauseNone
		}
		for _, p := range parts[1:] {
			switch k, v, _ := strings.Cut(p, "="); k {
			case "permanent":
				o.Permanent = true
			case "after":
				o.RetryAfter = duration(v)
			case "task":
				o.Task = TaskID(number(v))
			}
		}
		c.List = append(c.List, o)
	}
	return Command{Op: OpOutcomes, Outcomes: c}
}

// sessionLine parses what concerns a session. Pools are name:slots[+prefetch][:kind+kind],...; known tokens
// token:phase[:weight].
func (s *script) sessionLine(verb string, f fields) Command {
	id := SessionID(f.num("s", 0))
	attach := uint64(0)
	var inc Hash128
	if x := s.s.sessions[id]; x != nil {
		attach, inc = x.Attach, x.Worker.Incarnation
	}
	switch verb {
	case "open":
		w := WorkerInfo{Name: f["name"], Incarnation: f.hash("inc"), Kinds: f.list("kinds"), Queues: f.list("queues"), Labels: f.labels("labels")}
		if w.Kinds == nil {
			w.Kinds = []string{"a"}
		}
		for _, p := range strings.Split(f.str("pools", "main:"+f.str("slots", "1")), ",") {
			part := strings.Split(p, ":")
			slots, prefetch, _ := strings.Cut(part[1], "+")
			pool := Pool{Name: part[0], Slots: uint16(number(slots))}
			if prefetch != "" {
				pool.Prefetch = uint16(number(prefetch))
			}
			if len(part) > 2 {
				pool.Kinds = strings.Split(part[2], "+")
			}
			w.Pools = append(w.Pools, pool)
		}
		return Command{Op: OpOpenSession, Open: &OpenSession{Worker: w, Live: f["live"] == "yes", Tokens: s.known(f)}}
	case "resume":
		if f["inc"] != "" {
			inc = f.hash("inc")
		}
		return Command{Op: OpResumeSession, Resume: &ResumeSession{
			Session: id, Incarnation: inc, Tokens: s.known(f), AnswersThrough: f.num("through", 0),
		}}
	}
	ops := map[string]Op{
		"attach": OpAttach, "detach": OpDetach, "release": OpRelease, "expire": OpExpireSession, "drain": OpDrainSession,
		"close": OpCloseSession, "timeout": OpTimeoutLeases, "unreadable": OpUnreadable,
	}
	op, ok := ops[verb]
	if !ok {
		panic("no command " + verb)
	}
	return onSession(op, SessionCommand{
		Session: id, Attach: f.num("attach", attach), Over: f.tokens("over"), Unconfirmed: f.tokens("unconfirmed"),
		Started: f.tokens("started"), Tokens: f.tokens("tokens"),
	})
}

func (s *script) known(f fields) []KnownToken {
	var all []KnownToken
	for _, v := range f.list("known") {
		part := strings.Split(v, ":")
		k := KnownToken{Token: Token(number(part[0])), Weight: 1, Pool: "main"}
		k.Phase = TokenPhase(slices.Index([]string{"held", "started", "finished"}, part[1]) + 1)
		if len(part) > 2 {
			k.Weight = uint16(number(part[2]))
		}
		if l := s.s.findLease(k.Token); l != nil {
			k.Task = l.Task
		}
		all = append(all, k)
	}
	return all
}
