package client

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// unaries sends requests by unary Submit, each on a goroutine, until one fails without an answer or the Submitter is closed
// and empty. Answers come in any order.
func (s *Submitter) unaries(ctx context.Context) error {
	failed := make(chan error, 1) // the first failure
	var wg sync.WaitGroup
	defer func() {
		wg.Wait()
		s.mu.Lock()
		s.sent = 0
		s.mu.Unlock()
	}()
	for {
		select {
		case err := <-failed:
			return err
		case <-s.life.Done():
			return s.life.Err()
		default:
		}
		m, wait, done := s.next(nil)
		switch {
		case m != nil:
			wg.Go(func() {
				err := s.submitOnce(ctx, m)
				m.tasks.Free()
				if err != nil {
					select {
					case failed <- err:
					default: // another was first
					}
				}
			})
		case done:
			wg.Wait()
			return nil
		default:
			s.sleep(wait, failed)
		}
	}
}

// submitOnce makes one attempt to send a request and settles its answer.
func (s *Submitter) submitOnce(ctx context.Context, m *encodedSubmit) error {
	r := m.parcel
	ctx, cancel := context.WithTimeoutCause(ctx, s.c.giveUp, errTimeUp)
	defer cancel()
	resp := new(yardmasterv1.SubmitResponse)
	sent, err := s.c.invoke([]grpc.CallOption{grpc.ForceCodecV2(s.codec)}, func(opts []grpc.CallOption) error {
		return s.c.conn.Invoke(ctx, yardmasterv1.TaskService_Submit_FullMethodName, m, resp, opts...)
	})
	if err == nil {
		s.stored(r, resp.GetTaskIds())
		return nil
	}
	e := newError(submitterOp, err)
	return s.refused(r, e, !sent || e.refused() || e.judged())
}
