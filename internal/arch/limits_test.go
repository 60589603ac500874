package arch

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	"github.com/yardmaster/yardmaster/internal/consensus"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/rpc"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
	"github.com/yardmaster/yardmaster/internal/store"
	"github.com/yardmaster/yardmaster/internal/workercore"
	"github.com/yardmaster/yardmaster/worker"
)

// limitsPage has the tables of limits under this heading.
const (
	limitsPage    = "docs/operations.md"
	limitsHeading = "## Limits"
)

// documentedLimits are the rows of the tables: what, limit, default.
func documentedLimits(t *testing.T) [][3]string {
	t.Helper()
	return [][3]string{
		{"payload, result", size(scheduler.PayloadBytesMax) + " each", ""},
		{"tasks of a submit; ids of a cancel, retry or delete", number(scheduler.BatchTasksMax), ""},
		{"size of a submit", size(rpc.RequestBytesMax >> 20 << 20), ""},
		{"kind, queue, worker, pool, key of a label", upTo(1, scheduler.NameBytesMax) + " of `a-z0-9._-`, the first a letter or digit", ""},
		{"labels; required labels", number(scheduler.LabelsMax) + " each", ""},
		{"value of a label", number(scheduler.LabelValueMax) + " bytes", ""},
		{"idempotency key", constIn(t, "internal/rpc/submitspec.go", "idempotencyKeyMax") + " bytes", "none"},
		{"priority", upTo(-scheduler.PriorityMax, scheduler.PriorityMax), "0"},
		{"weight", upTo(1, scheduler.WeightMax), "1"},
		{"delay", span(scheduler.DelayMax), "none"},
		{"attempt timeout", span(scheduler.AttemptTimeMax) + ", or none", span(scheduler.DefaultAttemptTimeout)},
		{"attempts", upTo(1, scheduler.AttemptsMax), number(scheduler.DefaultMaxAttempts)},
		{"worker losses", upTo(1, scheduler.LossesMax), number(scheduler.DefaultMaxLosses)},
		{"first backoff", span(scheduler.BackoffFirstMax), span(scheduler.DefaultBackoff)},
		{"growth of the backoff", upTo(1, scheduler.FactorMax), number(scheduler.DefaultFactor)},
		{"longest backoff", span(scheduler.BackoffBoundMax), span(scheduler.DefaultBackoffMax)},
		{"pause that a handler may ask for", span(scheduler.RetryAfterMax), ""},
		{"retention of a finished task", span(scheduler.RetentionMax), "24 h"},
		{"retention of a dead letter", span(scheduler.RetentionMax), span(scheduler.DefaultDeadRetention)},
		{"charged attempts kept of a task", "the last " + number(engine.AttemptsMax), ""},
		{"message of a failure; its stderr or stack", size(rpc.FailureMessageMax) + "; " + size(rpc.FailureDetailMax), ""},
		{"sessions that may fail to confirm a task", number(scheduler.UndeliveredMax), ""},

		{"unfinished tasks in all", "`--max-tasks`", number(scheduler.MaxTasksDefault)},
		{"unfinished tasks of a queue", upTo(1, scheduler.QueueDepthMax), number(scheduler.QueueDepth)},
		{"queues", number(scheduler.QueuesMax), ""},
		{"weight of a queue", upTo(1, scheduler.QueueWeightMax), "1"},
		{"leases of a queue at once", upTo(1, scheduler.QueueLeasesMax), "no bound"},
		{"shapes of a queue", number(scheduler.ShapesMax), ""},
		{"finished tasks kept of a queue", number(store.FinishedQueueMax) + ", the oldest go first", ""},
		{"dead letters kept", number(scheduler.DeadMax) + ", the oldest go first", ""},
		{"idempotency keys kept", number(scheduler.KeysMax), ""},
		{"producers kept; requests in flight of each", number(scheduler.ProducersMax) + "; " + number(scheduler.ProducerWindow), ""},
		{"sessions of workers", number(scheduler.SessionsMax), ""},
		{"events kept for watchers", number(scheduler.EventsKept), ""},
		{"watches at once", number(rpc.WatchersMax), ""},
		{"names in a watch's filter; tasks in it", number(rpc.WatchNamesMax) + "; " + number(rpc.WatchTasksMax), ""},
		{"ids in an await", number(rpc.AwaitMax), ""},
		{"tasks in a page of a list", upTo(1, rpc.PageSizeMax), number(rpc.PageSizeDefault)},
		{"submits that wait for room; their size", number(rpc.SubmitWaiters) + "; " + size(rpc.SubmitWaitersBytes), ""},
		{"wait for room of a caller without a deadline", span(rpc.SubmitWaitMax), ""},
		{"unanswered requests of a submit stream; their size", number(rpc.StreamUnanswered) + "; " + size(rpc.StreamUnansweredBytes), ""},
		{"calls at once on a connection", number(rpc.ConnStreamsMax), ""},
		{"log entry", size(consensus.EntryBytesMax), ""},
		{"free disk below which submits are refused", "`--disk-reserve`", size(engine.DiskReserveDefault)},

		{"slots of a pool", upTo(1, scheduler.SlotsMax), "GOMAXPROCS"},
		{"prefetch of a pool", upTo(0, scheduler.PrefetchMax), "0; Go SDK: as the slots, at most " + number(worker.PrefetchDefaultMax)},
		{"pools", number(scheduler.PoolsMax), ""},
		{"slots and prefetch of all pools together", number(worker.SlotsTotalMax), ""},
		{"kinds; queues", number(scheduler.KindsMax) + " each", ""},
		{"outcomes without an answer", number(workercore.OutboxMax), ""},
		{"session TTL", span(rpc.SessionTTLMin) + " to " + span(rpc.SessionTTLMax), span(rpc.SessionTTLDefault)},
		{"confirmation of a grant", span(session.ReceiptTime) + ", and what its bytes take at " + size(session.ReceiptBytesPerSec) + "/s", ""},
		{"unstarted lease asked back", "after " + span(session.RecallAfter), ""},
		{"bytes sent and not confirmed", size(session.UnconfirmedBytesMax), ""},
		{"drain timeout; kill grace", "", span(worker.DrainTimeoutDefault) + "; " + span(worker.KillGraceDefault)},
		{"message of a progress", number(worker.ProgressMessageMax) + " bytes", ""},
	}
}

