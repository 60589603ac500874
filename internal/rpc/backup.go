package rpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// BackupChunkBytes is the most that one message of a backup carries.
const BackupChunkBytes = 256 << 10

// ErrBackupRoom is returned by Backups for want of disk space. What wraps it says how much.
var ErrBackupRoom = errors.New("backup refused")

// Backups makes backup files (package store, through the wiring in cmd/coordinator).
type Backups interface {
	// Backup copies the last checkpoint to a local file, fsynced. It ends soon after ctx does. Errors: ErrBackupRoom.
	Backup(ctx context.Context) (*BackupFile, error)
}

// BackupFile is a local backup file, to be read from its beginning. Closing it removes it.
type BackupFile struct {
	io.ReadCloser
	Header *yardmasterv1.BackupHeader
	Sum    []byte // SHA-256 of all of it
}

// Backup streams a backup. The copy is made first, on the local disk, so that no transaction of the store lasts as long as
// the network does.
func (o *operatorService) Backup(req *yardmasterv1.BackupRequest, gs grpc.ServerStreamingServer[yardmasterv1.BackupResponse]) error {
	s := o.s
	if s.opts.Backups == nil {
		return o.UnimplementedOperatorServiceServer.Backup(req, gs)
	}
	ctx, cancel, err := s.inTerm(gs.Context())
	if err != nil {
		return s.fail("back up", err)
	}
	defer cancel(nil)
	if !s.backup.CompareAndSwap(false, true) {
		return refuse(codes.ResourceExhausted, ReasonBackupRunning, retryDisk,
			"backups: want at most 1 at a time, another one is under way: wait for it, or end it")
	}
	x := &sender{end: func(err error) { cancel(err) }}
	s.watchdog.add(x)
	defer s.watchdog.drop(x)
	return s.beside(ctx, "back up", func() error {
		defer s.backup.Store(false)
		return o.sendBackup(ctx, func(m *yardmasterv1.BackupResponse) error {
			if err := x.send(s.monotonic, func() error { return gs.Send(m) }); err != nil {
				return broken(ctx, err)
			}
			return context.Cause(ctx)
		})
	})
}

// sendBackup makes a backup of everything that was applied, so of all that was acknowledged, and sends it.
func (o *operatorService) sendBackup(ctx context.Context, send func(*yardmasterv1.BackupResponse) error) error {
	if err := o.s.engine.Checkpoint(ctx, o.s.engine.Status().AppliedIndex); err != nil {
		return err
	}
	b, err := o.s.opts.Backups.Backup(ctx)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, ErrBackupRoom):
		err = refuse(codes.ResourceExhausted, ReasonBackupRoom, retryDisk, err.Error())
	}
	if err != nil {
		if b != nil {
			_ = b.Close() // nobody reads it
		}
		return err
	}
	defer b.Close()
	if err := send(&yardmasterv1.BackupResponse{Message: &yardmasterv1.BackupResponse_Header{Header: b.Header}}); err != nil {
		return err
	}
	for buf := make([]byte, BackupChunkBytes); ; {
		n, err := io.ReadFull(b, buf)
		if n > 0 {
			if err := send(&yardmasterv1.BackupResponse{Message: &yardmasterv1.BackupResponse_Data{Data: buf[:n]}}); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return send(&yardmasterv1.BackupResponse{Message: &yardmasterv1.BackupResponse_End{End: &yardmasterv1.BackupEnd{Sha256: b.Sum}}})
		case err != nil:
			return err
		}
	}
}
