package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

// ago prints a time relative to when the script began.
func since(t Time) string {
	if t == 0 {
		return "-"
	}
	return time.Duration(t - testEpoch).Round(time.Millisecond).String()
}

func span(d Duration) string { return time.Duration(d).String() }

// effects prints what a step did. Long lists of grants and ends are cut in the middle.
func (s *script) effects(e *Effects) {
	for i := range e.Replies {
		s.reply(i, &e.Replies[i], e)
	}
	kinds := [...]string{"", "opened", "attached", "detached", "superseded", "ended"}
	for _, c := range e.Sessions {
		s.printf("session s%d %s attach %d", c.Session, kinds[c.Kind], c.Attach)
	}
	for _, f := range e.Finished {
		line := fmt.Sprintf("finished #%d gen %d %s %s attempts %d losses %d", f.Task, f.Gen, f.State, f.Cause, f.Attempts, f.Losses)
		if f.Cmd >= 0 {
			line += fmt.Sprintf(" by s%d %s t%d (%d/%d)", f.Session, f.Worker, f.Token, f.Cmd, f.Item)
		}
		if f.ExpiresAt == 0 {
			line += " not kept"
		}
		s.printf("%s", line)
	}
	for _, f := range e.Failed {
		t, live := s.s.Task(f.Task)
		line := fmt.Sprintf("failed #%d %s attempt %d", f.Task, f.Cause, f.Attempt)
		if live {
			line += fmt.Sprintf(", %s %s", t.State, since(t.Due))
		}
		if f.Cmd < 0 {
			line += fmt.Sprintf(", gen %d t%d at s%d %s since %s", f.Gen, f.Token, f.Session, f.Worker, since(f.Granted))
		}
		s.printf("%s", line)
	}
	s.ids("revived", e.Revived)
	s.ids("forgotten", e.Forgotten)
	reasons := [...]string{"", "asked", "deadline", "revoked"}
	for _, c := range e.Cancels {
		s.printf("cancel s%d t%d #%d %s", c.Session, c.Token, c.Task, reasons[c.Reason])
	}
	for i, g := range e.Grants {
		if len(e.Grants) > 20 && i >= 3 && i < len(e.Grants)-1 {
			continue
		}
		line := fmt.Sprintf("grant s%d t%d #%d %s/%s %s attempt %d/%d", g.Session, g.Token, g.Task, g.Queue, g.Kind, g.Pool, g.Attempt, g.MaxAttempts)
		if g.Weight > 1 {
			line += fmt.Sprintf(" weight %d", g.Weight)
		}
		if g.StartBy != 0 {
			line += " start-by " + since(g.StartBy)
		}
		if g.Again {
			line += fmt.Sprintf(" again attach %d", g.Attach)
		}
		s.printf("%s", line)
	}
	if len(e.Grants) > 20 {
		s.printf("grants %d", len(e.Grants))
	}
	if e.More {
		s.printf("more")
	}
}

var eventNames = [...]string{
	"", "submitted", "ready", "leased", "started", "progress", "returned", "failed", "cancel requested", "succeeded", "dead",
	"cancelled", "expired", "retried", "deleted", "queue configured", "queue paused", "queue resumed", "worker opened",
	"worker attached", "worker detached", "worker ended",
}

func (s *script) events(e *Effects) {
	for _, v := range e.Events {
		line := fmt.Sprintf("event %d %s", v.Position, eventNames[v.Type])
		if v.Task != 0 {
			line += fmt.Sprintf(" #%d gen %d", v.Task, v.Gen)
		}
		if v.Queue != "" {
			line += " " + v.Queue + "/" + v.Kind
		}
		if v.Attempt != 0 {
			line += fmt.Sprintf(" attempt %d", v.Attempt)
		}
		if v.Session != 0 {
			line += fmt.Sprintf(" s%d %s", v.Session, v.Worker)
		}
		if v.Token != 0 {
			line += fmt.Sprintf(" t%d", v.Token)
		}
		if v.Cause != 0 {
			line += " " + v.Cause.String()
		}
		s.printf("%s", line)
	}
}