// TestLimitsPage holds the tables of limits against the constants, row by row.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile(root + "/" + limitsPage)
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n"+limitsHeading+"\n")
	if !found {
		t.Fatalf("%s has no %q. Cure: give this test the heading's new words.", limitsPage, limitsHeading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var rows []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "| ") && line != "| --- | --- | --- |" && line != "| what | limit | default |" {
			rows = append(rows, line)
		}
	}
	wants := documentedLimits(t)
	for i, want := range wants {
		row := strings.ReplaceAll(fmt.Sprintf("| %s | %s | %s |", want[0], want[1], want[2]), "  ", " ")
		switch {
		case i >= len(rows):
			t.Errorf("%s lacks the row\n\t%s\n\tCure: add it.", limitsPage, row)
		case rows[i] != row:
			t.Errorf("%s says\n\t%s\n\tand the constants\n\t%s\n\tCure: make the page say it.", limitsPage, rows[i], row)
		}
	}
	if len(rows) > len(wants) {
		t.Errorf("%s has rows that no constant stands behind: %q. Cure: add them to documentedLimits.", limitsPage, rows[len(wants):])
	}
}

// TestLimitsAgree: what the SDKs check beforehand is what the coordinator takes.
func TestLimitsAgree(t *testing.T) {
	for _, pair := range []struct {
		what string
		a, b int
	}{
		{"tasks of a request (client)", client.RequestTasksMax, scheduler.BatchTasksMax},
		{"requests in flight of a submit stream (client)", client.SubmitterInFlightMax, rpc.StreamUnanswered},
		{"result (worker)", worker.ResultBytesMax, scheduler.PayloadBytesMax},
		{"slots (worker)", worker.SlotsMax, scheduler.SlotsMax},
		{"prefetch (worker)", worker.PrefetchMax, scheduler.PrefetchMax},
		{"pools (worker)", workercore.PoolsMax, scheduler.PoolsMax},
		{"kinds (worker)", worker.KindsMax, scheduler.KindsMax},
		{"labels (worker)", worker.LabelsMax, scheduler.LabelsMax},
		{"label's value (worker)", worker.LabelValueMax, scheduler.LabelValueMax},
		{"outbox (worker)", workercore.OutboxMax, scheduler.AnswersMax},
		{"tokens in a Hello (worker)", workercore.TokensMax, scheduler.TokensKnownMax},
		{"progress (worker)", worker.ProgressMessageMax, session.ProgressMessageMax},
	} {
		if pair.a != pair.b {
			t.Errorf("%s: %d, and the coordinator's is %d. Cure: make them one.", pair.what, pair.a, pair.b)
		}
	}
}

// number writes 20000000 as 20,000,000.
func number[N int | uint32 | uint64 | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func upTo(least, most int) string { return number(least) + " to " + number(most) }

func size(n int) string {
	switch {
	case n%(1<<30) == 0:
		return number(n>>30) + " GiB"
	case n%(1<<20) == 0:
		return number(n>>20) + " MiB"
	}
	return number(n>>10) + " KiB"
}

// span writes a duration in its largest whole unit.
func span[D ~int64](d D) string {
	for _, unit := range []struct {
		of         time.Duration
		name, many string
	}{{24 * time.Hour, "day", "days"}, {time.Hour, "h", "h"}, {time.Minute, "min", "min"}, {time.Second, "s", "s"}} {
		switch n := time.Duration(d) / unit.of; {
		case time.Duration(d)%unit.of != 0:
		case n == 1:
			return "1 " + unit.name
		default:
			return number(int64(n)) + " " + unit.many
		}
	}
	return time.Duration(d).String()
}

// constIn reads a constant that its package keeps to itself.
func constIn(t *testing.T, file, name string) string {
	t.Helper()
	src, err := os.ReadFile(root + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*` + name + `\s*=\s*(\d+)\b`).FindSubmatch(src)
	if m == nil {
		t.Fatalf("%s has no constant %s. Cure: say here where it is now.", file, name)
	}
	return string(m[1])
}
