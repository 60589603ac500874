package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"

	"github.com/yardmaster/yardmaster/client"
)

// Settings of the demo's cluster.
const (
	sessionTTL   = 3 * time.Second // short, so that a killed worker's leases come back soon
	retention    = time.Hour       // of finished tasks: the record is looked at in the end
	attemptsMax  = 5               // a file that can't be read is a dead letter soon
	backoffFirst = 200 * time.Millisecond
	lookMax      = 2 * time.Minute // for the second look, and for all questions at the end
)

// demo is one run of the demonstration.
type demo struct {
	options *options
	screen  *screen
	bin     string // the programs
	dir     string // temporary: data, logs, notes of runs
	in      *input
	ledger  *ledger
	fleet   *fleet
	began   time.Time
}

// demonstrate runs the demo. However it ends, no process is left; the temporary data is kept on a failure only.
func demonstrate(ctx, force context.Context, o *options, s *screen) (err error) {
	d := &demo{options: o, screen: s, began: time.Now()}
	if d.bin, err = programs(); err != nil {
		return err
	}
	root, err := o.inputDir()
	if err != nil {
		return err
	}
	if d.in, err = listFiles(root); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "yardmaster-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cleanUp(err)) }()
	if err := adoptOrphans(); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	d.ledger = newLedger(d.in)
	d.fleet = newFleet(d.fleetOptions())
	report, err := d.work(ctx)
	stopErr, leftErr := d.fleet.stop(force), reapRest()
	if errors.Is(err, errInterrupted) {
		return errors.Join(err, leftErr) // midway in a kill, workers have nobody to hand back to: no failure
	}
	stopErr = errors.Join(stopErr, leftErr)
	if report == nil {
		return errors.Join(err, stopErr)
	}
	select {
	case gone := <-d.fleet.surprise:
		stopErr = errors.Join(gone.obituary(), stopErr)
	default:
	}
	if runsErr := d.ledger.takeRuns(d.fleet.starts()); runsErr != nil {
		return errors.Join(err, stopErr, runsErr)
	}
	report.verdict = d.ledger.verdict(report.want)
	s.say("%s", report.text(time.Since(d.began)))
	switch err = errors.Join(err, stopErr); {
	case err != nil:
		return err
	case !report.verdict.right():
		return errNotRight
	case o.plantDuplicate:
		return errBlind
	}
	return nil
}

func (d *demo) fleetOptions() fleetOptions {
	return fleetOptions{
		bin: d.bin, dir: d.dir, dataDir: filepath.Join(d.dir, "data"), listen: "127.0.0.1:0", workers: d.options.workers,
		coordinator: []string{
			"--admin-listen", "", "--session-ttl", sessionTTL.String(),
			"--log-segment-bytes", "16777216", "--disk-reserve", "67108864", // a small /tmp is enough
		},
		worker:   []string{"--slots", fmt.Sprint(d.options.slots), "--log-format", "json", "--drain-timeout", "5s"},
		handlers: func(runs string) ([]byte, error) { return hashHandlers(d.bin, d.in.root, runs) },
	}
}

