package metrics

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func someFigures() Figures {
	return Figures{
		Leading: true, Leases: 7, SessionsNo: 3, SessionsAttached: 2, Submitted: 11, Granted: 12, Returned: 13,
		Queues: []Queue{
			{Name: "default", Scheduled: 1, Pending: 2, Leased: 3, Dead: 4, DepthLimit: 5, Oldest: 6 * time.Second, Submitted: 7, Ended: 8},
			{Name: "mail", Paused: true},
		},
		Outcomes: map[string]uint64{"succeeded": 5, "dead": 1}, Causes: map[string]uint64{"EXIT": 2},
		StoreBytes: 1 << 20,
	}
}

func coordinator() *Coordinator {
	now := time.Unix(1000, 0)
	c := NewCoordinator(someFigures, func() time.Time { return now })
	c.Batch(10, 20, 3000)
	c.Commit(300 * time.Microsecond)
	c.Append(1, 3000, 200*time.Microsecond)
	c.Checkpoint(1000, 50*time.Millisecond)
	c.Stall(250 * time.Millisecond)
	now = now.Add(1500 * time.Millisecond)
	c.Refused("Submit", "QUEUE_FULL")
	return c
}

func workerHandler() http.Handler {
	return WorkerHandler(func() WorkerFigures {
		return WorkerFigures{Slots: 8, Used: 5, Waiting: 2, Outbox: 3, Sent: 100, Rejected: 1, Reconnects: 2, Connected: true}
	})
}

func TestScrape(t *testing.T) {
	text := scrape(t, coordinator().Handler())
	for _, want := range []string{
		`yardmaster_queue_tasks{queue="default",state="pending"} 2`,
		`yardmaster_queue_oldest_pending_seconds{queue="default"} 6`,
		`yardmaster_queue_paused{queue="mail"} 1`,
		`yardmaster_outcomes_total{outcome="succeeded"} 5`,
		`yardmaster_failed_attempts_total{cause="EXIT"} 2`,
		`yardmaster_refusals_total{method="Submit",reason="QUEUE_FULL"} 1`,
		`yardmaster_commit_seconds_bucket{le="0.0004"} 1`,
		`yardmaster_commit_seconds_bucket{le="0.0002"} 0`,
		`yardmaster_log_append_seconds_count 1`,
		`yardmaster_batch_bytes_sum 3000`,
		`yardmaster_checkpoint_stall_seconds_total 0.25`,
		`yardmaster_checkpoint_age_seconds 1.5`,
		`yardmaster_leading 1`,
		`yardmaster_store_bytes 1.048576e+06`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the scrape lacks %s", want)
		}
	}
	text = scrape(t, workerHandler())
	for _, want := range []string{`yardmaster_worker_slots_used 5`, `yardmaster_worker_waiting 2`, `yardmaster_worker_outbox 3`, `yardmaster_worker_outcomes_total 100`} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the worker's scrape lacks %s", want)
		}
	}
}

// typeLine is what says in a scrape that a metric exists.
var typeLine = regexp.MustCompile(`(?m)^# TYPE (yardmaster_\w+) (\w+)$`)

func exported(t *testing.T) map[string]string {
	kinds := map[string]string{}
	for _, h := range []http.Handler{coordinator().Handler(), workerHandler()} {
		for _, m := range typeLine.FindAllStringSubmatch(scrape(t, h), -1) {
			kinds[m[1]] = m[2]
		}
	}
	return kinds
}

// TestDocumented compares the manual with what is exported, both ways.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := exported(t)
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(yardmaster_\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1])
		if kinds[m[1]] != m[2] {
			t.Errorf("docs/metrics.md says that %s is a %s; exported is %q", m[1], m[2], kinds[m[1]])
		}
	}
	for name := range kinds {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/metrics.md lacks %s", name)
		}
	}
}

// TestUsed checks that the dashboard and the alerts ask for metrics that exist.
func TestUsed(t *testing.T) {
	kinds := exported(t)
	for _, file := range []string{"../../docs/grafana/yardmaster.json", "../../docs/metrics.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`yardmaster_\w+`).FindAllString(string(text), -1)
		if len(names) < 10 {
			t.Fatalf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"), "_sum")
			if name != "yardmaster_worker_" && kinds[name] == "" && kinds[base] != "histogram" {
				t.Errorf("%s uses %s, which nobody exports", file, name)
			}
		}
	}
}
