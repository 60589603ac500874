package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Follow what happens to the tasks of a queue, until the first has ended.
func ExampleWatch() {
	f := newFake()
	f.onWatch = func(_ int, _ *yardmasterv1.TaskServiceWatchRequest, stream watchStream) error {
		if err := sendAll(stream, lagged(12, 40), events(42, 41, 42)); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	}
	address, coordinator := serveExample(f)
	defer coordinator.server.Stop()
	c, err := client.New(client.Config{Addresses: []string{address}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	w := c.Watch(client.WatchFilter{After: 28, Queues: []string{"mail"}})
	for event, err := range w.Events(context.Background()) {
		var lagged *client.Lagged
		switch {
		case errors.As(err, &lagged):
			fmt.Println(lagged) // and on it goes
			continue
		case err != nil:
			fmt.Println(err)
			return
		}
		fmt.Println(event.GetPosition(), event.GetType())
		if event.GetPosition() == 42 {
			break
		}
	}
	fmt.Println("go on after", w.Position())
	// Output:
	// 12 events were missed; watching goes on after position 40
	// 41 TYPE_SUBMITTED
	// 42 TYPE_SUBMITTED
	// go on after 42
}

// Retry the dead letters of one kind.
func ExampleClient_RetryAll() {
	f := newFake()
	address, coordinator := serveExample(f)
	defer coordinator.server.Stop()
	fill(coordinator, 10, client.Dead, client.Succeeded)
	c, err := client.New(client.Config{Addresses: []string{address}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	result, err := c.RetryAll(context.Background(), client.Filter{Kind: "k"}, client.BulkOptions{})
	if err != nil {
		fmt.Println(err) // result says how far it came, and result.Resume how to go on
		return
	}
	fmt.Println(result.Done, "dead letters, retried:", result.Codes[yardmasterv1.TaskResult_CODE_DONE])
	// Output: 5 dead letters, retried: 5
}

// Count tasks by label, and list those that are dead.
func ExampleFilter() {
	address, coordinator := serveExample(newFake())
	defer coordinator.server.Stop()
	fill(coordinator, 10, client.Dead, client.Succeeded)
	c, err := client.New(client.Config{Addresses: []string{address}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, f := context.Background(), client.Filter{Labels: map[string]string{"half": "0"}}
	n, err := c.Count(ctx, f)
	fmt.Println(n, err)
	f.Through = 4
	for task, err := range c.List(ctx, f) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(task.GetId(), client.StateWord(task.GetState()))
	}
	// Output:
	// 5 <nil>
	// 1 dead
	// 3 dead
}
