package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Bounds of a purge.
const (
	PurgeFlights  = 4           // commands of up to BatchTasksMax tasks at once
	PurgeTell     = time.Second // progress is told so often
	PurgeTellEach = 10_000      // and after so many tasks
)

// Purge ends the tasks of a queue that aren't leased.
func (q *queueService) Purge(req *yardmasterv1.PurgeRequest, gs grpc.ServerStreamingServer[yardmasterv1.PurgeResponse]) error {
	if err := queueName(req.GetName()); err != nil {
		return err
	}
	info, ok := q.s.engine.Queue(req.GetName())
	if !ok {
		return unknownQueue(req.GetName())
	}
	ctx, cancel := context.WithCancelCause(gs.Context())
	defer cancel(nil)
	x := &sender{end: func(err error) { cancel(err) }}
	q.s.watchdog.add(x)
	defer q.s.watchdog.drop(x)
	p := &purge{s: q.s, ctx: ctx, x: x, gs: gs, done: make(chan purged, PurgeFlights)}
	p.filter = engine.ListFilter{
		Queue: req.GetName(), States: []scheduler.TaskState{scheduler.Scheduled, scheduler.Waiting, scheduler.Pending},
		Max: scheduler.BatchTasksMax,
	}
	if req.GetDryRun() {
		p.purged = info.Scheduled + info.Pending
		return q.s.beside(ctx, "count a queue's tasks", func() error { return p.tell(true) })
	}
	return q.s.beside(ctx, "purge a queue", p.run)
}

// purge is one Purge under way.
type purge struct {
	s      *Server
	ctx    context.Context
	x      *sender
	gs     grpc.ServerStreamingServer[yardmasterv1.PurgeResponse]
	filter engine.ListFilter

	done    chan purged // room for every flight
	flights int
	purged  uint64
	told    uint64
}

// purged is what became of one command.
type purged struct {
	tasks uint64
	err   error
}

// run walks over the tasks that exist now, a page at a time, and has each page cancelled while it looks for the next.
func (p *purge) run() error {
	tell := time.NewTicker(PurgeTell)
	defer tell.Stop()
	for all := false; !all || p.flights > 0; {
		if !all { // land has left room for a flight
			page, err := p.s.engine.FindPage(p.ctx, p.filter)
			if err != nil {
				return err
			}
			if p.filter.Through == 0 {
				p.filter.Through = page.Last
			}
			p.launch(page.Tasks)
			p.filter.After, all = page.Next, page.Next == 0
		}
		if err := p.land(tell.C, all || p.flights == PurgeFlights); err != nil {
			return err
		}
	}
	return p.tell(true)
}

// launch proposes one command.
func (p *purge) launch(tasks []*engine.Task) {
	if len(tasks) == 0 {
		return
	}
	c := &scheduler.Cancel{Purge: true, IDs: make([]scheduler.TaskID, len(tasks))}
	for i, t := range tasks {
		c.IDs[i] = t.ID
	}
	p.flights++
	p.s.loops.Go(func() {
		res, err := p.s.engine.Do(p.ctx, scheduler.Command{Op: scheduler.OpCancel, Cancel: c})
		if err == nil {
			err = codeError(res.Code, "")
		}
		x := purged{err: err}
		for _, item := range res.Items {
			if item.Code == scheduler.ItemDone {
				x.tasks++
			}
		}
		p.done <- x
	})
}

// land takes the results that are there, waits for one if it must, and tells how far the purge has come.
func (p *purge) land(due <-chan time.Time, wait bool) error {
	for {
		var idle <-chan struct{}
		if !wait || p.flights == 0 {
			idle = closed
		}
		select {
		case x := <-p.done:
			p.flights--
			wait = false
			if x.err != nil {
				return x.err
			}
			if p.purged += x.tasks; p.purged-p.told >= PurgeTellEach {
				if err := p.tell(false); err != nil {
					return err
				}
			}
		case <-due:
			if err := p.tell(false); err != nil {
				return err
			}
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		case <-idle:
			return nil
		}
	}
}

// closed is a channel that is always ready.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (p *purge) tell(done bool) error {
	p.told = p.purged
	m := &yardmasterv1.PurgeResponse{Purged: p.purged, Done: done}
	if err := p.x.send(p.s.monotonic, func() error { return p.gs.Send(m) }); err != nil {
		return broken(p.ctx, err)
	}
	return nil
}
