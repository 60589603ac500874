// Command submit-await submits tasks from many goroutines and takes their outcomes as they come.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"github.com/yardmaster/yardmaster/client"
)

func main() {
	addr := flag.String("addr", client.DefaultAddress, "the coordinator's `address`")
	kind := flag.String("kind", "echo", "the tasks' `kind`")
	n := flag.Int("n", 100, "how many tasks")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *addr, *kind, *n)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, kind string, n int) error {
	c, err := client.New(client.Config{Addresses: []string{addr}})
	if err != nil {
		return err
	}
	defer c.Close()
	ids, err := submit(ctx, c, kind, n)
	if err != nil {
		return err
	}
	fmt.Printf("%d tasks are stored\n", n)

	failed := 0
	err = c.AwaitAll(ctx, ids, func(id uint64, out *client.Outcome) error {
		if err := out.Err(); err != nil {
			failed++
			fmt.Println(err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("%d succeeded, %d didn't\n", n-failed, failed)
	return nil
}

// submit has a goroutine for each task, as a server has for each of its requests. The Submitter sends together what
// comes together.
func submit(ctx context.Context, c *client.Client, kind string, n int) ([]uint64, error) {
	if n < 1 {
		return nil, fmt.Errorf("-n is %d; it must be at least 1", n)
	}
	s, err := client.NewSubmitter(c, client.SubmitterConfig{})
	if err != nil {
		return nil, err
	}
	ids, errs := make([]uint64, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ids[i], errs[i] = s.Submit(ctx, client.Task{Kind: kind, Payload: client.JSON(i), Labels: map[string]string{"example": "submit-await"}})
		})
	}
	wg.Wait()
	return ids, errors.Join(errors.Join(errs...), s.Close(ctx))
}
