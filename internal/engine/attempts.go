package engine

import (
	"bytes"
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// AttemptsMax is how many attempts of a task are kept, the last ones; of earlier ones only how many there were.
const AttemptsMax = 10

// attempts are charged attempts of a task, live or finished, that ended without success. They outlive its end and, if it is
// a dead letter that is retried, its generation; they go when nothing of the task is kept.
type attempts struct {
	list    [][]byte // encoded storagev1.Attempt, oldest first, at most AttemptsMax; read only
	earlier uint32   // how many came before those
	bytes   int      // of list
}

// add appends an attempt.
func (a *attempts) add(data []byte) {
	a.list = append(a.list, data)
	a.bytes += len(data)
	if len(a.list) > AttemptsMax {
		a.bytes -= len(a.list[0])
		a.list = append(a.list[:0:0], a.list[1:]...) // a reader may hold the old one
		a.earlier++
	}
}

// last is the newest attempt, or nil.
func (a *attempts) last() []byte {
	if len(a.list) == 0 {
		return nil
	}
	return a.list[len(a.list)-1]
}

// append appends the fields of a storagev1.Attempts.
func (a *attempts) append(b []byte) []byte {
	for _, data := range a.list {
		b = appendMessage(b, attemptsList, data)
	}
	return appendUint(b, attemptsEarlier, uint64(a.earlier))
}

// Numbers of the fields of a storagev1.Attempts.
const (
	attemptsOld     = 3 // up to it: the one attempt that the first format kept, with the numbers of a storagev1.Attempt
	attemptsList    = 4
	attemptsEarlier = 5
)

// readAttempts splits an encoded storagev1.Attempts. Everything that reads one from storage reads it here: the first
// format's single attempt comes out as the oldest of the list.
func readAttempts(data []byte) (a attempts) {
	old := 0 // bytes of the first format's fields, which come first
	size := len(data)
	for rest := data; len(rest) > 0; {
		num, typ, n := protowire.ConsumeField(rest)
		if n < 0 {
			break
		}
		field := rest[:n]
		rest = rest[n:]
		if num <= attemptsOld && old == size-len(rest)-n {
			old += n
		}
		_, _, tag := protowire.ConsumeTag(field)
		switch {
		case num == attemptsList && typ == protowire.BytesType:
			v, _ := protowire.ConsumeBytes(field[tag:])
			a.list = append(a.list, v)
			a.bytes += len(v)
		case num == attemptsEarlier && typ == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(field[tag:])
			a.earlier = uint32(v)
		}
	}
	if old > 0 {
		a.list = append([][]byte{data[:old:old]}, a.list...)
		a.bytes += old
	}
	return a
}

// appendAttempt appends the fields of a storagev1.Attempt.
func appendAttempt(b []byte, f *scheduler.Failed, ended scheduler.Time, detail []byte) []byte {
	b = appendUint(b, 1, uint64(f.Cause))
	b = appendUint(b, 2, uint64(f.Attempt))
	b = appendBytes(b, 3, detail)
	b = appendUint(b, 4, uint64(f.Gen))
	b = appendUint(b, 5, uint64(f.Token))
	b = appendUint(b, 6, uint64(f.Session))
	b = appendString(b, 7, f.Worker)
	b = appendUint(b, 8, uint64(f.Granted))
	return appendUint(b, 9, uint64(ended))
}

// stageFailed keeps an attempt for the next checkpoint. Under mu.
func (e *Engine) stageFailed(b *scheduler.Batch, f *scheduler.Failed, now scheduler.Time) {
	u := e.live
	e.scratch = appendAttempt(e.scratch[:0], f, now, detailOf(b, f.Cmd, f.Item))
	a := u.attempts[f.Task]
	u.bytes -= a.bytes
	a.add(u.encoded.keep(e.scratch))
	u.bytes += a.bytes
	u.attempts[f.Task] = a
	e.dropScratch()
}

// stagedLast is the last attempt of a task that storage doesn't hold yet, or nil.
func (e *Engine) stagedLast(id scheduler.TaskID) []byte {
	a, ok := e.live.attempts[id]
	if !ok && e.sealed != nil {
		a = e.sealed.attempts[id]
	}
	return a.last()
}

// storedLast is the last attempt of a task that storage holds, or nil.
func (e *Engine) storedLast(id scheduler.TaskID) ([]byte, error) {
	data, err := e.opts.Storage.Failure(id)
	if err != nil {
		return nil, fmt.Errorf("read attempts of task %d: %w", id, err)
	}
	a := readAttempts(data)
	return a.last(), nil
}

func decodeAttempt(id scheduler.TaskID, data []byte) (*storagev1.Attempt, error) {
	a := &storagev1.Attempt{}
	if err := proto.Unmarshal(data, a); err != nil {
		return nil, fmt.Errorf("decode attempt of task %d: %w", id, err)
	}
	return a, nil
}

// allAttempts merges what storage and the buffers hold. The buffers are looked at first: what is saved meanwhile is found
// in storage again, and known by its last attempt.
func (e *Engine) allAttempts(id scheduler.TaskID) (attempts, error) {
	var buffers [2]attempts
	e.mu.RLock()
	if e.sealed != nil {
		buffers[0] = e.sealed.attempts[id]
	}
	buffers[1] = e.live.attempts[id]
	e.mu.RUnlock()
	data, err := e.opts.Storage.Failure(id)
	if err != nil {
		return attempts{}, fmt.Errorf("read attempts of task %d: %w", id, err)
	}
	all := readAttempts(data)
	for i := range buffers {
		more := &buffers[i]
		if all.has(more.last()) {
			continue
		}
		all.earlier += more.earlier
		for _, data := range more.list {
			all.add(data)
		}
	}
	return all, nil
}

// has reports whether an attempt is in the list. Attempts differ: each has its token, its number and its end.
func (a *attempts) has(data []byte) bool {
	for _, x := range a.list {
		if bytes.Equal(x, data) {
			return true
		}
	}
	return false
}