func (s *script) ids(what string, ids []TaskID) {
	if len(ids) > 0 {
		s.printf("%s %s", what, join(ids, func(id TaskID) string { return fmt.Sprintf("#%d", id) }))
	}
}

func (s *script) reply(i int, r *Reply, e *Effects) {
	line := fmt.Sprintf("%d %s", i, r.Code)
	switch {
	case r.Count > 0:
		line += fmt.Sprintf(" #%d+%d", r.First, r.Count)
		if ids := e.IDs[r.IDs.From:r.IDs.To]; len(ids) > 0 {
			line += fmt.Sprintf(" ids %v old %v", ids, e.Indexes[r.Old.From:r.Old.To])
		}
		if !r.Fresh {
			line += " repeated"
		}
	case r.Code == CodeKeyConflict:
		line += fmt.Sprintf(" at %d with #%d", r.Index, r.First)
	case r.Code >= CodeLimitTasks || r.Code == CodeInvalid:
		line += fmt.Sprintf(" at %d", r.Index)
	case r.Answers.To > r.Answers.From:
		names := [...]string{"", "accepted", "fenced", "gone"}
		line += fmt.Sprintf(" through %d: %s", r.Through, join(e.Answers[r.Answers.From:r.Answers.To], func(a Answer) string { return names[a] }))
	case r.Session != 0:
		line += fmt.Sprintf(" s%d attach %d", r.Session, r.Attach)
		if r.Through > 0 {
			line += fmt.Sprintf(" through %d", r.Through)
		}
	}
	if r.Stop.To > r.Stop.From {
		line += fmt.Sprintf(" stop %v", e.Tokens[r.Stop.From:r.Stop.To])
	}
	names := [...]string{"", "done", "requested", "already terminal", "not found", "not dead", "limit", "not terminal"}
	for _, it := range e.Items[r.Items.From:r.Items.To] {
		line += fmt.Sprintf(" #%d %s", it.ID, names[it.Code])
	}
	s.printf("%s", line)
}

var reasonNames = [...]string{
	"", "queue paused", "no workers", "kind not served", "queue not served", "label missing", "pool too small", "slots busy",
	"detached", "draining", "not due", "behind others", "leased", "terminal",
	"reserved", "suspects apart", "queue max leases", "queue empty",
}

func (s *script) explain(id TaskID) {
	e, ok := s.s.Explain(id)
	if !ok {
		s.printf("#%d isn't there", id)
		return
	}
	suspect := ""
	if e.Task.Suspect {
		suspect = " suspect"
	}
	s.printf("#%d %s%s", id, e.Task.State, suspect)
	s.reasons(e.Reasons)
}

func (s *script) explainQueue(name string) {
	e, ok := s.s.ExplainQueue(name)
	if !ok {
		s.printf("no queue %s", name)
		return
	}
	s.printf("%s pending %d leased %d", e.Queue.Name, e.Queue.Pending, e.Queue.Leased)
	s.reasons(e.Reasons)
	for _, sh := range e.Shapes {
		s.printf("%s, %d pending, next #%d", shapeName(&sh.ShapeRow), sh.Pending, sh.Next.ID)
		s.reasons(sh.Reasons)
	}
}

func shapeName(sh *ShapeRow) string {
	name := fmt.Sprintf("kind %s weight %d", sh.Kind, sh.Weight)
	if len(sh.Require) > 0 {
		name += fmt.Sprintf(" require %v", sh.Require)
	}
	if sh.Suspect {
		name += " suspects"
	}
	return name
}

func (s *script) reasons(all []Reason) {
	for _, r := range all {
		line := fmt.Sprintf("  %s %d", reasonNames[r.Code], r.Count)
		if r.Label != (Label{}) {
			line += " " + r.Label.Key + "=" + r.Label.Value
		}
		if r.Example != "" {
			line += " e.g. " + r.Example
		}
		if r.Until != 0 {
			line += " until " + since(r.Until)
		}
		s.printf("%s", line)
	}
}

