package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newQueuePurge(a *app) *cobra.Command {
	dryRun, yes := false, false
	cmd := &cobra.Command{
		Use:   "purge NAME",
		Short: "End every task of a queue that no worker has",
		Long: `Purge ends the tasks of a queue that are not leased: they are cancelled and nothing of them is kept, no outcome and no dead
letter. It counts them first and asks; --yes doesn't ask, --dry-run only counts. Tasks at workers run on, and tasks
submitted meanwhile stay. A purge that is broken off has purged what it said; it may be run again.

task cancel --queue NAME ends the same tasks, and those at workers, but keeps them readable.`,
		Example: `  yardctl queue purge mail
  yardctl queue purge mail --dry-run
  yardctl queue purge mail --yes`,
		Args:              argsExactly(1),
		ValidArgsFunction: once(a.completeQueues),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes && !dryRun {
				if err := a.canAsk(); err != nil {
					return err
				}
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, cancel := a.waiting(cmd.Context())
			defer cancel()
			p := purge{a: a, c: c, queue: args[0]}
			return p.run(ctx, dryRun, yes)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only count")
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return cmd
}

// purge is one purge of a queue.
type purge struct {
	a     *app
	c     *client.Client
	queue string
}

func (p *purge) run(ctx context.Context, dryRun, yes bool) error {
	if dryRun {
		last, err := p.stream(ctx, true, p.a.newProgress("counted"))
		switch {
		case err != nil:
			return err
		case p.a.forScripts():
			return p.a.print(last)
		}
		_, err = fmt.Fprintf(p.a.stdout, "Queue %s: %s would be purged.\n", p.queue, plural(int(last.GetPurged()), "task", "tasks"))
		return err
	}
	of := 0
	if !yes {
		last, err := p.stream(ctx, true, p.a.newProgress("counted"))
		if err != nil {
			return err
		}
		of = int(last.GetPurged())
		sure, err := p.a.ask(ctx, fmt.Sprintf("Purge %s of queue %s, and keep nothing of them?", plural(of, "task", "tasks"), p.queue))
		if err != nil {
			return err
		}
		if !sure {
			return fmt.Errorf("purge queue %s: not confirmed; nothing was changed", p.queue)
		}
	}
	progress := p.a.newProgress("purged")
	progress.of = of
	last, err := p.stream(ctx, false, progress)
	switch {
	case err != nil:
		return err
	case p.a.forScripts():
		return nil // printed as it came
	}
	_, err = fmt.Fprintf(p.a.stdout, "Queue %s: %s purged.\n", p.queue, plural(int(last.GetPurged()), "task", "tasks"))
	return err
}

// stream follows a purge to its end and returns its last word. It isn't repeated when it breaks: a second one would end
// tasks too that came after the first.
func (p *purge) stream(ctx context.Context, dryRun bool, progress *progress) (*yardmasterv1.PurgeResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	op := "purge queue " + p.queue
	if dryRun {
		op = "count the tasks of queue " + p.queue
	}
	var from peer.Peer
	stream, err := p.c.Queues().Purge(ctx, &yardmasterv1.PurgeRequest{Name: p.queue, DryRun: dryRun}, grpc.Peer(&from))
	if err != nil {
		return nil, streamError(op, err, &from)
	}
	last := &yardmasterv1.PurgeResponse{}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) && !last.GetDone() {
			err = status.Error(codes.Unavailable, "the stream ended early")
		}
		if err != nil {
			progress.end()
			if errors.Is(err, io.EOF) {
				return last, nil
			}
			if !dryRun && last.GetPurged() > 0 {
				fmt.Fprintf(p.a.stderr, "yardctl: %s purged before it broke off; run it again for the rest\n",
					plural(int(last.GetPurged()), "task was", "tasks were"))
			}
			return nil, streamError(op, err, &from)
		}
		last = resp
		progress.set(int(resp.GetPurged()))
		if !dryRun && p.a.forScripts() {
			if err := p.a.print(resp); err != nil {
				return nil, err
			}
		}
	}
}

// streamError names the error of a stream. One that has no peer never left this machine.
func streamError(op string, err error, from *peer.Peer) *client.Error {
	e := client.AsError(op, err)
	e.Unreached = from.Addr == nil
	return e
}
