package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// topWorkersMax is how many workers a poll asks for: more than a screen shows, and few for a coordinator of 20,000.
const topWorkersMax = 200

// topShot is what one poll has learnt: three calls, whatever the size of the cluster.
type topShot struct {
	at      time.Time
	status  *yardmasterv1.OperatorServiceStatusResponse
	queues  []*yardmasterv1.Queue  // all, by name; at most 1,000
	workers []*yardmasterv1.Worker // the first, by name
}

// moreWorkers is how many sessions there are beyond those in the shot.
func (s *topShot) moreWorkers() int { return max(0, int(s.status.GetSessions())-len(s.workers)) }

func (t *top) poll(ctx context.Context) (*topShot, error) {
	limit := topPollTimeout
	if t.a.timeoutGiven {
		limit = t.a.flags.timeout
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = t.a.withTimeout(ctx, limit)
		defer cancel()
	}
	status, err := t.c.Operator().Status(ctx, &yardmasterv1.OperatorServiceStatusRequest{})
	if err != nil {
		return nil, client.AsError("get the cluster's status", err)
	}
	shot := &topShot{at: t.a.now(), status: status}
	queues, err := t.c.Queues().List(ctx, &yardmasterv1.QueueServiceListRequest{})
	if err != nil {
		return nil, client.AsError("list queues", err)
	}
	workers, err := t.c.Operator().ListWorkers(ctx, &yardmasterv1.ListWorkersRequest{PageSize: topWorkersMax})
	if err != nil {
		return nil, client.AsError("list workers", err)
	}
	shot.queues, shot.workers = queues.GetQueues(), workers.GetWorkers()
	return shot, nil
}

// topRates are rates per second.
type topRates struct {
	Seconds    float64              `json:"seconds"`    // over which they were measured
	SinceStart bool                 `json:"sinceStart"` // over the coordinator's whole life: there was no earlier look
	Submits    float64              `json:"submits"`
	Starts     float64              `json:"starts"` // leases granted
	Ends       float64              `json:"ends"`
	Failures   float64              `json:"failures"` // failed attempts, those that made dead letters included
	Queues     map[string]queueRate `json:"queues"`
}

type queueRate struct {
	In  float64 `json:"in"`
	Out float64 `json:"out"`
}

// ratesOf compares two shots. Without an earlier one, or if the coordinator started anew in between (its totals then begin
// at zero), they are averages since its start.
func ratesOf(before, now *topShot) topRates {
	r := topRates{Queues: make(map[string]queueRate, len(now.queues))}
	if before == nil || restarted(before.status, now.status) || !now.at.After(before.at) {
		r.SinceStart = true
		r.Seconds = uptime(now.status).Seconds()
		before = &topShot{status: &yardmasterv1.OperatorServiceStatusResponse{}}
	} else {
		r.Seconds = now.at.Sub(before.at).Seconds()
	}
	per := func(now, before uint64) float64 {
		if r.Seconds <= 0 || now < before {
			return 0
		}
		return float64(now-before) / r.Seconds
	}
	was, is := before.status.GetTotals(), now.status.GetTotals()
	r.Submits = per(is.GetSubmitted(), was.GetSubmitted())
	r.Starts = per(is.GetGranted(), was.GetGranted())
	r.Ends = per(endsOf(is), endsOf(was))
	r.Failures = per(is.GetFailedAttempts()+is.GetDead(), was.GetFailedAttempts()+was.GetDead())
	earlier := make(map[string]*yardmasterv1.Queue, len(before.queues))
	for _, q := range before.queues {
		earlier[q.GetName()] = q
	}
	for _, q := range now.queues {
		old := earlier[q.GetName()] // nil, all zero: made in between
		r.Queues[q.GetName()] = queueRate{per(q.GetSubmittedTotal(), old.GetSubmittedTotal()), per(q.GetEndedTotal(), old.GetEndedTotal())}
	}
	return r
}

// restarted: the process that counts isn't the same.
func restarted(before, now *yardmasterv1.OperatorServiceStatusResponse) bool {
	return !proto.Equal(before.GetStartTime(), now.GetStartTime()) || now.GetTotals().GetSubmitted() < before.GetTotals().GetSubmitted()
}

func endsOf(t *yardmasterv1.Totals) uint64 {
	return t.GetSucceeded() + t.GetDead() + t.GetCancelled() + t.GetExpired()
}

// uptime is how long the coordinator has served, by its own clock.
func uptime(s *yardmasterv1.OperatorServiceStatusResponse) time.Duration {
	if s.GetStartTime() == nil || s.GetLogTime() == nil {
		return 0
	}
	return max(0, s.GetLogTime().AsTime().Sub(s.GetStartTime().AsTime()))
}

// topObject is a shot as it is printed for scripts.
type topObject struct {
	Status      json.RawMessage   `json:"status"`
	Rates       topRates          `json:"rates"`
	Queues      []json.RawMessage `json:"queues"`
	Workers     []json.RawMessage `json:"workers"`
	MoreWorkers int               `json:"moreWorkers"` // beyond those listed
}

// objects prints an object for each interval, until ctx ends.
func (t *top) objects(ctx context.Context, single bool) error {
	var before *topShot
	for {
		shot, err := t.poll(ctx)
		if err != nil {
			return err
		}
		if err := t.object(before, shot); err != nil || single {
			return err
		}
		before = shot
		if err := t.a.pause(ctx, t.interval); err != nil {
			return nil //nolint:nilerr // interrupted: the end of a stream without end
		}
	}
}

func (t *top) object(before, shot *topShot) error {
	o := topObject{Rates: ratesOf(before, shot), MoreWorkers: shot.moreWorkers(),
		Queues: []json.RawMessage{}, Workers: []json.RawMessage{}}
	var err error
	form := func(m proto.Message) json.RawMessage {
		data, failed := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
		if err == nil {
			err = failed
		}
		return data
	}
	o.Status = form(shot.status)
	for _, q := range shot.queues {
		o.Queues = append(o.Queues, form(q))
	}
	for _, w := range shot.workers {
		o.Workers = append(o.Workers, form(w))
	}
	if err != nil {
		return fmt.Errorf("print a look at the cluster: %w", err)
	}
	data, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("print a look at the cluster: %w", err)
	}
	return t.a.printJSON(data)
}