// work does everything between the programs' start and their stop. There is a report once tasks were submitted.
func (d *demo) work(ctx context.Context) (*report, error) {
	d.screen.say("Yardmaster: the SHA-256 of each of %s (%s) under %s", plural(len(d.in.paths), "file", "files"), size(d.in.bytes), d.in.root)
	if d.in.unreadable > 0 {
		d.screen.say("  %s can't be read: left out", plural(d.in.unreadable, "file or directory", "files or directories"))
	}
	if err := d.fleet.start(ctx); err != nil {
		return nil, orCause(ctx, err)
	}
	d.screen.say("  %s   (at %s, data in %s)", d.fleet.standing(), d.fleet.address, d.dir)
	c, err := client.New(client.Config{Addresses: []string{d.fleet.address}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	submitBegan := time.Now()
	ids, err := c.SubmitAll(ctx, d.tasks())
	if err != nil {
		return nil, orCause(ctx, err)
	}
	r := &report{in: d.in, submitTook: time.Since(submitBegan)}
	d.ledger.submitted(ids)
	d.screen.say("  %s submitted and durable after %s", plural(len(ids), "task", "tasks"), span(r.submitTook))
	planted, err := d.plant(ctx, c)
	if err != nil {
		return nil, orCause(ctx, err)
	}
	stop := make(chan struct{})
	computed := make(chan digests, 1)
	go func() { computed <- digestAll(d.in, stop) }()
	w := &watch{screen: d.screen, fleet: d.fleet, ledger: d.ledger, meter: newMeter(len(ids), time.Now())}
	if d.options.kill {
		w.kills = planKills(d.options.workers)
	}
	watchErr := w.run(ctx, c, ids)
	r.kills, r.workTook, r.done = w.kills, w.took, w.meter.done
	if watchErr != nil && !errors.Is(watchErr, errStalled) {
		close(stop)
		<-computed
		return nil, watchErr
	}
	r.want = <-computed
	return r, errors.Join(watchErr, d.look(ctx, planted))
}

// tasks makes one for each file. The payload is its path.
func (d *demo) tasks() []client.Task {
	tasks := make([]client.Task, len(d.in.paths))
	for i := range tasks {
		tasks[i] = d.task(i)
	}
	return tasks
}

func (d *demo) task(i int) client.Task {
	return client.Task{
		Kind: hashKind, Payload: []byte(d.in.paths[i]), Labels: map[string]string{fileLabel: fmt.Sprint(i)},
		Retention: new(retention), DeadRetention: new(retention),
		Retry: client.Retry{MaxAttempts: attemptsMax, Backoff: new(backoffFirst)},
	}
}

// plant submits the first file's task once more, as a client would that repeats a submit without saying that it is a
// repeat. The ledger isn't told: it must find out.
func (d *demo) plant(ctx context.Context, c *client.Client) (id uint64, err error) {
	if !d.options.plantDuplicate {
		return 0, nil
	}
	task := d.task(0)
	resp, err := c.Tasks().Submit(ctx, &yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{task.Spec()}})
	if err != nil {
		return 0, fmt.Errorf("plant a duplicate: %w", err)
	}
	d.screen.say("  planted: the task of %s once more", d.in.paths[0])
	return resp.GetTaskIds()[0], nil
}

// look asks once more, with another client: for every outcome, and for every task of the coordinator's record.
func (d *demo) look(ctx context.Context, planted uint64) error {
	ctx, cancel := context.WithTimeout(ctx, lookMax)
	defer cancel()
	c, err := client.New(client.Config{Addresses: []string{d.fleet.address}})
	if err != nil {
		return err
	}
	defer c.Close()
	if planted != 0 { // it must have ended, to be seen as accepted
		if _, err := c.Await(ctx, planted); err != nil {
			return orCause(ctx, err)
		}
	}
	var ended []uint64
	for task, err := range c.List(ctx, client.Filter{PageSize: 1000}) {
		if err != nil {
			return orCause(ctx, err)
		}
		d.ledger.recorded(task)
		if task.GetOutcome() != nil {
			ended = append(ended, task.GetId())
		}
	}
	err = c.AwaitAll(ctx, ended, func(_ uint64, out *client.Outcome) error {
		d.ledger.looked(out)
		return nil
	})
	return orCause(ctx, err)
}

// orCause prefers why the context ended to what failed because of that.
func orCause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// cleanUp removes the temporary data, unless it is evidence.
func (d *demo) cleanUp(failed error) error {
	if d.options.keep || failed != nil && !errors.Is(failed, errInterrupted) {
		d.screen.say("data, logs and notes of runs are kept in %s", d.dir)
		return nil
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("remove the temporary data: %w", err)
	}
	return nil
}
