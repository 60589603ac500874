//go:build e2e

package tests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// unpack makes a data directory of one in testdata.
func unpack(t *testing.T, name, dir string) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name, "data.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			var data []byte
			data, err = io.ReadAll(io.LimitReader(r, 64<<20))
			err = errors.Join(err, os.WriteFile(path, data, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// said is a message in its JSON form.
type said map[string]any

// recorded reads what a release said of its data directory.
func recorded(t *testing.T, name string) []said {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return records(t, string(data))
}

func records(t *testing.T, text string) []said {
	t.Helper()
	var list []said
	for d := json.NewDecoder(bytes.NewBufferString(text)); ; {
		var r said
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		list = append(list, r)
	}
}

// says holds that got has all that want has; it may have more, which is newer.
func says(t *testing.T, path string, got, want any) {
	t.Helper()
	fields, ok := want.(map[string]any)
	if !ok {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, and was %v", path, got, want)
		}
		return
	}
	have, _ := got.(map[string]any)
	for name, v := range fields {
		says(t, path+"."+name, have[name], v)
	}
}

// asOf is what was said as it must be now: what waited for its time may be ready.
func (r said) asOf(now time.Time) said {
	due, _ := r["dueTime"].(string)
	if at, err := time.Parse(time.RFC3339Nano, due); err == nil && r["state"] == "TASK_STATE_SCHEDULED" && at.Before(now) {
		r["state"] = "TASK_STATE_PENDING"
		delete(r, "dueTime")
	}
	return r
}

func (r said) id(t *testing.T) uint64 {
	t.Helper()
	id, err := strconv.ParseUint(r["id"].(string), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestFormat1 serves a data directory that release 0.1.0 left behind when it was killed: with a checkpoint, commands
// behind it in the log, and a worker that never came back.
func TestFormat1(t *testing.T) { serveFormat(t, 1) }

// TestFormat2 does so with one of disk format 2, which has a row for each task and one for each body.
func TestFormat2(t *testing.T) { serveFormat(t, 2) }

func serveFormat(t *testing.T, format int) {
	name := fmt.Sprintf("format-%d", format)
	c := newCoordinator(t, "--session-ttl", "10m")
	unpack(t, name, c.data)
	c.wantWhole(fmt.Sprintf("format %d", format))
	c.start()
	for _, want := range recorded(t, name+"/details.json") {
		want = want.asOf(time.Now())
		code, out := c.yardctl("task", "get", want["id"].(string), "--payload", "-o", "json")
		if got := records(t, out); code == 0 && len(got) == 1 {
			says(t, "task "+want["id"].(string), map[string]any(got[0]), map[string]any(want))
		} else {
			t.Errorf("task %s: exit code %d: %s", want["id"], code, out)
		}
	}
	c.wantQueues(recorded(t, name+"/queues.json"))
	if code := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	c.flags = []string{"--session-ttl", "2s"} // the worker that vanished is waited for no longer
	c.start()
	want := c.finish(recorded(t, name+"/tasks.json"))

	if code := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	c.wantWhole("format 3")
	if code, out := run(t, program("coordinator"), "compact", "--data-dir", c.data); code != 0 {
		t.Errorf("compact: exit code %d: %s", code, out)
	}
	c.wantWhole("format 3")
	c.start()
	cl := c.client()
	for id, state := range want {
		if got := get(t, cl, id); got.GetState() != state {
			t.Errorf("task %d is %s after another start, want %s", id, client.StateWord(got.GetState()), client.StateWord(state))
		}
	}
	// The keys are still those of the tasks that were submitted with them.
	code, out := c.yardctl("submit", "echo", "--payload", "tail-1", "--queue", "mail", "--label", "run=9", "--key", "tail-1")
	if fields := strings.Fields(out); code != 0 || len(fields) == 0 || fields[0] != "23" {
		t.Errorf("a submit under an old key: exit code %d: %s", code, out)
	}
}

// wantWhole holds that check finds no problem, and the format.
func (c *coordinator) wantWhole(format string) {
	c.t.Helper()
	code, out := run(c.t, program("coordinator"), "check", "--data-dir", c.data)
	if code != 0 || !strings.Contains(out, format) {
		c.t.Errorf("check: exit code %d, want 0 and %q: %s", code, format, out)
	}
}

// wantQueues compares queues; a task whose time has come counts as pending, and may be the oldest then. Totals count from a
// start on.
func (c *coordinator) wantQueues(want []said) {
	c.t.Helper()
	code, out := c.yardctl("queue", "list", "-o", "json")
	got := records(c.t, out)
	if code != 0 || len(got) != len(want) {
		c.t.Fatalf("queues: exit code %d: %s", code, out)
	}
	count := func(r said, field string) int {
		n, err := strconv.Atoi(r[field].(string))
		if err != nil {
			c.t.Fatal(err)
		}
		return n
	}
	for i, w := range want {
		for _, r := range []said{w, got[i]} {
			r["ready"] = count(r, "scheduled") + count(r, "pending")
			for _, field := range []string{"scheduled", "pending", "oldestPending", "submittedTotal", "endedTotal"} {
				delete(r, field)
			}
		}
		says(c.t, "queue "+w["name"].(string), map[string]any(got[i]), map[string]any(w))
	}
}

// finish lets a worker do what can be done, and returns the states of all tasks in the end.
func (c *coordinator) finish(tasks []said) map[uint64]client.TaskState {
	c.t.Helper()
	startWorker(c.t, c.addr, "after", writeHandlers(c.t, "handlers:\n- {kind: echo, exec: {argv: [cat]}}\n"+
		"- {kind: broken, exec: {argv: [cat]}}\n- {kind: endless, exec: {argv: [cat]}}\n"), "--label", "zone=a", "--slots", "4")
	states := map[string]client.TaskState{}
	for _, word := range []string{"SUCCEEDED", "DEAD", "CANCELLED", "EXPIRED", "SCHEDULED", "PENDING"} {
		states["TASK_STATE_"+word] = client.TaskState(pb.TaskState_value["TASK_STATE_"+word])
	}
	want := map[uint64]client.TaskState{}
	var ids []uint64
	for _, r := range tasks {
		id, lives := r.id(c.t), slices.Contains([]string{"PENDING", "SCHEDULED", "LEASED", "RUNNING"}, strings.TrimPrefix(r["state"].(string), "TASK_STATE_"))
		want[id] = states[r["state"].(string)]
		due, _ := r["dueTime"].(string)
		require, _ := r["require"].(map[string]any)
		switch {
		case !lives, r["queue"] == "frozen", require["disk"] == "ssd", strings.HasPrefix(due, "2100-"):
			continue // it has ended, or stays as it is
		case r["cancelRequested"] == true:
			want[id] = states["TASK_STATE_CANCELLED"]
		default:
			want[id] = states["TASK_STATE_SUCCEEDED"]
		}
		ids = append(ids, id)
	}
	cl := c.client()
	for i, out := range outcomes(c.t, cl, ids) {
		if out.State != want[ids[i]] {
			c.t.Errorf("task %d ended %s, want %s", ids[i], client.StateWord(out.State), client.StateWord(want[ids[i]]))
		}
	}
	return want
}

// TestFormatNewer holds that a data directory of a newer release is refused, and left as it is.
func TestFormatNewer(t *testing.T) {
	c := newCoordinator(t)
	unpack(t, "format-99", c.data)
	path := filepath.Join(c.data, "yardmaster.db")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c.launch()
	if code := c.proc.exit(); code != 1 || c.proc.log.find("format 99", "this build knows 1 to", "start the build that wrote it") == "" {
		t.Errorf("exit code %d: %s", code, c.proc.log.text())
	}
	for _, verb := range []string{"check", "compact"} {
		if code, out := run(t, program("coordinator"), verb, "--data-dir", c.data); code != 1 || !strings.Contains(out, "format 99") {
			t.Errorf("%s: exit code %d: %s", verb, code, out)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed: %v", err)
	}
}
