package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// topSample is a cluster at work: two shots, a second apart, of 24 queues and the first of 400 workers.
func topSample() *topView {
	kinds := []string{"mail", "video", "report", "hash", "index", "resize"}
	before := &topShot{at: testNow, status: &yardmasterv1.OperatorServiceStatusResponse{
		Version: "v0.2.0", StartTime: ago(49 * time.Hour), LogTime: ago(0), Term: 4, AppliedIndex: 48_112_345, CheckpointIndex: 48_108_001,
		Queues: 24, Sessions: 400, Attached: 396, Scheduled: 18_204, Pending: 482_913, Leased: 6_104, Dead: 12, MaxTasks: 20_000_000,
		StoreBytes: 734_003_200, DiskFreeBytes: 98_765_432_100,
		Totals: &yardmasterv1.Totals{Submitted: 90_000_000, Granted: 89_000_000, Succeeded: 88_900_000, FailedAttempts: 1_000, Dead: 12},
	}}
	for i := range 24 {
		q := &yardmasterv1.Queue{Name: fmt.Sprintf("%s-%02d", kinds[i%len(kinds)], i), Weight: uint32(i%3 + 1), DepthLimit: 5_000_000,
			Pending: uint64((i * 7919) % 24 * 1_931), Scheduled: uint64(i * 31), Leased: uint64(i * 11), SubmittedTotal: uint64(i) * 1_000_000, EndedTotal: uint64(i) * 990_000}
		if q.GetPending() > 0 {
			q.OldestPending = ago(time.Duration(i*i) * 7 * time.Second)
		}
		if i%9 == 4 {
			q.Paused, q.Leased, q.Dead, q.MaxLeases = true, 0, uint64(i), 100
		}
		before.queues = append(before.queues, q)
	}
	for i := range 200 {
		w := testWorker(fmt.Sprintf("build-%03d", i))
		w.Leases, w.LastHeard = uint32(i%19), durationpb.New(time.Duration(i%30)*100*time.Millisecond)
		w.Pools[0].Used = w.GetLeases()
		if i%50 == 3 {
			w.State = yardmasterv1.Worker_STATE_DETACHED
		}
		if i%50 == 5 {
			w.State, w.Queues = yardmasterv1.Worker_STATE_DRAINING, []string{"mail-00", "video-01"}
		}
		before.workers = append(before.workers, w)
	}
	now := &topShot{at: testNow.Add(time.Second), status: proto.CloneOf(before.status), workers: before.workers}
	t := now.status.GetTotals()
	t.Submitted, t.Granted, t.Succeeded, t.FailedAttempts = t.GetSubmitted()+41_230, t.GetGranted()+40_877, t.GetSucceeded()+40_801, t.GetFailedAttempts()+3
	for i, q := range before.queues {
		q = proto.CloneOf(q)
		q.SubmittedTotal += uint64(i * 150)
		q.EndedTotal += uint64(i * i * 6)
		now.queues = append(now.queues, q)
	}
	return &topView{address: "127.0.0.1:7420", interval: time.Second, shot: now, rates: ratesOf(before, now)}
}

// golden compares with a file, or with -update rewrites it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is no longer what yardctl draws (go test -update rewrites it): %s", path, firstDifference(got, string(want)))
	}
}

// Each frame fills its terminal exactly: never a line more, and none wider.
func TestFrames(t *testing.T) {
	for name, test := range map[string]struct {
		width, height int
		change        func(v *topView)
	}{
		"80x24":    {80, 24, func(*topView) {}},
		"120x40":   {120, 40, func(v *topView) { v.order = orderOut }},
		"200x70":   {200, 70, func(v *topView) { v.order = orderName }},
		"60x16":    {60, 16, func(v *topView) { v.focus, v.scroll[paneWorkers] = paneWorkers, 3 }},
		"40x12":    {40, 12, func(v *topView) { v.scroll = [panes]int{1 << 30, 1 << 30} }},
		"30x5":     {30, 5, func(*topView) {}},
		"text":     {100, 0, func(v *topView) { v.shot.workers = v.shot.workers[:3] }},
		"empty":    {80, 14, func(v *topView) { v.shot.queues, v.shot.workers, v.shot.status.Sessions = nil, nil, 0 }},
		"trouble":  {80, 14, func(v *topView) { v.trouble = "get the cluster's status: cannot reach the coordinator" }},
		"coloured": {100, 20, func(v *topView) { v.colour = true }},
		"disk":     {100, 14, func(v *topView) { v.colour, v.shot.status.DiskFreeBytes = true, 900<<20 }},
		"first":    {100, 14, func(v *topView) { v.rates = ratesOf(nil, v.shot) }},
		"hostile":  {80, 14, func(v *topView) { v.shot.status.Version = "v1\x1b]0;owned\a"; v.address = strings.Repeat("é", 20) }},
	} {
		t.Run(name, func(t *testing.T) {
			v := topSample()
			test.change(v)
			frame := v.frame(test.width, test.height)
			golden(t, "testdata/frames/"+name+".txt", strings.ReplaceAll(frame, "\x1b[", "␛["))
			lines := strings.Split(frame, "\n")
			if test.height >= topHeightMin && len(lines) != test.height {
				t.Errorf("%d lines, want %d", len(lines), test.height)
			}
			v.colour = false
			for _, line := range strings.Split(v.frame(test.width, test.height), "\n") {
				if n := plain(line).width(); n > test.width {
					t.Errorf("a line of %d columns: %q", n, line)
				}
			}
		})
	}
}

