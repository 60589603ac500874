package main

import (
	"context"
	"errors"
	"net"

	"github.com/hashicorp/go-hclog"

	"github.com/yardmaster/yardmaster/internal/admin"
	"github.com/yardmaster/yardmaster/internal/metrics"
	"github.com/yardmaster/yardmaster/internal/shutdown"
	"github.com/yardmaster/yardmaster/worker"
)

// serveAdmin serves on the admin listener until the phase ends, so that the last tasks can be watched while they stop.
func serveAdmin(lis net.Listener, w *worker.Worker, until *shutdown.Phase, logger hclog.Logger) error {
	ready := func() error {
		if !w.Stats().Connected {
			return errors.New("not connected to a coordinator")
		}
		return nil
	}
	h := admin.Handler(ready, metrics.WorkerHandler(func() metrics.WorkerFigures { return figures(w.Stats()) }))
	if err := until.Go("admin server", func(ctx context.Context) error { return admin.Serve(ctx, lis, h) }); err != nil {
		return errors.Join(err, lis.Close())
	}
	logger.Info("admin listener", "address", lis.Addr().String())
	return nil
}

// figures is what a scrape of /metrics asks for.
func figures(s worker.Stats) metrics.WorkerFigures {
	return metrics.WorkerFigures{
		Slots: s.Slots, Used: s.Used, Running: s.Running, Waiting: s.Held, Outbox: s.Unanswered, Connected: s.Connected,
		Started: s.Started, Finished: s.Finished, Sent: s.Sent, Rejected: s.Fenced, GivenUp: s.GivenUp, Reconnects: s.Reconnects,
	}
}
