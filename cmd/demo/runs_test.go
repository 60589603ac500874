package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestReadRuns(t *testing.T) {
	notes := "ok 1 101 \"a/b.go\"\nfailed 2 102 \"with \\\" and \\n and \\xff\"\n"
	want := []handlerRun{{true, 1, 101, "a/b.go"}, {false, 2, 102, "with \" and \n and \xff"}}
	got, err := readRuns(strings.NewReader(notes))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"ok 1 101\n", "done 1 101 \"a\"\n", "ok x 101 \"a\"\n", "ok 1 -1 \"a\"\n", "ok 1 101 a\n"} {
		if got, err := readRuns(strings.NewReader(bad)); err == nil {
			t.Errorf("%q passes for %+v", bad, got)
		}
	}
}

// TestReadRefused reads what the worker's SDK writes: by the same logger, in the same words.
func TestReadRefused(t *testing.T) {
	var log strings.Builder
	logger := hclog.New(&hclog.LoggerOptions{Name: "worker", JSONFormat: true, Output: &log}).Named("worker")
	logger.Info("session opened", "name", "worker-1")
	logger.Warn(notAccepted+": the lease was no longer ours", "task", uint64(7), "token", uint64(1<<60+1), "gone", false)
	logger.Warn("something else about "+notAccepted, "token", uint64(5))
	log.WriteString("no JSON: " + notAccepted)
	got, err := readRefused(strings.NewReader(log.String()))
	if err != nil || !reflect.DeepEqual(got, map[uint64]bool{1<<60 + 1: true}) {
		t.Errorf("got %v, %v", got, err)
	}
	source, err := os.ReadFile(filepath.Join("..", "..", "worker", "loop.go"))
	if err != nil || !strings.Contains(string(source), `"`+notAccepted) {
		t.Errorf("worker/loop.go logs no message that begins with %q (%v). Cure: let notAccepted follow it.", notAccepted, err)
	}
}
