package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

type awaitStream = grpc.ServerStreamingServer[yardmasterv1.AwaitResponse]

func idsTo(n int) []uint64 {
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = uint64(i + 1)
	}
	return ids
}

func TestAwait(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		out, err := c.Await(t.Context(), 7)
		if err != nil || out.ID != 7 || out.State != client.Succeeded || out.Err() != nil {
			t.Fatalf("outcome %+v, error %v", out, err)
		}
		if v, err := client.Result[int](out); err != nil || v != 7 {
			t.Errorf("result %d, error %v", v, err)
		}
		if _, err := client.Result[[]string](out); err == nil {
			t.Error("7 was decoded as a list")
		}
	})
}

func TestAwaitFailedTask(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onAwait = func(_ int, ids []uint64, stream awaitStream) error {
			return stream.Send(&yardmasterv1.AwaitResponse{TaskId: ids[0], Outcome: &yardmasterv1.Outcome{
				State: client.Dead, Cause: yardmasterv1.Cause_CAUSE_EXIT, Failure: &client.Failure{Message: "exit code 2"}}})
		}
		out, err := c.Await(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		var failed *client.TaskError
		if _, err := client.Result[int](out); !errors.As(err, &failed) || failed.Outcome != out {
			t.Errorf("error %v", err)
		}
		if text := out.Err().Error(); text != "task 7 is dead (exit): exit code 2" {
			t.Errorf("error reads %q", text)
		}
	})
}

func TestAwaitLostOutcome(t *testing.T) {
	for reason, want := range map[string]error{
		"OUTCOME_NOT_RETAINED": client.ErrNotRetained, "TASK_UNKNOWN": client.ErrUnknownTask,
	} {
		bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
			n.onAwait = func(_ int, ids []uint64, stream awaitStream) error {
				return stream.Send(&yardmasterv1.AwaitResponse{TaskId: ids[0], MissingReason: reason})
			}
			if _, err := c.Await(t.Context(), 7); !errors.Is(err, want) {
				t.Errorf("%s: error %v", reason, err)
			}
		})
	}
}

// Streams break in the middle again and again; every id comes once, on however many streams.
func TestAwaitAllOverBrokenStreams(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onAwait = func(_ int, ids []uint64, stream awaitStream) error {
			most := 4_000
			if len(ids) <= most {
				return sendOutcomes(stream, ids)
			}
			if err := sendOutcomes(stream, ids[:most]); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "stopping")
		}
		const tasks = 25_000
		ids := append(idsTo(tasks), 1, 2, 3) // duplicates
		var mu sync.Mutex
		got := map[uint64]int{}
		err := c.AwaitAll(t.Context(), ids, func(id uint64, out *client.Outcome) error {
			if !mu.TryLock() {
				t.Error("two outcomes are handed over at a time")
				return nil
			}
			defer mu.Unlock()
			if out.ID != id || string(out.Result) != fmt.Sprint(id) {
				t.Errorf("id %d came with %+v", id, out)
			}
			got[id]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != tasks {
			t.Errorf("%d ids came, want %d", len(got), tasks)
		}
		for id, times := range got {
			if times != 1 {
				t.Errorf("id %d came %d times", id, times)
			}
		}
		if n.awaits != 3+3+2 { // 10,000 in three streams, twice, and 5,000 in two
			t.Errorf("%d streams", n.awaits)
		}
	})
}

func TestAwaitSurvivesAnOutage(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onAwait = func(stream int, ids []uint64, s awaitStream) error {
			if stream == 1 {
				time.AfterFunc(time.Hour, func() { n.setDown(true) })
				time.AfterFunc(time.Hour+4*time.Minute, func() { n.setDown(false) })
				<-s.Context().Done()
				return nil
			}
			return sendOutcomes(s, ids)
		}
		start := time.Now()
		if _, err := c.Await(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Hour+4*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAwaitGivesUpOnALongOutage(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.setDown(true)
		start := time.Now()
		_, err := c.Await(t.Context(), 1)
		if status.Code(err) != codes.Unavailable || time.Since(start) < 4*time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if !strings.HasPrefix(err.Error(), "await task 1: unavailable: connection refused (") {
			t.Errorf("error reads %q", err)
		}
	})
}

func TestAwaitStreamThatEndsEarlyIsMadeAnew(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onAwait = func(stream int, ids []uint64, s awaitStream) error {
			if stream == 1 {
				return nil
			}
			return sendOutcomes(s, ids)
		}
		if _, err := c.Await(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAwaitAllEndsWithTheCallersError(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		enough := errors.New("enough")
		calls := 0
		err := c.AwaitAll(t.Context(), idsTo(50_000), func(uint64, *client.Outcome) error {
			if calls++; calls == 3 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || calls != 3 {
			t.Errorf("error %v after %d calls", err, calls)
		}
	})
}

func TestAwaitAllEndsWithContextAndClose(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onAwait = func(_ int, _ []uint64, s awaitStream) error { <-s.Context().Done(); return s.Context().Err() }
		none := func(uint64, *client.Outcome) error { return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.AwaitAll(ctx, idsTo(15_000), none)
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "await 15000 tasks: context deadline exceeded" {
			t.Errorf("error %v", err)
		}
		ended := make(chan error)
		go func() { ended <- c.AwaitAll(t.Context(), idsTo(15_000), none) }()
		synctest.Wait()
		c.Close()
		if err := <-ended; !errors.Is(err, client.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestAwaitRefused(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onAwait = func(int, []uint64, awaitStream) error { return refusal(codes.InvalidArgument, "no", "INVALID", 0) }
		if _, err := c.Await(t.Context(), 0); status.Code(err) != codes.InvalidArgument || n.awaits != 1 {
			t.Errorf("error %v after %d streams", err, n.awaits)
		}
	})
}
