package consensus

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// fault remembers the first write error and makes it final. After a failed
// fsync nobody knows what the disk holds, so nothing is tried twice.
type fault struct {
	fatal func(error)

	once  sync.Once
	dead  chan struct{} // closed when first is set
	first atomic.Pointer[error]

	// stop stops raft. It is set once raft exists. Stopping before the error
	// goes back to raft keeps raft from holding an election, whose new term it
	// couldn't save: raft panics then.
	stop atomic.Pointer[func()]
}

func newFault(fatal func(error)) *fault {
	return &fault{fatal: fatal, dead: make(chan struct{})}
}

// trip makes err the log's end, if it is the first, and returns ErrFailed.
func (f *fault) trip(err error) error {
	f.once.Do(func() {
		f.first.Store(&err)
		close(f.dead)
		if stop := f.stop.Load(); stop != nil {
			(*stop)()
		}
		f.fatal(err)
	})
	return f.err()
}

// err is nil until trip, then ErrFailed with the first error.
func (f *fault) err() error {
	if first := f.first.Load(); first != nil {
		return fmt.Errorf("%w: %w", ErrFailed, *first)
	}
	return nil
}
