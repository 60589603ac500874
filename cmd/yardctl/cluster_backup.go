package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const backupLong = `Backup writes a consistent copy of everything to FILE while the coordinator serves: all that was acknowledged before it
began. It is written as FILE.partial, compared with its checksum, and only then takes its name. With - it goes to stdout;
what stands there is whole only if the exit code is 0.

The coordinator makes the copy on its own disk first, which takes as much room as its checkpoint.

To use it: coordinator restore --data-dir DIR FILE.`

func newClusterBackup(a *app) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a copy of everything to a file, while the coordinator serves",
		Long:  backupLong,
		Example: `  yardctl cluster backup yardmaster.backup
  yardctl cluster backup - | ssh elsewhere 'cat > yardmaster.backup'`,
		Args: argsExactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := a.backupTo(args[0], force)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, cancel := a.waiting(cmd.Context())
			defer cancel()
			return a.backup(ctx, c, out)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return cmd
}

// backupOutput is where a backup goes.
type backupOutput struct {
	path string // "-": stdout
	to   io.Writer
	file *os.File // the partial one; nil: none is open
}

// backupTo looks whether a backup can go to a file, before anything is sent.
func (a *app) backupTo(path string, force bool) (*backupOutput, error) {
	out := &backupOutput{path: path, to: a.stdout}
	if path == "-" {
		if a.isTerminal(a.stdout) {
			return nil, usagef("a backup is no text for a terminal: redirect stdout, or name a FILE")
		}
		return out, nil
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, usageError{err}
	case !info.Mode().IsRegular():
		return nil, usagef("%s is no file: name another", path)
	case !force:
		return nil, usagef("%s is there already: name another file, or replace it with --force", path)
	}
	return out, nil
}

func (a *app) backup(ctx context.Context, c *client.Client, out *backupOutput) error {
	stream, err := c.Operator().Backup(ctx, &yardmasterv1.BackupRequest{})
	if err != nil {
		return client.AsError("back up", err)
	}
	r := &backupReader{a: a, sum: sha256.New(), out: out, recv: stream.Recv, progress: a.newProgress("backed up")}
	err = r.run()
	r.progress.end()
	if err = errors.Join(err, out.finish(err == nil)); err != nil {
		return err
	}
	return a.tellBackup(r.header, r.sum.Sum(nil), out.path)
}

// backupReader takes a backup in.
type backupReader struct {
	a        *app
	recv     func() (*yardmasterv1.BackupResponse, error)
	header   *yardmasterv1.BackupHeader
	bytes    uint64
	sum      hash.Hash
	out      *backupOutput
	progress *progress
}

// run reads until all is there and right.
func (r *backupReader) run() error {
	for {
		m, err := r.recv()
		if errors.Is(err, io.EOF) {
			return errors.New("back up: the coordinator ended the backup early: try again")
		}
		if err != nil {
			return client.AsError("back up", err)
		}
		switch x := m.GetMessage().(type) {
		case *yardmasterv1.BackupResponse_Header:
			r.header = x.Header
			r.progress.size = x.Header.GetFileBytes()
			if err := r.out.begin(); err != nil {
				return err
			}
		case *yardmasterv1.BackupResponse_Data:
			if r.header == nil {
				return errors.New("back up: data came before the header: this is a bug of the coordinator")
			}
			r.bytes += uint64(len(x.Data))
			r.sum.Write(x.Data)
			if _, err := r.out.to.Write(x.Data); err != nil {
				return fmt.Errorf("write the backup: %w", err)
			}
			r.progress.set(int(r.bytes))
		case *yardmasterv1.BackupResponse_End:
			return r.verify(x.End.GetSha256())
		}
	}
}

// verify compares what came with what was sent.
func (r *backupReader) verify(sum []byte) error {
	if r.header == nil || r.bytes != r.header.GetFileBytes() || !bytes.Equal(sum, r.sum.Sum(nil)) {
		return fmt.Errorf("back up: %d bytes came that don't match the checksum or the size of %d: try again", r.bytes, r.header.GetFileBytes())
	}
	return nil
}

// begin opens the partial file.
func (o *backupOutput) begin() (err error) {
	if o.path == "-" || o.file != nil {
		return nil
	}
	o.file, err = os.OpenFile(o.path+".partial", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	o.to = o.file
	return nil
}

// finish gives the partial file its name, durably, or removes it.
func (o *backupOutput) finish(whole bool) error {
	if o.file == nil {
		return nil
	}
	partial := o.file.Name()
	if !whole {
		return errors.Join(o.file.Close(), os.Remove(partial))
	}
	err := errors.Join(o.file.Sync(), o.file.Close())
	if err == nil {
		err = os.Rename(partial, o.path)
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w", errors.Join(err, os.Remove(partial)))
	}
	dir, err := os.Open(filepath.Dir(o.path))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// tellBackup says what was written; on stderr if the backup itself went to stdout.
func (a *app) tellBackup(h *yardmasterv1.BackupHeader, sum []byte, path string) error {
	if path == "-" {
		fmt.Fprintf(a.stderr, "backed up %s: log index %s, sha256 %x\n", size(h.GetFileBytes()), number(h.GetIndex()), sum)
		return nil
	}
	if a.forScripts() {
		data, err := json.Marshal(struct {
			File       string `json:"file"`
			Bytes      string `json:"fileBytes"`
			Index      string `json:"index"`
			Version    uint32 `json:"version"`
			Format     uint32 `json:"format"`
			Logic      uint32 `json:"logicVersion"`
			CreateTime string `json:"createTime"`
			Release    string `json:"release"`
			Sum        string `json:"sha256"`
		}{
			path, strconv.FormatUint(h.GetFileBytes(), 10), strconv.FormatUint(h.GetIndex(), 10), h.GetVersion(), h.GetFormat(),
			h.GetLogicVersion(), h.GetCreateTime().AsTime().Format(time.RFC3339Nano), h.GetRelease(), hex.EncodeToString(sum),
		})
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return a.printJSON(data)
	}
	s := newSheet(a.stdout)
	s.line("File", path)
	s.line("Size", size(h.GetFileBytes()))
	s.line("Made", a.when(h.GetCreateTime()))
	s.line("Log index", number(h.GetIndex()))
	s.line("Release", h.GetRelease())
	s.line("SHA-256", hex.EncodeToString(sum))
	return s.flush()
}
