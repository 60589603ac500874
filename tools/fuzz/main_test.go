package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	write(t, root, "go.mod", "module example.test/m\n\ngo 1.26\n")
	write(t, root, "b/b_test.go", "package b\n\nfunc FuzzTwo(f *testing.F) {}\n\nfunc FuzzOne(f *testing.F) {}\n\nfunc helperFuzz() {}\n")
	write(t, root, "a/a.go", "package a\n\nfunc FuzzNoTest() {}\n")
	write(t, root, "other/go.mod", "module example.test/other\n")
	write(t, root, "other/x_test.go", "package x\n\nfunc FuzzOther(f *testing.F) {}\n")
	write(t, root, "b/testdata/y_test.go", "package y\n\nfunc FuzzData(f *testing.F) {}\n")
	for word, want := range map[string][]string{"": {"FuzzOne", "FuzzTwo"}, "Two": {"FuzzTwo"}, "/b": {"FuzzOne", "FuzzTwo"}, "none": nil} {
		list, err := find(root, word)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, x := range list {
			names = append(names, x.name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("%q: %q, want %q", word, names, want)
		}
	}
	if got := modulePath(root, filepath.Join(root, "b")); got != "example.test/m/b" {
		t.Errorf("package path %q", got)
	}
}

// TestTable reads what Go's fuzzer writes.
func TestTable(t *testing.T) {
	good, bad := &target{dir: "a", name: "FuzzGood"}, &target{dir: "b", name: "FuzzBad", failed: true}
	good.read([]byte("fuzz: elapsed: 0s, gathering baseline coverage: 3/3 completed, now fuzzing with 1 workers\n" +
		"fuzz: elapsed: 3s, execs: 10 (3/sec), new interesting: 1 (total: 4)\nfuzz: elapsed: 4s, execs: 25 (15/sec), new interesting: 2 (total: 5)\nPASS\n"))
	bad.read([]byte("--- FAIL: FuzzBad (0.01s)\n    x_test.go:7: wrong\n    Failing input written to testdata/fuzz/FuzzBad/00ff\n    To re-run:\nFAIL\n"))
	if good.inputs != 25 || good.kept != 5 || !slices.Equal(bad.crashers, []string{"b/testdata/fuzz/FuzzBad/00ff"}) {
		t.Errorf("%+v, %+v", good, bad)
	}
	var out strings.Builder
	if err := table([]*target{good}, 0, &out); err != nil || !strings.Contains(out.String(), "fuzz: 1 targets, 25 inputs") {
		t.Errorf("%v: %s", err, out.String())
	}
	if err := table([]*target{good, bad}, 0, &out); err == nil || !strings.Contains(out.String(), "FAILED b/testdata/fuzz/FuzzBad/00ff") {
		t.Errorf("%v: %s", err, out.String())
	}
	for text, late := range map[string]bool{
		"--- FAIL: FuzzX (30.25s)\n    context deadline exceeded\nFAIL\n":                        true,
		"--- FAIL: FuzzX (30.25s)\n    x_test.go:7: context deadline exceeded\nFAIL\n":           false,
		"--- FAIL: FuzzX (1s)\n    fuzzing process hung or terminated unexpectedly: EOF\nFAIL\n": false,
	} {
		if endedLate.MatchString(text) != late {
			t.Errorf("%q ended late: %t", text, !late)
		}
	}
}
