package rpc

import (
	"sync"
	"sync/atomic"
	"time"
)

// SendBlockedMax is how long one SendMsg may block before its stream is ended.
const SendBlockedMax = 5 * time.Second

// watchdog ends streams whose peer doesn't read. It is asked by the server's ticker.
type watchdog struct {
	mu      sync.Mutex
	senders map[*sender]struct{}
}

// sender is a goroutine that calls SendMsg.
type sender struct {
	began atomic.Int64 // monotonic time of the SendMsg under way; 0: none
	end   func(error)
}

func (w *watchdog) add(s *sender) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.senders[s] = struct{}{}
}

func (w *watchdog) drop(s *sender) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.senders, s)
}

func (w *watchdog) tick(now, gap int64) {
	var stuck []*sender
	w.mu.Lock()
	for s := range w.senders {
		began := s.began.Load()
		if began == 0 {
			continue
		}
		if gap > 0 && s.began.CompareAndSwap(began, began+gap) {
			began += gap
		}
		if now-began >= int64(SendBlockedMax) {
			stuck = append(stuck, s)
		}
	}
	w.mu.Unlock()
	for _, s := range stuck {
		s.end(slowReader())
	}
}

// send times one call. now must not return 0.
func (s *sender) send(now func() int64, call func() error) error {
	s.began.Store(now())
	err := call()
	s.began.Store(0)
	return err
}
