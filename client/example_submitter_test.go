package client_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/yardmaster/yardmaster/client"
)

// Many goroutines submit one task each; the Submitter sends them together.
func ExampleSubmitter() {
	address, coordinator := serveExample(newFake())
	defer coordinator.server.Stop()
	c, err := client.New(client.Config{Addresses: []string{address}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	s, err := client.NewSubmitter(c, client.SubmitterConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()

	var handlers sync.WaitGroup // of requests to a web server, say
	for i := range 1_000 {
		handlers.Go(func() {
			if _, err := s.Submit(ctx, client.Task{Kind: "mail", Payload: client.JSON(i)}); err != nil {
				fmt.Println(err)
			}
		})
	}
	handlers.Wait()
	if err := s.Close(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(len(coordinator.stored), "tasks stored")
	// Output: 1000 tasks stored
}

// One goroutine submits without waiting for each answer.
func ExampleSubmitter_SubmitFunc() {
	address, coordinator := serveExample(newFake())
	defer coordinator.server.Stop()
	c, err := client.New(client.Config{Addresses: []string{address}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	s, err := client.NewSubmitter(c, client.SubmitterConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	failed := make(chan error, 3)
	for _, line := range []string{"a", "b", "c"} {
		err := s.SubmitFunc(ctx, client.Task{Kind: "index", Payload: []byte(line)}, func(id uint64, err error) { failed <- err })
		if err != nil { // not taken in: the function isn't called
			failed <- err
		}
	}
	for range 3 {
		if err := <-failed; err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("closed:", s.Close(ctx))
	// Output: closed: <nil>
}
