package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// sessionsRole is the first argument of the process that holds the idle sessions.
const sessionsRole = "sessions-role"

// sessionsAnswer is what that process says on its standard output, a line for each command.
type sessionsAnswer struct {
	Sessions int     `json:"sessions"` // opened or resumed
	P50      float64 `json:"p50"`      // milliseconds from the command to the Welcome
	Max      float64 `json:"max"`
	Error    string  `json:"error,omitempty"`
}

// crowd is many idle sessions.
type crowd struct {
	conns    []*grpc.ClientConn
	sessions []*rawSession
	cut      []chan time.Time // each cuts its session's stream and has it resumed at once
	resumed  chan time.Duration
	failed   chan error
}

// sessionsMain opens sessions, then reads lines "cut N" from standard input until it ends.
func sessionsMain(args []string) error {
	flags := flag.NewFlagSet(sessionsRole, flag.ExitOnError)
	addr := flags.String("addr", "", "coordinator")
	n := flags.Int("n", 10_000, "sessions")
	conns := flags.Int("conns", 40, "connections")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := &crowd{resumed: make(chan time.Duration, *n), failed: make(chan error, *n)}
	for range *conns {
		conn, err := grpc.NewClient(*addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		c.conns = append(c.conns, conn)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	began := time.Now()
	for i := range *n {
		c.sessions = append(c.sessions, newRawSession(fmt.Sprintf("idle-%d", i)))
		c.cut = append(c.cut, make(chan time.Time, 1))
		wg.Go(func() { c.hold(ctx, i, began) })
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(c.gather(*n)); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var k int
		if _, err := fmt.Sscanf(lines.Text(), "cut %d", &k); err != nil || k > *n {
			return fmt.Errorf("command %q: want cut N", lines.Text())
		}
		now := time.Now()
		for i := range k {
			c.cut[i] <- now
		}
		if err := out.Encode(c.gather(k)); err != nil {
			return err
		}
	}
	return nil
}

// gather waits for n sessions to be welcomed.
func (c *crowd) gather(n int) sessionsAnswer {
	var took []time.Duration
	a := sessionsAnswer{}
	deadline := time.After(2 * time.Minute)
	for len(took) < n && a.Error == "" {
		select {
		case d := <-c.resumed:
			took = append(took, d)
		case err := <-c.failed:
			a.Error = err.Error()
		case <-deadline:
			a.Error = fmt.Sprintf("%d of %d sessions within two minutes", len(took), n)
		}
	}
	slices.Sort(took)
	a.Sessions, a.P50, a.Max = len(took), quantile(took, .5), quantile(took, 1)
	return a
}

// hold keeps one session alive.
func (c *crowd) hold(ctx context.Context, i int, since time.Time) {
	for ctx.Err() == nil {
		next, err := c.live(ctx, i, since)
		if err != nil && ctx.Err() == nil {
			c.failed <- err
			return
		}
		since = next
	}
}

// live opens or resumes a session and keeps it until it is cut; it returns when that was.
func (c *crowd) live(ctx context.Context, i int, since time.Time) (time.Time, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := c.sessions[i]
	l, err := s.open(ctx, c.conns[i%len(c.conns)])
	if err != nil {
		return since, err
	}
	c.resumed <- time.Since(since)
	tick := time.NewTicker(s.beat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := l.heartbeat(time.Now().UnixNano()); err != nil {
				return since, errors.Join(err, <-l.broken)
			}
		case <-l.acks:
		case err := <-l.broken:
			return since, fmt.Errorf("session %s: %w", s.name, err)
		case at := <-c.cut[i]:
			cancel()
			<-l.broken
			return at, nil
		}
	}
}
