//go:build e2e

package tests

import (
	"os"
	"path/filepath"
	"testing"
)

// writeHandlers makes a handlers file.
func writeHandlers(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "handlers.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startWorker starts bin/worker.
func startWorker(t *testing.T, addr, name, handlers string, flags ...string) *process {
	t.Helper()
	argv := append([]string{program("worker"), "--coordinator", addr, "--name", name, "--handlers", handlers, "--log-level", "debug"}, flags...)
	return start(t, name, nil, argv...)
}
