package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// FuzzValues: durations and times of any text are within bounds, or are refused with the text; a duration without a sign is
// never negative.
func FuzzValues(f *testing.F) {
	for _, text := range []string{"", "90s", "15m", "7d", "1d12h", "-1s", "-1d", "1d-1h", "d", "1dd", "100000d", "100001d", "0.5d", "1e3s", "2030-01-31T15:04:05Z",
		"2030-01-31T15:04:05+99:00", "0", "99999999999h", "1h1h", "٣s", "100000d999999h", "106751d23h47m16s854ms775us808ns"} {
		f.Add(text)
	}
	now := time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDuration(text)
		switch {
		case err != nil && !strings.Contains(err.Error(), "is no duration"):
			t.Fatalf("%q: %v", text, err)
		case err == nil && d < 0 && !strings.HasPrefix(text, "-"):
			t.Fatalf("%q is %s", text, d)
		}
		var flag durationFlag
		if flag.Set(text) == nil && (flag.value == nil || *flag.value != d) {
			t.Fatalf("%q as a flag is %v, as a text %s", text, flag.value, d)
		}
		at, err := parseTime(text, now)
		if err == nil && d > 0 && strings.Trim(text, "0123456789dhmsuµn.") == "" && !at.After(now) {
			t.Fatalf("%q from now is %s", text, at)
		}
		if past, err := pastTime("since", text, now); err == nil && text != "" && past.CheckValid() != nil && past.AsTime().Year() < 9999 && past.AsTime().Year() > 0 {
			t.Fatalf("%q is %v", text, past)
		}
		if n, err := countOr("depth", text, "default"); err == nil && *n == 0 && text != "default" {
			t.Fatalf("--depth %q is 0", text)
		}
		if ids, err := parseIDs([]string{text}); err == nil && (len(ids) != 1 || ids[0] == 0) {
			t.Fatalf("id %q is %d", text, ids)
		}
	})
}

// FuzzBatch: a batch of any bytes is read line by line up to the first that is no task, which is named; what is read is
// written and read again the same.
func FuzzBatch(f *testing.F) {
	for _, text := range []string{"", "\n\n", `{"kind":"a"}`, "{\"kind\":\"a\",\"payload\":\"aGk=\"}\n\n{\"kind\":\"b\",\"labels\":{\"a\":\"b\"}}", `{"kind":1}`, `[]`, `{"kind":"a"}x`,
		`{"kind":"a","attemptTimeout":"3s","retry":{"maxAttempts":2}}`, "{\"kind\":\"\xff\"}", strings.Repeat("[", 20000)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		for spec, err := range readBatch(bytes.NewReader(data), "the-file") {
			if err != nil {
				if !strings.Contains(err.Error(), "the-file, line ") {
					t.Fatalf("it names no line: %v", err)
				}
				return
			}
			text, err := protojson.Marshal(spec)
			if err != nil {
				t.Fatalf("%v was read, and can't be written: %v", spec, err)
			}
			for again, err := range readBatch(bytes.NewReader(text), "again") {
				if err != nil || !proto.Equal(spec, again) {
					t.Fatalf("%v was written and read again as %v: %v", spec, again, err)
				}
			}
		}
	})
}

// FuzzContexts: a contexts file of any bytes is read, or refused with its name; what was read is written and read again the
// same.
func FuzzContexts(f *testing.F) {
	for _, text := range []string{"", "current: a\ncontexts: {a: {addresses: ['h:1']}}\n", "contexts: [1]", "current: [a]", "contexts: {a: 1}", "a: &a [*a]", "contexts: {'': {}}", "---\n---\n", "contexts: {\"a\\nb\": {addresses: [\"\\x82\"]}}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			return
		}
		t.Setenv("XDG_CONFIG_HOME", t.TempDir())
		path, err := contextsPath()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		file, _, err := readContexts()
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("it doesn't name the file: %v", err)
			}
			return
		}
		if err := writeContexts(path, file); err != nil {
			t.Fatal(err)
		}
		again, _, err := readContexts()
		if err != nil || again.Current != file.Current || len(again.Contexts) != len(file.Contexts) {
			t.Fatalf("%+v was written and read again as %+v: %v", file, again, err)
		}
		for _, name := range file.names() {
			if strings.Join(again.Contexts[name].Addresses, "\n") != strings.Join(file.Contexts[name].Addresses, "\n") {
				t.Fatalf("context %q: %q, read again %q", name, file.Contexts[name].Addresses, again.Contexts[name].Addresses)
			}
		}
	})
}
