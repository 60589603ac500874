package engine

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// late are fields of a finished task that only storage held when it ended: the labels in its body, its last failure. The
// checkpoint that drops the body, and may drop the attempts or add some, reads them before. So whoever does not find them
// in storage any more finds them here.
type late struct {
	id      scheduler.TaskID
	labels  bool
	failure bool
	fields  atomic.Pointer[[]byte] // encoded, to be appended to a storagev1.Finished
}

// lateBodies is how many bodies are read at a time.
const lateBodies = 256

// lateFields returns the fields for a reader.
func (e *Engine) lateFields(l *late) ([]byte, error) {
	if f := l.fields.Load(); f != nil {
		return *f, nil
	}
	var b []byte
	if l.labels {
		err := e.opts.Storage.Bodies([]scheduler.TaskID{l.id}, func(_ int, data []byte) error {
			b = appendLabels(b, data)
			return nil
		})
		if err != nil && Damaged(err) == nil {
			return nil, fmt.Errorf("read body of task %d: %w", l.id, err)
		}
	}
	b, err := e.appendLateFailure(b, l)
	if err != nil {
		return nil, err
	}
	// A checkpoint may have come between: it has dropped what was read here, or added attempts of a later generation.
	if f := l.fields.Load(); f != nil {
		return *f, nil
	}
	return b, nil
}

func (e *Engine) appendLateFailure(b []byte, l *late) ([]byte, error) {
	if !l.failure {
		return b, nil
	}
	last, err := e.storedLast(l.id)
	if err != nil || last == nil {
		return b, err
	}
	return appendMessage(b, finishedLast, last), nil
}

// readLate reads the fields of all before a checkpoint drops them from storage. Bodies are read in order of id, many at a
// time: that is ten times as fast as one by one. Labels in a damaged body are lost: the checkpoint goes on without them.
func (e *Engine) readLate(all []*late) error {
	slices.SortFunc(all, func(a, b *late) int { return cmp.Compare(a.id, b.id) })
	ids := make([]scheduler.TaskID, 0, min(len(all), lateBodies))
	labels := make([][]byte, cap(ids))
	for len(all) > 0 {
		some := all[:min(len(all), lateBodies)]
		all = all[len(some):]
		ids = ids[:0]
		for _, l := range some {
			ids = append(ids, l.id)
		}
		clear(labels)
		err := e.opts.Storage.Bodies(ids, func(i int, data []byte) error {
			if some[i].labels {
				labels[i] = appendLabels(nil, data)
			}
			return nil
		})
		if lost := Damaged(err); lost != nil {
			e.logger.Error("labels of finished tasks are damaged, and lost", "tasks", len(lost), "first", lost[0], "error", err)
		} else if err != nil {
			return fmt.Errorf("read labels of finished tasks: %w", err)
		}
		for i, l := range some {
			b, err := e.appendLateFailure(labels[i], l)
			if err != nil {
				return err
			}
			l.fields.Store(&b)
		}
	}
	return nil
}
