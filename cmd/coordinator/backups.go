package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/rpc"
	"github.com/yardmaster/yardmaster/internal/store"
	"github.com/yardmaster/yardmaster/internal/version"
)

// backups lets the server make backups of the store.
type backups struct {
	store   *store.Store
	free    func() (uint64, error)
	reserve uint64
}

// Backup implements rpc.Backups.
func (b *backups) Backup(ctx context.Context) (*rpc.BackupFile, error) {
	f, err := b.store.Backup(ctx, store.BackupOptions{
		Release: version.String(), Created: time.Now().UnixNano(), Free: b.free, Reserve: b.reserve,
	})
	if errors.Is(err, store.ErrNoRoom) {
		return nil, fmt.Errorf("%w: %w", rpc.ErrBackupRoom, err)
	}
	if err != nil {
		return nil, err
	}
	h := &f.Header
	return &rpc.BackupFile{ReadCloser: f, Sum: f.Sum[:], Header: &yardmasterv1.BackupHeader{
		FileBytes: uint64(f.Bytes), Version: h.Version, Format: h.Format, Index: h.Index, LogicVersion: h.Logic,
		CreateTime: timestamppb.New(time.Unix(0, h.Created)), Release: h.Release,
	}}, nil
}
