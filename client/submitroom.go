package client

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// enter puts a task among those that gather, once there is room.
func (s *Submitter) enter(ctx context.Context, p *pending, spec []byte) error {
	size := len(spec) + taskOverheadBytes
	s.mu.Lock()
	if ctx.Err() != nil || s.closed || s.room.Len() > 0 || !s.fits(size) {
		s.mu.Unlock()
		if err := s.queueUp(ctx, size); err != nil {
			return err
		}
		s.mu.Lock()
		if s.closed {
			s.free(1, size)
			s.mu.Unlock()
			return closedError()
		}
	} else {
		s.tasks, s.bytes = s.tasks+1, s.bytes+size
	}
	s.put(p, spec)
	s.bytes += p.parcel.lastSize() - size // what it takes in truth, which is less
	if !s.started {
		s.started = true
		go s.run()
	}
	if s.asleep && !s.full && s.telling == 0 {
		s.wake()
	}
	s.mu.Unlock()
	return nil
}

// put appends a task to the request that gathers, or to a new one. The caller holds mu.
func (s *Submitter) put(p *pending, spec []byte) {
	if r := s.gather; r != nil && (len(r.tasks) == SubmitterTasksMax || len(r.data)+len(spec)+taskOverheadBytes > SubmitterBytesMax) {
		s.ready = append(s.ready, r)
		s.gather = nil
	}
	if s.gather == nil {
		s.gather = &parcel{
			began: time.Now(), data: *rooms{}.Get(0), tasks: make([]*pending, 0, s.hint+1), ends: make([]int, 0, s.hint+1),
		}
	}
	s.gather.add(p, spec)
}

// lastSize is the encoded size of the task that came last.
func (r *parcel) lastSize() int { return len(r.encoded(len(r.tasks) - 1)) }

// queueUp waits until room is kept for a task.
func (s *Submitter) queueUp(ctx context.Context, size int) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return closedError()
	}
	t := &turn{bytes: size, come: make(chan struct{})}
	place := s.room.PushBack(t)
	s.grant()
	s.mu.Unlock()

	var err error
	select {
	case <-t.come:
		if err = ctx.Err(); err == nil {
			return nil
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.shut:
		err = ErrClosed
	case <-s.life.Done():
		err = ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-t.come:
		s.free(1, size)
	default:
		s.room.Remove(place)
	}
	e := newError(submitterOp, status.FromContextError(err).Err())
	e.Unreached = true
	return e.gaveUp(err)
}

func closedError() error {
	e := newError(submitterOp, status.Error(codes.Canceled, ErrClosed.Error()))
	e.Unreached = true
	return e.gaveUp(ErrClosed)
}

// fits reports whether one more task may wait. The caller holds mu.
func (s *Submitter) fits(size int) bool {
	return s.tasks == 0 || s.tasks < s.cfg.WaitingTasks && s.bytes+size <= s.cfg.WaitingBytes
}

// free gives room back. The caller holds mu.
func (s *Submitter) free(tasks, bytes int) {
	s.tasks, s.bytes = s.tasks-tasks, s.bytes-bytes
	s.grant()
}

// grant keeps room for those who wait for it, in turn. The caller holds mu.
func (s *Submitter) grant() {
	for s.room.Len() > 0 {
		t := s.room.Front().Value.(*turn)
		if !s.fits(t.bytes) {
			return
		}
		s.room.Remove(s.room.Front())
		s.tasks, s.bytes = s.tasks+1, s.bytes+t.bytes
		close(t.come)
	}
}

// again puts requests back among those that wait. They had their room given back when they were numbered, so for a moment
// more may wait than configured: at most what was in flight. The caller holds mu.
func (s *Submitter) again(parcels ...*parcel) {
	for _, r := range parcels {
		if r == nil {
			continue
		}
		s.tasks, s.bytes = s.tasks+r.live, s.bytes+r.liveBytes
		if r.due.IsZero() {
			s.ready = append(s.ready, r)
		} else {
			s.delayed = append(s.delayed, r)
		}
	}
	s.goOn()
}

// goOn wakes the sending goroutine for what an answer has made room for. The caller holds mu.
func (s *Submitter) goOn() {
	switch {
	case !s.asleep || s.telling > 0:
	case s.first() != nil, len(s.delayed) > 0, s.closed:
		s.wake()
	default:
		s.full = false // whoever comes wakes it
	}
}

// wake wakes the sending goroutine. The caller holds mu.
func (s *Submitter) wake() {
	s.asleep = false
	select {
	case s.kick <- struct{}{}:
	default: // it has been
	}
}
