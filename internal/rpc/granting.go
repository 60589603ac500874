package rpc

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

const (
	leaseOverhead  = 112       // at most what a lease's numbers and tags take
	labelOverhead  = 10        // likewise a label's
	arenaBytesKept = 512 << 10 // of payload memory, between messages
)

// granting turns grants in hand into messages. All its memory is used again.
type granting struct {
	grants  []scheduler.Grant // taken from the machine, in order
	loaded  bool
	leases  []*leaseSlot // of those that are not gone
	count   int          // leases in use
	next    int          // the first not sent
	gone    []scheduler.Token
	damaged []scheduler.Token // of tasks whose payload can't be read
	ids     []scheduler.TaskID
	arena   []byte // payloads
	list    []*yardmasterv1.TaskLease
	message yardmasterv1.SessionResponse_Grants
}

// leaseSlot is a lease with its durations. Deadlines are filled in when its message is built.
type leaseSlot struct {
	lease                     yardmasterv1.TaskLease
	timeout, deadline, within durationpb.Duration
	startBy, deadlineAt       scheduler.Time
	size                      int
}

// empty reports whether everything in hand has been sent.
func (g *granting) empty() bool { return len(g.grants) == 0 || g.loaded && g.next >= g.count }

// drop forgets what is in hand.
func (g *granting) drop() { g.grants, g.loaded, g.count, g.next = g.grants[:0], false, 0, 0 }

// load reads the bodies of the grants and fills in their leases. An error is of the storage as a whole.
func (g *granting) load(e Engine) error {
	g.loaded, g.count, g.next, g.gone, g.ids = true, 0, 0, g.gone[:0], g.ids[:0]
	g.damaged = g.damaged[:0]
	if g.arena = g.arena[:0]; cap(g.arena) > arenaBytesKept {
		g.arena = nil
	}
	for i := range g.grants {
		g.ids = append(g.ids, g.grants[i].Task)
	}
	err := e.Bodies(g.ids, func(i int, body []byte) error {
		if body == nil {
			g.gone = append(g.gone, g.grants[i].Token)
			return nil
		}
		if payload, labels, err := readBody(body); err == nil {
			g.add(&g.grants[i], payload, labels)
		} else { // whole by its checksum, and yet no body
			g.damaged = append(g.damaged, g.grants[i].Token)
		}
		return nil
	})
	lost := engine.Damaged(err)
	if lost == nil {
		return err
	}
	for i := range g.grants {
		if slices.Contains(lost, g.grants[i].Task) {
			g.damaged = append(g.damaged, g.grants[i].Token)
		}
	}
	return nil
}

// add fills in the next lease.
func (g *granting) add(x *scheduler.Grant, payload []byte, labels map[string]string) {
	if g.count == len(g.leases) {
		g.leases = append(g.leases, &leaseSlot{})
	}
	s := g.leases[g.count]
	g.count++
	from := len(g.arena)
	g.arena = append(g.arena, payload...)
	s.fill(x, g.arena[from:len(g.arena):len(g.arena)], labels)
}

func (s *leaseSlot) fill(x *scheduler.Grant, payload []byte, labels map[string]string) {
	l := &s.lease
	l.Token, l.TaskId, l.Kind, l.Queue, l.Pool = uint64(x.Token), uint64(x.Task), x.Kind, x.Queue, x.Pool
	l.Attempt, l.MaxAttempts, l.Weight, l.Generation = x.Attempt, uint32(x.MaxAttempts), uint32(x.Weight), x.Gen
	l.Payload, l.Labels = payload, labels
	l.AttemptTimeout = nil
	if x.AttemptTimeout > 0 {
		setSpan(&s.timeout, x.AttemptTimeout)
		l.AttemptTimeout = &s.timeout
	}
	s.deadlineAt, s.startBy = x.Deadline, x.StartBy
	s.size = leaseOverhead + len(payload) + len(x.Kind) + len(x.Queue) + len(x.Pool)
	for k, v := range labels {
		s.size += labelOverhead + len(k) + len(v)
	}
}

// build makes the next message, of at most MessageBytesMax or one lease, and returns its leases and an upper bound of its
// size.
func (g *granting) build(e Engine) (n, bytes int) {
	var now scheduler.Time
	g.list = g.list[:0]
	for i := g.next; i < g.count; i++ {
		s := g.leases[i]
		if n > 0 && bytes+s.size > session.MessageBytesMax {
			break
		}
		if now == 0 && (s.deadlineAt != 0 || s.startBy != 0) {
			now = e.Now()
		}
		s.lease.DeadlineIn = remaining(&s.deadline, s.deadlineAt, now)
		s.lease.StartWithin = remaining(&s.within, s.startBy, now)
		g.list = append(g.list, &s.lease)
		n++
		bytes += s.size
	}
	if g.message.Grants == nil {
		g.message.Grants = &yardmasterv1.Grants{}
	}
	g.message.Grants.Leases = g.list
	return n, bytes
}

// remaining sets d to what is left until at; nil if there is no such time.
func remaining(d *durationpb.Duration, at, now scheduler.Time) *durationpb.Duration {
	if at == 0 {
		return nil
	}
	setSpan(d, scheduler.Duration(max(0, at-now)))
	return d
}

func setSpan(d *durationpb.Duration, span scheduler.Duration) {
	d.Seconds, d.Nanos = int64(span)/int64(time.Second), int32(int64(span)%int64(time.Second))
}