func (s *script) show(what string) {
	st := s.s
	switch what {
	case "tasks":
		st.ids.walk(0, func(id TaskID) bool {
			if t, ok := st.Task(id); ok {
				line := fmt.Sprintf("#%d gen %d %s %s/%s attempts %d losses %d undelivered %d", id, t.Gen, t.State, t.Queue, t.Kind, t.Attempts, t.Losses, t.Undelivered)
				if t.Due != 0 {
					line += " due " + since(t.Due)
				}
				if t.Token != 0 {
					line += fmt.Sprintf(" t%d at %s", t.Token, t.Worker)
				}
				s.printf("%s", line)
			}
			return true
		})
	case "leases":
		for _, x := range st.sortedSessions() {
			for _, l := range st.SessionLeases(x.ID, 100) {
				s.printf("s%d t%d #%d weight %d revoked %v kind %q", l.Session, l.Token, l.Task, l.Weight, l.Revoked, l.Kind)
			}
		}
	case "sessions":
		for _, x := range st.Sessions() {
			s.printf("s%d %s attached %v attach %d draining %v superseded %v ending %v leases %d through %d %s", x.ID, x.Worker.Name, x.Attached,
				x.Attach, x.Draining, x.Superseded, x.Ending, x.Leases, x.AnswersThrough,
				join(x.Pools, func(p PoolInfo) string { return fmt.Sprintf("%s %d/%d", p.Name, p.Used, p.Slots) }))
		}
	case "queues":
		for _, q := range st.Queues() {
			s.printf("%s paused %v weight %d shapes %d scheduled %d pending %d leased %d dead %d", q.Name, q.Paused, q.Weight, q.Shapes,
				q.Scheduled, q.Pending, q.Leased, q.Dead)
			if q.OwnDepth || q.MaxLeases > 0 || q.Retention > 0 || q.DeadRetention > 0 {
				s.printf("  depth limit %d own %v max leases %d retention %s dead retention %s", q.DepthLimit, q.OwnDepth, q.MaxLeases,
					span(q.Retention), span(q.DeadRetention))
			}
		}
	case "waits":
		for _, q := range st.Queues() {
			s.printf("%s oldest %s submitted %d ended %d", q.Name, since(q.OldestPending), q.Submitted, q.Ended)
		}
	case "shapes":
		for id := uint32(1); id <= st.globals.LastShape; id++ {
			if sh := st.shapes[id]; sh != nil {
				line := fmt.Sprintf("%s %s: %d ready", sh.queue.Name, shapeName(&sh.ShapeRow), sh.ready.len())
				if sh.HeadSince != 0 {
					line += ", waits since " + since(sh.HeadSince)
				}
				if sh.Reserved != 0 {
					line += fmt.Sprintf(", reserved s%d", sh.Reserved)
				}
				s.printf("%s", line)
			}
		}
	case "producers":
		var lines []string
		for _, p := range st.producers {
			lines = append(lines, fmt.Sprintf("%s lowest %d answers %s", strings.TrimRight(string(p.ID[:]), "\x00"), p.Lowest,
				join(p.Answers, func(a ProducerAnswer) string { return fmt.Sprint(a.Number) })))
		}
		slices.Sort(lines)
		s.printf("%s", strings.Join(lines, "\n"))
	case "keys":
		var lines []string
		st.keys.each(func(_ uint32, k *key) bool {
			lines = append(lines, fmt.Sprintf("%s #%d expires %s", strings.TrimRight(string(k.Key[:]), "\x00"), k.Task, span(k.Expires-min(k.Expires, st.Served()))))
			return true
		})
		slices.Sort(lines)
		s.printf("%s", strings.Join(lines, "\n"))
	default:
		panic("show " + what)
	}
}
