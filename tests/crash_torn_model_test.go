//go:build e2e && crash

package tests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"go.etcd.io/bbolt"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/consensus"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/store"
)

const tornData = "deep/down/data" // the data directory below a tape's root

// history is the commands that a log was given, by index.
type history map[uint64]string

// written takes a write to a segment file: its entries.
func (h history) written(data []byte) (last uint64) {
	if len(data) >= 32 && binary.LittleEndian.Uint32(data) == 0x58eb6b0d {
		data = data[32:] // the file's header
	}
	for len(data) >= 8 {
		kind, n := data[0], int(binary.LittleEndian.Uint32(data[4:]))
		data = data[8:]
		switch kind {
		case 1:
			var entry raft.Log
			if err := new(wal.BinaryCodec).Decode(data[:n], &entry); err != nil {
				panic(fmt.Sprintf("an entry on the tape: %v", err))
			}
			delete(h, entry.Index)
			if entry.Type == raft.LogCommand {
				h[entry.Index] = string(entry.Data)
			}
			last = max(last, entry.Index)
		case 2:
		default:
			return last // a commit ends the write
		}
		data = data[(n+7)/8*8:]
	}
	return last
}

// moment is what an image drawn at some point of a tape must hold.
type moment struct {
	commands history // written so far, fsynced or not
	fsynced  uint64  // the last index that was
	states   []content
	acked    []uint64 // tasks that submitters were told of
}

// content is the sum of what a checkpoint holds.
type content [sha256.Size]byte

var noContent content

// momentOf reads what must hold from the tape up to here.
func momentOf(disk *platter, past *moment, steps []step, acks []ackedAt) *moment {
	m := &moment{commands: maps.Clone(past.commands), fsynced: past.fsynced, acked: slices.Clone(past.acked)}
	lasts := map[int]uint64{} // step → last index written by it
	for i := range steps {
		if s := &steps[i]; s.op == "write" && strings.HasSuffix(s.path, ".wal") {
			if last := m.commands.written(s.data); !s.cut || bytes.Equal(s.left, s.data) {
				lasts[i] = last
			}
		}
	}
	waiting := map[int]bool{}
	for name, n := range disk.names {
		for _, w := range n.pending {
			waiting[w.step] = true
		}
		if strings.HasSuffix(name, ".wal") && !disk.kept(name, n) {
			waiting[lastWrite(steps, name)] = true // the one before it was fsynced, and whoever waited for it was told
		}
	}
	for i, last := range lasts {
		if !waiting[i] {
			m.fsynced = max(m.fsynced, last)
		}
	}
	file := path.Join(tornData, store.FileName)
	m.states = statesOf(disk.durable[file])
	if m.states[0] == noContent { // it may have its name already
		m.states = append(m.states, statesOf(disk.names[file])...)
	}
	if len(steps) > 0 {
		for _, a := range acks {
			if a.at.Before(steps[len(steps)-1].at) {
				m.acked = append(m.acked, a.id)
			}
		}
	}
	return m
}

// lastWrite is the last step that wrote to a file.
func lastWrite(steps []step, name string) int {
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].op == "write" && steps[i].path == name {
			return i
		}
	}
	return -1
}

// kept reports whether a name, and those of the directories above it, are durable.
func (p *platter) kept(name string, n *inode) bool {
	if p.durable[name] != n {
		return false
	}
	for up := path.Dir(name); up != "."; up = path.Dir(up) {
		if p.durable[up] == nil {
			return false
		}
	}
	return true
}

// statesOf are the contents that a checkpoint file may show: the durable one, and one for each meta page written since.
func statesOf(n *inode) []content {
	if n == nil {
		return []content{noContent}
	}
	data := bytes.Clone(n.data)
	states := []content{contentOf(data)}
	for _, w := range n.pending {
		data = w.on(data)
		if w.data != nil && w.off < 2*4096 {
			states = append(states, contentOf(data))
		}
	}
	return states
}

// contentOf sums all keys and values of a bbolt file; of one that can't be read it is noContent.
func contentOf(data []byte) content {
	dir, err := os.MkdirTemp("", "yard-torn-")
	if err != nil {
		return noContent
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "db")
	if err := writeSparse(file, data); err != nil {
		return noContent
	}
	sum, err := contentOfFile(file)
	if err != nil {
		return noContent
	}
	return sum
}

