//go:build e2e

package tests

import (
	"bufio"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// scrape reads /metrics: values by name and labels as they are written.
func scrape(t *testing.T, addr string) map[string]float64 {
	t.Helper()
	c := http.Client{Timeout: patience}
	defer c.CloseIdleConnections()
	res, err := c.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("GET /metrics: %s", res.Status)
	}
	values := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(res.Body, 8<<20))
	for lines.Scan() {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		values[line[:i]] = v
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// wantValues waits until a scrape says so.
func wantValues(t *testing.T, addr string, want map[string]float64) map[string]float64 {
	t.Helper()
	var got map[string]float64
	wrong := func() (list []string) {
		for name, v := range want {
			if has, ok := got[name]; !ok || has != v {
				list = append(list, name+" is "+strconv.FormatFloat(has, 'g', -1, 64)+", want "+strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		return list
	}
	if !holdsWithin(trialOf(t), 5*time.Second, func() bool { got = scrape(t, addr); return len(wrong()) == 0 }) {
		t.Errorf("%s: %s", addr, strings.Join(wrong(), "; "))
	}
	return got
}

// TestMetrics: what the processes count is what was done.
func TestMetrics(t *testing.T) {
	t.Parallel()
	admin, adminWorker := steadyAddress(t), steadyAddress(t)
	c := startCoordinator(t, "--admin-listen", admin)
	cl := c.client()
	gate := filepath.Join(t.TempDir(), "gate")
	startWorker(t, c.addr, "w", writeHandlers(t, `handlers:
- kind: good
  exec: {argv: [/bin/true]}
- kind: bad
  exec: {argv: [/bin/false]}
- kind: long
  exec: {argv: [/bin/sh, -c, 'while ! test -e "$1"; do sleep 0.02; done', sh, `+gate+`]}
`), "--slots", "3", "--admin-listen", adminWorker)
	long := submit(t, cl, client.Task{Kind: "long", Queue: "slow"})
	inState(t, cl, client.Running, long...)
	twice := client.Retry{MaxAttempts: 2, Backoff: new(time.Duration(0))}
	ended := submit(t, cl, append(repeated(client.Task{Kind: "good"}, 7), repeated(client.Task{Kind: "bad", Retry: twice}, 2)...)...)
	outcomes(t, cl, ended)
	waits := submit(t, cl, repeated(client.Task{Kind: "nobody", Queue: "slow"}, 4)...)
	if _, err := cl.Cancel(bounded(t), waits[0]); err != nil {
		t.Fatal(err)
	}
	c.ctl("queue", "pause", "slow")

	got := wantValues(t, admin, map[string]float64{
		"yardmaster_leading":                                   1,
		"yardmaster_sessions_attached":                         1,
		"yardmaster_leases":                                    1,
		"yardmaster_tasks_submitted_total":                     14,
		"yardmaster_tasks_granted_total":                       12,
		`yardmaster_outcomes_total{outcome="succeeded"}`:       7,
		`yardmaster_outcomes_total{outcome="dead"}`:            2,
		`yardmaster_outcomes_total{outcome="cancelled"}`:       1,
		`yardmaster_failed_attempts_total{cause="EXIT"}`:       4,
		`yardmaster_queue_tasks{queue="slow",state="pending"}`: 3,
		`yardmaster_queue_tasks{queue="slow",state="leased"}`:  1,
		`yardmaster_queue_tasks{queue="default",state="dead"}`: 2,
		`yardmaster_queue_paused{queue="slow"}`:                1,
		`yardmaster_queue_paused{queue="default"}`:             0,
		`yardmaster_queue_submitted_total{queue="slow"}`:       5,
		`yardmaster_queue_ended_total{queue="slow"}`:           1,
		`yardmaster_queue_ended_total{queue="default"}`:        9,
	})
	for _, name := range []string{"yardmaster_commit_seconds_count", "yardmaster_log_append_seconds_count", "yardmaster_store_bytes",
		"yardmaster_last_position", "yardmaster_disk_free_bytes", "go_goroutines", "process_open_fds"} {
		if got[name] <= 0 {
			t.Errorf("%s is %g", name, got[name])
		}
	}
	wantValues(t, adminWorker, map[string]float64{
		"yardmaster_worker_slots":                   3,
		"yardmaster_worker_running":                 1,
		"yardmaster_worker_slots_used":              1,
		"yardmaster_worker_connected":               1,
		"yardmaster_worker_started_total":           12,
		"yardmaster_worker_finished_total":          11,
		"yardmaster_worker_outbox":                  0,
		"yardmaster_worker_outcomes_rejected_total": 0,
		"yardmaster_worker_reconnects_total":        0,
	})
	c.restart(false)
	wantValues(t, admin, map[string]float64{"yardmaster_tasks_submitted_total": 0, "yardmaster_leases": 1,
		`yardmaster_queue_tasks{queue="slow",state="pending"}`: 3, "yardmaster_sessions_attached": 1})
	wantValues(t, adminWorker, map[string]float64{"yardmaster_worker_reconnects_total": 1, "yardmaster_worker_connected": 1})
	open(t, gate)
	outcomes(t, cl, long)
}
