package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	start := time.Unix(1000, 0)
	m := newMeter(400, start)
	if got := m.rate(); got != 0 {
		t.Errorf("rate before the first tick: %d", got)
	}
	for second := 1; second <= 4; second++ { // 10, 20, 30, 40 tasks in a second
		for range 10 * second {
			m.add(1)
		}
		m.tick(start.Add(time.Duration(second) * time.Second))
	}
	if got := m.rate(); got != 35 {
		t.Errorf("rate over the last 2 s: %d, want 35", got)
	}
	if len(m.marks) > 4 {
		t.Errorf("%d marks are kept", len(m.marks))
	}
	m.add(2)
	want := " 25%  101/400  35/s  worker-1 down  102 attempts  #####..............."
	if got := m.line("worker-1 down"); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := newMeter(0, start).line(""); !strings.Contains(got, "0/0") {
		t.Errorf("of no tasks: %q", got)
	}
}

func TestScreenOnTerminal(t *testing.T) {
	var b strings.Builder
	s := &screen{w: &b, width: func() (int, bool) { return 12, true }}
	s.progress("0123456789abcdef")
	s.progress("again")
	s.say("stays")
	s.end()
	want := clearLine + "  012345678" + clearLine + "  again" + clearLine + "stays\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
	if s.every() != liveEvery {
		t.Errorf("every %v", s.every())
	}
}

func TestScreenElsewhere(t *testing.T) {
	var b strings.Builder
	s := newScreen(&b, nil)
	s.progress("0123456789abcdef")
	s.say("stays\n")
	s.end()
	if want := "  0123456789abcdef\nstays\n"; b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
	if s.every() != linesEvery {
		t.Errorf("every %v", s.every())
	}
}

// TestScreenUnread: whoever pipes the demo into head must not leave its processes behind.
func TestScreenUnread(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	told := 0
	s := newScreen(write, func() { told++ })
	s.say("heard")
	if err := read.Close(); err != nil || told != 0 {
		t.Fatal(told, err)
	}
	s.say("unheard")
	s.progress("unheard")
	if told != 2 {
		t.Errorf("told %d times, want 2", told)
	}
}

func TestPrefixed(t *testing.T) {
	var b strings.Builder
	p := &prefixed{screen: newScreen(&b, nil), prefix: "worker-1"}
	for _, part := range []string{"one\ntw", "o\n", "\nthree"} {
		if n, err := p.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := "worker-1    | one\nworker-1    | two\nworker-1    | \n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{number(0), "0"}, {number(999), "999"}, {number(11478), "11,478"}, {number(int64(-1234567)), "-1,234,567"},
		{size(999), "999 bytes"}, {size(1000), "1.0 kB"}, {size(157_400_000), "157.4 MB"}, {size(5e15), "5000.0 TB"},
		{span(1234567 * time.Microsecond), "1.235s"}, {span(18234 * time.Millisecond), "18.2s"},
		{plural(1, "file", "files"), "1 file"}, {plural(2000, "file", "files"), "2,000 files"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
