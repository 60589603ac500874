package batch

import "github.com/yardmaster/yardmaster/internal/scheduler"

// Limits of one entry.
const (
	RowsMax  = scheduler.StepCommandsRows // rows that an entry's commands may change, as estimated by Rows
	BytesMax = 8 << 20                    // encoded size of an entry, as estimated by Bytes; half of what the log takes
)

// Item is a proposed command and what its proposer wants back with it.
type Item[T any] struct {
	Command scheduler.Command
	Tag     T
	rows    int
	bytes   int
}

// Batcher is the line of proposed commands.
type Batcher[T any] struct {
	items []Item[T]
	head  int
	rows  int
	bytes int
}

// Len is how many commands wait.
func (b *Batcher[T]) Len() int { return len(b.items) - b.head }

// Rows is how many rows the waiting commands would change, about.
func (b *Batcher[T]) Rows() int { return b.rows }

// Bytes is the size of the waiting commands, about.
func (b *Batcher[T]) Bytes() int { return b.bytes }

// Add puts a command at the end of the line.
func (b *Batcher[T]) Add(c scheduler.Command, tag T) {
	it := Item[T]{Command: c, Tag: tag, rows: Rows(&c), bytes: Bytes(&c)}
	b.items = append(b.items, it)
	b.rows += it.rows
	b.bytes += it.bytes
}

// Cut takes the commands of the next entry off the line and appends them to dst: as many as fit, at least one.
func (b *Batcher[T]) Cut(dst []Item[T]) []Item[T] {
	rows, bytes := 0, 0
	for b.head < len(b.items) {
		it := &b.items[b.head]
		if rows > 0 && (rows+it.rows > RowsMax || bytes+it.bytes > BytesMax) {
			break
		}
		rows += it.rows
		bytes += it.bytes
		dst = append(dst, *it)
		*it = Item[T]{}
		b.head++
	}
	b.rows -= rows
	b.bytes -= bytes
	if b.head == len(b.items) {
		b.items, b.head = b.items[:0], 0
		if cap(b.items) > keepMax {
			b.items = nil
		}
	} else if b.head > len(b.items)/2 {
		n := copy(b.items, b.items[b.head:])
		clear(b.items[n:])
		b.items, b.head = b.items[:n], 0
	}
	return dst
}

// keepMax bounds the memory kept by an empty line.
const keepMax = 1 << 16

// Rows estimates how many rows a command changes: at least 1, so that an entry holds at most RowsMax commands.
func Rows(c *scheduler.Command) int {
	n := 0
	switch c.Op {
	case scheduler.OpSubmit:
		n = len(c.Submit.Tasks)
	case scheduler.OpCancel:
		n = 2 * len(c.Cancel.IDs)
	case scheduler.OpRetry:
		n = 2 * len(c.Retry.Items)
	case scheduler.OpOutcomes:
		n = 2 * len(c.Outcomes.List)
	case scheduler.OpForget:
		n = len(c.Forget.Items)
	case scheduler.OpDelete:
		n = 2 * len(c.Delete.Items)
	case scheduler.OpExpireSession, scheduler.OpCloseSession:
		n = 1 // another session may have its name back
	case scheduler.OpOpenSession:
		n = len(c.Open.Tokens)
	case scheduler.OpResumeSession:
		n = len(c.Resume.Tokens)
	default:
		if s := c.Session; s != nil {
			n = 2 * (len(s.Over) + len(s.Unconfirmed) + len(s.Tokens))
		}
	}
	return n + 1
}

// Fixed parts of encoded sizes, rounded up.
const (
	commandBytes = 64
	taskBytes    = 160
	outcomeBytes = 48
	tokenBytes   = 12
	knownBytes   = 48
)

// Bytes estimates the encoded size of a command.
func Bytes(c *scheduler.Command) int {
	n := commandBytes
	switch c.Op {
	case scheduler.OpSubmit:
		for i := range c.Submit.Tasks {
			n += specBytes(&c.Submit.Tasks[i])
		}
	case scheduler.OpRetry:
		for i := range c.Retry.Items {
			n += specBytes(&c.Retry.Items[i].Spec)
		}
	case scheduler.OpOutcomes:
		for i := range c.Outcomes.List {
			n += outcomeBytes + len(c.Outcomes.List[i].Detail)
		}
	case scheduler.OpCancel:
		n += tokenBytes * len(c.Cancel.IDs)
	case scheduler.OpForget:
		n += 2 * tokenBytes * len(c.Forget.Items)
	case scheduler.OpDelete:
		n += 2 * tokenBytes * len(c.Delete.Items)
	case scheduler.OpPauseQueue, scheduler.OpResumeQueue, scheduler.OpConfigureQueue:
		n += len(c.Queue.Name)
	case scheduler.OpOpenSession:
		n += workerBytes(&c.Open.Worker) + knownBytes*len(c.Open.Tokens)
	case scheduler.OpResumeSession:
		n += knownBytes * len(c.Resume.Tokens)
	default:
		if s := c.Session; s != nil {
			n += tokenBytes * (len(s.Over) + len(s.Unconfirmed) + len(s.Started) + len(s.Tokens))
		}
	}
	return n
}

func specBytes(t *scheduler.TaskSpec) int {
	n := taskBytes + len(t.Kind) + len(t.Queue) + len(t.Body)
	for _, l := range t.Require {
		n += len(l.Key) + len(l.Value) + 8
	}
	return n
}

func workerBytes(w *scheduler.WorkerInfo) int {
	n := 0
	for _, names := range [][]string{w.Kinds, w.Queues} {
		for _, s := range names {
			n += len(s) + 4
		}
	}
	for _, l := range w.Labels {
		n += len(l.Key) + len(l.Value) + 8
	}
	for i := range w.Pools {
		n += 64
		for _, s := range w.Pools[i].Kinds {
			n += len(s) + 4
		}
	}
	return n
}
