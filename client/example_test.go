package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// Submit a task, wait for its end, use its result. It needs a coordinator and a worker that runs kind "hash".
func Example() {
	if err := hash("/etc/hostname"); err != nil {
		log.Fatal(err)
	}
}

func hash(path string) error {
	c, err := client.New(client.Config{Addresses: []string{client.DefaultAddress}})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	id, err := c.Submit(ctx, client.Task{
		Kind:           "hash",
		Payload:        client.JSON(map[string]string{"path": path}),
		AttemptTimeout: new(10 * time.Second),
		Retry:          client.Retry{MaxAttempts: 3},
	})
	if err != nil {
		return err
	}
	out, err := c.Await(ctx, id)
	if err != nil {
		return err
	}
	sum, err := client.Result[struct{ SHA256 string }](out)
	if err != nil {
		return err // the task failed, or answered something else
	}
	fmt.Println(sum.SHA256)
	return nil
}

// Submit many tasks and take their outcomes as they come.
func ExampleClient_AwaitAll() {
	if err := square(); err != nil {
		log.Fatal(err)
	}
}

func square() error {
	c, err := client.New(client.Config{})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx := context.Background()

	tasks := make([]client.Task, 100_000)
	for i := range tasks {
		tasks[i] = client.Task{Kind: "square", Payload: client.JSON(i)}
	}
	ids, err := c.SubmitAll(ctx, tasks)
	if err != nil {
		return err
	}
	failed := 0
	err = c.AwaitAll(ctx, ids, func(_ uint64, out *client.Outcome) error {
		if out.Err() != nil {
			failed++
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Println(failed, "tasks failed")
	return nil
}

// List the dead letters of a queue.
func ExampleClient_List() {
	if err := listDead("mail"); err != nil {
		log.Fatal(err)
	}
}

func listDead(queue string) error {
	c, err := client.New(client.Config{})
	if err != nil {
		return err
	}
	defer c.Close()
	for task, err := range c.List(context.Background(), client.Filter{Queue: queue, States: []client.TaskState{client.Dead}}) {
		if err != nil {
			return err
		}
		fmt.Println(task.GetId(), task.GetOutcome().GetFailure().GetMessage())
	}
	return nil
}
