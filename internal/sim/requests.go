package sim

import (
	"bytes"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// requestsOnce (2): under a producer's number tasks are stored once, and each repeat has the first answer; a key has one
// task as long as it is kept.
func (o *oracle) requestsOnce(e *scheduler.Effects, b *scheduler.Batch) {
	for i := range b.Commands {
		s := b.Commands[i].Submit
		r := &e.Replies[i]
		if s == nil {
			continue
		}
		o.keyConflicts(s, r)
		if r.Code != scheduler.CodeOK {
			continue
		}
		ids := clip(e.IDs, r.IDs)
		for j := range s.Tasks {
			if t := &s.Tasks[j]; t.HasKey && r.Fresh {
				if had, ok := o.keys[t.Key]; ok && ids[j] != had.task {
					o.fail(InvOneTask, "a key of task %d made task %d", had.task, ids[j])
				}
				o.keys[t.Key] = keyRecord{ids[j], t.KeyBody}
			}
		}
		if s.Producer == (scheduler.Hash128{}) {
			continue
		}
		key := requestKey{s.Producer, s.Number}
		had, known := o.requests[key]
		switch {
		case !known:
			if !r.Fresh {
				o.fail(InvOneTask, "request %d of producer %x is answered as a repeat, and it is the first", s.Number, s.Producer[:8])
			}
			o.requests[key] = requestRecord{first: r.First, count: r.Count, ids: ids}
		case r.Fresh:
			o.fail(InvOneTask, "request %d of producer %x is carried out twice: tasks from %d and from %d", s.Number, s.Producer[:8], had.first, r.First)
		case r.First != had.first || r.Count != had.count || !sameIDs(ids, had.ids):
			o.fail(InvOneTask, "request %d of producer %x has another answer when it is repeated: task %d, then %d", s.Number, s.Producer[:8], had.first, r.First)
		}
	}
}

func sameIDs(a, b []scheduler.TaskID) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// acknowledged (1, 2): what a client is told of its request is so: its tasks exist, with the bodies it sent; a request
// without an answer is never refused as one out of its window.
func (o *oracle) acknowledged(c *client, r *request, res *result, ids []scheduler.TaskID) {
	switch res.Code {
	case scheduler.CodeOK:
	case scheduler.CodeProducerWindow:
		o.fail(InvOneTask, "request %d of client %d is refused as out of its window, and it was never answered", r.number, c.id)
		return
	default:
		return
	}
	if len(ids) != len(r.tasks) {
		o.fail(InvAcknowledged, "request %d of client %d has %d tasks and is answered with %d", r.number, c.id, len(r.tasks), len(ids))
		return
	}
	for i, id := range ids {
		t := o.task(id)
		if t == nil {
			o.fail(InvAcknowledged, "task %d is acknowledged to client %d and was never stored", id, c.id)
			return
		}
		if t.acked = true; !r.tasks[i].HasKey && !bytes.Equal(t.spec.Body, r.tasks[i].Body) {
			o.fail(InvAcknowledged, "task %d is acknowledged to client %d and is another's", id, c.id)
		}
	}
}

// keyConflicts (2): a key that is known comes with the body that it had first, or the whole request is refused; it isn't
// refused otherwise.
func (o *oracle) keyConflicts(s *scheduler.Submit, r *scheduler.Reply) {
	if r.Code != scheduler.CodeKeyConflict && (r.Code != scheduler.CodeOK || !r.Fresh) {
		return
	}
	conflict := false
	bodies := map[scheduler.Hash128]scheduler.Hash128{}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if !t.HasKey {
			continue
		}
		body, known := bodies[t.Key]
		if had, ok := o.keys[t.Key]; ok {
			body, known = had.body, true
		}
		conflict = conflict || known && body != t.KeyBody
		bodies[t.Key] = t.KeyBody
	}
	if conflict != (r.Code == scheduler.CodeKeyConflict) {
		o.fail(InvOneTask, "a request whose keys conflict with others' bodies: %v, is answered %s", conflict, r.Code)
	}
}
