package worker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yardmaster/yardmaster/worker"
)

// A worker with one typed handler runs one task and stops in order.
func Example() {
	coordinator := &worker.OneTask{Kind: "greet", Payload: `{"Name":"Ada"}`, Printed: make(chan struct{})}
	w, err := worker.New(worker.Config{Coordinators: []string{coordinator.Serve()}, Name: "example", Slots: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	type person struct{ Name string }
	type greeting struct{ Text string }
	worker.Handle(w, "greet", func(ctx context.Context, in person) (greeting, error) {
		worker.Logger(ctx).Debug("greeting", "name", in.Name)
		return greeting{Text: fmt.Sprintf("Hello, %s, by token %d", in.Name, worker.Token(ctx))}, nil
	})

	ctx, stop := context.WithCancel(context.Background())
	go func() { <-coordinator.Printed; stop() }() // a program stops at a signal
	fmt.Println("stopped:", w.Run(ctx))
	coordinator.Stop()
	// Output:
	// task 1: {"Text":"Hello, Ada, by token 7"}
	// stopped: <nil>
}

// A handler says whether and when its task is worth another attempt.
func ExamplePermanent() {
	fetch := func(status int) error {
		err := fmt.Errorf("the server answered %d", status)
		switch status {
		case 404:
			return worker.Permanent(err) // a dead letter at once
		case 429:
			return worker.RetryAfter(30*time.Second, err)
		}
		return err // retried as the task's policy says
	}
	err := fetch(404)
	fmt.Println(err, errors.Unwrap(err) != nil)
	// Output: the server answered 404 true
}