func TestRates(t *testing.T) {
	v := topSample()
	r := v.rates
	if r.SinceStart || r.Seconds != 1 || r.Submits != 41_230 || r.Starts != 40_877 || r.Ends != 40_801 || r.Failures != 3 ||
		r.Queues["video-01"] != (queueRate{150, 6}) {
		t.Errorf("%+v", r)
	}
	made := *v.shot
	made.at = made.at.Add(2 * time.Second)
	made.queues = append([]*yardmasterv1.Queue{{Name: "new", SubmittedTotal: 10}}, made.queues...)
	if r := ratesOf(v.shot, &made); r.Queues["new"].In != 5 || r.Submits != 0 {
		t.Errorf("with a new queue: %+v", r)
	}
	restarted := *v.shot
	restarted.at = restarted.at.Add(time.Second)
	restarted.status = proto.CloneOf(restarted.status)
	restarted.status.StartTime = ago(10 * time.Second)
	restarted.status.Totals = &yardmasterv1.Totals{Submitted: 50}
	if r := ratesOf(v.shot, &restarted); !r.SinceStart || r.Submits != 5 || r.Ends != 0 {
		t.Errorf("after a restart: %+v", r)
	}
}

func TestKeys(t *testing.T) {
	const typed = "q\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[1;5C\x1bs\t\x03x\x1b[4~\x1b[" + "111111111111111111"
	want := []key{keyQuit, keyUp, keyDown, keyPageUp, keyPageDown, keySort, keyTab, keyQuit, keyEnd}
	for size := 1; size <= len(typed); size++ {
		var d keyDecoder
		var got []key
		for rest := []byte(typed); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			got = append(got, d.decode(rest[:min(size, len(rest))])...)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("in pieces of %d: %v, want %v", size, got, want)
		}
		if len(d.pending) > escapeBytesMax {
			t.Errorf("%d bytes are kept", len(d.pending))
		}
	}
}

// frames hands over what a screen draws.
type frames chan string

func (f frames) Write(data []byte) (int, error) { f <- string(data); return len(data), nil }

func (f frames) until(t *testing.T, text string) {
	t.Helper()
	for frame := range f {
		if strings.Contains(frame, text) {
			return
		}
	}
	t.Fatalf("the screen ended without %q", text)
}

// A live screen polls, follows keys and its size, tells of trouble, and leaves the terminal as it was.
func TestScreen(t *testing.T) {
	f, address := serve(t)
	a := &app{now: time.Now, withTimeout: context.WithTimeout, reachTimeout: time.Second, target: []string{address}}
	c, err := client.New(client.Config{Addresses: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	keyboard, typed := io.Pipe()
	out := make(frames)
	resized := make(chan os.Signal)
	height := 24
	run := &top{a: a, c: c, interval: 10 * time.Millisecond}
	s := &topScreen{top: run, view: topSample(), in: keyboard, out: out, resized: resized,
		size: func() (int, int, error) { return 80, height, nil }}
	ended := make(chan error, 1)
	go func() {
		err := s.run(t.Context())
		close(out)
		ended <- err
	}()
	if first := <-out; first != screenEnter {
		t.Errorf("begins with %q", first)
	}
	out.until(t, "v0.2.0")
	out.until(t, "v0.1.0") // what the fake answers
	press := func(keys string) {
		go typed.Write([]byte(keys)) //nolint:errcheck // a pipe to the screen
	}
	press("s")
	out.until(t, "s sort: in/s")
	press("\t")
	out.until(t, "Tab: workers")
	f.mu.Lock()
	f.refuse = true
	f.mu.Unlock()
	out.until(t, "not up to date: get the cluster's status")
	f.mu.Lock()
	f.refuse = false
	f.mu.Unlock()
	for frame := range out {
		if !strings.Contains(frame, "not up to date") {
			break
		}
	}
	press("q")
	last := ""
	for frame := range out {
		last = frame
	}
	if err := <-ended; err != nil || last != screenLeave {
		t.Errorf("ends with %q, %v", last, err)
	}
	typed.Close()
}

// -o json prints an object for each interval until it is interrupted, which is a good end.
func TestTopObjects(t *testing.T) {
	_, address := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr bytes.Buffer
	now, pauses := testNow, 0
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, now: func() time.Time { return now },
		withTimeout: context.WithTimeout, isTerminal: isTerminal, reachTimeout: time.Second,
		pause: func(ctx context.Context, d time.Duration) error {
			if pauses++; pauses == 2 {
				cancel()
			}
			now = now.Add(d)
			return ctx.Err()
		}}
	if code := a.run(ctx, []string{"top", "-o", "json", "--interval", "2s", "--addr", address}); code != exitDone || stderr.Len() > 0 {
		t.Fatalf("exit code %d, stderr %q", code, stderr.String())
	}
	decoder := json.NewDecoder(&stdout)
	for i, want := range []topRates{{Seconds: 176400, SinceStart: true}, {Seconds: 2}} {
		var o topObject
		if err := decoder.Decode(&o); err != nil || o.Rates.Seconds != want.Seconds || o.Rates.SinceStart != want.SinceStart || len(o.Queues) != 2 {
			t.Errorf("object %d: %v, %+v", i, err, o.Rates)
		}
	}
	if decoder.More() {
		t.Error("more than two objects")
	}
}
