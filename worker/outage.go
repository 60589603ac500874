package worker

import (
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/internal/workercore"
)

// The log is reminded of an outage that lasts: after remindMin, then at twice the distance each time, at most remindMax
// apart. Each of the attempts, several a second at first, would fill it.
const (
	remindMin = time.Minute
	remindMax = time.Hour
)

// outage is a time without a session's stream. The zero value is none.
type outage struct {
	on    bool
	since workercore.Time
	next  workercore.Time // when a reminder is due
	every time.Duration   // from it to the one after
}

// due reports whether the log should hear of an attempt that has failed now: of the first, and of one now and then.
func (o *outage) due(now workercore.Time) bool {
	switch {
	case !o.on:
		*o = outage{on: true, since: now, every: remindMin}
	case now < o.next:
		return false
	default:
		o.every = min(2*o.every, remindMax)
	}
	o.next = now + workercore.Time(o.every)
	return true
}

// warn tells that there is no stream, and why.
func (l *loop) warn(now workercore.Time, ev event, counts workercore.Counts) {
	if !l.outage.due(now) {
		l.w.log.Debug("no coordinator yet", "coordinator", ev.address, "error", plainly{ev.err}.Error())
		return
	}
	args := []any{"coordinator", ev.address, "error", plainly{ev.err}.Error()}
	if lasted := time.Duration(now - l.outage.since); lasted > 0 {
		args = append(args, "for", lasted.Round(time.Second))
	}
	switch {
	case status.Code(ev.err) == codes.AlreadyExists:
		l.w.log.Warn("another live process has this worker's name; trying until it is gone", append(args, "name", l.w.cfg.Name)...)
	case counts.Session == 0:
		l.w.log.Warn("no coordinator has answered yet; trying until one does: is it running, and is its address right?", args...)
	default:
		l.w.log.Warn("no contact with the coordinator; reconnecting, running tasks go on while their leases can be trusted",
			append(args, "running", counts.Running, "held", counts.Held)...)
	}
}

// plainly is an error of gRPC that reads as its message alone.
type plainly struct{ error }

func (p plainly) Unwrap() error { return p.error }

func (p plainly) Error() string {
	const dialing = "transport: Error while dialing: "
	text := p.error.Error()
	if s, ok := status.FromError(p.error); ok {
		text = s.Message()
	}
	if i := strings.LastIndex(text, dialing); i >= 0 {
		return strings.TrimSuffix(text[i+len(dialing):], `"`)
	}
	return text
}
