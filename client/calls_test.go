package client_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// failFirst makes the first call of each test fail.
func failFirst(err error) func(int, string) error {
	return func(n int, _ string) error {
		if n == 1 {
			return err
		}
		return nil
	}
}

func TestReadsAreRepeated(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onCall = failFirst(status.Error(codes.Unavailable, "stopping"))
		task, err := c.Get(t.Context(), 5)
		if err != nil || task.GetId() != 5 || n.calls != 2 {
			t.Errorf("task %v, error %v, %d calls", task, err, n.calls)
		}
	})
}

func TestGetOfAForgottenTask(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onCall = func(int, string) error {
			return refusal(codes.NotFound, "task 5 has ended and is no longer retained", "OUTCOME_NOT_RETAINED", 0)
		}
		_, err := c.Get(t.Context(), 5)
		if !errors.Is(err, client.ErrNotRetained) || errors.Is(err, client.ErrUnknownTask) || n.calls != 1 {
			t.Errorf("error %v, %d calls", err, n.calls)
		}
		if err.Error() != "get task 5: not found: task 5 has ended and is no longer retained" {
			t.Errorf("error reads %q", err)
		}
	})
}

func TestCancelIsRepeatedAndSplit(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onCall = failFirst(status.Error(codes.Unavailable, "stopping"))
		results, err := c.Cancel(t.Context(), idsTo(2_500)...)
		if err != nil || len(results) != 2_500 || results[2_499].GetTaskId() != 2_500 || n.calls != 4 {
			t.Errorf("%d results, error %v, %d calls", len(results), err, n.calls)
		}
	})
}

func TestRetryIsNotRepeatedOnceSent(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		n.onCall = func(int, string) error { n.cut(); return nil }
		if _, err := c.Retry(t.Context(), 1); status.Code(err) != codes.Unavailable || n.calls != 1 {
			t.Errorf("error %v, %d calls", err, n.calls)
		}
		n.onCall = nil
		n.setDown(true) // never sent: harmless
		time.AfterFunc(10*time.Second, func() { n.setDown(false) })
		if _, err := c.Retry(t.Context(), 1); err != nil || n.calls != 2 {
			t.Errorf("error %v, %d calls", err, n.calls)
		}
	})
}

func TestListPages(t *testing.T) {
	bubble(t, client.Config{}, func(t *testing.T, c *client.Client, n *node) {
		page := func(ids ...uint64) (tasks []*yardmasterv1.Task) {
			for _, id := range ids {
				tasks = append(tasks, &yardmasterv1.Task{Id: id})
			}
			return tasks
		}
		n.pages = [][]*yardmasterv1.Task{page(1, 2), page(3), page(4, 5)}
		var got []uint64
		for task, err := range c.List(t.Context(), client.Filter{Queue: "q"}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, task.GetId())
		}
		if len(got) != 5 || got[4] != 5 || n.calls != 3 {
			t.Errorf("listed %v in %d calls", got, n.calls)
		}
		n.calls = 0
		for _, err := range c.List(t.Context(), client.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if n.calls != 1 {
			t.Errorf("a loop left at once made %d calls", n.calls)
		}
		n.onCall = func(n int, _ string) error {
			if n == 3 {
				return status.Error(codes.Internal, "broken")
			}
			return nil
		}
		failures, listed := 0, 0
		for task, err := range c.List(t.Context(), client.Filter{}) {
			if err != nil {
				failures++
			} else if task != nil {
				listed++
			}
		}
		if failures != 1 || listed != 2 {
			t.Errorf("%d listed, %d errors", listed, failures)
		}
	})
}

func TestSeveralAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leader, follower := newNode(newFake()), newNode(newFake())
		defer leader.server.Stop()
		defer follower.server.Stop()
		follower.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
		c := dialNodes(t, client.Config{}, map[string]*node{"a:1": follower, "b:1": leader})
		defer c.Close()
		for _, task := range someTasks(20) {
			if _, err := c.Submit(t.Context(), task); err != nil {
				t.Fatal(err)
			}
		}
		storedOnce(t, leader.fake, 20)

		leader.setDown(true)
		time.AfterFunc(5*time.Second, func() { follower.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING) })
		for range 3 {
			if _, err := c.Get(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if follower.calls != 3 {
			t.Errorf("%d calls reached the new leader, want 3", follower.calls)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []client.Config{
		{Addresses: []string{"localhost"}},
		{Addresses: []string{":7420"}},
		{Addresses: []string{"localhost:"}},
		{Addresses: []string{"http://localhost:7420"}},
		{GiveUp: -1},
		{GiveUp: client.GiveUpMax + 1},
		{ReachTimeout: -1},
	} {
		if c, err := client.New(cfg); err == nil {
			c.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// A coordinator that is stopping says NOT_SERVING and still answers questions.
func TestSeveralAddressesNoneServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone, stopping := newNode(newFake()), newNode(newFake())
		defer gone.server.Stop()
		defer stopping.server.Stop()
		gone.setDown(true)
		stopping.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
		c := dialNodes(t, client.Config{GiveUp: 10 * time.Second}, map[string]*node{"a:1": gone, "b:1": stopping})
		defer c.Close()
		start := time.Now()
		for range 3 {
			if _, err := c.Get(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("three questions took %v", took)
		}
		if _, err := c.Submit(t.Context(), someTasks(1)[0]); status.Code(err) != codes.Unavailable || len(stopping.seen) > 0 {
			t.Errorf("a submit: %v", err)
		}
		if _, err := c.Cancel(t.Context(), 1); status.Code(err) != codes.Unavailable || stopping.calls != 3 {
			t.Errorf("a command: %v", err)
		}
	})
}
