package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// fakeBackups makes backups of bytes that it is given.
type fakeBackups struct {
	data   []byte
	fail   error
	waits  chan struct{} // closed: a backup is made at once
	open   atomic.Int64  // files not closed
	before func()        // called when a backup is asked for
}

func newFakeBackups() *fakeBackups {
	b := &fakeBackups{waits: make(chan struct{}), before: func() {}}
	close(b.waits)
	return b
}

type fakeBackup struct {
	io.Reader
	close func()
}

func (f *fakeBackup) Close() error { f.close(); return nil }

func (b *fakeBackups) Backup(ctx context.Context) (*BackupFile, error) {
	b.before()
	select {
	case <-b.waits:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if b.fail != nil {
		return nil, b.fail
	}
	b.open.Add(1)
	sum := sha256.Sum256(b.data)
	return &BackupFile{
		ReadCloser: &fakeBackup{bytes.NewReader(b.data), sync.OnceFunc(func() { b.open.Add(-1) })},
		Header:     &yardmasterv1.BackupHeader{FileBytes: uint64(len(b.data)), Index: 7}, Sum: sum[:],
	}, nil
}

func (r *rig) backup() grpc.ServerStreamingClient[yardmasterv1.BackupResponse] {
	r.t.Helper()
	gs, err := r.ops.Backup(r.ctx, &yardmasterv1.BackupRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return gs
}

// received reads a backup to its end.
func received(gs grpc.ServerStreamingClient[yardmasterv1.BackupResponse]) (h *yardmasterv1.BackupHeader, data, sum []byte, err error) {
	for {
		m, err := gs.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return h, data, sum, err
		}
		switch x := m.GetMessage().(type) {
		case *yardmasterv1.BackupResponse_Header:
			if h != nil || data != nil {
				return nil, nil, nil, errors.New("a header that isn't first")
			}
			h = x.Header
		case *yardmasterv1.BackupResponse_Data:
			if len(x.Data) == 0 || len(x.Data) > BackupChunkBytes || sum != nil {
				return nil, nil, nil, fmt.Errorf("a chunk of %d bytes", len(x.Data))
			}
			data = append(data, x.Data...)
		case *yardmasterv1.BackupResponse_End:
			sum = x.End.GetSha256()
		}
	}
}

func TestBackup(t *testing.T) {
	inBubble(t, func(r *rig) {
		for _, n := range []int{0, 1, BackupChunkBytes, 3*BackupChunkBytes + 17} {
			r.backups.data = bytes.Repeat([]byte{byte(n), 2, 3}, n)[:n]
			saves := r.e.saves.Load()
			r.backups.before = func() {
				if r.e.saves.Load() != saves+1 {
					t.Error("the copy is made before the checkpoint")
				}
			}
			h, data, sum, err := received(r.backup())
			want := sha256.Sum256(r.backups.data)
			if err != nil || h.GetFileBytes() != uint64(n) || h.GetIndex() != 7 || !bytes.Equal(data, r.backups.data) || !bytes.Equal(sum, want[:]) {
				t.Errorf("%d bytes: %v, header %v, %d bytes, sum %x", n, err, h, len(data), sum)
			}
		}
		synctest.Wait()
		if n := r.backups.open.Load(); n != 0 {
			t.Errorf("%d files are open", n)
		}
	})
}

// TestBackupRefused: one at a time, and not without room; whatever ends one lets the next begin.
func TestBackupRefused(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.backups.waits = make(chan struct{})
		ctx, cancel := context.WithCancel(r.ctx)
		first, err := r.ops.Backup(ctx, &yardmasterv1.BackupRequest{})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, _, _, err := received(r.backup()); reasonOf(status.Convert(err)) != ReasonBackupRunning || status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a second one: %v", err)
		}
		cancel()
		if _, err := first.Recv(); status.Code(err) != codes.Canceled {
			t.Errorf("cancelled: %v", err)
		}
		synctest.Wait()
		close(r.backups.waits)
		r.backups.fail = fmt.Errorf("%w: no room: free some", ErrBackupRoom)
		if _, _, _, err := received(r.backup()); reasonOf(status.Convert(err)) != ReasonBackupRoom || status.Code(err) != codes.ResourceExhausted {
			t.Errorf("no room: %v", err)
		}
		synctest.Wait()
		r.backups.fail = nil
		if _, _, _, err := received(r.backup()); err != nil {
			t.Errorf("then: %v", err)
		}
	})
}

// TestBackupStalls: who doesn't read is cut off, and its file let go.
func TestBackupStalls(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.backups.data = make([]byte, 8<<20)
		gs := r.backup()
		r.pass(SendBlockedMax + 2*time.Second)
		synctest.Wait()
		if n := r.backups.open.Load(); n != 0 {
			t.Errorf("%d files are open", n)
		}
		if _, _, _, err := received(gs); reasonOf(status.Convert(err)) != ReasonSlowReader {
			t.Errorf("it ends with %v", err)
		}
	})
}
