package rpc

import (
	"context"
	"fmt"
)

// SetNotServing makes health checks fail, so that clients go elsewhere. Calls are still served. The first phase of a stop.
func (s *Server) SetNotServing() {
	s.mu.Lock()
	s.withdrawn = true
	s.mu.Unlock()
	s.showHealth()
}

// EndStreams ends all streams with UNAVAILABLE, reason STOPPING, and refuses new ones: workers' sessions are detached and
// wait for their TTL. Only Watch calls go on, to tell what that causes. The second phase; the engine must still run.
func (s *Server) EndStreams() { s.endStreams(errEnded) }

// GracefulStop waits for calls under way, and no longer than ctx, and closes all listeners and connections. If there are
// watchers it has the engine refuse what is proposed from then on, so that they can be told all events. The third phase. It
// may be called twice.
func (s *Server) GracefulStop(ctx context.Context) error {
	s.SetNotServing()
	s.EndStreams()
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	s.flushWatches(ctx)
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("stop gRPC: calls were cut off: %w", context.Cause(ctx))
		s.grpc.Stop()
		<-done
	}
	s.stopTick()
	s.loops.Wait()
	return err
}

// flushWatches ends Watch calls once they have sent the last event that there will be. The next start replays nothing, since
// the last checkpoint holds all: what a watcher wasn't told before would be a gap to it.
func (s *Server) flushWatches(ctx context.Context) {
	defer s.endWatches(errEnded)
	if s.watches.n.Load() == 0 || s.calls.wait(ctx) != nil {
		return
	}
	most := WatchFlushMax
	if end, ok := ctx.Deadline(); ok {
		most = min(most, end.Sub(s.opts.Now())/2) // the other half is for what GracefulStop waits for
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := s.engine.Quiesce(ctx)
	if err == nil {
		s.flushing.Do(func() { close(s.flush) })
		err = s.watches.wait(ctx)
	}
	if err != nil {
		s.logger.Warn("watchers may not have been told the last events", "watchers", s.watches.n.Load(), "error", err)
	}
}

// Stop cuts everything off.
func (s *Server) Stop() {
	s.SetNotServing()
	s.EndStreams()
	s.endWatches(errEnded)
	s.grpc.Stop()
	s.stopTick()
	s.loops.Wait()
}
