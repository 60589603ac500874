package consensus

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// proposal is an entry handed to raft and not yet answered.
type proposal struct {
	future raft.ApplyFuture
	size   int
	done   chan struct{} // closed by settle, after err is set
	err    error
}

// Propose hands entry to raft and returns at once; entries proposed one after
// the other by one goroutine stay in that order. wait blocks until the entry
// was applied here (nil) or can't be, with ErrNotLeader (it is in no log) or
// ErrUnknown (nobody knows); it may be called any number of times, by anyone,
// or not at all. An error of Propose itself means that the entry is in no log:
// ErrEntryTooLarge, ErrBusy, ErrNotLeader, ErrFailed or ErrClosed.
//
// The caller must not change entry until wait has returned.
func (l *Log) Propose(entry []byte) (wait func() error, err error) {
	if len(entry) > EntryBytesMax {
		return nil, fmt.Errorf("%w: it has %d bytes, the limit is %d: split it", ErrEntryTooLarge, len(entry), EntryBytesMax)
	}
	l.gate.RLock()
	defer l.gate.RUnlock()
	if l.closing {
		return nil, ErrClosed
	}
	if err := l.fault.err(); err != nil {
		return nil, err
	}
	if l.raft.State() != raft.Leader {
		return nil, ErrNotLeader
	}
	if err := l.admit(len(entry)); err != nil {
		return nil, err
	}
	// Neither blocks: raft's queue and pending are as long as there are slots.
	p := &proposal{future: l.raft.ApplyLog(raft.Log{Data: entry, Extensions: sealOf(entry)}, 0), size: len(entry), done: make(chan struct{})}
	l.pending <- p
	return func() error { return l.await(p) }, nil
}

// admit takes a slot for an entry; settle gives it back.
func (l *Log) admit(size int) error {
	select {
	case l.slots <- struct{}{}:
	default:
		return fmt.Errorf("%w: the limit is %d", ErrBusy, InFlightMax)
	}
	if l.inFlightBytes.Add(int64(size)) > InFlightBytesMax {
		l.release(size)
		return fmt.Errorf("%w: the limit is %d bytes", ErrBusy, InFlightBytesMax)
	}
	return nil
}

func (l *Log) release(size int) {
	l.inFlightBytes.Add(-int64(size))
	<-l.slots
}

func (l *Log) await(p *proposal) error {
	select {
	case <-p.done:
		return p.err
	case <-l.fault.dead:
	case <-l.closed:
	}
	select {
	case <-p.done:
		return p.err
	default:
	}
	if err := l.fault.err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, ErrClosed)
}

// settle answers proposals, oldest first. It exists so that Close can know when
// raft has answered them all: raft that is stopped never answers what is still
// in its queues. After a fault raft is stopped at once, so settle may then wait
// for such an answer until the process ends.
func (l *Log) settle() {
	defer close(l.settled)
	for p := range l.pending {
		p.err = fate(p.future.Error())
		l.release(p.size)
		close(p.done)
	}
}

// fate turns raft's answer into ours.
func fate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrRaftShutdown):
		// Raft gives this to entries that are committed and not applied, too.
		return fmt.Errorf("%w: %w", ErrUnknown, ErrClosed)
	default:
		// ErrLeadershipLost, or a write that may have reached the disk in part.
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
}
