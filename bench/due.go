package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// dueSuite has all tasks of the backlog come due in the same second, and measures how long heartbeats and submits wait.
func (b *bench) dueSuite(ctx context.Context) error {
	s, err := newSite(ctx, b.options)
	if err != nil {
		return err
	}
	defer s.close()
	at := time.Now().Add(15*time.Second + time.Duration(b.backlog)*15*time.Microsecond).Truncate(time.Second)
	one := s.task("noop", none)
	one.NotBefore = at
	if _, err := s.fill(ctx, b.backlog, one); err != nil {
		return err
	}
	if time.Until(at) < 5*time.Second {
		return fmt.Errorf("filling took too long: %s are left", time.Until(at))
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	calm, err := s.probe(ctx, time.Now().Add(2*time.Second))
	if err != nil {
		return err
	}
	time.Sleep(time.Until(at.Add(-500 * time.Millisecond)))
	busy, err := s.probe(ctx, at.Add(10*time.Second))
	if err != nil {
		return err
	}
	st, err := s.status(ctx)
	if err != nil {
		return err
	}
	if st.GetScheduled() != 0 {
		return fmt.Errorf("%d tasks are still scheduled 10 s after they were due", st.GetScheduled())
	}
	name := func(what string) string { return fmt.Sprintf("%d due in one second: %s", b.backlog, what) }
	b.add(name("longest heartbeat, before"), "ms", millis(calm.beat))
	b.add(name("longest heartbeat, meanwhile"), "ms", millis(busy.beat))
	b.add(name("longest submit, before"), "ms", millis(calm.submit))
	b.add(name("longest submit, meanwhile"), "ms", millis(busy.submit))
	return nil
}

type stalls struct{ beat, submit time.Duration }

// probe sends a heartbeat and a submit each 10 ms and returns the longest wait for an answer of each.
func (s *site) probe(ctx context.Context, until time.Time) (worst stalls, err error) {
	conn, err := grpc.NewClient(s.server.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return worst, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	live, err := newRawSession(fmt.Sprintf("probe-%d", time.Now().UnixNano())).open(ctx, conn)
	if err != nil {
		return worst, err
	}
	var wg sync.WaitGroup
	var submitErr error
	wg.Go(func() {
		for time.Now().Before(until) && submitErr == nil {
			t := time.Now()
			_, submitErr = s.client.Submit(ctx, s.task("probe", none))
			worst.submit = max(worst.submit, time.Since(t))
			time.Sleep(10 * time.Millisecond)
		}
	})
	for time.Now().Before(until) {
		t := time.Now()
		if err := live.heartbeat(t.UnixNano()); err != nil {
			return worst, err
		}
		select {
		case <-live.acks:
		case err := <-live.broken:
			return worst, err
		}
		worst.beat = max(worst.beat, time.Since(t))
		time.Sleep(10 * time.Millisecond)
	}
	wg.Wait()
	return worst, submitErr
}