func contentOfFile(file string) (sum content, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("bbolt: %v", r)
		}
	}()
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return sum, err
	}
	defer db.Close()
	h := sha256.New()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			fmt.Fprintf(h, "bucket %s\n", name)
			return b.ForEach(func(k, v []byte) error {
				fmt.Fprintf(h, "%d %d ", len(k), len(v))
				h.Write(k)
				h.Write(v)
				return nil
			})
		})
	})
	return content(h.Sum(nil)), err
}

// check opens an image and compares it with what must hold. The kind says what the image had.
func (m *moment) check(dir string, image map[string]*inode) (kind string, err error) {
	file := filepath.Join(dir, store.FileName)
	state := noContent
	if image[path.Join(tornData, store.FileName)] != nil {
		if state, err = contentOfFile(file); err != nil {
			return "unreadable", fmt.Errorf("the checkpoint: %w", err)
		}
	}
	at := slices.Index(m.states, state)
	switch {
	case at < 0:
		return "unknown state", errors.New("the checkpoint holds neither the last fsynced transaction nor the one in flight")
	case state == noContent:
		kind = "no checkpoint yet"
	case at == 0:
		kind = "last fsynced"
	default:
		kind = "in flight"
	}
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		return kind, fmt.Errorf("open the store: %w", err)
	}
	defer s.Close()
	if err := s.Load(func(*scheduler.Row) error { return nil }); err != nil {
		return kind, err
	}
	if err := m.checkLog(dir, s); err != nil {
		return kind, err
	}
	if err := s.Close(); err != nil {
		return kind, err
	}
	r, err := store.Check(dir, nil)
	if err == nil && !r.OK() {
		err = fmt.Errorf("check: %s", strings.Join(r.Problems, "; "))
	}
	return kind, err
}

// tornMachine notes what it is handed.
type tornMachine struct {
	mu      sync.Mutex
	applied map[uint64]string // guarded by mu
	failed  error             // guarded by mu
}

func (r *tornMachine) Apply(index, _ uint64, entry []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied[index] = string(entry)
}

func (r *tornMachine) Checkpoint(context.Context, uint64) error {
	return errors.New("no checkpoint is taken here")
}

func (r *tornMachine) fatal(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = errors.Join(r.failed, err)
}

const tornMarker = "the first command after the loss of power"

// checkLog opens the log: behind the checkpoint's index it must hand over all that was fsynced, and beyond that nothing
// that wasn't written; and it must take another command.
func (m *moment) checkLog(dir string, s *store.Store) (err error) {
	r := &tornMachine{applied: map[uint64]string{}}
	l, err := consensus.Open(consensus.Options{
		Dir: filepath.Join(dir, "raft"), NodeID: "1", Machine: r, Disk: s, Fatal: r.fatal, Now: time.Now,
		SegmentBytes: 64 << 10, TrailingEntries: 64,
	})
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for term := range l.Terms() {
		if term.Leader {
			break
		}
	}
	wait, err := l.Propose([]byte(tornMarker))
	if err == nil {
		err = wait()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := errors.Join(err, r.failed); err != nil {
		return fmt.Errorf("the log takes no command: %w", err)
	}
	return m.compare(r.applied, s.DurableIndex())
}

func (m *moment) compare(applied map[uint64]string, from uint64) error {
	last := uint64(0)
	for index, data := range applied {
		if data == tornMarker {
			continue
		}
		last = max(last, index)
		if want, ok := m.commands[index]; !ok || want != data {
			return fmt.Errorf("the log has a command at %d that nobody wrote", index)
		}
	}
	for index := range m.commands {
		if _, ok := applied[index]; !ok && index > from && index <= max(last, m.fsynced) {
			return fmt.Errorf("command %d is lost: fsynced are those through %d, the checkpoint holds %d, the log goes to %d", index, m.fsynced, from, last)
		}
	}
	return nil
}

// submitOnce is one submit that isn't repeated.
func submitOnce(ctx context.Context, stub pb.TaskServiceClient, n, pad int) ([]uint64, error) {
	specs := make([]*pb.TaskSpec, n)
	for i := range specs {
		specs[i] = &pb.TaskSpec{Kind: "note", Payload: client.JSON(notePayload{Pad: make([]byte, pad)})}
	}
	resp, err := stub.Submit(ctx, &pb.SubmitRequest{Tasks: specs})
	return resp.GetTaskIds(), err
}
