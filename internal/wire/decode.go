package wire

import (
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// decoder makes what one message holds.
type decoder struct {
	arena    arena
	left     int    // elements of the list under way that are still to come, the present one included
	kind     string // of the element before: this one's is likely the same
	queue    string // likewise
	pool     string // likewise
	label    [2]string
	specs    slab[yardmasterv1.TaskSpec]
	leases   slab[yardmasterv1.TaskLease]
	outcomes slab[outcomeSlot]
	rejected slab[yardmasterv1.Rejected]
	spans    slab[durationpb.Duration]
	times    slab[timestamppb.Timestamp]
}

// element adds the next element to a list, which it makes at the first one.
func element[T any](d *decoder, c *cursor, list *[]*T, made *slab[T]) *T {
	if *list == nil {
		d.left = c.count()
		*list = make([]*T, 0, d.left)
	}
	m := made.take(d.left)
	*list = append(*list, m)
	return m
}

// keep returns a copy of a part of the message.
func (d *decoder) keep(c *cursor) []byte {
	from, to := c.part()
	return d.arena.keep(c.data, from, to)
}

func (d *decoder) span(c *cursor) *durationpb.Duration {
	m := d.spans.take(d.left)
	c.pair(&m.Seconds, &m.Nanos)
	return m
}

func (d *decoder) time(c *cursor) *timestamppb.Timestamp {
	m := d.times.take(d.left)
	c.pair(&m.Seconds, &m.Nanos)
	return m
}

// labels reads one entry of a map.
func (d *decoder) labels(c *cursor, m map[string]string) map[string]string {
	x := c.inner(0)
	var key, value string
	for x.next() {
		switch x.num {
		case 1:
			key = x.text(&d.label[0])
		case 2:
			value = x.text(&d.label[1])
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}
