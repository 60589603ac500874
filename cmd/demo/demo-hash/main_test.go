package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const sumOfABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180, appendix B.1

func TestSums(t *testing.T) {
	outside := t.TempDir()
	root := filepath.Join(outside, "root")
	if err := os.MkdirAll(filepath.Join(root, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"secret", "root/dir/a", "root/new\nline"} {
		if err := os.WriteFile(filepath.Join(outside, path), []byte("abc"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", filepath.Join(root, "up")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	notes := filepath.Join(outside, "notes")
	t.Setenv("DEMO_RUNS", notes)
	t.Setenv("YARD_TASK", "7")
	t.Setenv("YARD_TOKEN", "9")
	for _, c := range []struct {
		path string
		ok   bool
	}{
		{"dir/a", true}, {"new\nline", true}, {"./dir/../dir/a", true},
		{"../secret", false}, {"link", false}, {"up/secret", false}, {filepath.Join(root, "dir/a"), false},
		{"dir", false}, {"pipe", false}, {"none", false}, {"", false}, {strings.Repeat("a/", 3000), false},
	} {
		var out strings.Builder
		err := run([]string{"--root", root}, strings.NewReader(c.path), &out)
		if c.ok && (err != nil || out.String() != sumOfABC) || !c.ok && (err == nil || out.Len() > 0) {
			t.Errorf("%.40q: printed %q, error %v", c.path, out.String(), err)
		}
	}
	got, err := os.ReadFile(notes)
	if err != nil || !strings.HasPrefix(string(got), "ok 7 9 \"dir/a\"\nok 7 9 \"new\\nline\"\nok 7 9 ") ||
		strings.Count(string(got), "\nfailed 7 9 ") != 9 {
		t.Errorf("noted:\n%.2000s(%v)", got, err)
	}
}

func TestSumOfStdin(t *testing.T) {
	var out strings.Builder
	if err := run(nil, strings.NewReader("abc"), &out); err != nil || out.String() != sumOfABC {
		t.Errorf("printed %q, error %v", out.String(), err)
	}
	for _, args := range [][]string{{"--root"}, {"--other", "x"}, {"--root", "x", "y"}} {
		if err := run(args, strings.NewReader("abc"), &out); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%v: error %v", args, err)
		}
	}
}
