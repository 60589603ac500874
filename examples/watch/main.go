// Command watch prints events as they happen, or the states of one task to its end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/yardmaster/yardmaster/client"
)

func main() {
	addr := flag.String("addr", client.DefaultAddress, "the coordinator's `address`")
	task := flag.Uint64("task", 0, "watch the states of this task, an `id`")
	after := flag.Uint64("after", 0, "begin after this `position`; 0: now")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *addr, *task, *after, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string, task, after uint64, queues []string) error {
	c, err := client.New(client.Config{Addresses: []string{addr}})
	if err != nil {
		return err
	}
	defer c.Close()
	if task != 0 {
		return states(ctx, c, task)
	}
	w := c.Watch(client.WatchFilter{After: after, Queues: queues})
	defer func() { fmt.Println("go on with -after", w.Position()) }()
	return events(ctx, w)
}

// events prints until Ctrl-C. Missed events are no reason to stop: what was known from them is now out of date, that is all.
func events(ctx context.Context, w *client.Watch) error {
	for event, err := range w.Events(ctx) {
		var lagged *client.Lagged
		switch {
		case errors.As(err, &lagged):
			fmt.Println(lagged)
			continue
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		what := strings.ToLower(strings.TrimPrefix(event.GetType().String(), "TYPE_"))
		fmt.Printf("%8d  %-16s", event.GetPosition(), what)
		if id := event.GetTaskId(); id != 0 {
			fmt.Printf(" task %d (%s)", id, event.GetKind())
		}
		if queue := event.GetQueue(); queue != "" {
			fmt.Printf(" in queue %s", queue)
		}
		if name := event.GetWorker(); name != "" {
			fmt.Printf(" at worker %s", name)
		}
		fmt.Println()
	}
	return nil
}

// states prints each state of a task that it gets to see; the last one is its end.
func states(ctx context.Context, c *client.Client, id uint64) error {
	for task, err := range c.WatchTask(ctx, id) {
		if err != nil {
			return err
		}
		fmt.Printf("task %d is %s, attempts %d\n", id, client.StateWord(task.GetState()), task.GetAttempts())
	}
	return nil
}
