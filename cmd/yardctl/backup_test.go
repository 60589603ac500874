package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// backupFault says what a backup of the fake lacks.
type backupFault int

const (
	backupWhole backupFault = iota
	backupFlipped
	backupShort
	backupNoEnd
	backupRefused
)

func (f *operatorFake) Backup(_ *yardmasterv1.BackupRequest, gs grpc.ServerStreamingServer[yardmasterv1.BackupResponse]) error {
	f.mu.Lock()
	fault := f.backup
	f.mu.Unlock()
	if fault == backupRefused {
		return refusal(codes.ResourceExhausted, "backup refused: no room", "BACKUP_ROOM")
	}
	data := bytes.Repeat([]byte("backup "), 100_000)
	sum := sha256.Sum256(data)
	h := &yardmasterv1.BackupHeader{FileBytes: uint64(len(data)), Version: 1, Format: 3, Index: 1234, LogicVersion: 3, CreateTime: ago(0), Release: "v0.2.0"}
	if fault == backupFlipped {
		data[5000] ^= 1
	}
	if fault == backupShort {
		data = data[:len(data)-1]
	}
	if err := gs.Send(&yardmasterv1.BackupResponse{Message: &yardmasterv1.BackupResponse_Header{Header: h}}); err != nil {
		return err
	}
	for len(data) > 0 {
		n := min(len(data), 256<<10)
		if err := gs.Send(&yardmasterv1.BackupResponse{Message: &yardmasterv1.BackupResponse_Data{Data: data[:n]}}); err != nil {
			return err
		}
		data = data[n:]
	}
	if fault == backupNoEnd {
		return nil
	}
	return gs.Send(&yardmasterv1.BackupResponse{Message: &yardmasterv1.BackupResponse_End{End: &yardmasterv1.BackupEnd{Sha256: sum[:]}}})
}

// TestBackup: the file gets its name only once it is whole and right; nothing is replaced without --force.
func TestBackup(t *testing.T) {
	want := bytes.Repeat([]byte("backup "), 100_000)
	f, addr := serve(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	backup := func(fault backupFault, args ...string) ran {
		f.mu.Lock()
		f.backup = fault
		f.mu.Unlock()
		return runAt(t.Context(), f, "", append([]string{"--addr", addr, "cluster", "backup"}, args...)...)
	}
	files := func() string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	for fault, says := range map[backupFault]string{
		backupFlipped: "that don't match the checksum", backupShort: "699999 bytes came", backupNoEnd: "ended the backup early",
		backupRefused: "resource exhausted: backup refused",
	} {
		if r := backup(fault, path); r.code != exitFailed || !strings.Contains(r.stderr, says) || files() != "" {
			t.Errorf("fault %d: exit code %d, %q, files %q", fault, r.code, r.stderr, files())
		}
	}
	r := backup(backupWhole, path)
	if got, err := os.ReadFile(path); r.code != 0 || err != nil || !bytes.Equal(got, want) || files() != "b" || !strings.Contains(r.stdout, "683.6 KiB") {
		t.Errorf("exit code %d, %v, %q%q, files %q", r.code, err, r.stdout, r.stderr, files())
	}
	if r := backup(backupWhole, path); r.code != exitUsage || !strings.Contains(r.stderr, "is there already: name another file, or replace it with --force") {
		t.Errorf("again: exit code %d, %q", r.code, r.stderr)
	}
	if r := backup(backupFlipped, path, "--force"); r.code != exitFailed || files() != "b" {
		t.Errorf("a bad one over a good one: exit code %d, files %q", r.code, files())
	}
	if r := backup(backupWhole, path, "--force", "-o", "json"); r.code != 0 || !strings.Contains(r.stdout, `"fileBytes":"700000","index":"1234"`) {
		t.Errorf("forced: exit code %d, %q%q", r.code, r.stdout, r.stderr)
	}
	if r := backup(backupWhole, "-"); r.code != 0 || r.stdout != string(want) || !strings.Contains(r.stderr, "backed up 683.6 KiB: log index 1,234, sha256 ") {
		t.Errorf("to stdout: exit code %d, %d bytes, %q", r.code, len(r.stdout), r.stderr)
	}
	if r := backup(backupWhole, dir); r.code != exitUsage || !strings.Contains(r.stderr, "is no file: name another") {
		t.Errorf("to a directory: exit code %d, %q", r.code, r.stderr)
	}
}
