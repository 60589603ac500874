package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// testLog is a log in memory. It applies on a goroutine of its own, in order, and can be told to hold what was proposed,
// to lose it, to refuse proposals and to change leadership.
type testLog struct {
	mu         sync.Mutex
	entries    [][]byte // committed; entry i has index i+1
	waiting    []*testEntry
	held       bool
	holdAt     scheduler.Op // hold begins with the first such command
	refuse     error        // of Propose
	doubt      error        // of wait, though the entry was applied
	term       uint64
	cut        func(context.Context) error
	cuts       int
	wake       chan struct{}
	leadership chan Leadership
	closed     chan struct{}
	done       chan struct{} // closed when the apply goroutine has ended
}

type testEntry struct {
	data []byte
	fate chan error // one value
}

var errTestLost = errors.New("leadership lost")

func newTestLog(entries ...[]byte) *testLog {
	return &testLog{
		entries: slices.Clone(entries), wake: make(chan struct{}, 1), leadership: make(chan Leadership, 1),
		closed: make(chan struct{}), done: make(chan struct{}),
	}
}

// serve replays what the engine lacks and then applies what is committed, until close.
func (l *testLog) serve(e *Engine) {
	l.mu.Lock()
	replay := l.entries
	l.mu.Unlock()
	go func() {
		defer close(l.done)
		for i := int(e.opts.Storage.DurableIndex()); i < len(replay); i++ {
			e.Apply(uint64(i+1), 0, slices.Clone(replay[i]))
		}
		for {
			for index, en := l.commit(); en != nil; index, en = l.commit() {
				e.Apply(index, 0, en.data)
				en.fate <- get(&l.mu, &l.doubt)
			}
			select {
			case <-l.wake:
			case <-l.closed:
				return
			}
		}
	}()
}

// commit makes the next proposal durable, unless the log holds.
func (l *testLog) commit() (uint64, *testEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return 0, nil
	default:
	}
	if l.held || len(l.waiting) == 0 {
		return 0, nil
	}
	en := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.entries = append(l.entries, en.data)
	return uint64(len(l.entries)), en
}

func (l *testLog) Propose(entry []byte) (func() error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return nil, l.refuse
	}
	if l.holdAt != 0 {
		var b scheduler.Batch
		if err := decodeEntry(entry, &b); err != nil {
			return nil, err
		}
		for i := range b.Commands {
			l.held = l.held || b.Commands[i].Op == l.holdAt
		}
	}
	en := &testEntry{data: entry, fate: make(chan error, 1)}
	l.waiting = append(l.waiting, en)
	l.poke()
	return func() error { return <-en.fate }, nil
}

func (l *testLog) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *testLog) Leadership() <-chan Leadership { return l.leadership }

func (l *testLog) Cut(ctx context.Context) error {
	l.mu.Lock()
	l.cuts++
	cut := l.cut
	l.mu.Unlock()
	if cut == nil {
		return nil
	}
	return cut(ctx)
}

// lead begins a term, lose ends it.
func (l *testLog) lead() { l.tell(true) }
func (l *testLog) lose() { l.tell(false) }

func (l *testLog) tell(leader bool) {
	l.mu.Lock()
	l.term++
	now := Leadership{Leader: leader, Term: l.term}
	l.mu.Unlock()
	select { // latest only
	case <-l.leadership:
	default:
	}
	l.leadership <- now
}

// hold keeps what is proposed from being committed; release lets it go on.
func (l *testLog) hold() { l.setHeld(true) }

func (l *testLog) release() { l.setHeld(false) }

func (l *testLog) setHeld(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = on
	l.poke()
}

func (l *testLog) refuseWith(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = err
}

// drop gives up on what is held: it is in no log, and its proposers don't know that.
func (l *testLog) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, en := range l.waiting {
		en.fate <- errTestLost
	}
	l.waiting = nil
}

// forsake answers what is held as drop does, but commits it later, as another leader might.
func (l *testLog) forsake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, en := range l.waiting {
		en.fate <- errTestLost
		l.waiting[i] = &testEntry{data: slices.Clone(en.data), fate: make(chan error, 1)}
	}
}

func (l *testLog) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

func (l *testLog) copied() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// close ends the log: what is not committed yet never will be.
func (l *testLog) close() {
	close(l.closed)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, en := range l.waiting {
		en.fate <- fmt.Errorf("%w: log closed", errTestLost)
	}
	l.waiting = nil
	close(l.leadership)
}
